"""Rows set aside: choose them, look at one, and settle them; every change is on record with who, when and why.

A row is `open` until somebody acts. `fixed` says that its source was corrected, so that a replay reads it anew.
`replayed` says that a later run of the night has decided: its history tells whether the row passed, was set aside again
(and has a newer entry then), or was taken along into a newer run. `dismissed` rows wait no longer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import BigInteger, ColumnElement, Connection, Row, Select, and_, any_, cast, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY

from include.database import Database, transaction
from include.errors import ConfigurationError
from include.ledger import tables
from include.ledger.record import record_event
from include.models import Interval, Record

STATUSES = ("open", "fixed", "replayed", "dismissed")
UNREADABLE = "could not be read"
"""Stands for an expectation where a row failed none, because it could not be read."""
MOST_LISTED = 1_000
_FEW = 5_000
WAITING = ("open", "fixed")
LOCK = "nightledger/quarantine"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries: every field that is given must match; times are held against the interval's start.

    `status` may be `waiting` for open and fixed. `expectation` may be UNREADABLE. `numbers` are entries' own numbers.
    """

    use_case: str | None = None
    expectation: str | None = None
    owner: str | None = None
    status: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    row_key: str | None = None
    run_id: str | None = None
    numbers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a status that does not exist, which would select nothing in silence."""
        if self.status not in (None, "waiting", *STATUSES):
            raise ConfigurationError(f"no such status; known: waiting, {', '.join(STATUSES)}", about=str(self.status))

    def condition(self, of: Any = None) -> ColumnElement[bool]:
        """The filter as SQL over the quarantine's columns, or over those of its counts."""
        q = tables.quarantine.c if of is None else of
        chosen = {"use_case": self.use_case, "owner": self.owner, "row_key": self.row_key, "run_id": self.run_id}
        parts = [q[name] == value for name, value in chosen.items() if value is not None]
        parts += [q.status.in_(WAITING) if self.status == "waiting" else q.status == self.status] if self.status else []
        if self.expectation == UNREADABLE:
            parts.append(q.expectations == [])
        elif self.expectation is not None:
            parts.append(q.expectations.contains([self.expectation]))
        parts += [q.interval_start >= self.start] if self.start else []
        parts += [q.interval_start < self.end] if self.end else []
        parts += [numbered(self.numbers)] if self.numbers else []
        return and_(True, *parts)

    def filters(self) -> Record:
        """The fields that are given."""
        return {name: value for name, value in asdict(self).items() if value not in (None, ())}


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """One row set aside in one run; `source` is the page, record or line it came from, `owner` who can mend it there.

    `expectations` are the ids of those it failed, in the order of `reasons`; none for a row that could not be read.
    Rows that do not count as input only give context to others, as a line of a file does.
    """

    number: int
    run_id: str
    use_case: str
    interval: Interval
    row_id: str
    row_key: str | None
    source: str
    stage: Literal["extract", "check"]
    reasons: tuple[str, ...]
    expectations: tuple[str, ...]
    owner: str
    status: str
    counts_as_input: bool
    recorded_at: datetime
    history: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """Entries by what they failed (a row with two reasons counts in both), by owner and by status, and all of them."""

    rows: int
    by_expectation: dict[str, int]
    by_owner: dict[str, int]
    by_status: dict[str, int]


Chosen = Filter | Collection[int]

_LISTED = (
    *("quarantine_id", "run_id", "use_case", "interval_start", "interval_end", "row_id", "row_key", "source", "stage"),
    *("reasons", "expectations", "owner", "status", "counts_as_input", "recorded_at", "history"),
)


def list_rows(ledger: Database, chosen: Filter, after: int | None = None, limit: int = 50) -> list[QuarantinedRow]:
    """At most `limit` (and 1,000) entries, newest first; `after` is the number of the last one already seen."""
    with transaction(ledger) as connection:
        found = read_page(connection, chosen, after, limit)
    return [_listed(row) for row in found]


