"""Labelled rows that a model is asked about: JSON lines with `input`, `expected`, and if wanted `must_not`, `slice`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from include.canonical import canonical, digest
from include.errors import ConfigurationError
from include.models import Record


@dataclass(frozen=True, slots=True)
class Label:
    """What is shown, the fields of the answer that are known to be right, and values that fields must not get.

    `must_not` has a list of values for each field; `slice` is the part of the rows that it is counted under, if any.
    """

    number: int
    given: Record
    expected: Record
    must_not: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    slice: str | None = None

    @property
    def sha256(self) -> str:
        """sha256 over what is given, expected and must not be: the same row in another file is the same."""
        return digest([self.given, self.expected, self.must_not])


@dataclass(frozen=True, slots=True)
class Labels:
    """The rows of one file."""

    name: str
    rows: Sequence[Label]

    @property
    def sha256(self) -> str:
        """sha256 over the rows, in whatever order they stand."""
        return digest(sorted(row.sha256 for row in self.rows))


def read_labels(file: Path, columns: Sequence[str], fields: Sequence[str]) -> Labels:
    """The labelled rows of a file; columns that a row leaves out are empty.

    `columns` are those that the model sees, `fields` those of an answer. Raises ConfigurationError that names file and
    line where there is no row, a line cannot be read, or it names a column or field that there is not: a misspelt one
    would be counted as an answer that is wrong, or as an empty column.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot be read ({type(error).__name__})", about=str(file)) from error
    rows = [_read(file, at, line, columns, fields) for at, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise ConfigurationError("holds no labelled row", about=str(file))
    return Labels(file.name, rows)


def _read(file: Path, number: int, line: str, columns: Sequence[str], fields: Sequence[str]) -> Label:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _wrong(file, number, f"is no JSON ({type(error).__name__})") from None
    if not isinstance(row, dict) or not row.keys() >= {"input", "expected"}:
        raise _wrong(file, number, "needs `input` and `expected`")
    given, expected, must_not = row["input"], row["expected"] or {}, row.get("must_not") or {}
    part = row.get("slice")
    if not all(isinstance(one, dict) for one in (given, expected, must_not)):
        raise _wrong(file, number, "`input`, `expected` and `must_not` are objects")
    if not all(isinstance(values, list) for values in must_not.values()):
        raise _wrong(file, number, "`must_not` has a list of values for each field")
    if part is not None and not isinstance(part, str):
        raise _wrong(file, number, "`slice` is a text")
    if not expected and not must_not:
        raise _wrong(file, number, "says neither what is expected nor what must not be")
    if unknown := given.keys() - {*columns}:
        raise _wrong(file, number, f"`input` has {_few(unknown)}, which the model does not see")
    if unknown := {*expected, *must_not} - {*fields}:
        raise _wrong(file, number, f"knows {_few(unknown)}, which no answer has")
    shown = {name: given.get(name) for name in columns}
    return Label(number, shown, expected, must_not, part)


def _few(names: set[str]) -> str:
    return ", ".join(canonical(name) for name in sorted(names)[:3])


def _wrong(file: Path, number: int, problem: str) -> ConfigurationError:
    return ConfigurationError(problem, about=f"{file}, line {number}")
