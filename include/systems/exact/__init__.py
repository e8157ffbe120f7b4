"""Rows that a function of the use case answers exactly, in the process."""
