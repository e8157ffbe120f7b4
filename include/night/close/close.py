"""The last step of a run: prove that the counts add up, and close it in the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import select

from include.database import transaction
from include.errors import CountsDoNotAddUp
from include.ledger import tables
from include.ledger.cause import KINDS, sentence_of
from include.ledger.closing import close_run
from include.ledger.dead_letters import settle
from include.ledger.failures import find_failures, record_failure
from include.ledger.heads import export_head
from include.ledger.orphans import abandon_orphans
from include.ledger.quarantine_replays import settle as settle_quarantine
from include.ledger.record import find_manifest
from include.models import OUTCOMES, Manifest, Record
from include.night.close.answers_drift import watch_answers
from include.night.close.balance import Balance, compare
from include.night.close.demote import demote
from include.night.close.totals import record_totals
from include.run import Night

_LAST_WORDS = ("check.stopped", "check.completed", "enrich.planned", "answers.stopped", "answers.completed")


@dataclass(frozen=True)
class Closed:
    """How a run ended; `broken` is the error to raise once it is reported."""

    status: str
    why: str
    counts: Mapping[str, int]
    broken: CountsDoNotAddUp | None = None

    @property
    def summary(self) -> Record:
        """What a task returns."""
        return {"status": self.status, "why": self.why, "counts": dict(self.counts)}

    @property
    def in_words(self) -> str:
        """The counts of its rows by outcome."""
        found = (f"{self.counts[key]:,} {name}" for key, name in OUTCOMES.items() if self.counts.get(key))
        return ", ".join(found) or "no rows"


def close(night: Night, failed: Mapping[str, str]) -> Closed:
    """Set the run's status and counts, seal it, and export the ledger's head.

    `failed` names tasks that did not succeed, with a short reason. The status is `stopped` if a critical expectation
    ended the run, `failed` if a task failed, nothing was extracted, or rows of a run that should be complete have no
    outcome, else `succeeded`. Safe to run again; the last closing counts.
    """
    raw = find_manifest(night.ledger, night.run_id, "raw")
    balance = compare(night.ledger, night.run_id, raw)
    stopped = _is_stopped(night)
    unfinished = raw is None or (bool(failed) and not stopped)
    broken = _unbalanced(night, balance.problem) if balance.problem and not unfinished else None
    status = "failed" if broken or unfinished else "stopped" if stopped else "succeeded"
    why = "; ".join(_reasons(night, failed, raw, balance))
    with transaction(night.ledger) as connection:
        size = {"rows_in": balance.rows_in, "not_finished": balance.missing}
        settle(connection, night)
        settle_quarantine(connection, night)
        record_totals(connection, night.run_id, balance.rows_in)
        if broken:
            record_failure(connection, night, "close", broken)
        drifted = watch_answers(connection, night)
        close_run(connection, night.run_id, status, balance.counts, **size, detail=why or None)
        demote(connection, night, drifted)
    abandon_orphans(night.ledger, night.case.name)
    export_head(night.ledger, night.run_id, night.settings.head_file)
    return Closed(status, why, balance.counts, broken)


def _unbalanced(night: Night, problem: str) -> CountsDoNotAddUp:
    action = f"This is a defect: keep the run, and report it with {night.path('report.html')}"
    return CountsDoNotAddUp(problem, system="ledger", about=night.run_id, action=action)


def _reasons(night: Night, failed: Mapping[str, str], raw: Manifest | None, balance: Balance) -> Iterator[str]:
    """Why the run did not finish: what is on record of it, or else which tasks failed by themselves."""
    with transaction(night.ledger) as connection:
        known = find_failures(connection, [night.run_id]).get(night.run_id) if failed else None
    if known and known.error in KINDS:
        yield f"{known.stage}: {sentence_of(known)}"
    else:
        first = {task: reason for task, reason in failed.items() if reason != "upstream_failed"} or failed
        yield from (f"{task}: {reason}" for task, reason in first.items())
    if raw is None and not failed:
        yield "nothing was extracted"
    if balance.problem:
        yield balance.problem


def _is_stopped(night: Night) -> bool:
    """Whether the latest word of the checks on this run is that it must stop."""
    event = tables.event.c
    query = (
        select(event.type)
        .where(event.stream == night.run_id, event.type.in_(_LAST_WORDS))
        .order_by(event.seq.desc())
        .limit(1)
    )
    with transaction(night.ledger) as connection:
        return connection.scalar(query) in ("check.stopped", "answers.stopped")
