"""Expectations in a line: what a rule is about is named once, and Great Expectations still judges it.

Every function returns an `Expectation`. The first argument is the column that is judged; a missing value fails only
`not_null`. All take the same terms by name: `where`, a condition on columns; `severity`; `at_least`, the share of all
rows that must pass; `rows`, whether failing rows are set aside; and `id` and `meaning` in place of the made ones.
`amounts`, `dates` and `percents` are no rules: they say in `COLUMNS` how a column is written.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from include.errors import ConfigurationError
from include.models import Interval
from include.quality.expectation import DERIVED, SQL, Bounds, Expectation
from include.quality.patterns import regex_of_like
from include.quality.usual import newest_within
from include.systems.files.formats.dates import dates
from include.systems.files.formats.notation import amounts, percents

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "amounts",
    "dates",
    "percents",
    *("accepted_values", "between", "depends", "fresh", "like", "matches", "not_after", "not_null", "present"),
    *("reference", "row_count", "spelt", "sql", "unique"),
]
Where = Mapping[str, Any]
"""Column to what it must be: a value, a collection of values, None (no value), or a function of its values that
returns a flag each. A row is judged where all of them hold."""
Make = Callable[["pd.DataFrame"], "pd.Series[Any]"]
_FEW = 50
_TRUE = {"column": DERIVED, "value_set": [True]}
_IN_SET = "ExpectColumnValuesToBeInSet"


class Terms(TypedDict, total=False):
    """What all rules take by name."""

    where: Where | None
    severity: Literal["critical", "warning", "info"]
    at_least: float
    rows: Literal["quarantine", "keep"]
    id: str
    meaning: str


@dataclass(frozen=True)
class Derived:
    """A column that a rule computes; rows for which `where` does not hold get `elsewhere`, which passes."""

    make: Make
    where: Where | None = None
    elsewhere: bool | None = None
    __code__ = None  # what raises here is not a line of the reader's file

    def __call__(self, rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
        """One value a row."""
        made = self.make(rows)
        if self.where is None:
            return made
        if self.elsewhere is None and made.dtype.kind in "iu":
            made = made.astype("Int64")
        return made.where(applies(self.where, rows), self.elsewhere)


def present(values: pd.Series[Any]) -> pd.Series[Any]:
    """For `where`: rows that have a value."""
    return values.notna()


def not_null(column: str, **terms: Unpack[Terms]) -> Expectation:
    """Every row has a value."""
    made = _Rule("not_null", (column,), f"{column} has a value", terms)
    if terms.get("where") is None:
        return made.expect("ExpectColumnValuesToNotBeNull", {"column": column})
    return made.expect_flag(lambda rows: rows[column].notna())


def unique(*columns: str, **terms: Unpack[Terms]) -> Expectation:
    """No value, or combination of values of several columns, is there twice."""
    made = _Rule("unique", columns, f"No {' and '.join(columns)} twice", terms)
    if terms.get("where") is not None:
        return made.expect_derived("ExpectColumnValuesToBeUnique", lambda rows: _combined(rows, columns))
    if len(columns) == 1:
        return made.expect("ExpectColumnValuesToBeUnique", {"column": columns[0]})
    return made.expect("ExpectCompoundColumnsToBeUnique", {"column_list": list(columns)})


def accepted_values(column: str, values: Collection[Any], **terms: Unpack[Terms]) -> Expectation:
    """Every value is one of `values`."""
    known = list(values)
    shown = ", ".join(map(str, known[:5])) + (f" and {len(known) - 5} others" if len(known) > 5 else "")
    made = _Rule("accepted_values", (column,), f"{column} is one of {shown}", terms)
    if terms.get("where") is None and len(known) <= _FEW:
        return made.expect(_IN_SET, {"column": column, "value_set": known})
    return made.expect_flag(lambda rows: rows[column].isin(known) | rows[column].isna())


def between(column: str, least: Any = None, most: Any = None, **terms: Unpack[Terms]) -> Expectation:
    """Every value is from `least` to `most`, both included; None leaves an end open. A date as `most` is its whole day.

    Raises ConfigurationError without both ends, or with ends of which one is a date and the other a number.
    """
    ends = [end for end in (least, most) if end is not None]
    if not ends or len({next((kind for kind in (date, str) if isinstance(end, kind)), float) for end in ends}) > 1:
        raise ConfigurationError("needs an end, or two of the same kind", about=f"between {column!r}")
    words = (
        f"between {least} and {most}" if len(ends) == 2 else f"at least {least}" if most is None else f"up to {most}"
    )
    made = _Rule("between", (column,), f"{column} is {words}", terms)
    if isinstance(ends[0], date):
        bounds = {"min_value": _instant(least, time.min), "max_value": _instant(most, time.max)}
        return made.expect_derived("ExpectColumnValuesToBeBetween", lambda rows: _times(rows[column]), bounds)
    bounds = {"min_value": least, "max_value": most}
    if terms.get("where") is None:
        return made.expect("ExpectColumnValuesToBeBetween", {"column": column, **bounds})
    return made.expect_derived("ExpectColumnValuesToBeBetween", lambda rows: rows[column], bounds)


def matches(column: str, pattern: str, **terms: Unpack[Terms]) -> Expectation:
    """Every value as a whole has the form of a regular expression; a whole number is read without `.0`."""
    made = _Rule("matches", (column,), f"{column} has the form {pattern}", terms)
    whole = {"regex": rf"\A(?:{pattern})\Z"}
    return made.expect_derived("ExpectColumnValuesToMatchRegex", lambda rows: _texts(rows[column]), whole)


def like(column: str, pattern: str, *, escape: str = "", **terms: Unpack[Terms]) -> Expectation:
    """Every value as a whole is like a pattern of SQL: `%` stands for any text, `_` for one character, case counts.

    A character after `escape` stands for itself. Raises ConfigurationError for an `escape` that is not one character,
    or that ends the pattern.
    """
    made = _Rule("like", (column,), f"{column} is like {pattern}", terms)
    try:
        whole = {"regex": regex_of_like(pattern, escape)}
    except ValueError as error:
        raise ConfigurationError(str(error), about=f"like {column!r}") from error
    return made.expect_derived("ExpectColumnValuesToMatchRegex", lambda rows: _texts(rows[column]), whole)


def not_after(earlier: str, later: str, **terms: Unpack[Terms]) -> Expectation:
    """The first column's value is not above the second's where both have one; judged are times or numbers."""
    made = _Rule("not_after", (earlier, later), f"{earlier} is not after {later}", terms)
    if terms.get("where") is None:
        given = {"column_A": later, "column_B": earlier, "or_equal": True, "ignore_row_if": "either_value_is_missing"}
        return made.expect("ExpectColumnPairValuesAToBeGreaterThanB", given)
    return made.expect_flag(lambda rows: ~(rows[earlier] > rows[later]).fillna(False).astype(bool))


def depends(
    column: str,
    on: str | Sequence[str],
    *,
    majority: float = 0.0,
    missing: bool = False,
    **terms: Unpack[Terms],
) -> Expectation:
    """Rows with the same value of `on` have the same value of `column`; rows that differ from most are in conflict.

    Where no value is ahead, all rows of the group are; a group in which the value that is ahead has less than the share
    `majority` is not judged. With `missing` a missing value of `column` is a value like others: a row without one is in
    conflict where the others have one. `depends("city", on="zip")`: a zip has one city.
    """
    given = (on,) if isinstance(on, str) else tuple(on)
    made = _Rule("depends", (column, *given), f"Each {' and '.join(given)} has one {column}", terms)

    def agrees(rows: pd.DataFrame) -> pd.Series[Any]:
        import pandas as pd

        from include.quality.conflicts import codes_of, conflicting

        judged = _judged(terms.get("where"), rows)
        keys = codes_of([rows[name] for name in given])
        keys[~judged.to_numpy()] = -1
        return pd.Series(~conflicting(keys, codes_of([rows[column]]) + missing, majority), index=rows.index)

    return made.expect_flag(agrees, whole=True)


def spelt(column: str, **terms: Unpack[Terms]) -> Expectation:
    """No value is a rare one that is one slip away from a common one: `Berlni` beside a thousand times `Berlin`."""
    made = _Rule("spelt", (column,), f"{column} is no misspelling of a common value", terms)

    def is_spelt(rows: pd.DataFrame) -> pd.Series[Any]:
        from include.quality.conflicts import rows_misspelt

        return ~rows_misspelt(rows[column].where(_judged(terms.get("where"), rows)))

    return made.expect_flag(is_spelt, whole=True)


def fresh(column: str, within: timedelta, **terms: Unpack[Terms]) -> Expectation:
    """The newest time is at most `within` before the interval's end."""
    made = _Rule("fresh", (column,), f"The newest {column} is at most {_length(within)} old", terms)
    return made.expect_derived(
        "ExpectColumnMaxToBeBetween", lambda rows: _times(rows[column]), bounds=newest_within(DERIVED, within)
    )


