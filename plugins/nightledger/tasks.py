"""The steps of a night as tasks; each opens the door to the ledger, calls the stage of the same name, and returns
a manifest (never a row).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, TriggerRule, task

from nightledger.context import airflow_errors, night_of_event, run_key, run_options
from nightledger.links import QualityLink, QuarantineLink, ReportLink, linked
from nightledger.steps import doc_of

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from include.run import Night
    from include.spec.use_case import UseCase

log = logging.getLogger(__name__)
FAILED = {"failed", "upstream_failed"}


def extract(case: UseCase) -> XComArg:
    """Bring the interval's rows in; returns the manifest of dataset `raw`."""
    return linked(_extract(case.name), QuarantineLink())


def check(case: UseCase, raw: Any) -> XComArg:
    """Hold the rows against the use case's expectations; returns the manifest of dataset `good`."""
    return linked(_check(case.name, raw), QuarantineLink())


def plan(case: UseCase, good: Any) -> XComArg:
    """Say what will be asked and what it costs, and split it; returns the manifests of the shards, at most 200."""
    return linked(_plan(case.name, good))


def gate(case: UseCase, good: Any, enriched: Any) -> XComArg:
    """Put the shards together, check the answers as a whole, then decide per row: write, review, or record only.

    Returns dataset `approved`.
    """
    return linked(_gate(case.name, good, enriched))


def write(case: UseCase, approved: Any) -> XComArg:
    """Write approved rows back through the outbox; returns counts.

    What it writes is an asset: a DAG with `schedule=[written_by(case)]` runs after every night that came so far, for
    the same night.
    """
    return linked(_write.override(outlets=[written_by(case)])(case.name, approved))


def written_by(case: UseCase) -> Asset:
    """What the nights of a use case write first, e.g. `nightledger://crm_lead_scoring/crm/contacts`."""
    first = case.sinks[0]
    return Asset(f"nightledger://{case.name}/{first.system}/{first.object}")


def close(case: UseCase) -> XComArg:
    """Prove that the counts add up, close the run and render the morning report, whatever happened before."""
    return linked(_close(case.name), ReportLink(), QualityLink(), QuarantineLink())


@contextmanager
def stage_of(stage: str, manifest: dict[str, Any]) -> Iterator[Night]:
    """The night that a manifest belongs to, for a task after `extract`; why the stage fails is put on record."""
    from include.ledger.failures import failures_on_record

    with airflow_errors():
        night = resume(manifest)
        with failures_on_record(night, stage):
            yield night


def resume(manifest: dict[str, Any]) -> Night:
    """The night that a manifest belongs to."""
    from include.ledger.door import resume_night
    from include.settings import Settings
    from nightledger.hooks.connections import AirflowConnections

    return resume_night(manifest["run_id"], AirflowConnections(), Settings.read())


@task(task_id="extract", doc_md=doc_of("extract"))
def _extract(use_case: str, **context: Any) -> dict[str, Any]:
    from include import stages
    from include.ledger.door import begin_night
    from include.ledger.failures import failures_on_record
    from include.settings import Settings
    from nightledger.hooks.connections import AirflowConnections

    given: Context = context  # type: ignore[assignment]
    with airflow_errors():
        key, options = run_key(use_case, given), run_options(use_case, given)
        night = begin_night(key, options, AirflowConnections(), Settings.read())
        with failures_on_record(night, "extract"):
            return stages.extract(night).to_json()


@task(task_id="check", doc_md=doc_of("check"))
def _check(use_case: str, raw: dict[str, Any]) -> dict[str, Any]:
    from include import stages
    from include.models import Manifest

    with stage_of("check", raw) as night:
        return stages.check(night, Manifest.from_json(raw)).to_json()


@task(task_id="plan", doc_md=doc_of("plan"))
def _plan(use_case: str, good: dict[str, Any]) -> list[dict[str, Any]]:
    from include import stages
    from include.models import Manifest

    with stage_of("plan", good) as night:
        return [part.to_json() for part in stages.plan(night, Manifest.from_json(good))]


@task(task_id="gate", doc_md=doc_of("gate"))
def _gate(use_case: str, good: dict[str, Any], enriched: Any) -> dict[str, Any]:
    from include import stages
    from include.models import Manifest
    from include.night.shards import merge

    with stage_of("gate", good) as night:
        parts = [Manifest.from_json(part) for part in enriched]
        return stages.gate(night, merge(night, Manifest.from_json(good), parts)).to_json()


@task(task_id="write", doc_md=doc_of("write"))
def _write(use_case: str, approved: dict[str, Any], **context: Any) -> dict[str, Any]:
    from include import stages
    from include.models import Manifest

    with stage_of("write", approved) as night:
        done = stages.write(night, Manifest.from_json(approved))
        context["outlet_events"][written_by(night.case)].extra = night_of_event(night.interval)
        return done


@task(task_id="close", doc_md=doc_of("close"), trigger_rule=TriggerRule.ALL_DONE, retries=1)
def _close(use_case: str, **context: Any) -> dict[str, Any]:
    from airflow.sdk.exceptions import AirflowFailException

    from include import stages
    from include.errors import ConfigurationError
    from include.ledger.door import find_run, open_ledger, resume_night
    from include.settings import Settings
    from nightledger.hooks.connections import AirflowConnections

    given: Context = context  # type: ignore[assignment]
    failed = _failed_tasks(given)
    with airflow_errors():
        connections = AirflowConnections()
        run_id = find_run(open_ledger(connections), run_key(use_case, given))
        if run_id is None:
            raise ConfigurationError("no run was opened", about=use_case, action="See the log of task `extract`")
        summary = stages.close(resume_night(run_id, connections, Settings.read()), failed)
    if failed:
        raise AirflowFailException(f"The night did not finish. {summary['why']}. Report: {_address(run_id)}")
    log.info("Report: %s", _address(run_id))
    return summary


def _address(run_id: str) -> str:
    """Where the run and its report are shown."""
    from airflow.sdk.configuration import conf

    from include.links import run_page

    return str(conf.get("api", "base_url", fallback="")).rstrip("/") + run_page(run_id)


def _failed_tasks(context: Context) -> dict[str, str]:
    """Upstream tasks of this run that failed, with their state."""
    values: Any = context
    ti, run = values["ti"], values["dag_run"]
    states = ti.get_task_states(dag_id=run.dag_id, run_ids=[run.run_id]).get(run.run_id, {})
    return {name: state for name, state in states.items() if state in FAILED and name != ti.task_id}
