"""The rule where no model can answer. A person confirms every answer it makes."""

from __future__ import annotations

from include.models import Record


def answer(row: Record) -> Record | None:
    """A word that nothing was read; None for a row that names no customer."""
    if not row.get("customer_number"):
        return None
    return {
        "note": "Nothing was read for this account, as no model was available; please look yourself.",
        "health": "unknown",
        "sources": [],
        "confidence": 0.0,
    }
