"""Which companies are asked about at all."""

from __future__ import annotations


def needs_something(industry: str | None, employees: int | None, size_known_days: int | None) -> bool:
    """Whether the industry or the size is missing (0 is none), or nobody has confirmed the size within two years."""
    return industry is None or not employees or size_known_days is None
