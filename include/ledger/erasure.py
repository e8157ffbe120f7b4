"""Erase what rows hold: tombstones in the place of their content, on record, and the chain still proves itself.

Only functions of the ledger's owner do it; a task's login may not. What is to be erased is kept first as a request, so
that one that was killed goes on where it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import Connection, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from include.database import Database, transaction
from include.errors import ConfigurationError, NightledgerError
from include.ledger import tables
from include.ledger.record import record_event
from include.ledger.seals import seal_run
from include.ledger.verify import findings_of
from include.models import Record

STREAM = "privacy"
KEYS_AT_ONCE = 200
_MINE = "use_case = :use_case AND row_key = ANY (CAST(:keys AS text[]))"
_CALLS = f"""
    SELECT inference_id FROM nightledger.inference WHERE {_MINE}
     UNION SELECT inference_id FROM nightledger.decision WHERE {_MINE} AND inference_id IS NOT NULL"""
FIND: Mapping[str, str] = {
    "inference": "SELECT inference_id::text AS ref, run_id FROM nightledger.inference "
    f"WHERE inference_id IN ({_CALLS})",
    "inference_result": "SELECT inference_id::text AS ref, run_id FROM nightledger.inference_result "
    f"WHERE inference_id IN ({_CALLS})",
    "decision": f"SELECT decision_id::text AS ref, run_id FROM nightledger.decision WHERE {_MINE}",
    "answer": "SELECT inference_key || '@' || (extract(epoch FROM recorded_at) * 1000000)::bigint AS ref, run_id "
    "FROM nightledger.answer WHERE output IS NOT NULL AND (run_id, inference_key) IN "
    f"(SELECT run_id, inference_key FROM nightledger.decision WHERE {_MINE})",
    "quarantine": f"SELECT quarantine_id::text AS ref, run_id FROM nightledger.quarantine WHERE {_MINE}",
    "dead_letter": f"SELECT dead_letter_id::text AS ref, run_id FROM nightledger.dead_letter WHERE {_MINE}",
    "review_item": f"SELECT review_item_id::text AS ref, run_id FROM nightledger.review_item WHERE {_MINE}",
    "outcome": "SELECT o.run_id || '/' || o.row_id AS ref, o.run_id FROM nightledger.outcome o "
    "JOIN nightledger.run u USING (run_id) "
    "WHERE u.use_case = :use_case AND o.row_key = ANY (CAST(:keys AS text[])) AND o.reason IS NOT NULL",
    "outbox_result": "SELECT outbox_id::text AS ref, run_id FROM nightledger.outbox_intent "
    f"JOIN nightledger.outbox_result USING (outbox_id) WHERE {_MINE}",
    "outbox_intent": f"SELECT outbox_id::text AS ref, run_id FROM nightledger.outbox_intent WHERE {_MINE}",
}
"""The rows of each table that hold what was said of row keys: their keys as text, and their runs.

A call counts where it was made of the row, and where the row was given its answer since it shows the same.
"""
_HELD, _OPEN, _CHANGED = "NL001", "NL002", "NL003"


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be erased: row keys by use case, and numbers of entries that belong to no row key, by table."""

    keys: Mapping[str, Collection[str]] = field(default_factory=dict)
    loose: Mapping[str, Collection[str]] = field(default_factory=dict)

    def to_json(self) -> Record:
        """As it is kept."""
        return {
            "keys": {name: sorted(keys) for name, keys in sorted(self.keys.items())},
            "loose": {table: sorted(refs) for table, refs in sorted(self.loose.items())},
        }

    @property
    def rows(self) -> int:
        """How many rows and loose entries."""
        return sum(map(len, self.keys.values())) + sum(map(len, self.loose.values()))


