"""On every public table rules of five kinds fail on exactly the rows that plain Python names."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from upath import UPath

from include.errors import NightledgerError
from include.models import Interval
from include.quality.examine import examine
from include.quality.expectation import Expectation
from include.quality.rules import accepted_values, between, matches, not_null, unique
from include.quality.usual import History
from include.settings import ROOT
from include.systems.files.formats.encoding import find_encoding
from include.systems.files.formats.layout import FileLayout, find_layout
from include.systems.files.formats.opening import open_file
from include.systems.files.formats.reading import ABSENT, Reading
from include.systems.files.formats.stage import stage_file
from tests.core.systems.files.plain import plain_records

PUBLIC = ROOT.parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not PUBLIC.is_dir(), reason=f"the public sets are not in {PUBLIC}")
MOST_COLUMNS, MOST_BYTES = 5, 3_000_000
WORD = r"[A-Za-z]+(?: [A-Za-z]+)*"
END = datetime(2026, 11, 2, tzinfo=UTC)
HISTORY = History(Interval(END - timedelta(days=1), END))
Fails = Callable[[str], bool]


def tables() -> list[Path]:
    found = [one for one in PUBLIC.rglob("*") if one.suffix.lower() in (".csv", ".tsv", ".txt") and one.is_file()]
    folders = ("documents_", "email_", "llm_")
    return sorted(one for one in found if not any(part.startswith(folders) for part in one.parts))


def present(text: str) -> bool:
    return text.strip().lower() not in ABSENT


def plain_rows(path: Path, folder: Path) -> tuple[FileLayout, list[list[str]]] | None:
    """The records by the csv module alone; None where it is not sure that they are the ones."""
    text = open_file(path, folder).path.read_bytes().decode(find_encoding(path, None).codec, "replace")
    layout = find_layout(text, True, Reading(), path.name)
    if layout is None or "\x00" in text:
        return None
    rows = list(plain_records(text, layout))
    return (layout, rows) if all(len(row) == len(layout.names) for row in rows) else None


def repeated(cells: Sequence[object | None]) -> list[int]:
    count = Counter(cells)
    return [at for at, cell in enumerate(cells) if cell is not None and count[cell] > 1]


def rules_for(name: str, kind: str, cells: list[str]) -> list[tuple[Expectation, list[int]]]:
    """Rules on a column, and the rows that fail each by hand."""
    known = [cell if present(cell) else None for cell in cells]
    held = [cell for cell in known if cell is not None]
    found = [(not_null(name), [at for at, cell in enumerate(known) if cell is None])]
    if not held:
        return found
    if kind in ("integer", "number"):
        values = [None if cell is None else float(cell) for cell in known]
        low = sorted(value for value in values if value is not None and not math.isnan(value))[len(held) // 10]
        found.append((between(name, low), [at for at, v in enumerate(values) if v is not None and not v >= low]))
        whole = [None if cell is None else int(cell) if kind == "integer" else float(cell) for cell in known]
        found.append((unique(name), repeated(whole)))
    elif kind == "text":
        usual = [value for value, _ in Counter(held).most_common(3)]
        found.append((unique(name), repeated(known)))
        found.append(
            (accepted_values(name, usual), [at for at, cell in enumerate(known) if cell and cell not in usual])
        )
        found.append((matches(name, WORD), [at for at, c in enumerate(known) if c and not re.fullmatch(WORD, c)]))
    return found


def hold(path: Path, folder: Path) -> str:
    """Stage a table and hold it against the rules; returns how it ended."""
    folder.mkdir()
    told: list[str] = []
    try:
        staged = stage_file(path, UPath(folder), tell=lambda *what: told.append(what[2]))
        plain = plain_rows(path, folder)
    except NightledgerError:
        return "refused"
    if plain is None or told or len(plain[1]) != staged.rows.rows or not plain[1]:
        return "not comparable"
    layout, rows = plain
    chosen = list(enumerate(layout.names))[:MOST_COLUMNS]
    wanted = [
        (expectation, failing)
        for at, name in chosen
        for expectation, failing in rules_for(name, staged.types[name], [row[at] for row in rows])
    ]
    findings = examine(staged.rows, [expectation for expectation, _ in wanted], HISTORY, ours=())
    for finding, (expectation, failing) in zip(findings, wanted, strict=True):
        assert finding.could_not_run is None, (path, expectation.id, finding.could_not_run)
        assert list(finding.failing) == failing, (path, expectation.id)
    return "judged"


@pytest.mark.parametrize("part", range(4))
def test_rules_fail_on_the_rows_that_plain_python_names(tmp_path: Path, part: int) -> None:
    every = [one for one in tables() if one.stat().st_size <= MOST_BYTES][part::4]
    ended = Counter(hold(path, tmp_path / str(at)) for at, path in enumerate(every))
    assert ended["judged"] > 0.6 * len(every), ended
