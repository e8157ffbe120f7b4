"""Documents in a folder: one row a file, with its text, its pages and a reference to the file itself."""
