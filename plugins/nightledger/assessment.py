"""Data quality by itself, from Airflow: one task that reports on what the sources have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Param, task

from nightledger.context import airflow_errors
from nightledger.steps import doc_of

_SAID = ("use_case", "interval", "verdict", "rows", "quarantined", "failed", "report", "data", "failures", "cleanup")


def form() -> dict[str, Param]:
    """The trigger form: whose expectations, which rows, and how many at most."""
    from include.spec.names import names

    moment = ["null", "string"]
    return {
        "use_case": Param(names()[0], type="string", enum=list(names()), title="Use case"),
        "start": Param(
            None,
            type=moment,
            format="date-time",
            title="Changed from",
            description="Empty: a day before the end.",
        ),
        "end": Param(None, type=moment, format="date-time", title="Changed before", description="Empty: midnight UTC."),
        "limit": Param(None, type=["null", "integer"], minimum=1, title="Rows", description="At most so many."),
    }


@task(task_id="assess", retries=1, doc_md=doc_of("assess"))
def assess(**context: Any) -> dict[str, Any]:
    """Report on the rows; returns counts and where the reports are, never a row. Succeeds whatever it finds."""
    from include.operations.assess import assess as run_assessment
    from include.settings import Settings
    from nightledger.hooks.connections import AirflowConnections

    given = dict(context["params"])
    actor = f"airflow/{context['dag_run'].run_id}"
    with airflow_errors():
        found = run_assessment(
            AirflowConnections(), Settings.read(), given["use_case"], _interval(given), actor, given["limit"]
        )
    return {name: found[name] for name in _SAID if name in found}


def _interval(given: dict[str, Any]) -> Any:
    from include.errors import ConfigurationError
    from include.models import Interval

    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    end = given["end"] or midnight.isoformat()
    try:
        start = given["start"] or (datetime.fromisoformat(end) - timedelta(days=1)).isoformat()
        return Interval.parse(start, end)
    except ValueError as error:
        raise ConfigurationError(f"needs an end after its start, in ISO 8601: {error}", about="the form") from error
