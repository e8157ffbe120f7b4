"""Expectations that most use cases have, under the same names everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Literal

from include.quality.expectation import Expectation
from include.quality.usual import newest_within, usual_rows


def rows_arrived(meaning: str, least: int, most: int, unit: str) -> Expectation:
    """The night brought a possible number of rows."""
    bounds = {"min_value": least, "max_value": most}
    return Expectation(
        "rows_arrived", "ExpectTableRowCountToBeBetween", ("row_id",), "critical", meaning, bounds, unit=unit
    )


def rows_as_usual(meaning: str, least: float, most: float, unit: str) -> Expectation:
    """The night brought as many rows as nights of its weekday do, within these ratios to their median."""
    return Expectation(
        "rows_as_usual",
        "ExpectTableRowCountToBeBetween",
        (),
        "warning",
        meaning,
        bounds=usual_rows(least, most),
        unit=unit,
    )


def columns_present(meaning: str, columns: Sequence[str]) -> Expectation:
    """Every column was staged."""
    wanted = {"column_set": list(columns), "exact_match": False}
    return Expectation(
        "columns_present", "ExpectTableColumnsToMatchSet", (), "critical", meaning, wanted, unit="columns"
    )


def columns_typed(types: Mapping[str, tuple[str, str]]) -> Iterator[Expectation]:
    """Each column is of its type, as the library names it, which the second word says for people."""
    for column, (kind, words) in types.items():
        yield Expectation(
            f"{column}_type",
            "ExpectColumnValuesToBeOfType",
            (column,),
            "critical",
            f"Column {column} holds {words}",
            {"column": column, "type_": kind},
            unit="type",
        )


def source_fresh(
    meaning: str, column: str, age: timedelta, severity: Literal["critical", "warning", "info"] = "warning"
) -> Expectation:
    """The newest time lies at most so long before the end of the night."""
    return Expectation(
        "source_fresh",
        "ExpectColumnMaxToBeBetween",
        (column,),
        severity,
        meaning,
        bounds=newest_within(column, age),
        unit="time",
    )


def answers_arrived(meaning: str, unit: str) -> Expectation:
    """There was something to answer."""
    return Expectation(
        "answers_arrived", "ExpectTableRowCountToBeBetween", (), "info", meaning, {"min_value": 1}, unit=unit
    )


def answers_refused(unit: str, least_rows: int) -> Expectation:
    """The model refused no more than half of a night."""
    return Expectation(
        "answers_refused",
        "ExpectColumnValuesToNotBeInSet",
        ("ending",),
        "critical",
        "The model did not refuse; half of a night refused stops it",
        {"column": "ending", "value_set": ["refused"]},
        at_least=0.5,
        unit=unit,
        least_rows=least_rows,
    )
