"""Hold a dataset against a suite: every failing row of every expectation, in memory that does not grow with the rows.

Row-wise expectations run in large chunks, each on only its own columns: the library copies whatever else a frame holds.
What needs all rows at once runs once, one expectation after the other, on its columns alone.
"""

from __future__ import annotations

import difflib
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from include.errors import ConfigurationError
from include.models import Manifest
from include.quality.by_value import judge_of
from include.quality.equal import hashes, repeated
from include.quality.expectation import SQL, Expectation
from include.quality.gx import Evaluated, Prepared, judge, not_run, prepare, to_frame
from include.quality.sql_rules import judge_query
from include.quality.usual import History
from include.staging import IDENTITY, read_chunks, read_schema

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

CHUNK_ROWS, NARROW_ROWS = 196_608, 1_048_576
"""Rows judged at once: each chunk costs every expectation about 7 ms, and memory by its size; the latter of numbers."""
KEY_ROWS = 65_536
"""Rows of which keys or values are held as Python objects at once."""


@dataclass
class Finding:
    """One expectation over the whole dataset; `failing` are positions in it, ascending."""

    expectation: Expectation
    rows: int
    failing: array[int] = field(default_factory=lambda: array("I"), repr=False)
    missing: int = 0
    observed: str | None = None
    could_not_run: str | None = None
    _about_table: bool = False
    _table_holds: bool = True

    def add(self, found: Evaluated, start: int = 0) -> None:
        """Take in what was found in the chunk that begins at row `start`."""
        import numpy as np

        self.could_not_run = self.could_not_run or found.could_not_run
        self.missing += found.missing
        self.failing.frombytes((np.asarray(found.positions, np.uint32) + np.uint32(start)).tobytes())
        if not found.about_rows:
            self._about_table, self._table_holds = True, self._table_holds and found.success
            self.observed = found.observed or self.observed

    @property
    def judged(self) -> bool:
        """Whether there were rows enough."""
        return self.rows >= self.expectation.least_rows

    @property
    def about_table(self) -> bool:
        """Whether the verdict is one on the table, to which no share of rows belongs."""
        return self._about_table

    @property
    def share(self) -> float:
        """The share of all rows that pass."""
        return 1 - len(self.failing) / max(self.rows, 1)

    @property
    def success(self) -> bool:
        """Whether the expectation is met; one that could not be run is not."""
        if self.could_not_run:
            return False
        if not self.judged:
            return True
        return self._table_holds if self._about_table else self.share >= self.expectation.at_least

    @property
    def seen(self) -> str | None:
        """What is worth knowing beside the verdict: the value observed, or that there was little to judge."""
        if self.could_not_run:
            return None
        if not self.judged:
            return f"not judged: {self.rows:,} rows, fewer than {self.expectation.least_rows:,}"
        if self._about_table or not self.missing:
            return self.observed
        return "no row has a value" if self.missing >= self.rows else f"{self.missing:,} rows have no value"

    def in_words(self) -> str:
        """What was found, in words and numbers."""
        if self.could_not_run:
            return f"could not run: {self.could_not_run}"
        if self._about_table:
            return f"found {self.observed}" if self.observed is not None else "does not hold"
        return f"{self.share:.1%} of rows pass, {self.expectation.at_least:.1%} needed"

    def within(self, start: int, count: int) -> array[int]:
        """Failing positions among the `count` rows from `start`, counted from there."""
        first, end = bisect_left(self.failing, start), bisect_left(self.failing, start + count)
        return array("I", (at - start for at in self.failing[first:end]))


def examine(
    data: Manifest, suite: Sequence[Expectation], history: History, *, ours: Collection[str] = IDENTITY
) -> list[Finding]:
    """Judge a staged dataset; returns one finding per expectation, in the suite's order.

    Columns in `ours` are not the data's own, so that no rule about the table's columns counts them.

    Raises ConfigurationError when two expectations share an id, and ContractBroken when the file is gone or damaged.
    """
    twice = [name for name, count in Counter(expectation.id for expectation in suite).items() if count > 1]
    if twice:
        raise ConfigurationError(f"two expectations are called {', '.join(twice)}", about="expectations")
    findings = [Finding(expectation, data.rows) for expectation in suite]
    ready = [(finding, built) for finding in findings if (built := _ready(finding, data, suite, history)) is not None]
    schema = read_schema(data)
    own = [name for name in schema.names if name not in ours]
    by_row = [one for one in ready if not _judge_whole(data, schema.empty_table(), own, *one, history)]
    _judge_rows(data, schema, by_row, history)
    return findings


def _judge_whole(
    data: Manifest, empty: pa.Table, own: Sequence[str], finding: Finding, built: Prepared, history: History
) -> bool:
    """Judge what must be seen in one piece; False where rows are judged chunk by chunk."""
    names = _columns(built.expectation)
    if built.reach in ("row", "equals"):
        return False
    if built.reach == "sql":
        finding.add(judge_query(built.expectation, data))
        return True
    if built.reach == "count":
        seen = pa.table({"row": pa.nulls(data.rows, pa.bool_())})
    elif built.reach == "types":
        seen = empty.select(names)
    elif built.reach == "columns":
        seen = empty.select(own)
    else:
        seen = _read(data, names) if names else empty
    found = judge(built, to_frame(seen), history)
    if built.reach == "types" and found.about_rows:
        return False  # a column of objects: each value has a type of its own
    finding.add(found)
    return True


