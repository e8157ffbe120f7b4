"""What is to be mended at the sources: for each owner one list for a spreadsheet and one page.

They name rows by their keys and columns, and show no value of a personal column.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count, zip_longest
from pathlib import Path
from typing import Any, NamedTuple, TextIO, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy import Row, select
from upath import UPath

from include.database import Database, transaction
from include.ledger import tables
from include.ledger.quarantine import MOST_LISTED, Filter, read_page
from include.models import Record
from include.night.extract.owners import Owners
from include.private import open_file, write_file
from include.report import wording
from include.report.cells import harmless
from include.settings import Settings
from include.spec.names import names
from include.spec.use_case import load
from include.systems.port import Origin
from include.systems.registry import System, read_systems

NOBODY = "no owner in the registry"
SHOWN = 200
"""Rows of one page for one expectation; the list for a spreadsheet holds all."""
_READABLE = "Can be read"


class Task(NamedTuple):
    """One thing to mend: a row, the columns of it as they are called at the source, what is expected, what to do."""

    use_case: str
    night: str
    system: str
    object: str
    row_key: str
    place: str
    columns: str
    expected: str
    todo: str


@dataclass
class _Group:
    """Tasks of one owner for one expectation; the first ones are kept for the page."""

    expected: str
    rows: int = 0
    shown: list[Task] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Expected:
    """An expectation as the run had it on record."""

    type: str
    columns: Sequence[str]
    meaning: str


def write_cleanup(
    ledger: Database, settings: Settings, chosen: Filter, folder: Path | UPath
) -> dict[str, tuple[str, str]]:
    """Write `cleanup-<owner>.csv` and `.html` for each owner of the chosen rows; returns their places by owner.

    The CSV is UTF-8 with a byte order mark, without which Excel takes it for Latin-1; every field is quoted, and one
    that a spreadsheet would take for a formula starts with an apostrophe
    (https://owasp.org/www-community/attacks/CSV_Injection). Memory does not grow with the rows. Nothing is written
    where nothing is chosen.
    """
    reader = _Reader(ledger, read_systems(settings.systems_file))
    sheets: dict[str, _Sheet] = {}
    with ExitStack() as files:
        for owner, task in reader.tasks(chosen):
            if owner not in sheets:
                stem = _stem(owner, {sheet.stem for sheet in sheets.values()})
                place = folder / f"{stem}.csv"
                handle = cast("TextIO", open_file(place, "w", encoding="utf-8-sig", newline=""))
                files.enter_context(handle)
                sheets[owner] = _Sheet(stem, handle)
            sheets[owner].add(task)
    for owner, sheet in sheets.items():
        write_file(folder / f"{sheet.stem}.html", _page(owner, sheet))
    return {
        owner: (str(folder / f"{sheet.stem}.csv"), str(folder / f"{sheet.stem}.html"))
        for owner, sheet in sheets.items()
    }


def _stem(owner: str, taken: Collection[str]) -> str:
    """A file name for an owner that no other owner has."""
    slug = re.sub(r"[^a-z0-9]+", "-", owner.lower()).strip("-") or "unnamed"
    names_left = (f"cleanup-{slug}{f'-{number}' if number else ''}" for number in count())
    return next(name for name in names_left if name not in taken)


class _Sheet:
    """What one owner gets: every task goes to the list, the first ones of each expectation are kept for the page."""

    def __init__(self, stem: str, handle: TextIO) -> None:
        self.stem, self.groups = stem, dict[str, _Group]()
        self._list = csv.writer(handle, quoting=csv.QUOTE_ALL)
        self._list.writerow(name.replace("_", " ") for name in Task._fields)

    def add(self, task: Task) -> None:
        self._list.writerow([harmless(cell) for cell in task])
        name = _without_values(task.expected)
        group = self.groups.setdefault(name, _Group(name))
        group.rows += 1
        if len(group.shown) < SHOWN:
            group.shown.append(task)


def _without_values(expected: str) -> str:
    """What is expected, the same for every row: what came instead, and numbers of lines, differ."""
    if not expected.startswith(_READABLE):
        return expected
    return re.sub(r"\d+", "\u2026", expected.partition(", got ")[0])


class _Reader:
    """Reads entries page by page, and each run's expectations and each use case's columns once."""

    def __init__(self, ledger: Database, systems: Mapping[str, System]) -> None:
        self._ledger, self._systems, self._known = ledger, systems, names()
        self._expected: dict[str, dict[str, _Expected]] = {}
        self._owners: dict[str, Owners] = {}

    def tasks(self, chosen: Filter) -> Iterator[tuple[str, Task]]:
        """Every task with its owner: one for each row and reason."""
        after = None
        while True:
            with transaction(self._ledger) as connection:
                rows = read_page(connection, chosen, after, MOST_LISTED, tables.quarantine.c.record)
            for row in rows:
                yield from self._of_row(row)
            if len(rows) < MOST_LISTED:
                return
            after = rows[-1].quarantine_id

    def _of_row(self, row: Row[Any]) -> Iterator[tuple[str, Task]]:
        owners = self._owners_of(row.use_case)
        system, kind, _ = (*row.row_id.split("/", 2), "", "")[:3]
        for reason, name in zip_longest(row.reasons, row.expectations[: len(row.reasons)]):
            expected = self._expectations(row.run_id).get(name)
            if expected is None:
                column, meaning = _read_reason(row.stage, reason)
                origin, owner = Origin(system, kind.partition(":")[0], column), row.owner
            else:
                origins = [owners.origin_of(one, row.record) for one in expected.columns] if owners else []
                origin = origins[0] if origins else Origin(system, kind, ", ".join(expected.columns))
                same = (one.name for one in origins if one.system == origin.system and one.name)
                origin = origin._replace(name=", ".join(dict.fromkeys(same)) or origin.name)
                owner = owners.of_system(origin.system) if owners else row.owner
                meaning = expected.meaning
            yield owner or NOBODY, _task(row, origin, meaning, expected)

    def _owners_of(self, use_case: str) -> Owners | None:
        """None for a use case that is not there any more."""
        if use_case in self._known and use_case not in self._owners:
            self._owners[use_case] = Owners.read(load(use_case), self._systems)
        return self._owners.get(use_case)

    def _expectations(self, run_id: str) -> Mapping[str, _Expected]:
        if run_id not in self._expected:
            r = tables.quality_result.c
            query = select(r.expectation, r.type, r.columns, r.meaning).where(r.run_id == run_id)
            with transaction(self._ledger) as connection:
                found = connection.execute(query).all()
            self._expected[run_id] = {name: _Expected(*more) for name, *more in found}
        return self._expected[run_id]


def _read_reason(stage: str, reason: str) -> tuple[str, str]:
    """The column that a reason names, if any, and what is expected; for a row whose expectation is not on record."""
    column, _, problem = reason.partition(": ")
    if stage == "check":
        return "", re.sub(r" \(\w+\)$", "", problem or reason)
    return (column, f"{_READABLE}: {problem}") if problem else ("", f"{_READABLE}: {reason}")


def _task(row: Row[Any], origin: Origin, meaning: str, expected: _Expected | None) -> Task:
    where = next((p for p in row.source.split("; ") if p.startswith((f"{origin.system} ", f"{origin.system}/"))), "")
    place = where[len(origin.system) + 1 :] or row.source
    night = f"{row.interval_start:%Y-%m-%d}"
    key = row.row_key or row.row_id
    return Task(
        row.use_case,
        night,
        origin.system,
        origin.object,
        key,
        place,
        origin.name,
        meaning,
        _todo(row, origin, expected),
    )


def _todo(row: Row[Any], origin: Origin, expected: _Expected | None) -> str:
    """What to do at the source, in words."""
    what = origin.name or "the row"
    if not row.counts_as_input and row.row_id.startswith(f"{origin.system}/") and ":" in row.row_id:
        return f"Correct {what} and deliver the file again"
    if expected is not None and expected.type == "ExpectColumnValuesToBeUnique":
        return f"Decide which row with this {what} is right; correct or remove the others"
    if expected is not None and expected.type == "ExpectColumnValuesToNotBeNull":
        return f"Fill in {what}"
    return f"Correct {what}"


def _page(owner: str, sheet: _Sheet) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=wording.number, plural=wording.plural)
    groups = sorted(sheet.groups.values(), key=lambda group: -group.rows)
    facts: Record = {
        "owner": owner,
        "groups": groups,
        "total": sum(group.rows for group in groups),
        "nights": sorted({task.night for group in groups for task in group.shown}),
        "list": f"{sheet.stem}.csv",
        "written": datetime.now().astimezone(),
    }
    return environment.get_template("cleanup.html.j2").render(facts)
