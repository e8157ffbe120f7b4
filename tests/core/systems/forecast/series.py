"""Declarations and histories for tests of forecasts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict

from include.models import Record
from include.systems.forecast.declared import Forecast

RUNNING = date(2026, 11, 16)


class Output(BaseModel):
    model_config = ConfigDict(extra="forbid")

    horizon: list[dict[str, Any]]
    method: str
    confidence: float
    history_periods: int
    largest_seen: float


def declared(**more: Any) -> Forecast:
    """Four weeks ahead of the one that is running."""
    given: dict[str, Any] = {"of": "history", "period": "week", "quantity": "sold", "every": "week", "horizon": 4}
    return Forecast(**{**given, "after": "this_week", **more})


def members(quantities: Sequence[Any], last: date = RUNNING - timedelta(weeks=1)) -> list[Record]:
    """A member a week, the last one in the week of `last`."""
    first = last - timedelta(weeks=len(quantities) - 1)
    return [{"week": (first + timedelta(weeks=at)).isoformat(), "sold": one} for at, one in enumerate(quantities)]


def row(history: Any, running: date = RUNNING) -> Record:
    return {"history": history if isinstance(history, str) else json.dumps(history), "this_week": running}


def decide(given: Record, **more: Any) -> tuple[Record | None, dict[str, int]]:
    """The answer to a row, if there is one, and what was counted."""
    found = declared(**more).open(None, Output).sort([given])  # type: ignore[arg-type]
    return found.decided.get(0), dict(found.counts)
