"""The answers of another use case as a source: one night of it feeds the same night of this one."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, text

from include.canonical import canonical
from include.errors import ContractBroken, SystemUnavailable
from include.models import Column, Interval, Outcome, Record, RejectedRow
from include.spec.names import package_of
from include.systems.files.formats.values import explain_missing, read_columns
from include.systems.ids import join_id, split_id
from include.systems.port import VERSION, Origin, Page, Surroundings

WENT_OUT = (Outcome.WRITTEN, Outcome.UNCHANGED)
ROW_KEY = Column("row_key", "answer_of")
PAGE_ROWS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What use case `object` answered in the night of the same interval, one row for each of its rows.

    `columns` are fields of its answer, by their names there; a list comes as its JSON text. `key` holds its row's key.
    Only rows with one of the `outcomes` come: by default those whose answer was written, or stood there already. A
    night that has not succeeded yet cannot be read: this one then waits, and tries again.
    """

    object: str
    columns: tuple[Column, ...]
    key: Column = ROW_KEY
    outcomes: tuple[Outcome, ...] = WENT_OUT
    system: str = "ledger"

    @property
    def declared(self) -> Sequence[Column]:
        """The key, then the fields."""
        return (self.key, *self.columns)

    @property
    def changed(self) -> Column | None:
        """None: the other night's interval decides."""
        return None

    @property
    def origins(self) -> Mapping[str, Origin]:
        """Fields of the other use case's answer."""
        return {column.name: Origin(self.system, self.object, column.source_name) for column in self.declared}

    @property
    def refers(self) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def open(self, here: Surroundings) -> AnswerReader:
        """The adapter on the ledger; raises ConfigurationError where its connection cannot work."""
        engine: Engine = here.connections.open("sql", here.system(self.system).connection)
        return AnswerReader(self, engine, here.interval, here.personal)


@dataclass
class AnswerReader:
    """Reads the answers of one night; `facts` say which run of it."""

    source: Answers
    engine: Engine
    interval: Interval
    personal: Sequence[str] = ()
    pages: int = 0
    rows: int = 0
    calls: int = 0
    retries: int = 0
    watermark: datetime | None = None
    facts: Record = field(default_factory=dict)

    def check_contract(self) -> None:
        """Raise ContractBroken for a field that the other use case's answer does not have."""
        known = importlib.import_module(f"{package_of(self.source.object)}.output").Output.model_fields
        for column in self.source.columns:
            if column.source_name not in known:
                about = f"answers of {self.source.object}"
                raise ContractBroken(explain_missing(column.source_name, known), system="ledger", about=about)

    def read(self, interval: Interval, limit: int | None = None) -> Iterator[Page]:
        """Pages of the answers of the interval's night; raises SystemUnavailable while that has not succeeded."""
        return self._pages(interval, None, limit)

    def read_ids(self, ids: Sequence[str]) -> Iterator[Page]:
        """Pages of the answers to the rows with these keys."""
        keys = [parts[0] for parts in (split_id(one, 1) for one in ids) if parts]
        return self._pages(self.interval, keys, None) if keys else iter(())

    def _pages(self, interval: Interval, keys: list[str] | None, limit: int | None) -> Iterator[Page]:
        run, last, left = self._run_of(interval), "", limit
        self.facts["answers_of"] = [run]
        while left is None or left > 0:
            size = PAGE_ROWS if left is None else min(PAGE_ROWS, left)
            given = {"run": run, "last": last, "most": size, "outcomes": [str(one) for one in self.source.outcomes]}
            found = self._ask(_PAGE, given | {"keys": keys})
            if found:
                last, left = found[-1]["row_id"], None if left is None else left - len(found)
                yield self._finish(found)
            if len(found) < size:
                return

    def _run_of(self, interval: Interval) -> str:
        given = {"use_case": self.source.object, "starts": interval.start, "ends": interval.end}
        found = self._ask(_RUN, given)
        if not found:
            raise SystemUnavailable(
                f"its night of {interval.start:%Y-%m-%d} has not succeeded, so there are no answers to work with",
                system="ledger",
                about=self.source.object,
                action=f"Run that night of {self.source.object} first",
            )
        return str(found[0]["run_id"])

    def _ask(self, statement: str, given: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        self.calls += 1
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(text(statement), given).mappings()]

    def _finish(self, found: Sequence[Mapping[str, Any]]) -> Page:
        self.pages += 1
        self.rows += len(found)
        page, now = Page(self.pages, [], []), datetime.now(UTC).isoformat()
        for one in found:
            place = f"{self.source.system}/{self.source.object}"
            row_id, key = f"{place}/{join_id([one['row_key']])}", str(one["row_key"])
            given = {name: _flat(value) for name, value in one["output"].items()}
            given[self.source.key.source_name] = one["row_key"]
            record, reasons = read_columns(given, self.source.declared, personal=self.personal)
            if reasons:
                page.rejected.append(RejectedRow(row_id, key, self.source.system, tuple(reasons), record))
                continue
            lineage = {self.source.system: f"{one['run_id']} {one['row_id']}", "retrieved_at": now}
            lineage[VERSION] = str(one["decision_id"])
            page.rows.append({"row_id": row_id, "row_key": key, "lineage": lineage, **record})
            self.watermark = max(self.watermark or one["recorded_at"], one["recorded_at"])
        return page


def _flat(value: Any) -> Any:
    """A value as a column takes it: a list or an object as its JSON text."""
    return canonical(value) if isinstance(value, (list, dict)) else value


_RUN = """
SELECT run_id FROM nightledger.run
 WHERE use_case = :use_case AND interval_start = :starts AND interval_end = :ends AND status = 'succeeded'
 ORDER BY attempt DESC LIMIT 1"""

_PAGE = """
SELECT run_id, row_id, row_key, decision_id, recorded_at, output FROM nightledger.decided_answer
 WHERE run_id = :run AND row_id > :last AND outcome = ANY (:outcomes) AND output IS NOT NULL
   AND (CAST(:keys AS text[]) IS NULL OR row_key = ANY (CAST(:keys AS text[])))
 ORDER BY row_id LIMIT :most"""
