"""The limits of a key, shared by every process that uses it."""
