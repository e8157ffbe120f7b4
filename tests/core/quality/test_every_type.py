"""Every type that works on data frames, once met and once not, against the library used as documented."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from include.models import Record
from include.quality import examine as engine
from include.quality.by_value import OF_PRESENCE, OF_SIZE, OF_TEXT
from include.quality.examine import Finding
from include.quality.gx import load_library
from include.quality.patterns import OF_LIKE
from tests.core.quality.suites import HISTORY, expect, judged, stage

NOT_ON_FRAMES = {
    *("ExpectQueryResultsToMatchComparison", "ExpectTableRowCountToEqualOtherTable"),
    "ExpectMulticolumnValuesToBeUnique",
}
"""Types that the library itself offers for databases only; the last one it names, and cannot run anywhere.

Those about LIKE are of the first kind too, and run here: see test_like.py.
"""
TEXT, WHOLE, NUMBER, TIME = pa.string(), pa.int64(), pa.float64(), pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class Case:
    """A type with values of column `x` that meet it and that do not; `rows` are the failing ones, None for a table's.

    Values that are tuples are those of columns `x`, `y` and `z`.
    """

    type: str
    arguments: Mapping[str, Any]
    kind: pa.DataType
    met: Sequence[Any]
    unmet: Sequence[Any]
    rows: Sequence[int] | None = None
    columns: tuple[str, ...] = ("x",)


def of_table(name: str, kind: pa.DataType, met: Sequence[Any], unmet: Sequence[Any], **arguments: Any) -> Case:
    return Case(f"Expect{name}", arguments, kind, met, unmet)


def of_rows(
    name: str, kind: pa.DataType, met: Sequence[Any], unmet: Sequence[Any], rows: Sequence[int], **arguments: Any
) -> Case:
    return Case(f"Expect{name}", arguments, kind, met, unmet, rows)


def of_several(name: str, met: Sequence[Any], unmet: Sequence[Any], rows: Sequence[int], **arguments: Any) -> Case:
    """Columns are named as the type wants: a pair, or a list."""
    width = len(met[0])
    names = ("x", "y", "z")[:width]
    named = {"column_A": "x", "column_B": "y"} if "Pair" in name else {"column_list": list(names)}
    return Case(f"Expect{name}", {**named, **arguments}, WHOLE, met, unmet, rows, names)


ABC, WITH_D = ["a", "b", "c", "a"], ["a", "d", "c", "d"]
DAY = datetime(2026, 11, 20, tzinfo=UTC)
PARTS = {"values": ["a", "b"], "weights": [0.5, 0.5]}
PERSON = {"type": "object", "required": ["name"]}
CASES = [
    of_rows("ColumnDistinctValuesToBeInSet", TEXT, ABC, WITH_D, [1, 3], value_set=["a", "b", "c", "q"]),
    of_table("ColumnDistinctValuesToContainSet", TEXT, ABC, WITH_D, value_set=["a", "b"]),
    of_rows("ColumnDistinctValuesToEqualSet", TEXT, ABC, WITH_D, [1, 3], value_set=["a", "b", "c"]),
    of_table(
        "ColumnKLDivergenceToBeLessThan", TEXT, ["a", "b"] * 5, ["a"] * 9 + ["b"], partition_object=PARTS, threshold=0.1
    ),
    of_table("ColumnMaxToBeBetween", WHOLE, [1, 2], [1, 9], min_value=1, max_value=5),
    of_table("ColumnMeanToBeBetween", NUMBER, [1.0, 2.0], [1.0, 90.0], min_value=1, max_value=5),
    of_table("ColumnMedianToBeBetween", NUMBER, [1.0, 2.0, 90.0], [8.0, 9.0, 1.0], min_value=1, max_value=5),
    of_table("ColumnMinToBeBetween", WHOLE, [1, 2], [0, 2], min_value=1, max_value=5),
    of_table("ColumnMostCommonValueToBeInSet", TEXT, ABC, ["b", "b", "a"], value_set=["a"]),
    of_several("ColumnPairValuesAToBeGreaterThanB", [(2, 1), (9, 3)], [(2, 1), (3, 9)], [1]),
    of_several("ColumnPairValuesToBeEqual", [(2, 2), (9, 9)], [(1, 2), (9, 9)], [0]),
    of_several("ColumnPairValuesToBeInSet", [(1, 2), (3, 4)], [(1, 2), (2, 1)], [1], value_pairs_set=[(1, 2), (3, 4)]),
    of_table("ColumnProportionOfNonNullValuesToBeBetween", TEXT, ABC, ["a", None, None], min_value=0.9, max_value=1),
    of_table("ColumnProportionOfUniqueValuesToBeBetween", WHOLE, [1, 2, 3], [1, 1, 1], min_value=0.9, max_value=1),
    of_table(
        "ColumnQuantileValuesToBeBetween",
        NUMBER,
        [1.0, 2.0, 3.0],
        [7.0, 8.0, 9.0],
        quantile_ranges={"quantiles": [0.5], "value_ranges": [[1, 3]]},
    ),
    of_table("ColumnStdevToBeBetween", NUMBER, [1.0, 2.0, 3.0], [1.0, 500.0], min_value=0, max_value=5),
    of_table("ColumnSumToBeBetween", WHOLE, [1, 2], [10, 20], min_value=0, max_value=5),
    of_table("ColumnToExist", TEXT, ABC, ABC),
    of_table("ColumnTypeToBe", WHOLE, [1, 2], [1, 2], type_="int64"),
    of_table("ColumnUniqueValueCountToBeBetween", TEXT, ABC, ["a", "a"], min_value=2, max_value=3),
    of_rows("ColumnValueLengthsToBeBetween", TEXT, ["ab", "abc"], ["ab", "abcdef"], [1], min_value=1, max_value=3),
    of_rows("ColumnValueLengthsToEqual", TEXT, ["ab", "cd"], ["ab", "c"], [1], value=2),
    of_rows(
        "ColumnValueZScoresToBeLessThan",
        NUMBER,
        [1.0, 2.0, 3.0],
        [1.0] * 20 + [99.0],
        [20],
        threshold=3,
        double_sided=True,
    ),
    of_rows("ColumnValuesToBeBetween", WHOLE, [1, 5, None], [1, 6, 0], [1, 2], min_value=1, max_value=5),
    of_rows("ColumnValuesToBeDateutilParseable", TEXT, ["2026-11-20", "1 May 2026"], ["2026-11-20", "never"], [1]),
    of_rows("ColumnValuesToBeDecreasing", WHOLE, [3, 2, 1], [3, 4, 1], [1]),
    of_rows("ColumnValuesToBeInSet", TEXT, ABC, WITH_D, [1, 3], value_set=["a", "b", "c"]),
    of_table("ColumnValuesToBeInTypeList", WHOLE, [1, 2], [1, 2], type_list=["int64"]),
    of_rows("ColumnValuesToBeIncreasing", WHOLE, [1, 2, 3], [1, 0, 3], [1]),
    of_rows("ColumnValuesToBeJsonParseable", TEXT, ["{}", "[1]"], ["{}", "{"], [1]),
    of_rows("ColumnValuesToBeNull", TEXT, [None, None], [None, "x"], [1]),
    of_table("ColumnValuesToBeOfType", WHOLE, [1, 2], [1, 2], type_="int64"),
    of_rows("ColumnValuesToBeUnique", TEXT, ["a", "b", None], ["a", "b", "a"], [0, 2]),
    of_rows(
        "ColumnValuesToMatchJsonSchema", TEXT, ['{"name": 1}'], ['{"name": 1}', '{"nom": 1}'], [1], json_schema=PERSON
    ),
    of_rows("ColumnValuesToMatchRegex", TEXT, ["a1", "a2"], ["a1", "b2"], [1], regex="^a"),
    of_rows(
        "ColumnValuesToMatchRegexList", TEXT, ["a1", "b2"], ["a1", "c2"], [1], regex_list=["^a", "^b"], match_on="any"
    ),
    of_rows(
        "ColumnValuesToMatchStrftimeFormat",
        TEXT,
        ["2026-11-20"],
        ["2026-11-20", "20.11.2026"],
        [1],
        strftime_format="%Y-%m-%d",
    ),
    of_rows("ColumnValuesToNotBeInSet", TEXT, ABC, WITH_D, [1, 3], value_set=["d"]),
    of_rows("ColumnValuesToNotBeNull", TEXT, ABC, ["a", None], [1]),
    of_rows(
        "ColumnValuesToNotBeOutliers",
        NUMBER,
        [1.0, 2.0, 3.0, 2.0],
        [1.0, 2.0, 3.0, 2.0] * 5 + [99.0],
        [20],
        method="iqr",
        multiplier=3.0,
    ),
    of_rows("ColumnValuesToNotMatchRegex", TEXT, ["a1", "a2"], ["a1", "b2"], [1], regex="^b"),
    of_rows("ColumnValuesToNotMatchRegexList", TEXT, ["a1", "d2"], ["a1", "c2"], [1], regex_list=["^c", "^b"]),
    of_several("CompoundColumnsToBeUnique", [(1, 2), (1, 3)], [(1, 2), (1, 3), (1, 2)], [0, 2]),
    of_several("MulticolumnSumToEqual", [(1, 2), (0, 3)], [(1, 2), (5, 3)], [1], sum_total=3),
    of_several("MulticolumnValuesToBeEqual", [(1, 1, 1), (2, 2, 2)], [(1, 1, 1), (2, 2, 3)], [1]),
    of_several("SelectColumnValuesToBeUniqueWithinRecord", [(1, 2, 3), (4, 5, 6)], [(1, 2, 3), (4, 4, 6)], [1]),
    of_table("TableColumnCountToBeBetween", TEXT, ABC, ABC, min_value=1, max_value=1),
    of_table("TableColumnCountToEqual", TEXT, ABC, ABC, value=1),
    of_table("TableColumnsToMatchOrderedList", TEXT, ABC, ABC, column_list=["x"]),
    of_table("TableColumnsToMatchSet", TEXT, ABC, ABC, column_set=["x"]),
    of_table("TableRowCountToBeBetween", TEXT, ABC, ["a"] * 9, min_value=1, max_value=5),
    of_table("TableRowCountToEqual", TEXT, ABC, ["a"] * 9, value=4),
]
"""Where a type is about columns and not about values, the unmet table differs in its columns: see `_other_table`."""
NAMES = [case.type for case in CASES]


def test_every_type_of_the_library_is_here() -> None:
    types, _ = load_library()
    known = {name for name in dir(types) if name.startswith("Expect") and name != "Expectation"}
    assert len(NAMES) == len(set(NAMES)) >= 52
    assert known - NOT_ON_FRAMES - set(OF_LIKE) == set(NAMES)


@pytest.mark.parametrize("name", sorted(NOT_ON_FRAMES))
def test_a_type_that_cannot_run_never_passes(name: str, tmp_path: Path) -> None:
    several = {"column": "x", "column_list": ["x"]}
    asked = {"base_query": "SELECT 1", "comparison_query": "SELECT 1", "comparison_data_source_name": "a"}
    given = several if "Multi" in name else asked if "Query" in name else {"other_table_name": "x"}
    data = stage(tmp_path, [{"x": "a"}], {"x": TEXT})
    findings, failing = judged(tmp_path, data, [expect("e", name, "x", **given)])
    assert (findings["e"].success, failing["e"]) == (False, [])
    assert findings["e"].in_words().startswith("could not run: ")


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_a_type_that_is_met(case: Case, tmp_path: Path) -> None:
    finding, failing, library = _judge(tmp_path, case, case.met, case.kind)
    assert finding.could_not_run is None
    assert (finding.success, failing, library) == (True, [], True)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_a_type_that_is_not_met(case: Case, tmp_path: Path) -> None:
    finding, failing, library = _judge(tmp_path, *_other_table(case))
    assert library is False
    assert finding.could_not_run is None or case.type == "ExpectColumnToExist"
    assert finding.success is False
    assert failing == list(case.rows or [])
    assert case.rows is not None or finding.in_words()


@pytest.mark.parametrize(
    "case", [one for one in CASES if one.type in OF_PRESENCE | OF_SIZE | OF_TEXT], ids=lambda one: one.type
)
def test_a_type_that_looks_at_one_value_over_many_rows_of_few_values(case: Case, tmp_path: Path) -> None:
    many = 40
    finding, failing, library = _judge(tmp_path, case, list(case.met) * many, case.kind)
    assert (finding.success, failing, library) == (True, [], True)
    finding, failing, library = _judge(tmp_path, case, list(case.unmet) * many, case.kind)
    assert case.rows is not None
    width = len(case.unmet)
    assert (finding.success, library) == (False, False)
    assert failing == [at * width + row for at in range(many) for row in case.rows]


def _other_table(case: Case) -> tuple[Case, Sequence[Any], pa.DataType]:
    """The table that does not meet a case."""
    if case.type == "ExpectColumnToExist":
        return Case(case.type, {"column": "gone"}, case.kind, case.met, case.unmet, None, ("gone",)), case.unmet, TEXT
    if "Type" in case.type:
        return case, [str(value) for value in case.unmet], TEXT
    if case.type.startswith("ExpectTableColumn"):
        return case, [(value, value) for value in case.unmet], TEXT
    return case, case.unmet, case.kind


def _judge(folder: Path, case: Case, values: Sequence[Any], kind: pa.DataType) -> tuple[Finding, list[int], bool]:
    """Our finding with its failing rows, and the library's own verdict."""
    wide = bool(values) and isinstance(values[0], tuple)
    names = ("x", "y", "z")[: len(values[0])] if wide else ("x",)
    rows: list[Record] = [dict(zip(names, value if wide else (value,), strict=True)) for value in values]
    about = () if case.type.startswith("ExpectTable") else case.columns
    expectation = expect("e", case.type, *about, **case.arguments)
    findings, failing = judged(folder, stage(folder, rows, dict.fromkeys(names, kind)), [expectation])
    frame = pa.Table.from_pylist(rows, pa.schema([(name, kind) for name in names])).to_pandas()
    return findings["e"], failing["e"], _documented(expectation.type, expectation.arguments, frame)


