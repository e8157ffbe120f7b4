"""Items that wait, as a table for people without Airflow, and what they said in it: CSV out, CSV or XLSX back."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from include.errors import ConfigurationError
from include.ledger.review_queue import Item
from include.ledger.reviews import Action, Choice
from include.models import Record
from include.plain import defused

_ABOUT = ("item", "shown_sha256", "use_case", "row_key", "night", "reason", "confidence")
_SAID = ("verdict", "comment")
_SEEN, _ANSWER = "seen: ", "answer: "
VERDICTS: tuple[Action, ...] = ("approve", "edit", "reject")
_MOST_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a table says: choices by comment, and by its line (the header is 1) what is wrong with the others."""

    choices: Mapping[str, list[Choice]]
    faults: Mapping[int, str]
    empty: int


def write_sheet(items: Sequence[Item], use_case: str, out: TextIO) -> None:
    """One line an item: what was seen, the answer field by field, and two empty columns for verdict and comment.

    Lists and objects are JSON. Text that a spreadsheet would run as a formula has an apostrophe before it.
    """
    seen = list(dict.fromkeys(name for item in items for name in item.shown.get("input", {})))
    answer = list(dict.fromkeys(name for item in items for name in item.proposed))
    lines = csv.writer(out)
    lines.writerow([*_ABOUT, *(f"{_SEEN}{name}" for name in seen), *(f"{_ANSWER}{name}" for name in answer), *_SAID])
    for item in items:
        given, night = item.shown.get("input", {}), f"{item.interval_start:%Y-%m-%d}"
        about = (item.number, item.shown_sha256, use_case, item.row_key, night, item.reason, item.confidence)
        cells = [*about, *(given.get(name) for name in seen), *(item.proposed.get(name) for name in answer), "", ""]
        lines.writerow([defused(_cell(value)) for value in cells])


def read_sheet(path: Path, use_case: str, proposed: Mapping[int, Record]) -> Sheet:
    """What people said in a table of `write_sheet`; lines without a verdict are left as they are.

    `proposed` are the answers of the items by number: a line that says `edit` takes its own fields in their place, one
    that says `approve` must not have changed any. Raises ConfigurationError for a file that is no such table.
    """
    choices, faults, empty = dict[str, list[Choice]](), dict[int, str](), 0
    for number, line in _lines(path):
        verdict = line["verdict"].strip().lower()
        if not verdict:
            empty += 1
            continue
        try:
            choice = _choice(line, verdict, use_case, proposed)
        except ValueError as error:
            faults[number] = str(error)
            continue
        choices.setdefault(line["comment"].strip(), []).append(choice)
    return Sheet(choices, faults, empty)


def _choice(line: Mapping[str, str], verdict: str, use_case: str, proposed: Mapping[int, Record]) -> Choice:
    if verdict not in VERDICTS:
        raise ValueError(f"its verdict is none of {', '.join(VERDICTS)}")
    if line["use_case"] != use_case:
        raise ValueError(f"is of another queue than {use_case}")
    try:
        item = int(float(line["item"]))
    except (ValueError, OverflowError) as error:
        raise ValueError("its item is no number") from error
    if item not in proposed:
        raise ValueError("there is no such item in this queue")
    given = _answer(line, proposed[item])
    if verdict == "approve" and not all(_alike(given[name], value) for name, value in proposed[item].items()):
        raise ValueError("approves an answer that was changed in the table; say edit")
    wanted = {name: _typed(name, given[name], value) for name, value in proposed[item].items()}
    output = wanted if verdict == "edit" else None
    return Choice(item, line["shown_sha256"], verdict, output)


def _answer(line: Mapping[str, str], proposed: Record) -> dict[str, str]:
    """The answer's cells as texts; of a field whose column was removed, what was proposed."""
    return {name: line.get(f"{_ANSWER}{name}", _text(value)) for name, value in proposed.items()}


def _typed(name: str, text: str, was: Any) -> Any:
    """A cell as the person wants it; the output model gives texts their types later."""
    if _alike(text, was):
        return was
    if isinstance(was, (list, dict)):
        try:
            return json.loads(text)
        except ValueError as error:
            raise ValueError(f"{name} must be JSON, as it was") from error
    return text if text or isinstance(was, str) else None


def _cell(value: Any) -> Any:
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else value


def _alike(text: str, value: Any) -> bool:
    """Whether a cell still says what it said, as a spreadsheet may write it: `007` as 7, `True` as TRUE."""
    was = _text(value)
    if text.casefold() == was.casefold() or text == str(_cell(value)):
        return True
    try:
        return float(text) == float(was)
    except ValueError:
        return False


def _text(value: Any) -> str:
    """A value as it comes back from a table."""
    cell = defused(_cell(value))
    return _number(cell) if isinstance(cell, (int, float)) and not isinstance(cell, bool) else str(cell)


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Lines by number, every cell a text; a number that a spreadsheet made of one is written as before."""
    rows = _sheet_rows(path) if path.suffix.lower() == ".xlsx" else _csv_rows(path)
    header = [str(name).strip() for name in next(rows, [])]
    if lacking := [name for name in (*_ABOUT[:3], *_SAID) if name not in header]:
        raise ConfigurationError(
            f"has no column {', '.join(lacking)}", about=str(path), action="Use a table of `nightledger review export`"
        )
    for number, cells in enumerate(rows, 2):
        if number > _MOST_ROWS:
            raise ConfigurationError(f"has more than {_MOST_ROWS:,} lines", about=str(path))
        line = dict.fromkeys(header, "") | dict(zip(header, map(_back, cells), strict=False))
        if any(line.values()):
            yield number, line


def _back(cell: Any) -> str:
    if isinstance(cell, bool):
        return str(cell)
    if isinstance(cell, (int, float)):
        return _number(cell)
    return "" if cell is None else str(cell)


def _csv_rows(path: Path) -> Iterator[list[Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            yield from csv.reader(file, delimiter=";" if first.count(";") > first.count(",") else ",")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"cannot be read: {error}", about=str(path), action="Save it as CSV UTF-8") from error


def _sheet_rows(path: Path) -> Iterator[list[Any]]:
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        yield from CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python()
    except (CalamineError, OSError, IndexError) as error:
        raise ConfigurationError(f"cannot be read: {error}", about=str(path), action="Save it as XLSX again") from error
