"""Expectations of rows that several use cases have: of one column's values, of its times, or of a flag of their own.

First comes the name, or the column that it is made of, then a sentence for people; `unit` is what a row is. `rules.py`
has rules that make up name and sentence themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from include.models import Interval
from include.quality.expectation import DERIVED, Derive, Expectation

if TYPE_CHECKING:
    import pandas as pd

_IN_SET = "ExpectColumnValuesToBeInSet"
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"


class Options(TypedDict, total=False):
    """What all take by name; what is left out is as in `Expectation`, and the severity a warning."""

    severity: Literal["critical", "warning", "info"]
    rows: Literal["quarantine", "keep"]
    at_least: float
    whole: bool
    least_rows: int


class Named(Options, total=False):
    """The same, and a name in place of the one that is made of the column's."""

    id: str


def value_present(column: str, meaning: str, unit: str, **options: Unpack[Named]) -> Expectation:
    """Every row has a value: `{column}_present`."""
    return _of_column("ExpectColumnValuesToNotBeNull", "present", column, meaning, unit, options)


def value_unique(
    column: str, meaning: str, unit: str, *, any_case: bool = False, **options: Unpack[Named]
) -> Expectation:
    """No value is there twice: `{column}_unique`; with `any_case` texts are equal but for case and blanks around."""
    made = _of_column("ExpectColumnValuesToBeUnique", "unique", column, meaning, unit, options)
    return replace(made, arguments={"column": DERIVED}, derive=partial(_lower, column=column)) if any_case else made


def value_among(column: str, meaning: str, values: Collection[Any], unit: str, **options: Unpack[Named]) -> Expectation:
    """Every value is one of these: `{column}_known`."""
    return _of_column(_IN_SET, "known", column, meaning, unit, options, value_set=list(values))


def text_form(column: str, meaning: str, regex: str, unit: str, **options: Unpack[Named]) -> Expectation:
    """Every text matches the regular expression: `{column}_form`."""
    return _of_column("ExpectColumnValuesToMatchRegex", "form", column, meaning, unit, options, regex=regex)


def text_length(column: str, meaning: str, most: int, unit: str, **options: Unpack[Named]) -> Expectation:
    """No text has more characters: `{column}_length`."""
    return _of_column("ExpectColumnValueLengthsToBeBetween", "length", column, meaning, unit, options, max_value=most)


def text_printable(column: str, meaning: str, unit: str, **options: Unpack[Named]) -> Expectation:
    """No text holds control characters other than line breaks and tabs: `{column}_printable`."""
    return _of_column("ExpectColumnValuesToNotMatchRegex", "printable", column, meaning, unit, options, regex=_CONTROL)


def text_there(name: str, meaning: str, columns: Sequence[str], unit: str, **options: Unpack[Options]) -> Expectation:
    """One of the columns, at least, holds a letter or digit."""
    return rows_pass(name, meaning, columns, partial(_say_something, columns=tuple(columns)), unit, **options)


def time_in_interval(name: str, meaning: str, column: str, unit: str, **options: Unpack[Options]) -> Expectation:
    """Every time lies within the night's interval; a missing one does not."""
    return rows_pass(name, meaning, (column,), partial(_in_interval, column=column), unit, **options)


def time_before_end(name: str, meaning: str, column: str, unit: str, **options: Unpack[Options]) -> Expectation:
    """No time is later than the end of the night; a missing one is not."""
    return rows_pass(name, meaning, (column,), partial(_before_end, column=column), unit, **options)


def rows_pass(
    name: str, meaning: str, columns: Sequence[str], derive: Derive, unit: str, **options: Unpack[Options]
) -> Expectation:
    """Every row passes: `derive` says of each whether it does, by these columns."""
    flag = {"column": DERIVED, "value_set": [True]}
    made = Expectation(name, _IN_SET, tuple(columns), "warning", meaning, flag, derive=derive, unit=unit)
    return replace(made, **options)


def _of_column(
    kind: str, what: str, column: str, meaning: str, unit: str, options: Named, **arguments: Any
) -> Expectation:
    given = {"column": column, **arguments}
    made = Expectation(f"{column}_{what}", kind, (column,), "warning", meaning, given, unit=unit)
    return replace(made, **options)


def _lower(rows: pd.DataFrame, interval: Interval, column: str) -> pd.Series[Any]:
    return rows[column].str.strip().str.lower()


def _say_something(rows: pd.DataFrame, interval: Interval, columns: Sequence[str]) -> pd.Series[Any]:
    said = rows[columns[0]].fillna("")
    for column in columns[1:]:
        said = said + rows[column].fillna("")
    return said.str.contains(r"\w", regex=True)


def _in_interval(rows: pd.DataFrame, interval: Interval, column: str) -> pd.Series[Any]:
    return (rows[column] >= interval.start) & (rows[column] < interval.end)


def _before_end(rows: pd.DataFrame, interval: Interval, column: str) -> pd.Series[Any]:
    return ~(rows[column] > interval.end)
