"""A night's rows held against its expectations and against the nights before."""
