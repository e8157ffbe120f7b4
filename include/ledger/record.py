"""Write to the ledger what a stage did. Every function is safe to call again for the same run."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert

from include import __version__
from include.canonical import mask
from include.database import Database, merge_rows, transaction
from include.ledger import tables
from include.ledger.sentences import in_words
from include.models import Interval, Manifest, Outcome, Record, ReInfer, RejectedRow, RunKey, RunOptions
from include.personal import tokenise_all
from include.run import Run
from include.spec.use_case import Enrichment

log = logging.getLogger(__name__)
_LOGGED = ("extract", "check", "answers", "enrich", "gate", "write", "shadow", "warehouse")
EVENT_TYPES = frozenset(
    {
        "run.opened",
        "run.reopened",
        "run.sealed",
        "run.closed",
        "run.abandoned",
        "stage.failed",
        "extract.completed",
        "extract.reused",
        "file.registered",
        "file.archived",
        "check.completed",
        "check.stopped",
        "quality.assessed",
        "answers.completed",
        "answers.stopped",
        "enrich.decided",
        "enrich.planned",
        "enrich.completed",
        "enrich.failed_over",
        "gate.completed",
        "write.completed",
        "shadow.compared",
        "answers.drifted",
        "warehouse.upserted",
        "audit.sealed",
        "chain.anchored",
        "dead_letter.replayed",
        "dead_letter.dismissed",
        "personal.viewed",
        "budget.corrected",
        "ledger.verified",
        "quarantine.replayed",
        "quarantine.dismissed",
        "quarantine.fixed",
        "review.decided",
        "review.assigned",
        "review.applied",
        "control.changed",
        "evaluation.set_aside",
        "alerts.silenced",
        "alerts.unsilenced",
        "privacy.searched",
        "erasure.asked",
        "erasure.done",
        "hold.set",
        "hold.lifted",
        "retention.applied",
    }
)


class RowOutcome(NamedTuple):
    """Where one input row ended; `lineage` names its source page or line."""

    row_id: str
    row_key: str | None
    outcome: Outcome
    stage: str
    reason: str | None
    lineage: Record


class DeadLetter(NamedTuple):
    """A row that ran out of tries; `record` holds what is needed to try again, without clear personal values."""

    row_id: str
    row_key: str
    cause: str
    detail: str
    inference_key: str | None
    lineage: Record
    record: Record
    tries: int


def open_run(
    ledger: Database, key: RunKey, case: Enrichment, options: RunOptions, *, prompt: Mapping[str, str], git_sha: str
) -> str:
    """The id of the run to work under: the unfinished attempt of the same starter, or a new attempt.

    It is looked for among all attempts: another starter may have opened one for the same date meanwhile.

    `prompt` holds `version`, `hash`, `name`, `system`, `user`; the texts are kept once per hash.
    """
    same = (tables.run.c.use_case == key.use_case) & _within(key.interval)
    with transaction(ledger) as connection:
        lock = func.pg_advisory_xact_lock(func.hashtext(f"{key.use_case}/{key.interval.slug}"))
        connection.execute(select(lock))
        mine = (tables.run.c.status == "running") & (tables.run.c.external_ref == key.external_ref)
        query = select(tables.run.c.run_id).where(same, mine).order_by(tables.run.c.attempt.desc()).limit(1)
        if unfinished := connection.scalar(query):
            record_event(connection, unfinished, "run.reopened", {"external_ref": key.external_ref})
            return str(unfinished)
        attempt = (connection.scalar(select(func.max(tables.run.c.attempt)).where(same)) or 0) + 1
        run_id = f"{key.use_case}-{key.interval.slug}-{attempt}"
        connection.execute(select(func.nightledger.ensure_inference_month(func.current_date())))
        connection.execute(select(func.nightledger.ensure_inference_month(func.current_date() + 7)))
        _keep_prompt(connection, prompt)
        values = {
            "run_id": run_id,
            "use_case": key.use_case,
            "interval_start": key.interval.start,
            "interval_end": key.interval.end,
            "attempt": attempt,
            "external_ref": key.external_ref,
            "mode": options.mode.value,
            "options": asdict(options),
            "model": options.model or case.model_name,
            "prompt_version": prompt["version"],
            "prompt_hash": prompt["hash"],
            "contract_hash": case.contract_hash,
            "code_version": __version__,
            "git_sha": git_sha,
        }
        connection.execute(tables.run.insert().values(values))
        said = ("external_ref", "mode", "options", "model", "prompt_hash", "contract_hash")
        opened = {name: values[name] for name in said}
        record_event(connection, run_id, "run.opened", opened)
    return run_id


def _keep_prompt(connection: Connection, prompt: Mapping[str, str]) -> None:
    row = {
        "prompt_hash": prompt["hash"],
        "name": prompt["name"],
        "version": prompt["version"],
        "system_text": prompt["system"],
        "user_text": prompt["user"],
    }
    connection.execute(insert(tables.prompt).values(row).on_conflict_do_nothing())


def _within(interval: Interval, columns: Any = tables.run.c) -> Any:
    return (columns.interval_start == interval.start) & (columns.interval_end == interval.end)


def record_event(connection: Connection, stream: str, kind: str, details: Record, actor: str = "nightledger") -> None:
    """Append one event to a stream's hash chain; `kind` is from the closed list. No row content in `details`."""
    if kind not in EVENT_TYPES:
        raise ValueError(f"{kind!r} is not an event type; known: {sorted(EVENT_TYPES)}")
    connection.execute(tables.event.insert().values(stream=stream, type=kind, actor=actor, details=details))
    if kind.partition(".")[0] in _LOGGED:
        log.info("%s: %s", kind.partition(".")[0], in_words(kind, details))


