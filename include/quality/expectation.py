"""How a use case declares an expectation: Great Expectations' own types, plus what failing means here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from include.models import Interval
from include.quality.usual import History

if TYPE_CHECKING:
    import pandas as pd

Derive = Callable[["pd.DataFrame", Interval], "pd.Series[Any]"]
Bounds = Callable[[History], Mapping[str, Any]]
DERIVED = "derived"
SQL = "SqlRule"
"""The type of a rule that is a query; its arguments are `query` and the `folder` of the files that it names."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation of a suite.

    `type` is the class's name in `great_expectations.expectations`, `arguments` are its arguments; `bounds` adds those
    that depend on the interval or on earlier nights. `columns` are the staged columns that it needs; with `derive`, a
    Series computed from them is the column called `derived`. `meaning` is a sentence for people, `unit` what a row or
    the observed value is counted in.

    All failing rows of a row-wise expectation are found. `rows` says whether they are set aside or go on; of answers,
    those that are set aside go to a person in every mode but shadow. It succeeds when at least the share `at_least` of
    all rows passes (the library's own `mostly`, a share of the values present, is refused). Below `least_rows` rows it
    is not judged: a distribution of five rows says nothing. Uniqueness and everything about the table run once over the
    whole dataset, the rest in chunks; `whole` asks for the former where `derive` must see all rows. A critical one that
    fails, or cannot be run, stops the night before the model; warning and info are reported.
    """

    id: str
    type: str
    columns: tuple[str, ...]
    severity: Literal["critical", "warning", "info"]
    meaning: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    rows: Literal["quarantine", "keep"] = "keep"
    at_least: float = 1.0
    whole: bool = False
    derive: Derive | None = None
    bounds: Bounds | None = None
    unit: str = "rows"
    least_rows: int = 0