def read_page(
    connection: Connection, chosen: Filter, after: int | None, limit: int, *more: ColumnElement[Any]
) -> Sequence[Row[Any]]:
    """The page's rows, with these columns too; the counts say first whether few match, or none."""
    few = chosen.row_key is not None or bool(chosen.numbers)
    if not few:
        matching = sum(int(row[-1]) for row in connection.execute(count_query(chosen)))
        if not matching:
            return []
        few = matching <= _FEW
    return connection.execute(page_query(chosen, after, limit, *more, few=few)).all()


def page_query(
    chosen: Filter, after: int | None, limit: int, *more: ColumnElement[Any], few: bool = False
) -> Select[Any]:
    """The query of `list_rows`: one page by number, so that page 1,000 costs what page 1 does.

    Where `few` entries match they are found first and sorted then; PostgreSQL would walk down all numbers in the hope
    to meet them.
    """
    q, most = tables.quarantine.c, max(1, min(limit, MOST_LISTED))
    query = select(*(q[name] for name in _LISTED), *more).order_by(q.quarantine_id.desc()).limit(most)
    wanted = and_(chosen.condition(), *([q.quarantine_id < after] if after is not None else []))
    if not few:
        return query.where(wanted)
    found = select(q.quarantine_id).where(wanted).cte("found").prefix_with("MATERIALIZED", dialect="postgresql")
    page = select(found.c.quarantine_id).order_by(found.c.quarantine_id.desc()).limit(most)
    ids = page.cte("page").prefix_with("MATERIALIZED", dialect="postgresql")
    return query.where(q.quarantine_id.in_(select(ids.c.quarantine_id)))


def count_by(ledger: Database, chosen: Filter) -> Counts:
    """How many entries there are, by expectation, owner and status.

    Counts that are kept as rows come and go answer it, unless a row key or numbers are asked for.
    """
    with transaction(ledger) as connection:
        found = connection.execute(count_query(chosen)).all()
    by_expectation, by_owner, by_status = Counter[str](), Counter[str](), Counter[str]()
    for expectations, owner, status, rows in found:
        by_owner[owner] += int(rows)
        by_status[status] += int(rows)
        by_expectation.update(dict.fromkeys(expectations or [UNREADABLE], int(rows)))
    named = [dict(one.most_common()) for one in (by_expectation, by_owner, by_status)]
    return Counts(by_status.total(), *named)


def count_query(chosen: Filter) -> Any:
    """The query of `count_by`."""
    if chosen.row_key is not None or chosen.numbers:
        q: Any = tables.quarantine.c
        number: Any = func.count()
    else:
        q = tables.quarantine_count.c
        number = func.sum(q["rows"])
    query = select(q.expectations, q.owner, q.status, number).where(chosen.condition(q))
    return query.group_by(q.expectations, q.owner, q.status).having(number > 0)


def show(ledger: Database, number: int) -> Record:
    """One entry with its whole record (personal values as tokens), lineage, reasons and history.

    `same_row` are the other entries of the row in runs of its night. Raises ConfigurationError if there is no such
    entry.
    """
    q = tables.quarantine
    with transaction(ledger) as connection:
        found = connection.execute(select(q).where(q.c.quarantine_id == number)).mappings().first()
        if found is None:
            raise ConfigurationError("no such entry in the quarantine", system="ledger", about=str(number))
        night = of_night(found["use_case"], Interval(found["interval_start"], found["interval_end"]))
        same = and_(night, q.c.row_id == found["row_id"], q.c.quarantine_id != number)
        others = select(q.c.quarantine_id, q.c.run_id, q.c.status).where(same).order_by(q.c.quarantine_id)
        return {**found, "same_row": [dict(row) for row in connection.execute(others).mappings()]}


def dismiss(ledger: Database, chosen: Chosen, actor: str, reason: str) -> int:
    """Let the chosen entries that wait go; returns how many. A later run of the night keeps it so.

    Raises ConfigurationError without a filter or numbers (all rows of all use cases are never meant) or a reason.
    """
    return _settle_by_hand(ledger, chosen, "dismissed", WAITING, actor, reason)


def mark_fixed(ledger: Database, chosen: Chosen, actor: str, reason: str) -> int:
    """Say that the source of the chosen open entries was corrected: a replay reads them anew; returns how many.

    Raises ConfigurationError without a filter or numbers, or a reason.
    """
    return _settle_by_hand(ledger, chosen, "fixed", ("open",), actor, reason)


