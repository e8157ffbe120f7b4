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
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from include.errors import ConfigurationError
from include.models import Manifest
from include.quality.expectation import Expectation
from include.quality.gx import Evaluated, Prepared, hashes, judge, not_run, prepare
from include.quality.usual import History
from include.staging import IDENTITY, read_chunks, read_schema

CHUNK_ROWS = 196_608
"""Rows judged at once: each chunk costs every expectation about 7 ms, and memory by its size."""
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
        self.could_not_run = self.could_not_run or found.could_not_run
        self.missing += found.missing
        self.failing.extend(start + at for at in found.positions)
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
    row_wise = [(finding, built) for finding, built in ready if not _judge_whole(data, finding, built, history, ours)]
    _judge_rows(data, row_wise, history)
    return findings


def _judge_whole(data: Manifest, finding: Finding, built: Prepared, history: History, ours: Collection[str]) -> bool:
    """Judge what must be seen in one piece; False where each row is to be judged by itself."""
    names, empty = _columns(built.expectation), read_schema(data).empty_table()
    if built.reach == "row":
        return False
    if built.reach == "equals":
        _judge_equals(data, finding, built, history)
        return True
    if built.reach == "count":
        seen = pa.table({"row": pa.nulls(data.rows, pa.bool_())})
    elif built.reach == "types":
        seen = empty.select(names)
    elif built.reach == "columns":
        seen = empty.select([name for name in empty.column_names if name not in ours])
    else:
        seen = _read(data, names) if names else empty
    found = judge(built, seen, history)
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
    if not finding.could_not_run and built.reach in ("row", "equals") and not data.rows and not _counts_rows(suite):
        finding.could_not_run = "there are no rows, and no expectation says how many there must be"
    return None if finding.could_not_run else built


def _column_problem(expectation: Expectation, existing: Iterable[str]) -> str | None:
    """A column that was not staged, named with the closest that exists; or that none was named."""
    names = list(existing)
    for name in expectation.columns:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            return f"column {name!r} is missing" + (f"; renamed to {near[0]!r}?" if near else "")
    about_table = expectation.columns or expectation.type.startswith("ExpectTable")
    return None if about_table else "`columns` names none, so nothing would be judged"


def _counts_rows(suite: Sequence[Expectation]) -> bool:
    return any(expectation.type.startswith("ExpectTableRowCount") for expectation in suite)


def _columns(expectation: Expectation) -> list[str]:
    return list(dict.fromkeys(expectation.columns))


def _read(data: Manifest, names: Sequence[str], rows: pa.ChunkedArray | None = None) -> pa.Table:
    """Some columns of all rows, or of those that `rows` marks."""
    parts = [read_schema(data).empty_table().select(names)]
    for start, batch in numbered(read_chunks(data, rows=KEY_ROWS, columns=names)):
        part = pa.Table.from_batches([batch]).select(names)
        parts.append(part if rows is None else part.filter(rows.slice(start, batch.num_rows)))
    return pa.concat_tables(parts)


def _judge_equals(data: Manifest, finding: Finding, built: Prepared, history: History) -> None:
    """Judge uniqueness on only those rows whose value's hash another row has: all equal rows are among them."""
    names = _columns(built.expectation)
    try:
        chunks = (pa.Table.from_batches([batch]) for batch in read_chunks(data, rows=KEY_ROWS, columns=names))
        hashed = pa.chunked_array([hashes(built, chunk, history) for chunk in chunks], pa.int64())
    except TypeError:
        finding.add(judge(built, _read(data, names), history))
        return
    except Exception as error:
        finding.add(not_run(built, error))
        return
    ordered = hashed.combine_chunks().drop_null().sort()
    repeated = ordered.slice(1).filter(pc.equal(ordered.slice(1), ordered.slice(0, max(len(ordered) - 1, 0))))
    maybe = pc.is_in(hashed, value_set=repeated)
    found = judge(built, _read(data, names, maybe), history)
    places = pc.indices_nonzero(maybe)
    finding.add(replace(found, positions=[places[at].as_py() for at in found.positions]))


def _judge_rows(data: Manifest, ready: Sequence[tuple[Finding, Prepared]], history: History) -> None:
    """Judge row by row, in chunks of only the columns that some expectations share."""
    sharing: dict[tuple[str, ...], list[tuple[Finding, Prepared]]] = defaultdict(list)
    for finding, built in ready:
        sharing[tuple(_columns(built.expectation))].append((finding, built))
    for names, together in sharing.items():
        for start, batch in numbered(read_chunks(data, rows=CHUNK_ROWS, columns=names)):
            chunk = pa.Table.from_batches([batch]).select(names)
            for finding, built in together:
                finding.add(judge(built, chunk, history), start)


def numbered(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Each batch with the position of its first row."""
    start = 0
    for batch in batches:
        yield start, batch
        start += batch.num_rows
