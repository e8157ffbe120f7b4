"""Prove that nothing in the ledger was changed, added or removed after it was recorded (invariant I4)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from include.database import Database, transaction
from include.ledger import verify_erased
from include.ledger import verify_sql as sql
from include.ledger.heads import Head
from include.ledger.seals import FORMERLY, SEALED, digests, names_of

MOST_FINDINGS = 100  # per check, so that a wholly rewritten ledger does not fill the client's memory
# Every join is on equal keys; without statistics on jsonb the planner would loop over all pairs.
_SETTINGS = ("timezone = 'UTC'", "client_encoding = 'UTF8'", "statement_timeout = 0", "work_mem = '64MB'")
_PLANNER = ("enable_nestloop = off", "jit = off")


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where the ledger does not prove itself; `row` is the primary key, never content."""

    table: str
    row: str
    problem: str

    def __str__(self) -> str:
        return f"{self.table} {self.row}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Verification:
    """What was checked, how long it took, and every finding (at most 100 for each check).

    `since` is the head after which it was recorded; None: the whole ledger. `gone` says what was erased and removed on
    record, a sentence for each request and policy: that is no finding.
    """

    events: int
    streams: int
    batches: int
    rows: int
    seconds: float
    head: str
    findings: tuple[Finding, ...]
    since: str | None = None
    gone: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether the ledger is as it was recorded."""
        return not self.findings

    def as_text(self) -> str:
        """The verdict for a terminal, one line for each finding."""
        verdict = "The ledger holds." if self.holds else f"The ledger does NOT hold: {len(self.findings)} findings."
        checked = f"{self.events:,} events in {self.streams:,} streams, {self.batches:,} sealed batches"
        part = f" recorded after head {self.since[:16]}" if self.since else ""
        lines = [f"{verdict} Checked {checked}, {self.rows:,} rows{part} in {self.seconds:.1f} s."]
        lines += [f"  {finding}" for finding in self.findings]
        lines += [f"  On record: {words}" for words in self.gone]
        return "\n".join([*lines, f"Head of the ledger: {self.head or '(no run closed yet)'}"])


def verify(ledger: Database, *, heads: Sequence[Head | str] = (), since: str | None = None) -> Verification:
    """Recompute every hash of the ledger in the database, in one snapshot, so nights may go on meanwhile.

    `heads` were kept elsewhere: each must still be in stream `ledger`, which also tells a ledger that was cut or
    rewritten as a whole. With `since`, the head that an earlier verification ended with, only what was recorded after
    it is recomputed; if that head is gone, everything is. The new head is the last hash of the stream.
    """
    started = time.monotonic()
    with transaction(ledger) as connection:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        for setting in (*_SETTINGS, *_PLANNER):
            connection.execute(text(f"SET LOCAL {setting}"))
        findings = _missing(connection, [*heads, *([since] if since else [])])
        since = None if any(finding.row == since for finding in findings) else since
        check = _Check(connection, {"since": since, "runs": _changed(connection, since)})
        findings += check.chains()
        findings += [finding for table in sql.AUDITED for finding in check.audited(table)]
        findings += check.sealed()
        gone = check.gone()
        events, streams, batches, head = connection.execute(text(sql.TOTALS), check.given).one()
    seconds = time.monotonic() - started
    return Verification(events, streams, batches, check.rows, seconds, head, tuple(findings), since, gone)


def findings_of(connection: Connection, runs: Sequence[str]) -> list[Finding]:
    """What these closed runs left that does not prove itself; their events are not looked at."""
    for setting in ("timezone = 'UTC'", "client_encoding = 'UTF8'"):
        connection.execute(text(f"SET LOCAL {setting}"))
    check = _Check(connection, {"since": "these runs", "runs": list(runs)})
    return [*check.sealed(), *(finding for table in sql.AUDITED for finding in check.audited(table))]


def _missing(connection: Connection, heads: Sequence[Head | str]) -> list[Finding]:
    """The heads that are not in stream `ledger`, or not where they were."""
    events = connection.execute(text("SELECT hash, seq FROM nightledger.event WHERE stream = 'ledger'"))
    places = dict(map(tuple, events)) if heads else {}
    found = []
    for head in heads:
        sha256, seq = (head, None) if isinstance(head, str) else (head.hash, head.seq)
        if sha256 not in places or seq not in (None, places[sha256]):
            of_run = "" if isinstance(head, str) else f" of {head.run_id}, kept at {head.at},"
            problem = f"this head{of_run} is not in the stream: the ledger was cut or rewritten, or is another one"
            found.append(Finding("ledger", sha256, problem))
    return found


def _changed(connection: Connection, since: str | None) -> list[str]:
    """Streams with events after a head; a run's stream is named like the run."""
    return list(connection.scalars(text(sql.CHANGED), {"since": since})) if since else []


