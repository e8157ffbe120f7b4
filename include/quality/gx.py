"""Great Expectations on pandas; the only file that imports it, inside the function that needs it.

Failing rows come back as positions: the complete list at about the cost of a summary, where the documented way (key
columns and a query) takes thirty times as long. The frame's index must be 0..n-1, else positions name wrong rows.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from include.models import Interval
from include.quality.expectation import DERIVED, Expectation

if TYPE_CHECKING:
    import pandas as pd

_POSITIONS = {
    "result_format": "COMPLETE",
    "return_unexpected_index_query": False,
    "exclude_unexpected_values": True,
}


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What one expectation found in one frame; `positions` are the failing rows, counted from 0."""

    expectation: Expectation
    success: bool
    positions: Sequence[int] = field(default=(), repr=False)
    observed: str | None = None
    could_not_run: str | None = None


@functools.cache
def _library() -> tuple[Any, Any, Any]:
    """Great Expectations, its expectations and one in-memory asset; imported once per process."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    from great_expectations import expectations as types

    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    context: Any = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("staged").add_dataframe_asset("rows")
    return gx, types, asset.add_batch_definition_whole_dataframe("all")


def evaluate(frame: pd.DataFrame, expectations: Sequence[Expectation], interval: Interval) -> list[Evaluated]:
    """Run expectations on a frame; one that raises is reported as not run, and never as passed."""
    gx, types, definition = _library()
    rows = frame.reset_index(drop=True)
    built: list[Any] = []
    broken: list[Evaluated] = []
    for expectation in expectations:
        try:
            built.append(_build(types, rows, expectation, interval))
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            broken.append(Evaluated(expectation, False, could_not_run=f"{type(error).__name__}: {error}"[:300]))
    if not built:
        return broken
    suite = gx.ExpectationSuite(name="suite", expectations=built)
    batch = definition.get_batch(batch_parameters={"dataframe": rows})
    found = batch.validate(suite, result_format=_POSITIONS)
    by_id = {expectation.id: expectation for expectation in expectations}
    return broken + [_read(by_id[result.expectation_config.meta["id"]], result) for result in found.results]


def _build(types: Any, rows: pd.DataFrame, expectation: Expectation, interval: Interval) -> Any:
    arguments = dict(expectation.arguments)
    if expectation.derive is not None:
        name = f"{DERIVED}_{expectation.id}"
        rows[name] = expectation.derive(rows, interval)
        arguments = {key: name if value == DERIVED else value for key, value in arguments.items()}
    return getattr(types, expectation.type)(**arguments, meta={"id": expectation.id})


def _read(expectation: Expectation, result: Any) -> Evaluated:
    raised = _exception(result.exception_info or {})
    if raised:
        return Evaluated(expectation, False, could_not_run=raised[:300])
    details = result.result or {}
    observed = details.get("observed_value")
    positions = details.get("unexpected_index_list") or ()
    return Evaluated(expectation, bool(result.success), positions, None if observed is None else str(observed)[:300])


def _exception(info: Any) -> str | None:
    """The message of what was raised; the library nests it by metric or not."""
    if info.get("raised_exception"):
        return str(info.get("exception_message"))
    nested = [value for value in info.values() if isinstance(value, dict) and value.get("raised_exception")]
    return str(nested[0].get("exception_message")) if nested else None
