"""Files of a file server: a folder looked at, a file fetched, its rows read as declared."""
