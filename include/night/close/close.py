"""The last stage of a run: prove that the counts add up, close it in the ledger, render the morning report."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

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
from include.ledger.quarantine import Filter
from include.ledger.quarantine_replays import settle as settle_quarantine
from include.ledger.record import find_manifest
from include.models import Manifest, Record
from include.night.close.balance import Balance, compare
from include.night.close.totals import record_totals
from include.private import write_file
from include.report.cleanup import write_cleanup
from include.report.facts import collect
from include.report.html import as_html
from include.report.quality_facts import collect_quality
from include.report.quality_html import as_html as quality_as_html
from include.report.quality_json import as_json as quality_as_json
from include.report.text import as_text
from include.report.wording import OUTCOMES
from include.run import Night

log = logging.getLogger(__name__)
_LAST_WORDS = ("check.stopped", "check.completed", "enrich.planned", "answers.stopped", "answers.completed")


def close(night: Night, *, failed: Mapping[str, str] | None = None, truth: Mapping[str, str] | None = None) -> Record:
    """Set the run's status and counts, seal it, write `report.*` and `quality.*`, and export the ledger's head.

    `failed` names tasks that did not succeed, with a short reason; `truth` (row key -> label) adds the comparison with
    what became of the rows. The status is `stopped` if a critical expectation ended the run, `failed` if a task failed
    or nothing was extracted, else `succeeded`. Safe to run again; the last closing counts. Raises CountsDoNotAddUp,
    after the run is closed as failed and reported, when rows of a run that should be complete have no outcome.
    """
    raw = find_manifest(night.ledger, night.run_id, "raw")
    balance = compare(night.ledger, night.run_id, raw)
    stopped = _is_stopped(night)
    unfinished = raw is None or (bool(failed) and not stopped)
    broken = None if unfinished else balance.problem
    status = "failed" if broken or unfinished else "stopped" if stopped else "succeeded"
    why = "; ".join(_reasons(night, failed or {}, raw, balance))
    with transaction(night.ledger) as connection:
        size = {"rows_in": balance.rows_in, "not_finished": balance.missing}
        settle(connection, night)
        settle_quarantine(connection, night)
        record_totals(connection, night.run_id, balance.rows_in)
        if broken:
            record_failure(connection, night, "close", _unbalanced(night, broken))
        close_run(connection, night.run_id, status, balance.counts, **size, detail=why or None)
    abandon_orphans(night.ledger, night.case.name)
    summary = {"run_id": night.run_id, "status": status, "why": why, "counts": balance.counts, **_render(night, truth)}
    summary["cleanup"] = _list_cleanup(night)
    log.info("%s closed as %s: %s. Report: %s", night.run_id, status, _named(balance.counts), summary["report"])
    export_head(night.ledger, night.run_id, night.settings.head_file)
    if broken:
        raise _unbalanced(night, broken)
    return summary


def _unbalanced(night: Night, broken: str) -> CountsDoNotAddUp:
    action = f"This is a defect: keep the run, and report it with {night.path('report.html')}"
    return CountsDoNotAddUp(broken, system="ledger", about=night.run_id, action=action)


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


def _named(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{counts[key]:,} {name}" for key, name in OUTCOMES.items() if counts.get(key)) or "no rows"


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


def _list_cleanup(night: Night) -> dict[str, tuple[str, str]]:
    """What each owner of a source is to mend, beside the staged data."""
    waiting = Filter(run_id=night.run_id, status="waiting")
    return write_cleanup(night.ledger, night.settings, waiting, night.path("report.txt").parent)


def _render(night: Night, truth: Mapping[str, str] | None) -> Record:
    facts, quality = collect(night.ledger, night.run_id, truth), collect_quality(night.ledger, night.run_id)
    places = {}
    for name, file, content in (
        ("report", "report.html", as_html(facts)),
        ("report_text", "report.txt", as_text(facts) + "\n"),
        ("quality", "quality.html", quality_as_html(quality)),
        ("quality_json", "quality.json", quality_as_json(quality) + "\n"),
    ):
        place = night.path(file)
        write_file(place, content)
        places[name] = str(place)
    return places
