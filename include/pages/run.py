"""One run: its steps, where its rows ended, what it cost, and where everything about it is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping

from include.database import Database
from include.errors import ConfigurationError
from include.ledger.cause import Cause, Deferred, explain_failure
from include.ledger.evaluations import Standing, newest
from include.ledger.failures import find_failures
from include.ledger.sentences import in_words
from include.pages.nights import COLUMNS, Night, as_night, with_reasons
from include.pages.reading import reading, rows
from include.report.facts import read_deferred
from include.report.sections import Rows
from include.spec.use_case import NOBODY

FAILING = 12
EVENTS = 60
_NO_DAG = ("replay", "quarantine")
"""Starters of runs that are named by their night and not by a DAG run."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing the run put on record: when, by whom, what it said, and the same as a sentence."""

    at: datetime
    name: str
    actor: str
    said: Mapping[str, Any]

    @property
    def sentence(self) -> str:
        """What it said, for a person."""
        return in_words(self.name, self.said)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A staged dataset: rows and bytes of its file."""

    name: str
    rows: int
    bytes: int
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Failing:
    """An expectation with failing rows, or that could not run."""

    expectation: str
    stage: str
    severity: str
    meaning: str
    success: bool
    could_not_run: str | None
    failing: int
    checked: int
    handling: str


@dataclass(frozen=True, slots=True)
class RunPage:
    """Everything the page of a run shows; `rows` add up when the run is through.

    `tried_again` is the failure of a step of a running run that has not succeeded since; `evaluation` is the one of its
    prompt and model that counted when it began.
    """

    night: Night
    rows: Rows
    detail: str | None
    deferred: tuple[Deferred, ...]
    tried_again: Cause | None
    external_ref: str
    options: Mapping[str, Any]
    model: str
    prompt_version: str
    code_version: str
    git_sha: str
    totals: Mapping[str, Any]
    datasets: tuple[Dataset, ...]
    steps: tuple[Step, ...]
    attempts: tuple[Night, ...]
    failing: tuple[Failing, ...]
    expectations: int
    quarantine: Mapping[str, int]
    dead_letters: Mapping[str, int]
    evaluation: Standing | None

    @property
    def asks(self) -> bool:
        """Whether a model is asked."""
        return self.model != NOBODY

    @property
    def dag_run(self) -> tuple[str, str] | None:
        """The DAG and DAG run that started it; None for a command line, and for a replay of any number of nights."""
        starter, _, dag_run_id = self.external_ref.partition("/")
        return (starter, dag_run_id) if dag_run_id and starter not in _NO_DAG else None


def find_use_case(ledger: Database, run_id: str) -> str | None:
    """Whose run it is, or None if there is no such run."""
    with reading(ledger) as connection:
        found = rows(connection, "SELECT use_case FROM nightledger.run WHERE run_id = :run", run=run_id)
    return found[0]["use_case"] if found else None


def find_run_of(ledger: Database, external_ref: str) -> str | None:
    """The newest run that a DAG run (`dag_id/run_id`) started, or None."""
    with reading(ledger) as connection:
        found = rows(connection, _OF_DAG_RUN, reference=external_ref)
    return found[0]["run_id"] if found else None


def show_run(ledger: Database, run_id: str) -> RunPage:
    """The page of a run; raises ConfigurationError if there is none (any more)."""
    with reading(ledger) as connection:
        found = rows(connection, _RUN, run=run_id)
        if not found:
            raise ConfigurationError("no such run", system="ledger", about=run_id)
        run = found[0]
        night = with_reasons(connection, [run])[0]
        counts: Mapping[str, int] = run["counts"] or _count(connection, _ENDED, run_id)
        datasets = tuple(Dataset(**row) for row in rows(connection, _DATASETS, run=run_id))
        raw = next((one for one in rows(connection, _RAW, run=run_id)), None)
        attempts = tuple(as_night(row) for row in rows(connection, _ATTEMPTS, run=run_id))
        paid = [one.cost_usd for one in attempts if one.cost_usd is not None]
        night = replace(night, cost_of_all=sum(paid, Decimal(0)) if paid else None)
        ended = Rows(int(raw["input_rows"]) if raw else None, counts)
        if night.cause:  # what a run that never closed in order has is counted here
            failure = find_failures(connection, [run_id]).get(run_id)
            night = replace(night, cause=explain_failure(failure, dict(run), counts, ended.rows_in))
        return RunPage(
            night=night,
            rows=ended,
            deferred=read_deferred(connection, run_id),
            tried_again=_tried_again(connection, run, ended),
            detail=run["detail"],
            external_ref=run["external_ref"],
            options=run["options"],
            model=run["model"],
            prompt_version=run["prompt_version"],
            code_version=run["code_version"],
            git_sha=run["git_sha"],
            totals=run["totals"],
            datasets=datasets,
            steps=tuple(Step(**row) for row in rows(connection, _STEPS, run=run_id, most=EVENTS)),
            attempts=attempts,
            failing=tuple(Failing(**row) for row in rows(connection, _FAILING, run=run_id, most=FAILING)),
            expectations=rows(connection, _EXPECTATIONS, run=run_id)[0]["count"],
            quarantine=_count(connection, _QUARANTINE, run_id),
            dead_letters=_count(connection, _DEAD, run_id),
            evaluation=newest(connection, run["use_case"], run["prompt_hash"], run["model"], run["started_at"]),
        )


def _tried_again(connection: Connection, run: RowMapping, ended: Rows) -> Cause | None:
    if run["status"] != "running":
        return None
    failure = find_failures(connection, [run["run_id"]]).get(run["run_id"])
    return explain_failure(failure, dict(run), ended.counts, ended.rows_in) if failure else None


def _count(connection: Connection, query: str, run_id: str) -> dict[str, int]:
    return {row["name"]: row["count"] for row in rows(connection, query, run=run_id)}


_OF_DAG_RUN = """
SELECT run_id FROM nightledger.run WHERE external_ref = :reference ORDER BY started_at DESC LIMIT 1"""

_RUN = f"""
SELECT {COLUMNS}, model, prompt_version, prompt_hash, code_version, git_sha
  FROM nightledger.run WHERE run_id = :run"""

_ATTEMPTS = f"""
SELECT {", ".join(f"a.{name.strip()}" for name in COLUMNS.split(","))}
  FROM nightledger.run a JOIN nightledger.run here ON here.run_id = :run
 WHERE a.use_case = here.use_case AND a.interval_start = here.interval_start AND a.interval_end = here.interval_end
 ORDER BY a.attempt DESC LIMIT 50"""

_ENDED = "SELECT outcome AS name, count(*) AS count FROM nightledger.outcome WHERE run_id = :run GROUP BY 1"

_DATASETS = """
SELECT dataset AS name, rows, bytes, recorded_at FROM nightledger.manifest
 WHERE run_id = :run ORDER BY recorded_at LIMIT 50"""

_RAW = """
SELECT coalesce((facts ->> 'input_rows')::bigint, rows) AS input_rows FROM nightledger.manifest
 WHERE run_id = :run AND dataset = 'raw'"""

_STEPS = """
SELECT at, name, actor, said FROM (
    SELECT recorded_at AS at, type AS name, actor, details AS said, seq FROM nightledger.event
     WHERE stream = :run AND type <> 'audit.sealed' ORDER BY seq DESC LIMIT :most) AS latest
 ORDER BY seq"""

_FAILING = """
SELECT expectation, stage, severity, meaning, success, could_not_run, unexpected_count AS failing,
       rows_checked AS checked, handling
  FROM nightledger.quality_result
 WHERE run_id = :run AND (NOT success OR unexpected_count > 0)
 ORDER BY success, array_position(ARRAY['critical', 'warning', 'info'], severity), unexpected_count DESC, expectation
 LIMIT :most"""

_EXPECTATIONS = "SELECT count(*) AS count FROM nightledger.quality_result WHERE run_id = :run"

_QUARANTINE = """
SELECT status AS name, sum(rows)::bigint AS count FROM nightledger.quarantine_count
 WHERE run_id = :run GROUP BY 1 HAVING sum(rows) > 0 ORDER BY 2 DESC"""

_DEAD = "SELECT status AS name, count(*) AS count FROM nightledger.dead_letter WHERE run_id = :run GROUP BY 1"
