"""The steps of a night in their order: what tasks, the command line and replays run.

Each is imported when it is run, since each brings libraries that the others do without.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from include.errors import ConfigurationError
from include.ledger.record import find_manifest
from include.models import Manifest, Record
from include.settings import read_truth

if TYPE_CHECKING:
    from include.run import Night

log = logging.getLogger(__name__)
STEPS = ("extract", "check", "plan", "enrich", "gate", "write", "close")
NEEDS = {"check": "raw", "plan": "good", "enrich": "good", "gate": "enriched", "write": "approved"}
"""Step -> the dataset that it works on."""


def extract(night: Night) -> Manifest:
    """Bring the night's rows in; returns dataset `raw`."""
    from include.night.extract.extract import extract as step

    return step(night)


def check(night: Night, raw: Manifest) -> Manifest:
    """Hold the rows against the expectations; returns dataset `good`."""
    from include.night.check.check import check as step

    return step(night, raw)


def plan(night: Night, good: Manifest) -> list[Manifest]:
    """Say what the night will ask and cost; returns the shards that `enrich` works on."""
    from include.night.plan.preview import announce
    from include.night.shards import split

    announce(night, good)
    return split(night, good)


def enrich(night: Night, good: Manifest) -> Manifest:
    """Answer every row of the dataset; returns dataset `enriched`."""
    from include.night.enrich.enrich import enrich as step

    return step(night, good)


def gate(night: Night, enriched: Manifest) -> Manifest:
    """Hold the answers against expectations as a whole, then decide row by row; returns dataset `approved`."""
    from include.night.gate.answers import check_answers
    from include.night.gate.gate import gate as step

    check_answers(night, enriched)
    return step(night, enriched)


def write(night: Night, approved: Manifest) -> Record:
    """Write what may be written; returns counts."""
    from include.night.write.write import write as step

    return step(night, approved)


def close(night: Night, failed: Mapping[str, str] | None = None) -> Record:
    """Prove that the counts add up, close and seal the run, then render its reports; returns both in words and places.

    `failed` names steps that did not succeed, with a short reason. Safe to run again; the last closing counts. Raises
    CountsDoNotAddUp, after the run is closed as failed and reported, when rows have no outcome.
    """
    from include.night.close.close import close as step
    from include.report.files import write_reports

    closed = step(night, failed or {})
    reports = write_reports(night, read_truth(night.settings))
    log.info("%s closed as %s: %s. Report: %s", night.run_id, closed.status, closed.in_words, reports["report"])
    if closed.broken:
        raise closed.broken
    return {"run_id": night.run_id, **closed.summary, **reports}


def decide(night: Night, good: Manifest, before_writing: Callable[[], None]) -> None:
    """All that follows `check` up to the writing; `before_writing` may raise to stop it there."""
    approved = gate(night, enrich(night, good))
    before_writing()
    write(night, approved)


def run_step(night: Night, step: str) -> Manifest | list[Manifest] | Record:
    """One step on what is on record of the run; raises ConfigurationError when its dataset is missing."""
    if step == "extract":
        return extract(night)
    if step == "close":
        return close(night)
    given = find_manifest(night.ledger, night.run_id, NEEDS[step])
    if given is None:
        raise ConfigurationError(
            f"dataset {NEEDS[step]!r} is missing", about=night.run_id, action="Run the stage before"
        )
    steps: dict[str, Callable[[Night, Manifest], Manifest | list[Manifest] | Record]] = {
        "check": check,
        "plan": plan,
        "enrich": enrich,
        "gate": gate,
        "write": write,
    }
    return steps[step](night, given)
