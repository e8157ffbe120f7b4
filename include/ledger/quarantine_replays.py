"""What a replay, or any later run of a night, does to entries of the quarantine.

The newest run of a night holds the one entry of a row that waits; earlier ones are settled when that run closes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, func, literal, or_, select, text, update

from include.database import Database, to_json, transaction
from include.ledger import tables
from include.ledger.quarantine import WAITING, Filter, append_history, entry, numbered, of_night, stream, take_turns
from include.ledger.record import record_event
from include.models import Interval, Record
from include.run import Night, Run


@dataclass(frozen=True, slots=True)
class Selection:
    """Which waiting entries are replayed, and how.

    Rows marked as fixed are read anew from their source; with `read_anew` all chosen ones are. The others are held
    against today's expectations as they are, and may pass those in `release`, for a `reason` that is kept.
    """

    chosen: Filter
    read_anew: bool = False
    release: tuple[str, ...] = ()
    reason: str | None = None


class Begun(NamedTuple):
    """An entry under replay; `anew` says that its row is read from the source again.

    `modified` is the change that brought the row in, as its source wrote it.
    """

    number: int
    row_id: str
    row_key: str | None
    counts_as_input: bool
    anew: bool
    modified: str | None


class Replayed(NamedTuple):
    """Rows of a replay: all of them, those that passed, were set aside again, and those not reached, which wait."""

    rows: int
    passed: int
    again: int
    left_open: int


def nights_to_replay(ledger: Database, selection: Selection, use_cases: Collection[str]) -> list[tuple[str, Interval]]:
    """Nights of these use cases with chosen entries to replay, or with a replay that was begun and did not end."""
    q = tables.quarantine.c
    query = (
        select(q.use_case, q.interval_start, q.interval_end)
        .where(q.use_case.in_(use_cases), _to_replay(selection))
        .distinct()
        .order_by(q.interval_start, q.use_case)
    )
    with transaction(ledger) as connection:
        return [(row[0], Interval(row[1], row[2])) for row in connection.execute(query)]


def run_of(ledger: Database, selection: Selection, use_case: str, interval: Interval) -> tuple[str, Record] | None:
    """The newest run with entries to replay in a night, and the options it ran with; None if none are left."""
    q, r = tables.quarantine.c, tables.run.c
    query = (
        select(r.run_id, r.options)
        .join_from(tables.quarantine, tables.run, q.run_id == r.run_id)
        .where(of_night(use_case, interval), _to_replay(selection))
        .order_by(r.attempt.desc())
        .limit(1)
    )
    with transaction(ledger) as connection:
        found = connection.execute(query).first()
    return (found.run_id, dict(found.options)) if found else None


def begin_replay(run: Night, selection: Selection, actor: str) -> list[Begun]:
    """Take the chosen entries of the run's night under replay; returns all that are, also those of a killed one.

    They count as replayed from now on, and wait again if the run closes without having decided on them.
    """
    q = tables.quarantine
    night = and_(of_night(run.case.name, run.interval), q.c.run_id != run.run_id)
    how: Record = {"run_id": run.run_id, "reason": selection.reason}
    fresh = 0
    with transaction(run.ledger) as connection:
        take_turns(connection)
        for status in WAITING:
            anew = selection.read_anew or status == "fixed"
            released = [] if anew else list(selection.release)
            line = entry("begun", actor, **how, was=status, anew=anew, released=released)
            wanted = and_(night, _to_begin(selection), q.c.status == status)
            fresh += len(append_history(connection, wanted, "replayed", line, released=released))
        if fresh:
            said = {"rows": fresh, "selection": selection.chosen.filters(), "read_anew": selection.read_anew}
            _say(connection, run, "begun", actor, **said, released=list(selection.release), reason=selection.reason)
        begun, anew_now = and_(night, _is_begun()), q.c.history[-1]["anew"].astext == "true"
        # A row that is read anew is another row: what it was let past before, it is not let past now.
        other = select(q.c.row_id).where(begun, anew_now)
        connection.execute(update(q).where(night, q.c.row_id.in_(other), q.c.released != []).values(released=[]))
        times = [one.changed.name for one in run.case.sources if one.changed]
        modified: ColumnElement[str] = func.coalesce(None, *(q.c.record[name].astext for name in times))
        columns = (q.c.quarantine_id, q.c.row_id, q.c.row_key, q.c.counts_as_input, anew_now, modified)
        return [Begun(*row) for row in connection.execute(select(*columns).where(begun))]


def replayed(run: Run, begun: Sequence[Begun]) -> Replayed:
    """What became of entries under replay, once the run is closed."""
    q = tables.quarantine.c
    numbers = [one.number for one in begun]
    with transaction(run.ledger) as connection:
        found = connection.execute(select(q.row_id, q.history[-1]["state"].astext).where(numbered(numbers)))
        rows: dict[str, str] = dict(map(tuple, found))
    ended = Counter(rows.values())
    passed = ended["passed"] + ended["overtaken"]
    return Replayed(len(rows), passed, ended["quarantined_again"], len(rows) - passed - ended["quarantined_again"])


def copy_entries(
    connection: Connection,
    run: Run,
    source: str,
    *,
    stages: Collection[str],
    skip: Collection[str],
    files: Sequence[str],
    not_tried: Mapping[str, str],
) -> None:
    """Give the run the entries of run `source` of these stages, and rows that could not be read their outcome.

    Rows in `skip`, and lines whose id starts as one of `files`, are left out; what is there already stays. A row in
    `not_tried` was chosen and could not be replayed, for the reason given, and is open again.
    """
    given = {**_of(run), "source": source, "stages": list(stages), "skip": list(skip), "files": list(files)}
    given |= {"left": list(not_tried), "line": to_json([entry("not_tried", "nightledger", run_id=run.run_id)])}
    given |= {"why": to_json(dict(not_tried)), "carried": _carried(run)}
    connection.execute(text(_COPY), given)
    connection.execute(text(_COPY_OUTCOMES), given)


def settle(connection: Connection, run: Run) -> None:
    """Close what this run has decided: entries of earlier runs of the night that wait or are under replay.

    A row that was let through is settled; one that was set aside again waits in its newer entry. What a person said
    of a row (dismissed, or fixed while its source has not been read again) holds for the newer entry too, as long as
    the reasons are the same.
    """
    take_turns(connection)
    raw = _raw_facts(connection, run)
    read, replay = bool(raw) and not raw.get("reused_from"), "read_anew" in raw
    given = _of(run)
    kept = ["dismissed"] if read else ["dismissed", "fixed"]
    connection.execute(text(_INHERIT), {**given, "kept": kept, "line": _carried(run)})
    line = to_json(entry("", "nightledger", run_id=run.run_id))
    given |= {"line": line, "replay": replay, "again": raw.get("delivered_again", [])}
    ended = connection.execute(text(_SETTLE), {**given, "whole": read and raw.get("limit") is None})
    counts = Counter(ended.scalars())
    if counts:
        _say(connection, run, "settled", "nightledger", **counts)


def _raw_facts(connection: Connection, run: Run) -> Record:
    """The facts of the run's raw dataset; nothing if there is none."""
    m = tables.manifest.c
    facts = connection.scalar(select(m.facts).where(m.run_id == run.run_id, m.dataset == "raw"))
    return dict(facts or {})