def row_count(least: int, most: int | None = None, **terms: Unpack[Terms]) -> Expectation:
    """There are from `least` to `most` rows."""
    words = f"There are {least:,} to {most:,} rows" if most is not None else f"There are at least {least:,} rows"
    if (least, most) == (1, None):
        words = "There are rows"
    made = _Rule("row_count", (), words, terms)
    return made.expect("ExpectTableRowCountToBeBetween", {"min_value": least, "max_value": most})


def reference(column: str | Sequence[str], to: str, **terms: Unpack[Terms]) -> Expectation:
    """Every value is in another file: `to` is `customers.csv:id`, the columns of several in the same order by commas.

    The file is one that `check` reads, relative to the folder of the file in which the rule stands. It is read when the
    rule is first judged and again when it has changed. Values are equal as numbers or times where both are, else as
    text. Raises ConfigurationError for a `to` without file and as many columns.
    """
    from include.quality.references import Reference

    names = (column,) if isinstance(column, str) else tuple(column)
    place, separator, others = to.rpartition(":")
    targets = tuple(name.strip() for name in others.split(","))
    if not separator or not place or not all(targets) or len(targets) != len(names):
        raise ConfigurationError("needs FILE:COLUMN, a column for each that is judged", about=f"reference to {to!r}")
    caller = inspect.stack()[1].frame.f_globals.get("__file__")
    known = Reference((Path(caller).parent if caller else Path()) / place, targets)
    made = _Rule("reference", names, f"{' and '.join(names)} is in {to}", terms)
    return made.expect_flag(lambda rows: known.holds([rows[name] for name in names]))


