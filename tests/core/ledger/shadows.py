"""Nights in mode shadow and what they found beside their proposals, as the write step leaves it."""

from __future__ import annotations

from uuid import uuid4

from include.database import transaction
from include.ledger.comparisons import Asking, Comparison, HeldBy, record_comparisons
from include.spec.prompt import load_prompt
from include.spec.use_case import load
from tests.core.conftest import MakeNight
from tests.core.ledger.nights import decide, rows_of
from tests.core.operations.alerts.finding import ended

PROMPT = load_prompt(load("crm_lead_scoring"))


def show_shadow(make_night: MakeNight, nights: int, *, compared: int, agreed: int, version: int = 0) -> Asking:
    """So many nights of the prompt and model in use, and so many records that were compared."""
    asking = Asking("", "", "")
    for day in range(nights):
        night = make_night(day=day, prompt=PROMPT.as_mapping())
        decide(night, rows_of(1))
        ended(night, "succeeded")
        asking = Asking(night.case.name, PROMPT.hash, night.model_name)
        if day == 0:
            given: list[tuple[HeldBy, int]] = [("person", compared), ("version", version)]
            found = [
                Comparison(f"crm/contacts/{n}", str(n), uuid4(), str(n), held_by, ["tier"], ["tier"] * (n >= agreed))
                for held_by, many in given
                for n in range(many)
            ]
            with transaction(night.ledger) as connection:
                record_comparisons(connection, night.run_id, asking, night.case.sinks[0], found)
    return asking