def as_filter(chosen: Chosen) -> Filter:
    """A filter, or the one that numbers of entries make."""
    return chosen if isinstance(chosen, Filter) else Filter(numbers=tuple(chosen))


def _settle_by_hand(
    ledger: Database, chosen: Chosen, status: str, before: Sequence[str], actor: str, reason: str
) -> int:
    picked, kind = as_filter(chosen), f"quarantine.{status}"
    if not picked.filters().keys() - {"status"}:
        raise ConfigurationError("needs at least one filter or number, or every row would be meant", about=status)
    if not reason.strip():
        raise ConfigurationError("needs a reason, which is kept", about=status)
    q = tables.quarantine
    wanted = and_(picked.condition(), q.c.status.in_(before))
    with transaction(ledger) as connection:
        take_turns(connection)
        changed = append_history(connection, wanted, status, entry(status, actor, reason=reason))
        for name in sorted({row.use_case for row in changed}):
            rows = sum(row.use_case == name for row in changed)
            said = {"reason": reason, "rows": rows, "selection": _sayable(picked)}
            record_event(connection, stream(name), kind, said, actor)
    return len(changed)


def numbered(numbers: Collection[int]) -> ColumnElement[bool]:
    """Entries with these numbers, as one value: a list of them ends at the driver's 65,535."""
    return tables.quarantine.c.quarantine_id == any_(cast(list(numbers), ARRAY(BigInteger)))


def append_history(
    connection: Connection, chosen: ColumnElement[bool], status: Any, added: Any, **values: Any
) -> Sequence[Row[Any]]:
    """Give entries a status and one more line of history; returns number, use case and row id of each."""
    q = tables.quarantine
    history = q.c.history.op("||")([added] if isinstance(added, dict) else added)
    change = update(q).where(chosen).values(status=status, history=history, **values)
    return connection.execute(change.returning(q.c.quarantine_id, q.c.use_case, q.c.row_id)).all()


def take_turns(connection: Connection) -> None:
    """Wait for others that settle entries; two that met half way on the counts would stop each other."""
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(LOCK, 0))))


def entry(state: str, actor: str, **details: Any) -> Record:
    """One line of a history."""
    return {"state": state, "by": actor, "at": datetime.now().astimezone().isoformat(timespec="seconds"), **details}


def stream(use_case: str) -> str:
    """Where the chain keeps what was done with a use case's quarantine."""
    return f"quarantine/{use_case}"


def of_night(use_case: str, interval: Interval) -> ColumnElement[bool]:
    """Entries of all runs of one night, as SQL."""
    q = tables.quarantine.c
    return and_(q.use_case == use_case, q.interval_start == interval.start, q.interval_end == interval.end)


def find_released(ledger: Database, use_case: str, interval: Interval) -> dict[str, frozenset[str]]:
    """Rows of a night that a person let past expectations, with the expectations' ids."""
    q = tables.quarantine.c
    query = select(q.row_id, q.released).where(of_night(use_case, interval), q.released != text("'{}'::text[]"))
    released: dict[str, frozenset[str]] = {}
    with transaction(ledger) as connection:
        for row_id, names in connection.execute(query):
            released[row_id] = released.get(row_id, frozenset()) | frozenset(names)
    return released


def _listed(row: Row[Any]) -> QuarantinedRow:
    interval = Interval(row.interval_start, row.interval_end)
    given = {
        **{name: getattr(row, name) for name in _LISTED if name in {one.name for one in fields(QuarantinedRow)}},
        **{name: tuple(getattr(row, name)) for name in ("reasons", "expectations", "history")},
    }
    return QuarantinedRow(number=row.quarantine_id, interval=interval, **given)


def _sayable(chosen: Filter) -> Record:
    """The filter for the chain; a row key may be long or many, so it is only said that one was given."""
    said = chosen.filters()
    if len(chosen.numbers) > MOST_LISTED:
        said["numbers"] = f"{len(chosen.numbers)} numbers"
    return said