def _ready(finding: Finding, data: Manifest, suite: Sequence[Expectation], history: History) -> Prepared | None:
    """The expectation, built; None where it is not judged, with the reason on the finding."""
    expectation = finding.expectation
    finding.could_not_run = _column_problem(expectation, data.columns)
    if finding.could_not_run or not finding.judged:
        return None
    built = prepare(expectation, history)
    finding.could_not_run = built.could_not_run
    if (
        not finding.could_not_run
        and built.reach in ("row", "equals", "sql")
        and not data.rows
        and not _counts_rows(suite)
    ):
        finding.could_not_run = "there are no rows, and no expectation says how many there must be"
    return None if finding.could_not_run else built


def _column_problem(expectation: Expectation, existing: Iterable[str]) -> str | None:
    """A column that was not staged, named with the closest that exists; or that none was named."""
    names = list(existing)
    for name in expectation.columns:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            return f"column {name!r} is missing" + (f"; renamed to {near[0]!r}?" if near else "")
    about_more = expectation.type == SQL or expectation.type.startswith("ExpectTable")
    return None if expectation.columns or about_more else "`columns` names none, so nothing would be judged"


def _counts_rows(suite: Sequence[Expectation]) -> bool:
    return any(expectation.type.startswith("ExpectTableRowCount") for expectation in suite)


def _columns(expectation: Expectation) -> list[str]:
    return list(dict.fromkeys(expectation.columns))


def _read(data: Manifest, names: Sequence[str], rows: np.ndarray | None = None) -> pa.Table:
    """Some columns of all rows, or of those that `rows` marks."""
    parts = [read_schema(data).empty_table().select(names)]
    if rows is None or rows.any():
        for start, batch in numbered(read_chunks(data, rows=KEY_ROWS, columns=names)):
            part = pa.Table.from_batches([batch]).select(names)
            parts.append(part if rows is None else part.filter(pa.array(rows[start : start + batch.num_rows])))
    return pa.concat_tables(parts)


@dataclass
class _ByRow:
    """Judges each row by itself."""

    finding: Finding
    built: Prepared
    history: History

    def __post_init__(self) -> None:
        self._run = judge_of(self.built)

    def take(self, table: pa.Table, frame: pd.DataFrame, start: int) -> None:
        self.finding.add(judge(self.built, frame, self.history, self._run), start)

    def finish(self, data: Manifest) -> None:
        """Nothing is left to judge."""


@dataclass
class _ByEquals:
    """Judges uniqueness on only those rows whose value's hash another row has: all equal rows are among them."""

    finding: Finding
    built: Prepared
    history: History
    _hashed: list[np.ndarray] | None = field(default_factory=list)

    def take(self, table: pa.Table, frame: pd.DataFrame, start: int) -> None:
        if self._hashed is None or self.finding.could_not_run:
            return
        try:
            self._hashed.append(hashes(self.built, table, self.history))
        except TypeError:  # values without a hash, such as lists
            self._hashed = None
        except Exception as error:
            self.finding.add(not_run(self.built, error))

    def finish(self, data: Manifest) -> None:
        names = _columns(self.built.expectation)
        if self.finding.could_not_run:
            return
        if self._hashed is None:
            self.finding.add(judge(self.built, to_frame(_read(data, names)), self.history))
            return
        maybe = repeated(self._hashed)
        found = judge(self.built, to_frame(_read(data, names, maybe)), self.history)
        self.finding.add(found.moved(maybe))


def _judge_rows(data: Manifest, schema: pa.Schema, ready: Sequence[tuple[Finding, Prepared]], history: History) -> None:
    """Judge in chunks of only the columns that some expectations share."""
    sharing: dict[tuple[str, ...], list[_ByRow | _ByEquals]] = defaultdict(list)
    for finding, built in ready:
        kind = _ByEquals if built.reach == "equals" else _ByRow
        sharing[tuple(_columns(built.expectation))].append(kind(finding, built, history))
    for names, together in sharing.items():
        narrow = all(_is_narrow(schema.field(name).type) for name in names)
        rows = NARROW_ROWS if narrow else CHUNK_ROWS
        for start, batch in numbered(read_chunks(data, rows=rows, columns=names)):
            table = pa.Table.from_batches([batch]).select(names)
            frame = to_frame(table)
            for one in together:
                one.take(table, frame, start)
        for one in together:
            one.finish(data)


def _is_narrow(kind: pa.DataType) -> bool:
    """Whether a value takes eight bytes at most."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_timestamp(kind))


def numbered(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Each batch with the position of its first row."""
    start = 0
    for batch in batches:
        yield start, batch
        start += batch.num_rows
