"""Whether what a use case answers in the process may be used, by its own measure; nothing is asked or recorded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from include.operations.evaluate_exact import evaluate_exact
from include.spec.engines import engine_of, local_of, output_of
from include.spec.names import folder_of
from include.systems.exact.declared import Exact
from include.systems.forecast.declared import Forecast


@dataclass(frozen=True, slots=True)
class Measured:
    """The verdict, why, and of how many rows."""

    word: Literal["passed", "failed"]
    reason: str
    rows: int


def evaluate_engine(use_case: str, labels: Path) -> Measured:
    """Hold the engine against labelled rows; raises ConfigurationError where they or the engine cannot be read.

    An exact engine fails with a wrong answer, a forecast that is no better than the quantity of one season before, a
    fitted model that decides a row alone with an answer that it must not get.
    """
    engine, output = engine_of(use_case), output_of(use_case)
    if isinstance(engine, Exact):
        held = evaluate_exact(engine, folder_of(use_case), output, labels)
        return _measured(not held.wrong, f"{len(held.wrong)} of {held.rows} rows are decided and wrong", held.rows)
    if isinstance(engine, Forecast):
        return _forecast(engine, output, labels)
    return _fitted(use_case, output, labels)


def _measured(good: bool, reason: str, rows: int) -> Measured:
    return Measured("passed" if good else "failed", reason, rows)


def _forecast(engine: Forecast, output: object, labels: Path) -> Measured:
    from include.operations.evaluate_forecast import score
    from include.systems.forecast.labels import read_series

    engine, series = read_series(labels, engine, {})
    found = score(engine, output, series)
    reason = f"WAPE {found.wape:.4f}, the quantity of one season before has {found.seasonal:.4f}"
    return _measured(found.wape < found.seasonal, reason, found.series)


def _fitted(use_case: str, output: object, labels: Path) -> Measured:
    from include.operations.evaluate import evaluate
    from include.systems.fitted.labels import Columns

    found = evaluate(local_of(use_case), output, folder_of(use_case), labels, Columns(), "unseen")
    reason = f"{found.score.forbidden} of {len(found.rows)} rows are decided with an answer that they must not get"
    return _measured(not found.score.forbidden, reason, len(found.rows))
