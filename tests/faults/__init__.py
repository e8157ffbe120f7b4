"""Histories with faults, and what must hold after each of them."""
