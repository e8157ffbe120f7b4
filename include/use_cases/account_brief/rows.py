"""Which companies are accounts."""

from __future__ import annotations


def is_account(customer_number: str | None) -> bool:
    """Whether the company is a customer: the ERP has a number for it."""
    return bool(customer_number and customer_number.strip())
