"""Known series from a file: what a forecast is given of them, and what came afterwards."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from include.errors import ConfigurationError
from include.models import Record
from include.systems.forecast.calendar import Calendar
from include.systems.forecast.declared import Forecast

NAMES = ("series", "period", "quantity")
"""What a CSV of known quantities holds."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series: the row that is forecast, and what came, by period."""

    name: str
    row: Record
    came: Mapping[str, float]


def read_series(file: Path, declared: Forecast, columns: Mapping[str, str]) -> tuple[Forecast, list[Series]]:
    """The series of a CSV file, or of JSON lines with `input` and `expected`, and the declaration that fits them.

    Of a CSV the last `horizon` periods of the file are what came. `columns` says what theirs are called; several
    joined by `+` name a series together. Raises ConfigurationError for a file that cannot be used.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot be read ({type(error).__name__})", about=str(file)) from error
    if file.suffix == ".jsonl":
        return declared, list(_examples(text, declared))
    return replace(declared, after=None), list(_cut(_rows(text, file, columns), declared, file))


def _examples(text: str, declared: Forecast) -> Iterator[Series]:
    calendar = Calendar(declared.every)
    for number, line in enumerate(text.splitlines(), 1):
        one = json.loads(line)
        row, came = one["input"], one["expected"].get("horizon", ())
        first = calendar.number(_day(row[declared.after])) + 1 if declared.after else 0
        known = {calendar.begins(first + at).isoformat(): float(quantity) for at, quantity in enumerate(came)}
        yield Series(str(one.get("id") or number), row, known)


def _rows(text: str, file: Path, columns: Mapping[str, str]) -> Iterator[tuple[str, str, float | None]]:
    theirs = {name: columns.get(name, name).split("+") for name in NAMES}
    reader = csv.DictReader(text.splitlines())
    given = reader.fieldnames or ()
    if missing := sorted(one for names in theirs.values() for one in names if one not in given):
        raise ConfigurationError(f"has no column {', '.join(missing)}; it has {', '.join(given)}", about=str(file))
    for row in reader:
        series, period, quantity = (" ".join(row[one] or "" for one in theirs[name]) for name in NAMES)
        try:
            _day(period)
            yield series, period, float(quantity) if quantity.strip() else None
        except ValueError as error:
            place = f"{file}, line {reader.line_num}"
            raise ConfigurationError("holds a period or quantity that is none", about=place) from error


def _cut(rows: Iterable[tuple[str, str, float | None]], declared: Forecast, file: Path) -> Iterator[Series]:
    """The last periods of all rows are what came; a series that ended before them is told so by an unknown quantity."""
    found = defaultdict[str, list[tuple[str, float | None]]](list)
    for series, period, quantity in rows:
        found[series].append((period, quantity))
    days = {_day(period) for members in found.values() for period, _ in members}
    if not days:
        raise ConfigurationError("holds no row", about=str(file))
    calendar = Calendar.of(declared.every, min(days))
    cut = max(map(calendar.number, days)) - declared.horizon + 1
    for name, members in found.items():
        numbered = [(calendar.number(_day(period)), period, quantity) for period, quantity in members]
        before = [{declared.period: p, declared.quantity: q} for number, p, q in numbered if number < cut]
        if all(number != cut - 1 for number, _, _ in numbered):
            before.append({declared.period: calendar.begins(cut - 1).isoformat(), declared.quantity: None})
        came = {calendar.begins(n).isoformat(): q for n, _, q in numbered if n >= cut and q is not None}
        yield Series(name, {declared.of: json.dumps(before)}, came)


def _day(text: str) -> date:
    return date.fromisoformat(str(text)[:10])
