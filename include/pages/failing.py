"""The rows behind a number: every failing row of an expectation, also of those whose rows went on, and what they held.

Values are read from the dataset that was checked, for the rows of a page only; personal ones are shown as tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from include.canonical import mask
from include.database import Database
from include.errors import ConfigurationError, ContractBroken
from include.ledger.record import find_manifest
from include.models import Manifest, Record
from include.pages.reading import PAGE_ROWS, reading, rows
from include.quality.failures import FailingRow, read_failures
from include.spec.names import names
from include.spec.use_case import load
from include.staging import opened

_DATASETS = {"check": ("failures", "raw"), "answers": ("answer_failures", "answers")}
_LONGEST = 200
"""Characters of a value that are shown."""
_RESULT = """
SELECT stage, severity, meaning, handling, columns, unexpected_count AS failing
  FROM nightledger.quality_result WHERE run_id = :run AND expectation = :name"""
_USE_CASE = "SELECT use_case FROM nightledger.run WHERE run_id = :run"


@dataclass(frozen=True, slots=True)
class ShownRow:
    """A failing row and what its columns held, as far as that is known; `position` is its place, from 0."""

    row_id: str
    row_key: str | None
    position: int
    held: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failing:
    """A page of the rows that fail one expectation of a run; `offset` rows come before it, `failing` there are.

    `columns` are those that the expectation is about, `absent` those of them that were never staged, `personal` those
    whose values are tokens. `problem` says why rows or values are not shown, if they are not.
    """

    expectation: str
    stage: str
    severity: str
    meaning: str
    handling: str
    failing: int
    offset: int
    rows: Sequence[ShownRow]
    columns: Sequence[str] = ()
    absent: frozenset[str] = frozenset()
    personal: frozenset[str] = frozenset()
    problem: str = ""

    @property
    def next_offset(self) -> int | None:
        """Where the next page begins, None after the last."""
        end = self.offset + len(self.rows)
        return end if self.rows and end < self.failing else None


@dataclass
class _Values:
    """Of the rows of a page by their place, or why there are none."""

    problem: str = ""
    absent: frozenset[str] = frozenset()
    personal: frozenset[str] = frozenset()
    by_place: dict[int, Record] = field(default_factory=dict)


def show_failing(
    ledger: Database, run_id: str, expectation: str, secret: str, offset: int = 0, limit: int = PAGE_ROWS
) -> Failing:
    """Rows `offset` to `offset + limit`, in the order of the dataset; `secret` keys the tokens.

    Rows or values that are not kept any more are no error: the page says so. Raises ConfigurationError for an
    expectation that the run did not hold.
    """
    with reading(ledger) as connection:
        found = rows(connection, _RESULT, run=run_id, name=expectation)
        use_case = "".join(row["use_case"] for row in rows(connection, _USE_CASE, run=run_id))
    if not found:
        raise ConfigurationError("no such expectation in this run", system="ledger", about=expectation)
    result = {**found[0], "columns": list(dict.fromkeys(found[0]["columns"]))}
    failures, checked = _DATASETS[result["stage"]]
    page, problem = _rows(find_manifest(ledger, run_id, failures), result, expectation, offset, limit)
    values = _Values(problem)
    if page:
        values = _values(find_manifest(ledger, run_id, checked), page, result["columns"], use_case, secret)
    return Failing(
        expectation=expectation,
        offset=offset,
        rows=[ShownRow(r.row_id, r.row_key, r.position, values.by_place.get(r.position, {})) for r in page],
        absent=values.absent,
        personal=values.personal,
        problem=values.problem,
        **result,
    )


def _rows(
    manifest: Manifest | None, result: Mapping[str, Any], expectation: str, offset: int, limit: int
) -> tuple[list[FailingRow], str]:
    """The rows of the page, or why they cannot be shown."""
    if not result["failing"]:
        return [], ""
    if manifest is None:
        return [], "The run kept none of the rows that went on."
    try:
        return read_failures(manifest, expectation, offset, limit), ""
    except (ContractBroken, OSError) as error:
        return [], f"The rows cannot be shown any more: {_why(error)}."


def _values(
    manifest: Manifest | None, page: Sequence[FailingRow], columns: Sequence[str], use_case: str, secret: str
) -> _Values:
    """What the columns of the page's rows held, or why that cannot be shown."""
    if not secret:  # without it a token could be told from a guess
        return _Values("Values are not shown: NIGHTLEDGER_TOKEN_SECRET is not set where these pages run.")
    if use_case not in names():  # its declarations say what is personal
        return _Values("Values are not shown: the use case is not part of this deployment.")
    if manifest is None:
        return _Values("Values are not shown: the run has no such dataset.")
    case, absent = load(use_case), frozenset(columns) - manifest.columns.keys()
    personal = frozenset(columns) & {*case.personal, *case.answers_personal}
    present = [name for name in columns if name not in absent]
    try:
        read = dict(_read(manifest, [row.position for row in page], present))
    except (ContractBroken, OSError) as error:
        return _Values(f"Values cannot be shown any more: {_why(error)}.", absent, personal)
    if any(read.get(row.position, {}).get("row_id") != row.row_id for row in page):
        return _Values("Values cannot be shown: the dataset is not the one that was checked.", absent, personal)
    held = {at: mask({n: row[n] for n in present}, personal, secret, case.tokenise) for at, row in read.items()}
    shown = {at: {name: _cut(value) for name, value in row.items()} for at, row in held.items()}
    return _Values("", absent, personal, shown)


def _read(manifest: Manifest, places: Sequence[int], columns: Sequence[str]) -> Iterator[tuple[int, Record]]:
    """Some columns of the rows at some places; reads only the row groups that hold them."""
    wanted = list(dict.fromkeys(["row_id", *columns]))
    with opened(manifest) as file:
        first = 0
        for group in range(file.metadata.num_row_groups):
            end = first + file.metadata.row_group(group).num_rows
            here = [place for place in places if first <= place < end]
            if here:
                table = file.read_row_group(group, columns=wanted).take([place - first for place in here])
                yield from zip(here, table.to_pylist(), strict=True)
            first = end


def _cut(value: Any) -> Any:
    """The value as it is shown: a long one ends with dots."""
    text = value if isinstance(value, str) else str(value)
    return None if value is None else text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _why(error: ContractBroken | OSError) -> str:
    return error.problem if isinstance(error, ContractBroken) else "the staging folder cannot be read from here"
