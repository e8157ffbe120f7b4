"""Files of rows as people have them: read to the last line, and what was guessed or lost on the way said."""
