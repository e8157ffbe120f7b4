"""Labelled rows from a file, and which of them can be used."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from include.errors import ConfigurationError
from include.models import Record
from include.systems.fitted.declared import Local, labels_of
from include.systems.fitted.texts import text_of

_MOST_UNUSABLE = 0.2
"""Above this share of rows that cannot be used, the file or its columns are not what they were taken for."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a file are meant, where they are called otherwise: column read -> theirs, field -> theirs.

    Rows that share the value of `group` are about the same case (a customer, a thread): none of them is held out while
    another is learnt. `id` names a row.
    """

    text: Mapping[str, str] = field(default_factory=dict)
    label: Mapping[str, str] = field(default_factory=dict)
    group: str | None = None
    id: str = "id"


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """One row: its number in the file from 1, its name, what is read of it, and the labels that people gave it."""

    number: int
    name: str
    row: Record
    labels: Mapping[str, str]
    group: str = ""
    forbidden: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why rows are left out, and their numbers in the file."""

    reason: str
    numbers: tuple[int, ...]


def read_labels(file: Path, local: Local, columns: Columns) -> list[LabelledRow]:
    """The rows of a CSV file with a header, or of JSON lines: flat ones, or `input`, `expected` and `must_not`.

    Raises ConfigurationError for a file that cannot be read, or without the columns that are read or labelled.
    """
    records = list(_records(file))
    names = {name for record in records for name in (*record, *_part(record, "input"), *_part(record, "expected"))}
    texts = {name: columns.text.get(name, name) for name in local.reads}
    labels = {name: columns.label.get(name, name) for name in local.fills}
    wanted = [*columns.text.values(), *labels.values(), *([columns.group] if columns.group else [])]
    if missing := sorted(set(wanted) - names):
        raise ConfigurationError(
            f"has no column {', '.join(missing)}; it has {', '.join(sorted(names))}", about=str(file)
        )
    if not names & set(texts.values()):
        raise ConfigurationError(f"has none of the columns {', '.join(texts.values())}", about=str(file))
    return [_row(number, record, texts, labels, columns) for number, record in enumerate(records, start=1)]


def _row(
    number: int, record: Mapping[str, Any], texts: Mapping[str, str], labels: Mapping[str, str], columns: Columns
) -> LabelledRow:
    given = {**record, **_part(record, "input"), **_part(record, "expected")}
    return LabelledRow(
        number,
        str(given.get(columns.id) or number),
        {name: given.get(theirs) for name, theirs in texts.items()},
        {name: str(given[theirs]).strip() for name, theirs in labels.items() if given.get(theirs) not in (None, "")},
        str(given.get(columns.group) or f"row {number}") if columns.group else "",
        _part(record, "must_not"),
    )


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = record.get(name)
    return part if isinstance(part, Mapping) else {}


def _records(file: Path) -> Iterator[Record]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            if file.suffix.lower() in (".jsonl", ".ndjson"):
                yield from (_parsed(file, number, line) for number, line in enumerate(lines, 1) if line.strip())
            else:
                yield from csv.DictReader(lines)
    except OSError as error:
        raise ConfigurationError(f"cannot be read ({error.strerror})", about=str(file)) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"is no CSV in UTF-8 ({type(error).__name__})", about=str(file)) from error


def _parsed(file: Path, number: int, line: str) -> Record:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise ConfigurationError(f"line {number} is no JSON", about=str(file)) from error
    if not isinstance(record, dict):
        raise ConfigurationError(f"line {number} is no JSON object", about=str(file))
    return record


def usable(
    rows: Sequence[LabelledRow], local: Local, output: Any, least: int
) -> tuple[list[LabelledRow], list[Unusable]]:
    """The rows to learn from, and why the others are left out: with their numbers, and never with what they hold.

    Left out are rows without text or with a label missing or unknown to the answer, all rows of a text that has two
    different labels, a text's repetitions, and rows of a label that has fewer than `least`. Raises ConfigurationError
    if more than a fifth of the rows is left out for another reason than repetition.
    """
    reasons: dict[int, str] = {}
    for row in rows:
        if reason := _problem(row, local, output):
            reasons[row.number] = reason
    repeated = _repeated([row for row in rows if row.number not in reasons], local)
    reasons |= repeated
    while rare := _rare([row for row in rows if row.number not in reasons], local, least):
        reasons |= rare
    bad = sum(reason != _REPEATED for reason in reasons.values())
    unusable = [Unusable(one, tuple(n for n, why in reasons.items() if why == one)) for one in _ordered(reasons)]
    if bad > _MOST_UNUSABLE * len(rows):
        why = "; ".join(f"{one.reason}: {told(one.numbers)}" for one in unusable)
        raise ConfigurationError(
            f"{bad} of {len(rows)} rows cannot be used ({why})",
            about="labels",
            action="Name the columns with --text and --label, or mend the rows",
        )
    return [row for row in rows if row.number not in reasons], unusable


_REPEATED = "the text of an earlier row, with the same labels"


def _problem(row: LabelledRow, local: Local, output: Any) -> str | None:
    if not text_of(row.row, local.reads):
        return "no text"
    for name in local.fills:
        known = labels_of(output, name)
        if name not in row.labels:
            return f"no label for {name}"
        if known is not None and row.labels[name] not in known:
            return f"a label for {name} that the answer does not know"
    return None


def _repeated(rows: Sequence[LabelledRow], local: Local) -> dict[int, str]:
    by_text: dict[str, list[LabelledRow]] = {}
    for row in rows:
        by_text.setdefault(text_of(row.row, local.reads), []).append(row)
    found: dict[int, str] = {}
    for same in by_text.values():
        if any(row.labels != same[0].labels for row in same):
            found |= {row.number: "the same text with different labels" for row in same}
        else:
            found |= {row.number: _REPEATED for row in same[1:]}
    return found


def _rare(rows: Sequence[LabelledRow], local: Local, least: int) -> dict[int, str]:
    for name in local.fills:
        many = Counter(row.labels[name] for row in rows if row.labels[local.fills[0]] != local.out_of_scope)
        rare = {label for label, count in many.items() if count < least}
        found = [row.number for row in rows if row.labels[name] in rare]
        if found:
            return dict.fromkeys(found, f"a label for {name} that fewer than {least} rows have")
    return {}


def _ordered(reasons: Mapping[int, str]) -> list[str]:
    return [reason for reason, _ in Counter(reasons.values()).most_common()]


def told(numbers: Iterable[int], most: int = 10) -> str:
    """Row numbers in words: the first of them, and how many there are."""
    given = sorted(numbers)
    more = f" and {len(given) - most:,} more" if len(given) > most else ""
    return ("row " if len(given) == 1 else "rows ") + ", ".join(map(str, given[:most])) + more