def _carried(run: Run) -> str:
    return to_json([entry("carried", "nightledger", run_id=run.run_id)])


def _of(run: Run) -> Record:
    interval = run.interval
    return {"run": run.run_id, "use_case": run.case.name, "start": interval.start, "end": interval.end}


def _say(connection: Connection, run: Run, state: str, actor: str, **details: Any) -> None:
    said = {"state": state, "interval": run.interval.slug, "run_id": run.run_id, **details}
    record_event(connection, stream(run.case.name), "quarantine.replayed", said, actor)


def _to_replay(selection: Selection) -> ColumnElement[bool]:
    return or_(_to_begin(selection), and_(selection.chosen.condition(), _is_begun()))


def _to_begin(selection: Selection) -> ColumnElement[bool]:
    """Chosen entries that wait and can be replayed.

    A row that is not in the staged data can only be read anew. A line of a file, or a record that is only looked up,
    is read again when it is marked as fixed: before that its source has nothing new.
    """
    q = tables.quarantine.c
    here = and_(q.counts_as_input, or_(literal(selection.read_anew), q.stage == "check"))
    able = or_(q.status == "fixed", here)
    return and_(selection.chosen.condition(), q.status.in_(WAITING), able)


def _is_begun() -> ColumnElement[bool]:
    q = tables.quarantine.c
    return and_(q.status == "replayed", q.history[-1]["state"].astext == "begun")


