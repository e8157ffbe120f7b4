"""What bad input gets from the engine: a clear result each time, never a traceback and never a silent pass."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from include.errors import ConfigurationError
from include.models import Record
from include.quality import examine as engine
from include.quality.examine import Finding
from include.quality.expectation import DERIVED, Expectation
from include.quality.usual import History, newest_within, usual_rows
from tests.core.quality.suites import HISTORY, NIGHT, expect, judged, stage

TRUE = {"column": DERIVED, "value_set": [True]}
TEXT = {"text": pa.string()}


def one(
    tmp_path: Path, values: list[Any], kind: pa.DataType, expectation: Expectation, history: History = HISTORY
) -> tuple[Finding, list[int]]:
    rows: list[Record] = [{"x": value} for value in values]
    findings, found = judged(tmp_path, stage(tmp_path, rows, {"x": kind}), [expectation], history)
    return findings[expectation.id], found[expectation.id]


@pytest.mark.parametrize("kind", ["ExpectColumnValuesToNotBeNull", "ExpectColumnValuesToBeUnique"])
def test_no_rows_and_nobody_who_counts_them_is_no_success(tmp_path: Path, kind: str) -> None:
    finding, _ = one(tmp_path, [], pa.string(), expect("e", kind, "x"))
    assert not finding.success
    assert finding.in_words() == "could not run: there are no rows, and no expectation says how many there must be"


def test_no_rows_are_for_the_row_count_to_judge(tmp_path: Path) -> None:
    suite = [
        expect("present", "ExpectColumnValuesToNotBeNull", "x"),
        expect("count", "ExpectTableRowCountToBeBetween", min_value=1),
        expect("newest", "ExpectColumnMaxToBeBetween", "x", min_value=1),
    ]
    findings, _ = judged(tmp_path, stage(tmp_path, [], {"x": pa.int64()}), suite)
    assert {name: finding.success for name, finding in findings.items()} == {
        "present": True,
        "count": False,
        "newest": False,
    }
    assert findings["count"].in_words() == "found 0, allowed at least 1"


@pytest.mark.parametrize("kind", [pa.string(), pa.int64(), pa.float64(), pa.timestamp("us", tz="UTC"), pa.null()])
def test_a_column_without_any_value_is_said_to_have_none(tmp_path: Path, kind: pa.DataType) -> None:
    finding, _ = one(tmp_path, [None] * 30, kind, expect("e", "ExpectColumnValuesToBeInSet", "x", value_set=["a"]))
    assert finding.seen == "no row has a value"
    finding, found = one(tmp_path, [None] * 30, kind, expect("e", "ExpectColumnValuesToNotBeNull", "x"))
    assert not finding.success
    assert found == list(range(30))


def test_missing_columns_and_types_are_named_with_the_closest(tmp_path: Path) -> None:
    suite = [
        expect("column", "ExpectColumnValuesToNotBeNull", "txet"),
        expect("type", "ExpectColumnValuesToNotBeNul", "text"),
        expect("argument", "ExpectColumnValuesToNotBeNull", "text", column="other"),
        expect("surplus", "ExpectColumnValuesToNotBeNull", "text", wrong=3),
        expect("none", "ExpectColumnValuesToNotBeNull", column="text"),
        expect("mostly", "ExpectColumnValuesToNotBeNull", "text", mostly=0.5),
    ]
    findings, _ = judged(tmp_path, stage(tmp_path, [{"text": "a"}], TEXT), suite)
    assert not [name for name, finding in findings.items() if finding.success]
    said = {name: finding.could_not_run or "" for name, finding in findings.items()}
    assert said["column"] == "column 'txet' is missing; renamed to 'text'?"
    assert said["type"] == "no type 'ExpectColumnValuesToNotBeNul'; ExpectColumnValuesToNotBeNull?"
    assert "other" in said["argument"]
    assert "wrong" in said["surplus"]
    assert said["none"] == "`columns` names none, so nothing would be judged"
    assert "`at_least`" in said["mostly"]


def test_two_expectations_of_one_name_are_refused(tmp_path: Path) -> None:
    same = expect("e", "ExpectColumnValuesToNotBeNull", "text")
    with pytest.raises(ConfigurationError, match="two expectations are called e"):
        judged(tmp_path, stage(tmp_path, [], TEXT), [same, same])


def _raises(rows: Any, interval: Any) -> Any:
    raise ValueError(f"cannot read {rows['x'][0]}")


@pytest.mark.parametrize("kind", ["ExpectColumnValuesToBeInSet", "ExpectColumnValuesToBeUnique"])
def test_a_derive_that_raises_is_named_without_what_it_says_of_the_row(tmp_path: Path, kind: str) -> None:
    more = {"value_set": [True]} if "Set" in kind else {}
    finding, _ = one(tmp_path, ["secret"], pa.string(), expect("e", kind, "x", derive=_raises, column=DERIVED, **more))
    assert not finding.success
    assert finding.could_not_run is not None
    assert finding.could_not_run.startswith("`_raises` raised ValueError in line ")
    assert "secret" not in finding.could_not_run


def test_a_derive_with_some_arguments_given_is_named_like_others(tmp_path: Path) -> None:
    def broken(rows: Any, interval: Any, column: str) -> Any:
        return rows[column] / "secret"

    def short(rows: Any, interval: Any, column: str) -> Any:
        return rows[column].dropna() > 0

    for function, said in ((broken, "`broken` raised TypeError in line "), (short, "`short` gave values for 2 of 3")):
        given = expect("e", "ExpectColumnValuesToBeInSet", "x", derive=partial(function, column="x"), **TRUE)
        finding, _ = one(tmp_path, [1, None, 3], pa.int64(), given)
        assert (finding.could_not_run or "").startswith(said)
        assert "secret" not in (finding.could_not_run or "")


def test_a_derive_that_leaves_rows_out_cannot_pass(tmp_path: Path) -> None:
    short = expect("e", "ExpectColumnValuesToBeInSet", "x", derive=lambda rows, _: rows["x"].dropna() > 0, **TRUE)
    finding, _ = one(tmp_path, [1, None, 3], pa.int64(), short)
    assert finding.could_not_run == "`<lambda>` gave values for 2 of 3 rows"


def test_a_flag_that_is_unknown_is_not_true(tmp_path: Path) -> None:
    flag = expect("e", "ExpectColumnValuesToBeInSet", "x", derive=lambda rows, _: rows["x"], **TRUE)
    assert one(tmp_path, [True, None, False], pa.bool_(), flag)[1] == [1, 2]


def test_bounds_that_raise_are_named(tmp_path: Path) -> None:
    def broken(history: History) -> Any:
        return {"min_value": history.rows[0]}

    finding, _ = one(tmp_path, [1], pa.int64(), expect("e", "ExpectTableRowCountToBeBetween", bounds=broken))
    assert (finding.could_not_run or "").startswith("`broken` raised IndexError in line ")


def test_mixed_types_cannot_be_compared_and_do_not_pass(tmp_path: Path) -> None:
    mixed = expect(
        "e",
        "ExpectColumnValuesToBeBetween",
        "x",
        derive=lambda rows, _: rows["x"].map(lambda value: "geheim" if value == 2 else value).astype(object),
        column=DERIVED,
        min_value=0,
    )
    finding, _ = one(tmp_path, [1, 2, 3], pa.int64(), mixed)
    assert not finding.success
    assert finding.could_not_run is not None
    assert "geheim" not in finding.could_not_run


def test_nan_and_infinity(tmp_path: Path) -> None:
    values = [1.0, float("nan"), float("inf"), float("-inf"), None, -1.0]
    bounded = expect("e", "ExpectColumnValuesToBeBetween", "x", min_value=0, max_value=10)
    finding, found = one(tmp_path, values, pa.float64(), bounded)
    assert found == [2, 3, 5]
    assert finding.seen == "2 rows have no value"
    assert one(tmp_path, values, pa.float64(), expect("e", "ExpectColumnValuesToNotBeNull", "x"))[1] == [1, 4]
    assert (
        one(tmp_path, [*values, float("nan")], pa.float64(), expect("e", "ExpectColumnValuesToBeUnique", "x"))[1] == []
    )
    twice = expect("e", "ExpectColumnValuesToBeUnique", "x")
    assert one(tmp_path, [0.0, -0.0, float("inf"), float("inf")], pa.float64(), twice)[1] == [0, 1, 2, 3]


def test_missing_times(tmp_path: Path) -> None:
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
    late = expect("e", "ExpectColumnValuesToBeBetween", "x", max_value=datetime(2027, 1, 1, tzinfo=UTC))
    assert one(tmp_path, [start, None, end], pa.timestamp("us", tz="UTC"), late)[1] == [2]


def test_whole_numbers_beyond_what_a_float_holds_stay_apart(tmp_path: Path) -> None:
    values = [2**53, 2**53 + 1, None, 2**53 + 1, -(2**63)]
    assert one(tmp_path, values, pa.int64(), expect("e", "ExpectColumnValuesToBeUnique", "x"))[1] == [1, 3]
    small = expect("e", "ExpectColumnValuesToBeBetween", "x", min_value=0, max_value=2**53)
    assert one(tmp_path, values, pa.int64(), small)[1] == [1, 3, 4]


def test_long_cells_and_other_scripts(tmp_path: Path) -> None:
    values = ["x" * 10_000, "مرحبا بالعالم", "👩‍👩‍👧‍👦", "\u202eltr", "", "a\x00b", "=cmd()", "<b>bold</b>", None]
    suite = [
        expect("short", "ExpectColumnValueLengthsToBeBetween", "text", max_value=100),
        expect("ascii", "ExpectColumnValuesToMatchRegex", "text", regex=r"^[\x20-\x7e]*\Z"),
        expect("known", "ExpectColumnValuesToBeInSet", "text", value_set=["مرحبا بالعالم", "", "👩‍👩‍👧‍👦"]),
        expect("unique", "ExpectColumnValuesToBeUnique", "text"),
        expect("no_markup", "ExpectColumnValuesToNotMatchRegex", "text", regex="<[a-z]+>"),
    ]
    rows: list[Record] = [{"text": value} for value in [*values, "👩‍👩‍👧‍👦"]]
    _, found = judged(tmp_path, stage(tmp_path, rows, TEXT), suite)
    assert found == {
        "short": [0],
        "ascii": [1, 2, 3, 5, 9],
        "known": [0, 3, 5, 6, 7],
        "unique": [2, 9],
        "no_markup": [7],
    }


def test_types_of_columns_do_not_depend_on_what_is_missing(tmp_path: Path) -> None:
    rows: list[Record] = [{"n": 1, "f": 1.0, "t": None, "b": True, "d": date(2026, 1, 1)}, {}]
    types = {"n": pa.int64(), "f": pa.float64(), "t": pa.timestamp("us", tz="UTC"), "b": pa.bool_(), "d": pa.date32()}
    right = {"n": "int64", "f": "float64", "t": "Timestamp", "b": "bool", "d": "date"}
    wrong = {"n": "float64", "f": "int64", "t": "str", "b": "int64", "d": "str"}
    kind = "ExpectColumnValuesToBeOfType"
    suite = [expect(f"{name} is", kind, name, type_=of) for name, of in right.items()]
    suite += [expect(f"{name} is not", kind, name, type_=of) for name, of in wrong.items()]
    findings, _ = judged(tmp_path, stage(tmp_path, rows, types), suite)
    assert {name: finding.success for name, finding in findings.items()} == {
        **{f"{name} is": True for name in right},
        **{f"{name} is not": False for name in wrong},
    }


@pytest.mark.parametrize("chunk_rows", [3, 10_000])
def test_equal_rows_are_found_across_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_rows: int) -> None:
    monkeypatch.setattr(engine, "CHUNK_ROWS", chunk_rows)
    monkeypatch.setattr(engine, "KEY_ROWS", chunk_rows)
    rows: list[Record] = [{"a": at % 37, "b": None if at % 5 == 0 else "x", "c": [at % 41]} for at in range(60)]
    types = {"a": pa.int64(), "b": pa.string(), "c": pa.list_(pa.int64())}
    suite = [
        expect("a", "ExpectColumnValuesToBeUnique", "a"),
        expect("pair", "ExpectCompoundColumnsToBeUnique", "a", "b", column_list=["a", "b"], ignore_row_if="never"),
        expect("even", "ExpectColumnValuesToBeUnique", "a", derive=lambda rows, _: rows["a"] // 2, column=DERIVED),
        expect("top", "ExpectColumnMaxToBeBetween", "a", max_value=35),
    ]
    findings, found = judged(tmp_path, stage(tmp_path, rows, types), suite)
    pairs = [(row["a"], row["b"]) for row in rows]
    assert found["a"] == [at for at in range(60) if at + 37 < 60 or at - 37 >= 0]
    assert found["pair"] == [at for at, pair in enumerate(pairs) if pairs.count(pair) > 1]
    assert found["even"] == [at for at, (a, _) in enumerate(pairs) if sum(a // 2 == b // 2 for b, _ in pairs) > 1]
    assert not findings["top"].success
    lists = expect("c", "ExpectColumnValuesToBeUnique", "c")
    assert not judged(tmp_path, stage(tmp_path, rows, types), [lists])[0]["c"].success


def test_too_few_rows_are_not_judged(tmp_path: Path) -> None:
    mean = expect("e", "ExpectColumnMeanToBeBetween", "x", max_value=1, least_rows=3)
    finding, _ = one(tmp_path, [5, 5], pa.int64(), mean)
    assert finding.success
    assert finding.seen == "not judged: 2 rows, fewer than 3"
    assert not one(tmp_path, [5, 5, 5], pa.int64(), mean)[0].success


@pytest.mark.parametrize(("rows", "holds"), [(49, False), (50, True), (201, True), (202, False)])
def test_a_row_count_is_held_against_the_same_weekday(tmp_path: Path, rows: int, holds: bool) -> None:
    usual = expect("e", "ExpectTableRowCountToBeBetween", bounds=usual_rows(0.5, 2))
    finding, _ = one(tmp_path, [1] * rows, pa.int64(), usual, History(NIGHT, (90, 100, 2_000)))
    assert finding.success is holds
    assert finding.seen == f"{rows}, allowed 50 to 201"
    assert one(tmp_path, [1], pa.int64(), usual, History(NIGHT, (90, 100)))[0].success


def test_a_column_is_fresh_when_its_newest_value_is(tmp_path: Path) -> None:
    from datetime import timedelta

    fresh = expect("e", "ExpectColumnMaxToBeBetween", "x", column="x", bounds=newest_within("x", timedelta(hours=2)))
    times = pa.timestamp("us", tz="UTC")
    assert one(tmp_path, [NIGHT.end - timedelta(hours=9), NIGHT.end - timedelta(hours=1)], times, fresh)[0].success
    assert not one(tmp_path, [NIGHT.end - timedelta(hours=3)], times, fresh)[0].success
