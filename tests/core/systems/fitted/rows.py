"""Labelled rows to learn from, and an answer that they fit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Literal

from pydantic import BaseModel, Field

from include.demo.sandbox.seed.tickets import make_tickets
from include.models import Record
from include.systems.fitted.declared import Local
from include.systems.fitted.fitting import HeldOut, Labelled, fit
from include.systems.fitted.model import Fitted

LOCAL = Local(
    "model.v1",
    certain=0.9,
    reads=("subject", "body"),
    fills=("category", "priority"),
    copies={"summary": "subject"},
    out_of_scope="other",
    most_terms=4_000,
)


class Output(BaseModel):
    category: Literal[
        "billing", "refund", "delivery", "return", "account_access", "technical_fault",
        "how_to", "order_change", "cancellation", "complaint", "data_privacy", "sales", "other",
    ]  # fmt: skip
    priority: Literal["low", "normal", "high", "urgent"]
    summary: str = Field(min_length=1, max_length=12)
    confidence: float


@cache
def tickets() -> tuple[Record, ...]:
    return tuple(make_tickets(900, seed=3))


def labelled(rows: Sequence[Record], *fields: str) -> Labelled:
    return Labelled(rows, {name: [row[name] for row in rows] for name in fields})


@cache
def fitted() -> tuple[Fitted, HeldOut]:
    """A model of 700 tickets and what they got while they were held out."""
    return fit(LOCAL, labelled(tickets()[:700], *LOCAL.fills))


def others() -> list[Record]:
    """Tickets that the model has not learnt."""
    return list(tickets()[700:])
