"""From Airflow's context to the core's values, and from the core's errors to Airflow's."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Set
from contextlib import contextmanager
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from include.errors import ConfigurationError, NightledgerError
from include.intervals import FIRST_NIGHT, read_night
from include.models import Interval, RunKey, RunOptions
from include.spec.use_case import load

if TYPE_CHECKING:
    from airflow.sdk import Context


log = logging.getLogger(__name__)


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Fail for good what a retry cannot help; let Airflow retry the rest."""
    try:
        yield
    except NightledgerError as error:
        if error.verdict == "retry":
            raise
        raise AirflowFailException(f"{type(error).__name__}: {error}") from error


def run_key(use_case: str, context: Context) -> RunKey:
    """What names this DAG run in the ledger.

    Its night is the one that the trigger form names, else the run's data interval, else that of the use case whose
    asset started it, else, for a trigger that brought none, the last night that was over when the run was asked for; so
    retries and clears stay with it. Raises
    ConfigurationError for a night that cannot be run, and for one that is named to more than one run at once.
    """
    values: Any = context
    run, night = values["dag_run"], str(values["params"].get("night") or "")
    start, end = values.get("data_interval_start"), values.get("data_interval_end")
    if night and run.run_type != "manual":
        problem = "can be chosen for a run that is triggered by hand, and this one has a night of its own"
        raise ConfigurationError(problem, about=f"night {night}", action="Leave `night` out of the configuration")
    started_by = None if night or start is not None else _night_of_assets(values)
    if started_by is not None:
        interval = started_by
    elif night or start is None or end is None:
        asked = datetime.fromtimestamp(run.run_after.timestamp(), UTC)
        began = getattr(values.get("dag"), "start_date", None)
        interval = read_night(night, asked, began.date() if began else FIRST_NIGHT)
    else:  # Airflow's times are pendulum's, with arithmetic of their own
        interval = Interval.parse(start.isoformat(), end.isoformat())
    return RunKey(use_case, interval, f"{run.dag_id}/{run.run_id}")


def night_of_event(interval: Interval) -> dict[str, str]:
    """What an asset's event says of the night that wrote it."""
    return {"interval_start": interval.start.isoformat(), "interval_end": interval.end.isoformat()}


def _night_of_assets(values: Any) -> Interval | None:
    """The newest night among the events that started a run; None for a run that no night's asset started.

    Airflow starts one run for all events that have gathered by then; nights that are left out are named in the log.
    """
    events = values.get("triggering_asset_events") or {}
    said = (event.extra or {} for found in events.values() for event in found)
    nights = {Interval.parse(one["interval_start"], one["interval_end"]) for one in said if "interval_start" in one}
    if not nights:
        return None
    newest = max(nights, key=lambda one: one.end)
    for one in sorted(nights - {newest}, key=lambda one: one.end):
        log.warning("%s came together with %s and is not run; trigger it by hand if it is to run", one, newest)
    return newest


def run_options(use_case: str, context: Context) -> RunOptions:
    """The trigger form's values, validated again; raises ConfigurationError for one that the form does not have."""
    values: Any = context
    _require_known(set(values["dag_run"].conf or ()), set(values["dag"].params))
    return RunOptions.from_params(dict(values["params"]), load(use_case).mode)


def _require_known(given: Set[str], known: Set[str]) -> None:
    """A misspelt name would be taken for nothing: the night would run in its usual mode, with all rows."""
    for name in sorted(given - known):
        close = get_close_matches(name, known, n=1)
        action = f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(sorted(known))}"
        raise ConfigurationError("is no parameter of this DAG", about=f"parameter {name!r}", action=action)