@dataclass
class _Check:
    """Every check on a snapshot, of everything or of the `runs` that said something after a head; counts `rows`."""

    connection: Connection
    given: dict[str, Any]
    rows: int = 0
    only: str = field(init=False)

    def __post_init__(self) -> None:
        self.only = "run_id = ANY (:runs)" if self.given["since"] else "true"

    def chains(self) -> list[Finding]:
        """Events, the heads of their streams, their anchors, and what they say of runs."""
        on_record = (sql.CONTROLLED, verify_erased.HELD, verify_erased.REMOVED.format(only=self.only))
        checks = (sql.EVENTS, sql.HEADS, sql.ANCHORS, sql.UNANCHORED, sql.CLOSED, sql.OPENED, *on_record)
        return [finding for query in checks for finding in self._find(query)]

    def audited(self, table: str) -> list[Finding]:
        """Rows of an append-only table against their digests, and those against the events that seal them."""
        parts = sql.parts(table, self.only)
        checks = [sql.ROWS, sql.BATCHES, *([sql.DECIDED] if table == "decision" else [])]
        self.rows += self._count(sql.COUNT.format(**parts))
        queries = [query.format(**parts) for query in checks]
        if table in verify_erased.TOMBSTONES:
            queries += [verify_erased.erased(parts), verify_erased.LEFT.format(**parts)]
        return [finding for query in queries for finding in self._find(query)]

    def sealed(self) -> list[Finding]:
        """What runs left in all other tables against what was sealed when they were closed."""
        findings, known = [], {**SEALED, **FORMERLY}
        for table, columns in self.connection.execute(text(sql.FORMS.format(only=self.only)), self.given):
            if table not in known or not set(columns) <= set(known[table].columns):
                findings.append(Finding(table, "(columns)", "was sealed over columns that this code does not know"))
                continue
            given = {"table": table, "columns": list(columns)}
            held = digests(table, columns, f"{self.only} AND run_id IN (SELECT run_id FROM sealed)")
            self.rows += self._count(sql.SEALED_ROWS.format(only=self.only), **given)
            findings += self._find(sql.RUNS.format(only=self.only, held=held), **given)
            if table in verify_erased.REFS:
                rows = known[table]
                back = verify_erased.came_back(table, names_of(columns), rows.rows, rows.run, self.only)
                findings += self._find(back, **given)
        return findings

    def gone(self) -> tuple[str, ...]:
        """What was erased and removed on record, by whom and why; the newest 20 of each."""
        words = []
        for row in self.connection.execute(text(verify_erased.ERASURES.format(only=self.only)), self.given).all()[:20]:
            tables = ", ".join(f"{name} {rows:,}" for name, rows in sorted(row.tables.items()))
            words.append(
                f"{row.rows:,} rows erased ({tables}) at {row.at:%Y-%m-%d %H:%M} UTC by {row.by}: {row.reason}"
            )
        for row in self.connection.execute(text(verify_erased.REMOVALS.format(only=self.only)), self.given).all()[:20]:
            when = f"from {row.at:%Y-%m-%d %H:%M} UTC on by {row.by}"
            words.append(f"{row.runs:,} runs with {row.rows:,} rows removed {when}: {row.policy}")
        return tuple(words)

    def _count(self, query: str, **given: Any) -> int:
        return int(self.connection.scalar(text(query), self.given | given) or 0)

    def _find(self, query: str, **given: Any) -> list[Finding]:
        rows = self.connection.execute(text(f"{query} LIMIT {MOST_FINDINGS + 1}"), self.given | given).all()
        found = [Finding(*row) for row in rows[:MOST_FINDINGS]]
        if len(rows) > MOST_FINDINGS:
            found.append(Finding(rows[-1][0], "(more)", f"more than {MOST_FINDINGS} rows fail this check"))
        return found
