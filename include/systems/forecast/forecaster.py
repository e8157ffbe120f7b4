"""Answers rows with the quantities of periods to come, of nothing but their own history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pydantic import ValidationError

from include.canonical import digest
from include.errors import ConfigurationError
from include.models import Record
from include.systems.forecast import method
from include.systems.forecast.declared import Forecast
from include.systems.forecast.history import LONGEST, Left, read_history
from include.systems.port import Sorted

GIVEN = ("horizon", "method", "confidence", "history_periods", "largest_seen")
"""Fields of an answer that are filled, if it has them: a list of period, quantity, low and high; how they were had; the
skill; how many periods were used; the largest quantity among them."""
DIGITS = 3
"""Of a quantity: what most systems keep."""


class Forecaster:
    """The adapter of one declaration."""

    def __init__(self, declared: Forecast, output: Any) -> None:
        """Raise ConfigurationError if the answer needs a field that is not filled, or has no `horizon`."""
        self._declared, self._output = declared, output
        fields = output.model_fields
        if "horizon" not in fields:
            raise ConfigurationError("has no field `horizon` for the forecast", about=output.__name__)
        needed = {name for name, one in fields.items() if one.is_required()}
        if missing := sorted(needed - {*GIVEN}):
            raise ConfigurationError(
                f"cannot be answered by a forecast: nothing gives {', '.join(missing)}",
                about=output.__name__,
                action="Give the field a default",
            )
        self.name = f"forecast.v{method.VERSION}-{digest(_constants(declared))[:12]}"

    def sort(self, rows: Sequence[Record]) -> Sorted:
        """Answer rows whose history can be read; the others are left under the reason of `read_history`, or `unfit`."""
        decided, counts = dict[int, Record](), Counter[str](decided=0)
        for at, row in enumerate(rows):
            try:
                decided[at] = self._answer(row)
            except Left as left:
                counts[str(left)] += 1
        counts["decided"] = len(decided)
        return Sorted(decided, counts)

    def _answer(self, row: Record) -> Record:
        history = read_history(row, self._declared)
        skipped = history.ahead - 1
        steps = skipped + self._declared.horizon
        found = method.fit(history.quantities, steps, self._declared.season, self._declared.spread)
        horizon = [
            {
                "period": history.calendar.begins(history.last + 1 + at).isoformat(),
                "quantity": round(float(found.middle[at]), DIGITS),
                "low": round(float(found.low[at]), DIGITS),
                "high": round(float(found.high[at]), DIGITS),
            }
            for at in range(skipped, steps)
        ]
        answer = {
            "horizon": horizon,
            "method": "season_and_drift" if found.seasonal else "level",
            "confidence": round(found.skill, 2),
            "history_periods": len(history.quantities),
            "largest_seen": round(float(history.quantities.max()), DIGITS),
        }
        try:
            taken = {name: value for name, value in answer.items() if name in self._output.model_fields}
            valid: Record = self._output.model_validate(taken).model_dump(mode="json")
        except ValidationError:
            raise Left("unfit") from None
        return valid


def _constants(declared: Forecast) -> Record:
    """Whatever an answer depends on beside the row and the method's own steps, which `VERSION` stands for."""
    names = ("POWER", "KEPT", "INDEX", "SEASONS", "SETTLED", "FEWEST")
    return {
        "declared": asdict(declared),
        "spread": [asdict(one) for one in (method.FLAT, method.SEASONAL)],
        "weights": method.WEIGHTS.tolist(),
        "longest": LONGEST,
        **{name: getattr(method, name) for name in names},
    }
