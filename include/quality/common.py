"""Expectations that most use cases have, under the same names everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from include.models import Interval
from include.quality.columns import rows_pass
from include.quality.expectation import DERIVED, Expectation
from include.quality.instructions import speaks_to_model
from include.quality.usual import newest_within, usual_rows

if TYPE_CHECKING:
    import pandas as pd


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


def confidence_median(meaning: str, least: float, least_rows: int) -> Expectation:
    """Half of the answers are at least so certain."""
    return Expectation(
        "confidence_median",
        "ExpectColumnMedianToBeBetween",
        ("confidence",),
        "warning",
        meaning,
        {"column": "confidence", "min_value": least, "max_value": 1},
        unit="share",
        least_rows=least_rows,
    )


def value_balance(column: str, most: float, answers: str, least_rows: int) -> Expectation:
    """No value has more than this share of a night's `answers`, or they are held back: `{column}_balance`."""
    return Expectation(
        f"{column}_balance",
        "ExpectColumnMaxToBeBetween",
        (column,),
        "critical",
        f"No {column} has more than {most * 100:g} % of the night's {answers}",
        {"column": DERIVED, "max_value": most},
        derive=partial(_share_of_value, column=column),
        unit=f"share of {answers}",
        least_rows=least_rows,
    )


def row_not_to_model(meaning: str, columns: Sequence[str], unit: str) -> Expectation:
    """No text of the row has a form of an instruction to a model; the report shows those that do, and they go on."""
    derive = partial(_not_to_model, columns=tuple(columns))
    return rows_pass("row_not_to_model", meaning, columns, derive, unit, severity="info")


def answer_not_told(meaning: str, columns: Sequence[str], unit: str) -> Expectation:
    """No answer is to a row that speaks to the model: whatever was answered there, a person sees it first."""
    derive = partial(_not_to_model, columns=tuple(columns))
    return rows_pass("answer_not_told", meaning, columns, derive, unit, rows="quarantine", at_least=0.98)


def _share_of_value(rows: pd.DataFrame, interval: Interval, column: str) -> pd.Series[Any]:
    """The share of all values that are the row's."""
    return rows[column].map(rows[column].value_counts(normalize=True))


def _not_to_model(rows: pd.DataFrame, interval: Interval, columns: Sequence[str]) -> pd.Series[Any]:
    """Whether none of the columns speaks to a model; each is looked through alone, an equal text once."""
    fine = rows[columns[0]].isna() | True
    for column in columns:
        texts = (value for value in rows[column].dropna().unique() if isinstance(value, str))
        fine &= ~rows[column].isin([value for value in texts if speaks_to_model(value)])
    return fine
