"""Proposals of what to order, for a planner to decide."""
