"""Rows that come in files."""