def sql(
    query: str,
    *,
    id: str,  # noqa: A002 - as the others call it
    meaning: str,
    columns: Sequence[str] = (),
    severity: Literal["critical", "warning", "info"] = "warning",
    at_least: float = 1.0,
    rows: Literal["quarantine", "keep"] = "keep",
    where: Where | None = None,
) -> Expectation:
    """No row is among those whose number the query returns: `select row from rows where shipped < ordered`.

    The query is one SELECT of DuckDB. `rows` is the data, with the number of each row in column `row`; another file is
    named in quotes, relative to the folder of the file in which the rule stands: `join 'customers.csv' as c on ...`.
    `columns` are those that a report is to show. Raises ConfigurationError for a `where`: a query says it itself.
    """
    if where is not None:
        raise ConfigurationError("takes no `where`: say it in the query", about=f"sql rule {id!r}")
    caller = inspect.stack()[1].frame.f_globals.get("__file__")
    terms: Terms = {"severity": severity, "at_least": at_least, "rows": rows, "id": id, "meaning": meaning}
    folder = Path(caller).parent if caller else Path()
    return _Rule("sql", tuple(columns), meaning, terms).expect(SQL, {"query": query, "folder": str(folder)})


@dataclass(frozen=True)
class _Rule:
    """The parts of an expectation that do not depend on how it is judged."""

    name: str
    columns: tuple[str, ...]
    says: str
    terms: Terms

    def expect(
        self,
        kind: str,
        arguments: Mapping[str, Any],
        derive: Derived | None = None,
        *,
        whole: bool = False,
        bounds: Bounds | None = None,
    ) -> Expectation:
        where = self.terms.get("where") or {}
        share = self.terms.get("at_least", 1.0)
        if not 0 <= share <= 1:
            raise ConfigurationError("is a share of rows, from 0 to 1", about=f"at_least of {self.columns}")
        suffix = "_where_" + "_".join(where) if where else ""
        return Expectation(
            self.terms.get("id") or "_".join([*self.columns, self.name]) + suffix,
            kind,
            tuple(dict.fromkeys([*self.columns, *where])),
            self.terms.get("severity", "warning"),
            self.terms.get("meaning") or self.says + _in_words(where),
            arguments,
            rows=self.terms.get("rows", "keep"),
            at_least=share,
            whole=whole,
            derive=derive,
            bounds=bounds,
        )

    def expect_flag(self, make: Make, *, whole: bool = False) -> Expectation:
        return self.expect(_IN_SET, _TRUE, Derived(make, self.terms.get("where"), True), whole=whole)

    def expect_derived(
        self, kind: str, make: Make, arguments: Mapping[str, Any] | None = None, *, bounds: Bounds | None = None
    ) -> Expectation:
        derived = Derived(make, self.terms.get("where"))
        return self.expect(kind, {"column": DERIVED, **(arguments or {})}, derived, bounds=bounds)


