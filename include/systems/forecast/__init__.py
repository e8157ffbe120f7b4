"""Quantities of periods to come, answered in the process from a row's own history."""