@dataclass(frozen=True, slots=True)
class Request:
    """An erasure that was asked for; `done_at` is None until all of it is done."""

    request_id: UUID
    asked_at: datetime
    asked_by: str
    reason: str
    target: Target
    done_at: datetime | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What an erasure would do: rows by table, those erased before, and why it would be refused."""

    rows: Mapping[str, int]
    already: int
    going_on: tuple[str, ...]
    holds: tuple[int, ...]


def preview(connection: Connection, target: Target) -> Preview:
    """What erasing would come to, without any change."""
    rows, already, going_on, holds = Counter[str](), 0, set[str](), set[int]()
    for table, refs in _refs(connection, target):
        known = connection.execute(_KNOWN, {"table": table, "refs": refs}).one()
        rows[table] += len(refs) - known.erased
        already += known.erased
    for use_case, keys in target.keys.items():
        given = {"use_case": use_case, "keys": sorted(keys)}
        holds |= set(connection.scalars(_HOLDS, given))
        going_on |= set(connection.scalars(_GOING_ON, given))
    return Preview(dict(+rows), already, tuple(sorted(going_on)), tuple(sorted(holds)))


def ask(ledger: Database, target: Target, who: str, why: str) -> Request:
    """Keep what is to be erased, with who and why on record; raises ConfigurationError without both, or for nothing."""
    if not why.strip() or not who.strip():
        raise ConfigurationError("needs who and why, which are kept", about="an erasure")
    if not target.rows:
        raise ConfigurationError("nothing was found to erase", about="an erasure")
    request = uuid4()
    said: Record = {"request_id": str(request), "reason": why.strip()}
    said |= {"rows": {name: len(keys) for name, keys in target.to_json()["keys"].items()}}
    values = {"request_id": request, "asked_by": who, "reason": why.strip(), "what": target.to_json()}
    with transaction(ledger) as connection:
        connection.execute(insert(tables.erasure_request).values(values))
        record_event(connection, STREAM, "erasure.asked", said, who)
    return next(one for one in unfinished(ledger) if one.request_id == request)


def unfinished(ledger: Database) -> list[Request]:
    """Requests that were begun and did not come to their end, oldest first."""
    r = tables.erasure_request
    with transaction(ledger) as connection:
        rows = connection.execute(select(r).where(r.c.done_at.is_(None)).order_by(r.c.asked_at)).all()
    return [
        Request(row.request_id, row.asked_at, row.asked_by, row.reason, Target(**row.what), row.done_at) for row in rows
    ]


def erase(owner: Database, request: Request) -> dict[str, int]:
    """Put tombstones in the place of what the rows hold; returns how many by table. What is erased already is left out.

    `owner` logs in as one that may call the ledger's own functions for it. Raises ConfigurationError for rows under
    hold, of runs that are going on, and where a row was changed behind the ledger's back; the transaction, of at most
    200 row keys, is undone then.
    """
    done = Counter[str]()
    for part in _parts(request.target):
        with refusals(), transaction(owner) as connection:
            _seal_in_todays_form(connection, part)
            for table, refs in _refs(connection, part):
                given = {"request": request.request_id, "who": request.asked_by, "why": request.reason}
                done[table] += int(connection.scalar(_ERASE, {**given, "table": table, "refs": refs}) or 0)
    return dict(+done)


def finish(ledger: Database, request: Request, counts: Mapping[str, int]) -> None:
    """Note that all of a request is done."""
    r = tables.erasure_request
    with transaction(ledger) as connection:
        said = {"request_id": str(request.request_id), "rows": dict(counts)}
        values = {"done_at": text("clock_timestamp()"), "counts": dict(counts)}
        connection.execute(update(r).where(r.c.request_id == request.request_id).values(values))
        record_event(connection, STREAM, "erasure.done", said, request.asked_by)


def runs_of(connection: Connection, target: Target) -> dict[str, set[str]]:
    """The runs that met the rows, by use case, also those that hold nothing of them but in staged files."""
    return {
        use_case: set(connection.scalars(_RUNS, {"use_case": use_case, "keys": sorted(keys)}))
        for use_case, keys in target.keys.items()
    }


def _parts(target: Target) -> Iterator[Target]:
    for use_case, keys in target.keys.items():
        ordered = sorted(keys)
        for at in range(0, len(ordered), KEYS_AT_ONCE):
            yield Target({use_case: ordered[at : at + KEYS_AT_ONCE]})
    if target.loose:
        yield Target({}, target.loose)


def _refs(connection: Connection, target: Target) -> Iterator[tuple[str, Sequence[str]]]:
    """The rows of each table that hold something of the target."""
    for use_case, keys in target.keys.items():
        for table, query in FIND.items():
            refs = list(connection.scalars(text(query), {"use_case": use_case, "keys": sorted(keys)}))
            if refs:
                yield table, refs
    yield from ((table, sorted(refs)) for table, refs in target.loose.items())


def _seal_in_todays_form(connection: Connection, target: Target) -> None:
    """Seal runs anew that were closed while the outbox was a table: that form has no tombstones."""
    for use_case, keys in target.keys.items():
        for run in connection.scalars(_FORMER, {"use_case": use_case, "keys": sorted(keys)}).all():
            if findings := findings_of(connection, [run]):
                raise ConfigurationError(str(findings[0]), system="ledger", action=_CHANGED_ACTION)
            seal_run(connection, run)


_CHANGED_ACTION = "Run `nightledger ledger verify`, and see docs/runbooks/ledger.md: an erasure must not hide a change"


@contextmanager
def refusals(nothing: str = "Nothing was erased") -> Iterator[None]:
    """What the ledger's functions refuse, as a ConfigurationError that says what to do."""
    try:
        yield
    except DBAPIError as error:
        if refused := _refused(error, nothing):
            raise refused from None
        raise


