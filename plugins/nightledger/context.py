"""From Airflow's context to the core's values, and from the core's errors to Airflow's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from include.errors import ConfigurationError, NightledgerError
from include.models import Interval, RunKey, RunOptions
from include.use_case import load

if TYPE_CHECKING:
    from airflow.sdk import Context


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
    """What names this DAG run in the ledger; raises ConfigurationError on a run without a data interval."""
    values: Any = context
    start, end = values.get("data_interval_start"), values.get("data_interval_end")
    if start is None or end is None:
        raise ConfigurationError(
            "the DAG run has no data interval", about=use_case, action="Schedule it with CronDataIntervalTimetable"
        )
    run = values["dag_run"]
    plain = Interval.parse(
        start.isoformat(), end.isoformat()
    )  # Airflow's times are pendulum's, with arithmetic of their own
    return RunKey(use_case, plain, f"{run.dag_id}/{run.run_id}")


def run_options(use_case: str, context: Context) -> RunOptions:
    """The trigger form's values, validated again."""
    values: Any = context
    return RunOptions.from_params(dict(values["params"]), load(use_case).mode)
