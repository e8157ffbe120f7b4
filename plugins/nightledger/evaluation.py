"""Evaluations from Airflow: one task that asks about labelled rows, and fails where the gate does not pass."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from nightledger.context import airflow_errors
from nightledger.links import EvaluationsLink
from nightledger.steps import doc_of

_VERSION = r"^v[0-9]{1,6}$"


def form() -> dict[str, Param]:
    """The trigger form: whose prompt, which version and models, on which rows, held against what."""
    from include.spec.names import names

    words = ["null", "string"]
    return {
        "use_case": Param(names()[0], type="string", enum=list(names()), title="Use case"),
        "prompt": Param(
            None,
            type=words,
            pattern=_VERSION,
            title="Prompt",
            description="For example v2. Empty: the spec's.",
        ),
        "against": Param(
            None, type=words, pattern=_VERSION, title="Against", description="Empty: the version that nights use."
        ),
        "models": Param(
            None,
            type=words,
            maxLength=500,
            title="Models",
            description="Empty: the spec's. One is judged; several with commas are held side by side and judge none.",
        ),
        "labels": Param(
            None,
            type=words,
            maxLength=300,
            title="Labelled rows",
            description="A file beside the use case's spec or in the folder of NIGHTLEDGER_LABELS. Empty: evals.jsonl.",
        ),
        "ask": Param(
            True,
            type="boolean",
            title="Ask the model",
            description="Without it, a use case with an engine in the process is measured by that alone.",
        ),
    }


@task(task_id="evaluate", retries=3, retry_delay=timedelta(minutes=1), doc_md=doc_of("evaluate"))
def _evaluate(**context: Any) -> dict[str, Any]:
    """Evaluate; returns ids, counts and the verdict, never a row. Fails for good where the gate does not pass."""
    given = dict(context["params"])
    with airflow_errors():
        said = _measure(given) if _in_process(given) else _ask(given)
    figures = ". Page Evaluations of Nightledger has the figures" if "evaluations" in said else ""
    about = f"{given['use_case']}: {'; '.join(said['reasons'])}{figures}"
    if said["verdict"] == "failed":
        raise AirflowFailException(f"NOT PASSED, {about}")
    if said["verdict"] == "too_few":
        raise AirflowSkipException(f"NOT JUDGED, {about}")
    return said


def evaluate() -> Any:
    """The task, with a button to the page."""
    made: Any = _evaluate()
    made.operator.operator_extra_links = (EvaluationsLink(),)
    return made


def _in_process(given: dict[str, Any]) -> bool:
    from include.spec.engines import local_names
    from include.spec.use_case import load

    asking = given["ask"] or given["prompt"] or given["against"] or given["models"]
    return load(given["use_case"]).model is None or (not asking and given["use_case"] in local_names())


def _measure(given: dict[str, Any]) -> dict[str, Any]:
    from include.operations.evaluate_asked import EVALS, place_of
    from include.operations.evaluate_engine import evaluate_engine
    from include.settings import Settings

    found = evaluate_engine(given["use_case"], place_of(given["use_case"], given["labels"] or EVALS, Settings.read()))
    return {"use_case": given["use_case"], "verdict": found.word, "reasons": [found.reason], "rows": found.rows}


def _ask(given: dict[str, Any]) -> dict[str, Any]:
    from include.operations.evaluate_asked import Wanted, evaluate_asked, place_of
    from include.settings import Settings
    from nightledger.hooks.connections import AirflowConnections

    settings, name = Settings.read(), given["use_case"]
    models = tuple(one.strip() for one in (given["models"] or "").split(",") if one.strip())
    labels = place_of(name, given["labels"], settings) if given["labels"] else None
    several, one = (models, None) if len(models) > 1 else ((), models[0] if models else None)
    wanted = Wanted(given["prompt"], given["against"], labels, several, one)
    found = evaluate_asked(AirflowConnections(), settings, name, wanted)
    return {
        "use_case": name,
        "verdict": "compared" if several else found[0].ruling.word,
        "reasons": [] if several else list(found[0].ruling.reasons),
        "prompt": found[0].prompt.version,
        "models": [each.model for each in found],
        "rows": found[0].scores.right.of,
        "correct": [each.scores.right.hits for each in found],
        "evaluations": [str(each.evaluation_id) for each in found],
        "calls": sum(each.calls for each in found),
        "cost_usd": str(sum(each.cost for each in found)),
    }