def _documented(kind: str, arguments: Mapping[str, Any], frame: pd.DataFrame) -> bool:
    """The library's verdict as its documentation says to ask for it."""
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
    batch = context.data_sources.add_pandas("p").add_dataframe_asset("a").add_batch_definition_whole_dataframe("b")
    types, _ = load_library()
    found = batch.get_batch(batch_parameters={"dataframe": frame}).validate(getattr(types, kind)(**arguments))
    return bool(found.success)


def test_values_outside_a_set_and_values_that_are_not_there_are_named(tmp_path: Path) -> None:
    rows: list[Record] = [{"x": value} for value in ("a", "d", None, "d", "e")]
    suite = [
        expect("in", "ExpectColumnDistinctValuesToBeInSet", "x", value_set=["a", "b"], rows="quarantine"),
        expect("equal", "ExpectColumnDistinctValuesToEqualSet", "x", value_set=["a", "b"]),
        expect("contain", "ExpectColumnDistinctValuesToContainSet", "x", value_set=["a", "b"]),
    ]
    findings, failing = judged(tmp_path, stage(tmp_path, rows, {"x": TEXT}), suite)
    assert failing == {"in": [1, 3, 4], "equal": [1, 3, 4], "contain": []}
    assert findings["in"].in_words() == "found outside the set: d (2), e (1)"
    assert findings["equal"].in_words() == "found outside the set: d (2), e (1); not there: b"
    assert findings["contain"].in_words() == "found not there: b"


def test_rules_about_columns_count_the_datas_own_and_read_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = stage(tmp_path, [{"x": "a", "y": "b"}], {"x": TEXT, "y": TEXT})
    monkeypatch.setattr(engine, "read_chunks", lambda *_, **__: pytest.fail("rows were read"))
    suite = [
        expect("count", "ExpectTableColumnCountToEqual", value=2),
        expect("order", "ExpectTableColumnsToMatchOrderedList", column_list=["x", "y"], columns=("x",)),
        expect("set", "ExpectTableColumnsToMatchSet", column_set=["y", "x"], exact_match=True),
    ]
    found = {finding.expectation.id: finding.success for finding in engine.examine(data, suite, HISTORY)}
    assert found == {"count": True, "order": True, "set": True}