_NIGHT = "use_case = :use_case AND interval_start = :start AND interval_end = :end AND run_id <> :run"

_LATEST = f"""
SELECT DISTINCT ON (row_id) row_id, status, history, released, expectations, reasons FROM nightledger.quarantine
 WHERE {_NIGHT} ORDER BY row_id, quarantine_id DESC"""

_COPY = f"""
INSERT INTO nightledger.quarantine (run_id, use_case, row_id, row_key, source, stage, reasons, record, counts_as_input,
       interval_start, interval_end, expectations, owner, released, status, history)
SELECT :run, s.use_case, s.row_id, s.row_key, s.source, s.stage, s.reasons, s.record, s.counts_as_input,
       s.interval_start, s.interval_end, s.expectations, s.owner, e.released,
       CASE WHEN s.row_id = ANY(:left) THEN 'open'
            WHEN e.status = 'replayed' THEN coalesce(e.history -> -1 ->> 'was', 'open') ELSE e.status END,
       CASE WHEN s.row_id = ANY(:left) THEN (e.history - -1) || jsonb_build_array(
                jsonb_set(cast(:line AS jsonb) -> 0, '{{why}}', cast(:why AS jsonb) -> s.row_id))
            ELSE e.history || cast(:carried AS jsonb) END
  FROM nightledger.quarantine s JOIN ({_LATEST}) e USING (row_id)
 WHERE s.run_id = :source AND s.stage = ANY(:stages) AND s.row_id <> ALL(:skip)
   AND NOT EXISTS (SELECT FROM unnest(cast(:files AS text[])) file WHERE starts_with(s.row_id, file))
ON CONFLICT DO NOTHING"""

_COPY_OUTCOMES = """
INSERT INTO nightledger.outcome (run_id, row_id, row_key, outcome, stage, reason, lineage)
SELECT :run, row_id, row_key, 'quarantined', stage, reasons[1], jsonb_build_object('source', source)
  FROM nightledger.quarantine WHERE run_id = :run AND stage = 'extract' AND counts_as_input
ON CONFLICT DO NOTHING"""

_INHERIT = f"""
UPDATE nightledger.quarantine q SET status = e.status, history = e.history || cast(:line AS jsonb) FROM ({_LATEST}) e
 WHERE q.run_id = :run AND q.row_id = e.row_id AND q.status = 'open' AND q.history = '[]'
   AND e.status = ANY(:kept) AND e.expectations = q.expectations AND e.reasons = q.reasons"""

_SETTLE = f"""
UPDATE nightledger.quarantine q
   SET status = CASE d.state WHEN 'not_tried' THEN q.history -> -1 ->> 'was' ELSE 'replayed' END,
       history = q.history || jsonb_build_array(
           jsonb_set(cast(:line AS jsonb), '{{state}}', to_jsonb(d.state)))
  FROM (SELECT old.quarantine_id,
               CASE WHEN newer.history = '[]' THEN 'quarantined_again'
                    WHEN newer.row_id IS NOT NULL THEN 'moved'
                    WHEN o.outcome NOT IN ('quarantined', 'deferred') OR NOT old.counts_as_input
                         AND (old.begun AND :replay OR :whole
                              OR EXISTS (SELECT FROM unnest(cast(:again AS text[])) file
                                          WHERE starts_with(old.row_id, file)))
                    THEN CASE WHEN old.begun THEN 'passed' ELSE 'overtaken' END
                    WHEN old.begun THEN 'not_tried' END AS state
          FROM (SELECT *, status = 'replayed' AND history -> -1 ->> 'state' = 'begun' AS begun
                  FROM nightledger.quarantine WHERE {_NIGHT}) old
          LEFT JOIN nightledger.quarantine newer ON newer.run_id = :run AND newer.row_id = old.row_id
          LEFT JOIN nightledger.outcome o ON o.run_id = :run AND o.row_id = old.row_id
         WHERE old.begun OR old.status IN ('open', 'fixed')) d
 WHERE q.quarantine_id = d.quarantine_id AND d.state IS NOT NULL
RETURNING d.state"""
