"""Transforms that a function or a list decides: a column derived, a row for each element; those that fail set aside."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from include.canonical import canonical
from include.errors import ConfigurationError
from include.models import Kind, Record, RejectedRow
from include.spec.transforms import Applied, added
from include.systems.kinds import TYPES, OtherKind, of_kind

ROW = ("row_id", "row_key", "lineage")
"""What every row has beside the columns."""


class Underivable(ValueError):
    """Raised by a function of `Derive` for values it cannot work with; its words are kept, so they quote no value."""


@dataclass(frozen=True, slots=True)
class Derive:
    """A column made by a pure function of others, called with their values in the order of `of`.

    `fn` is a function or its name as `module:function`. A row for which it raises, or gives what is not of the kind, is
    set aside with the reason: the words of an `Underivable`, of other errors only their type, since their words may
    quote a value. None is a value of every kind.
    """

    whole: ClassVar[bool] = False

    name: str
    kind: Kind
    fn: Callable[..., Any] | str
    of: tuple[str, ...]

    @property
    def made_of(self) -> Mapping[str, Sequence[str]]:
        """Its column, of those that the function is given."""
        return {self.name: self.of}

    def columns(self, given: Mapping[str, Kind]) -> Mapping[str, Kind]:
        """The columns with this one; also raises ConfigurationError where there is no such function."""
        find_function(self.fn, self.name)
        for name in self.of:
            require(given, name, of=self.name)
        return added(given, self.name, self.kind)

    def apply(self, rows: list[Record], end: datetime) -> Applied:
        """The rows with the column, and those set aside for which there is no value."""
        function, applied = find_function(self.fn, self.name), Applied()
        for row in rows:
            try:
                row[self.name] = of_kind(function(*(row[name] for name in self.of)), self.kind)
            except Exception as error:  # whatever a use case's function raises concerns its row alone
                said = str(error) if isinstance(error, (Underivable, OtherKind)) else type(error).__name__
                applied.rejected.append(set_aside(row, f"{self.name}: cannot be derived ({said})"))
            else:
                applied.append(row)
        return applied


@dataclass(frozen=True, slots=True)
class Explode:
    """One row for each element of a list, e.g. the lines of an order; column `key` is its number from 1.

    `of` holds the list, or its JSON text; afterwards it holds the element: a text as it is, else its JSON. `take` makes
    columns of the element's fields; a field that is not there is None. The row is `<row id>/<number>`. No list and an
    empty one give no row and are counted as `empty`. A row whose list cannot be read, or has over `most` elements, is
    set aside; so is an element with a field of another kind than declared.
    """

    whole: ClassVar[bool] = False

    of: str
    key: str
    take: Mapping[str, Kind] = field(default_factory=dict)
    most: int = 10_000

    @property
    def made_of(self) -> Mapping[str, Sequence[str]]:
        """The number and the fields, of the list."""
        return dict.fromkeys((self.key, *self.take), (self.of,))

    def columns(self, given: Mapping[str, Kind]) -> Mapping[str, Kind]:
        """The columns with the number and the fields."""
        require(given, self.of, "text", of=self.key)
        after = added(given, self.key, "integer")
        for name, kind in self.take.items():
            after = added(after, name, kind)
        return after

    def apply(self, rows: list[Record], end: datetime) -> Applied:
        """A row for each element."""
        applied, empty = Applied(), 0
        for row in rows:
            try:
                elements = self._elements(row[self.of])
            except OtherKind as error:
                applied.rejected.append(set_aside(row, f"{self.of}: {error}"))
                continue
            empty += not elements
            for number, element in enumerate(elements, 1):
                self._add(applied, row, number, element)
        applied.counts = {"empty": empty}
        return applied

    def _elements(self, value: Any) -> list[Any]:
        if value is None or value == "":
            return []
        try:
            elements = json.loads(value) if isinstance(value, str) else value
        except (ValueError, RecursionError) as error:
            raise OtherKind("no JSON") from error
        if not isinstance(elements, (list, tuple)):
            raise OtherKind("no list")
        if len(elements) > self.most:
            raise OtherKind(f"a list of {len(elements)} elements, at most {self.most} are taken")
        return list(elements)

    def _add(self, applied: Applied, row: Record, number: int, element: Any) -> None:
        one = {**row, **numbered(row, number, element=str(number)), self.key: number}
        one[self.of] = of_kind(element if isinstance(element, str) else canonical(element), "text")
        reasons = []
        for name, kind in self.take.items():
            try:
                one[name] = _from_json(element.get(name) if isinstance(element, dict) else None, kind)
            except OtherKind as error:
                reasons.append(f"{name}: {error}")
        if reasons:
            applied.rejected.append(set_aside(one, *reasons))
        else:
            applied.append(one)


def require(given: Mapping[str, Kind], name: str, *kinds: Kind, of: str) -> Kind:
    """The kind of a column that `of` needs; raises ConfigurationError if it is not there or of none of the kinds."""
    if name not in given or name in ROW:
        raise _wrong(of, f"is made of {name!r}, which is not there")
    if kinds and given[name] not in kinds:
        raise _wrong(of, f"is made of {name!r}, which is {given[name]} and must be {' or '.join(kinds)}")
    return given[name]


def find_function(fn: Callable[..., Any] | str, name: str) -> Callable[..., Any]:
    """The function, imported where it is given by name; raises ConfigurationError if there is none of that name."""
    if callable(fn):
        return fn
    module, _, attribute = fn.partition(":")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise _wrong(name, f"there is no function {fn!r}") from error
    if not callable(function):
        raise _wrong(name, f"{fn!r} is no function")
    found: Callable[..., Any] = function
    return found


def _wrong(name: str, problem: str) -> ConfigurationError:
    return ConfigurationError(problem, about=f"column {name}", action="Correct the use case's spec")


def set_aside(row: Record, *reasons: str) -> RejectedRow:
    """The row as it is set aside, with the place that it was found at."""
    system, place = next(iter(row["lineage"].items()), ("", ""))
    record = {name: value for name, value in row.items() if name not in ROW}
    return RejectedRow(row["row_id"], row["row_key"], f"{system}: {place}", reasons, record)


def numbered(row: Record, number: int, **lineage: str) -> Record:
    """Id, key and lineage of the row of that number among those that one row became."""
    return {
        "row_id": f"{row['row_id']}/{number}",
        "row_key": f"{row['row_key']}/{number}",
        "lineage": {**row["lineage"], **lineage},
    }


def _from_json(value: Any, kind: Kind) -> Any:
    if kind in ("date", "datetime") and isinstance(value, str):
        try:
            value = TYPES[kind].fromisoformat(value)
        except ValueError as error:
            raise OtherKind(f"expected {kind}, got another text") from error
    return of_kind(value, kind)
