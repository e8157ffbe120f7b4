"""Dead letters from Airflow: one task that replays what the trigger form selects."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, task
from airflow.sdk.exceptions import AirflowFailException

from nightledger.context import airflow_errors
from nightledger.nightly import ANY
from nightledger.steps import doc_of

_COUNTS = ("use_case", "interval", "run_id", "status", "rows", "died_again", "left_open", "counts")


def form() -> dict[str, Param]:
    """The trigger form: every field that is filled narrows the selection."""
    from include.ledger.causes import CAUSES
    from include.spec.names import names

    text = ["null", "string"]
    return {
        "use_case": Param(None, type=text, enum=[None, *names()], title="Use case", values_display=ANY),
        "cause": Param(None, type=text, enum=[None, *CAUSES], title="Cause", values_display={**ANY, **CAUSES}),
        "system": Param(None, type=text, title="System", description="Of the registry, e.g. `model` or `crm`."),
        "stage": Param(None, type=text, enum=[None, "enrich", "write"], title="Stage", values_display=ANY),
        "start": Param(None, type=text, format="date-time", title="Nights from", description="Start of the interval."),
        "end": Param(None, type=text, format="date-time", title="Nights before"),
    }


@task(task_id="replay", retries=1, doc_md=doc_of("replay_dead_letters"))
def replay(**context: Any) -> list[dict[str, Any]]:
    """Replay the selected letters; returns counts by night, never a row. Fails if a night could not run."""
    from include.commands.dead_letters import select
    from include.operations.replay import replay as run_replay
    from include.settings import Settings
    from nightledger.hooks.connections import AirflowConnections

    with airflow_errors():
        selection = select(dict(context["params"]))
        actor = f"airflow/{context['dag_run'].run_id}"
        done = run_replay(AirflowConnections(), Settings.read(), selection, actor)
    if broken := [f"{night['use_case']} {night['interval']}: {night['error']}" for night in done if "error" in night]:
        raise AirflowFailException(f"Not replayed, and still open: {'; '.join(broken)}")
    return [{name: night[name] for name in _COUNTS} for night in done]