def _refused(error: DBAPIError, nothing: str) -> NightledgerError | None:
    state = getattr(error.orig, "sqlstate", None)
    said = str(getattr(getattr(error.orig, "diag", None), "message_primary", ""))
    actions = {
        _HELD: f"{nothing}. A hold is lifted by `nightledger privacy lift NUMBER --reason ...`",
        _OPEN: "Do it when the run is closed",
        _CHANGED: _CHANGED_ACTION,
        "42501": "Give it the connection `nightledger_db_owner`, or a login that may EXECUTE nightledger.erase_rows",
    }
    return ConfigurationError(said, system="ledger", action=actions[state]) if state in actions else None


_ERASE = text("SELECT nightledger.erase_rows(:request, :who, :why, :table, CAST(:refs AS text[]))")
_KNOWN = text("""
SELECT count(DISTINCT row_ref) AS erased FROM nightledger.erasure
 WHERE table_name = :table AND row_ref = ANY (CAST(:refs AS text[]))""")
_RUNS = text(f"""
SELECT o.run_id FROM nightledger.outcome o JOIN nightledger.run u USING (run_id)
 WHERE u.use_case = :use_case AND o.row_key = ANY (CAST(:keys AS text[]))
 UNION SELECT run_id FROM nightledger.quarantine WHERE {_MINE}
 UNION SELECT run_id FROM nightledger.inference WHERE {_MINE}
 UNION SELECT run_id FROM nightledger.decision WHERE {_MINE}""")
_HOLDS = text(f"""
SELECT DISTINCT h FROM ({_RUNS.text}) r CROSS JOIN unnest(CAST(:keys AS text[])) AS k (row_key)
 CROSS JOIN LATERAL nightledger.holds_on(r.run_id, k.row_key) h ORDER BY 1""")
_GOING_ON = text(f"SELECT run_id FROM nightledger.run WHERE finished_at IS NULL AND run_id IN ({_RUNS.text})")
_FORMER = text(f"""
SELECT r.run_id FROM ({_RUNS.text}) r WHERE nightledger.sealed_columns(r.run_id, 'outbox') IS NOT NULL ORDER BY 1""")
