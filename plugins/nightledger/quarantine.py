"""The quarantine from Airflow: one task that replays what the trigger form selects."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, task
from airflow.sdk.exceptions import AirflowFailException

from nightledger.context import airflow_errors
from nightledger.nightly import ANY
from nightledger.steps import doc_of

_COUNTS = ("use_case", "interval", "run_id", "status", "rows", "passed", "again", "left_open", "counts")


def form() -> dict[str, Param]:
    """The trigger form: every field that is filled narrows the selection."""
    from include.spec.names import names

    text = ["null", "string"]
    about = "Ids of expectations, none critical; the rows go on although they fail them. Needs a reason and a filter."
    return {
        "use_case": Param(None, type=text, enum=[None, *names()], title="Use case", values_display=ANY),
        "expectation": Param(None, type=text, title="Expectation", description="Its id, e.g. `email_format`."),
        "owner": Param(None, type=text, title="Owner of the source", description="By the registry."),
        "row_key": Param(None, type=text, title="Row key", description="The record's id at its source."),
        "start": Param(None, type=text, format="date-time", title="Nights from", description="Start of the interval."),
        "end": Param(None, type=text, format="date-time", title="Nights before"),
        "numbers": Param(
            None, type=["null", "array"], items={"type": "integer"}, title="Entries", description="Numbers."
        ),
        "read_anew": Param(
            False,
            type="boolean",
            title="Read anew",
            description="Read all chosen rows from their source, also those that nobody marked as fixed.",
        ),
        "release": Param(None, type=["null", "array"], items={"type": "string"}, title="Let pass", description=about),
        "reason": Param(None, type=text, title="Reason", description="Kept with every row that is let pass."),
    }


@task(task_id="replay", retries=1, doc_md=doc_of("replay_quarantined"))
def replay(**context: Any) -> list[dict[str, Any]]:
    """Replay the selected rows; returns counts by night, never a row. Fails if a night could not run."""
    from include.commands.quarantine import read_selection
    from include.operations.replay_quarantine import replay_quarantined
    from include.settings import Settings
    from nightledger.hooks.connections import AirflowConnections

    with airflow_errors():
        selection = read_selection(dict(context["params"]))
        actor = f"airflow/{context['dag_run'].run_id}"
        done = replay_quarantined(AirflowConnections(), Settings.read(), selection, actor)
    if broken := [f"{night['use_case']} {night['interval']}: {night['error']}" for night in done if "error" in night]:
        raise AirflowFailException(f"Not replayed, and waiting again: {'; '.join(broken)}")
    return [{name: night[name] for name in _COUNTS} for night in done]