def applies(where: Where, rows: pd.DataFrame) -> pd.Series[Any]:
    """For which rows a condition holds.

    Raises ConfigurationError where a value is of another type than all of its column's, so that it could never hold,
    or a function raises.
    """
    import pandas as pd

    found = pd.Series(True, index=rows.index)
    for name, wanted in where.items():
        found &= _holds(name, wanted, rows[name])
    return found


def _holds(name: str, wanted: Any, values: pd.Series[Any]) -> pd.Series[Any]:
    if wanted is None:
        return values.isna()
    if callable(wanted):
        try:
            return wanted(values).fillna(False).astype(bool)
        except Exception as error:
            raise ConfigurationError(f"raised {type(error).__name__}", about=f"where of {name!r}") from error
    listed = [wanted] if isinstance(wanted, (str, bytes)) or not isinstance(wanted, Collection) else list(wanted)
    seen = values.dropna()
    if len(seen) and listed and isinstance(seen.iloc[0], str) != any(isinstance(one, str) for one in listed):
        held = "text" if isinstance(seen.iloc[0], str) else "no text"
        raise ConfigurationError(f"can never hold, the column is {held}", about=f"where of {name!r}")
    return values.isin(listed)


def _judged(where: Where | None, rows: pd.DataFrame) -> pd.Series[Any]:
    return applies(where or {}, rows)


def _in_words(where: Where) -> str:
    if not where:
        return ""

    def said(name: str, wanted: Any) -> str:
        if wanted is None:
            return f"{name} has no value"
        if callable(wanted):
            return f"{name} has a value" if wanted is present else f"{name} is as asked"
        several = isinstance(wanted, Collection) and not isinstance(wanted, (str, bytes))
        return f"{name} is {' or '.join(map(str, wanted)) if several else wanted}"

    return ", where " + " and ".join(said(name, wanted) for name, wanted in where.items())


def _length(time: timedelta) -> str:
    """A length of time in the largest unit that it is a whole number of."""
    for unit, name in ((timedelta(days=1), "day"), (timedelta(hours=1), "hour"), (timedelta(minutes=1), "minute")):
        if time >= unit and not time % unit:
            return f"{time // unit} {name}{'' if time == unit else 's'}"
    return str(time)


def _instant(end: date | None, otherwise: time) -> datetime | None:
    """A bound as a time in UTC; a date is its first or last moment."""
    if end is None:
        return None
    whole = end if isinstance(end, datetime) else datetime.combine(end, otherwise)
    return whole if whole.tzinfo else whole.replace(tzinfo=UTC)


def _times(values: pd.Series[Any]) -> pd.Series[Any]:
    import pandas as pd

    return pd.to_datetime(values, utc=True)


def _texts(values: pd.Series[Any]) -> pd.Series[Any]:
    """Values as text, missing ones kept; numbers that are whole lose the `.0` that a missing neighbour gave them."""
    if values.dtype.kind == "f" and (values.dropna() % 1 == 0).all():
        values = values.astype("Int64")
    return values if values.dtype == object else values.astype(object).where(values.notna(), None)


def _combined(rows: pd.DataFrame, columns: Sequence[str]) -> pd.Series[Any]:
    """The values of several columns as one; missing only where all are."""
    import pandas as pd

    if len(columns) == 1:
        return rows[columns[0]]
    values = zip(*(rows[name].where(rows[name].notna(), None) for name in columns), strict=True)
    return pd.Series([None if all(one is None for one in row) else row for row in values], rows.index, dtype=object)
