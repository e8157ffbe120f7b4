"""The rule that proposes a score when no model answers. A person confirms every score it makes."""

from __future__ import annotations

from typing import Any

from include.models import Record

_DECIDERS = ("chief", "ceo", "cto", "cfo", "coo", "owner", "founder", "president", "vp", "director", "head")


def answer(row: Record) -> Record | None:
    """A score from title, size and recency alone, or None if none of the three is known (the row is a dead letter)."""
    title, employees, recency = _text(row, "job_title"), row.get("employees"), row.get("last_activity_days")
    if not title and employees is None and recency is None:
        return None
    score, reasons = 20, []
    if any(word in title for word in _DECIDERS):
        score, reasons = score + 30, ["title of a decision maker"]
    if employees is not None and employees >= 100:
        score, reasons = score + 20, [*reasons, "company of 100 people or more"]
    if recency is not None and recency <= 30:
        score, reasons = score + 15, [*reasons, "active within 30 days"]
    tier = "hot" if score >= 70 else "warm" if score >= 40 else "cold"
    return {
        "score": score,
        "tier": tier,
        "summary": "Scored by rule because the model was unavailable; please confirm.",
        "next_action": {"hot": "call", "warm": "email", "cold": "nurture"}[tier],
        "confidence": 0.4,
        "reasons": reasons or ["no sign of a decision maker, size or recent activity"],
    }


def _text(row: Record, name: str) -> str:
    value: Any = row.get(name)
    return str(value).lower() if value is not None else ""