def record_manifest(ledger: Database, manifest: Manifest) -> None:
    """Make a staged dataset exist; a later one of the same name replaces it."""
    with transaction(ledger) as connection:
        put_manifest(connection, manifest)


def put_manifest(connection: Connection, manifest: Manifest) -> None:
    """`record_manifest` in the caller's transaction."""
    values = {**manifest.to_json(), "columns": dict(manifest.columns), "facts": dict(manifest.facts)}
    new = insert(tables.manifest).values(values)
    changed = {name: new.excluded[name] for name in values if name not in ("run_id", "dataset")}
    connection.execute(new.on_conflict_do_update(index_elements=["run_id", "dataset"], set_=changed))


def find_manifest(ledger: Database, run_id: str, dataset: str) -> Manifest | None:
    """The recorded manifest of a run's dataset, or None."""
    columns = [tables.manifest.c[name] for name in Manifest.__dataclass_fields__]
    query = select(*columns).where(tables.manifest.c.run_id == run_id, tables.manifest.c.dataset == dataset)
    with transaction(ledger) as connection:
        row = connection.execute(query).mappings().first()
    return Manifest(**row) if row else None


def finished_snapshot(ledger: Database, use_case: str, interval: Interval) -> Manifest | None:
    """What the last successful attempt for this interval extracted, or None.

    Writing back moves a lead's last-modified time out of the interval, so a second extraction would find other rows;
    a finished date is re-run on the rows it was run on.
    """
    columns = [tables.manifest.c[name] for name in Manifest.__dataclass_fields__]
    query = (
        select(*columns)
        .join_from(tables.manifest, tables.run, tables.run.c.run_id == tables.manifest.c.run_id)
        .where(tables.run.c.use_case == use_case, _within(interval), tables.run.c.status == "succeeded")
        .where(tables.run.c.options["limit"].astext.is_(None), tables.manifest.c.dataset == "raw")
        .order_by(tables.run.c.attempt.desc())
        .limit(1)
    )
    with transaction(ledger) as connection:
        row = connection.execute(query).mappings().first()
    return Manifest(**row) if row else None


def record_outcomes(connection: Connection, run_id: str, outcomes: Iterable[RowOutcome]) -> int:
    """Set where rows ended; a stage that runs again overwrites its own earlier word. Returns the number of rows."""
    names = ("run_id", "row_id", "row_key", "outcome", "stage", "reason", "lineage")
    rows = ((run_id, o.row_id, o.row_key, o.outcome.value, o.stage, o.reason, o.lineage) for o in outcomes)
    return merge_rows(connection, tables.outcome, names, rows, key=("run_id", "row_id"), update=names[2:])


def quarantine(connection: Connection, night: Run, stage: str, rejected: Iterable[RejectedRow]) -> int:
    """Set rows aside with every reason, personal values as tokens, and give input rows their outcome.

    Rows that the run does not decide on are left as they are. Of two rows with one id the later one is kept.
    """
    hidden, secret = night.case.personal, night.settings.token_secret
    decided = {row.row_id: row for row in rejected if night.decides_on(row.row_id)}
    rows = [replace(row, reasons=tuple(tokenise_all(row.reasons, secret))) for row in decided.values()]
    names = (
        *("run_id", "use_case", "row_id", "row_key", "source", "stage", "reasons", "record", "counts_as_input"),
        *("interval_start", "interval_end", "expectations", "owner"),
    )
    values = (
        (
            night.run_id,
            night.case.name,
            row.row_id,
            row.row_key,
            row.source,
            stage,
            list(row.reasons),
            mask(row.record, hidden, secret, night.case.tokenise),
            row.counts_as_input,
            night.interval.start,
            night.interval.end,
            list(row.expectations),
            row.owner,
        )
        for row in rows
    )
    update_columns = ("reasons", "record", "stage", "expectations", "owner")
    merge_rows(connection, tables.quarantine, names, values, key=("run_id", "row_id"), update=update_columns)
    outcomes = (
        RowOutcome(row.row_id, row.row_key, Outcome.QUARANTINED, stage, row.reasons[0], {"source": row.source})
        for row in rows
        if row.counts_as_input
    )
    record_outcomes(connection, night.run_id, outcomes)
    return len(rows)


def bury(connection: Connection, night: Run, stage: str, letters: Sequence[DeadLetter], *, system: str = "") -> None:
    """Keep rows that ran out of tries, with their cause and the system that failed, and give them their outcome.

    A row that was not tried again keeps the letter it has from an earlier run of the night.
    """
    secret = night.settings.token_secret
    letters = [letter._replace(detail=tokenise_all(letter.detail, secret)) for letter in letters]
    kept = _rows_with_letter(connection, night, stage, [d for d in letters if not d.tries])
    names = [
        *("run_id", "use_case", "interval_start", "interval_end", "stage", "row_id", "row_key"),
        *("cause", "detail", "inference_key", "record", "tries", "system"),
    ]
    where = (night.run_id, night.case.name, night.interval.start, night.interval.end, stage)
    rows = (
        (
            *where,
            d.row_id,
            d.row_key,
            d.cause,
            d.detail,
            d.inference_key,
            mask(d.record, night.case.personal, secret, night.case.tokenise),
            d.tries,
            system,
        )
        for d in letters
        if d.row_id not in kept
    )
    merge_rows(connection, tables.dead_letter, names, rows, key=("run_id", "row_id", "stage"))
    outcomes = (
        RowOutcome(d.row_id, d.row_key, Outcome.DEAD_LETTER, stage, f"{d.cause}: {d.detail}", d.lineage)
        for d in letters
    )
    record_outcomes(connection, night.run_id, outcomes)


def _rows_with_letter(connection: Connection, night: Run, stage: str, letters: Sequence[DeadLetter]) -> set[str]:
    """Rows with an open letter of an earlier run that says the same; none where the run asks letters again."""
    if not letters or night.options.re_infer is not ReInfer.NONE:
        return set()
    d = tables.dead_letter.c
    earlier = (d.use_case == night.case.name) & _within(night.interval, d) & (d.run_id != night.run_id)
    standing = (d.stage == stage) & (d.status == "open") & d.row_id.in_([letter.row_id for letter in letters])
    query = select(d.row_id, d.cause, d.inference_key).where(earlier, standing)
    known = set(map(tuple, connection.execute(query)))
    return {one.row_id for one in letters if (one.row_id, one.cause, one.inference_key) in known}


def note_progress(ledger: Database, run_id: str, stage: str, facts: Record) -> None:
    """Keep the latest progress of a stage on the run, for the report and the pages; a sign that it lives."""
    merged = tables.run.c.progress.op("||")({stage: facts})
    values = {"progress": merged, "heard_at": func.clock_timestamp()}
    with transaction(ledger) as connection:
        connection.execute(update(tables.run).where(tables.run.c.run_id == run_id).values(values))
