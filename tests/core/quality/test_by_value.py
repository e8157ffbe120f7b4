"""What is judged by value gets the verdict that the library gives on every row."""

from __future__ import annotations

import gc
import random
import re
import sys
import weakref
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from include.models import Record
from include.quality import by_value, examine
from include.quality import gx as library
from include.quality.by_value import OF_PRESENCE, OF_SIZE, OF_TEXT, judge_of
from include.quality.equal import hashes, repeated
from include.quality.expectation import DERIVED, Expectation
from include.quality.gx import Evaluated, judge_frame, prepare, to_frame
from include.quality.patterns import spell_out
from tests.core.quality.suites import HISTORY, expect, judged, stage

DAY = datetime(2026, 11, 20, tzinfo=UTC)
TEXTS = [
    "a",
    "ab",
    "abcdef",
    "",
    " ",
    "1",
    "{}",
    "{",
    "2026-11-20",
    "20.11.2026",
    "é",
    "😀",
    "a\n",
    "\x0b",
    "\x1c",
    "0.0",
]
COLUMNS: dict[str, tuple[pa.DataType, Sequence[Any]]] = {
    "text": (pa.string(), TEXTS),
    "whole": (pa.int64(), [0, 1, -1, 5, 6, 10**6]),
    "long": (pa.int64(), [2**53 + 1, 2**53, 5, -(2**60)]),
    "number": (pa.float64(), [0.0, -0.0, 1.0, 5.5, float("nan"), float("inf"), -float("inf"), 1e300]),
    "flag": (pa.bool_(), [True, False]),
    "time": (pa.timestamp("us", tz="UTC"), [DAY, DAY + timedelta(days=1), DAY - timedelta(microseconds=1)]),
    "naive": (pa.timestamp("ms"), [datetime(2026, 11, 20), datetime(2026, 11, 21)]),
    "date": (pa.date32(), [date(2026, 11, 20), date(2026, 11, 21)]),
    "byte": (pa.int8(), [0, 1, 5, -128]),
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "ExpectColumnValuesToBeNull": {},
    "ExpectColumnValuesToNotBeNull": {},
    "ExpectColumnValuesToBeBetween": {"min_value": 0, "max_value": 5},
    "ExpectColumnValuesToBeInSet": {"value_set": ["a", 1, 5, True, DAY, date(2026, 11, 20), 0.0]},
    "ExpectColumnValuesToNotBeInSet": {"value_set": ["a", 1, 5.5]},
    "ExpectColumnValueLengthsToBeBetween": {"min_value": 1, "max_value": 3},
    "ExpectColumnValueLengthsToEqual": {"value": 2},
    "ExpectColumnValuesToBeDateutilParseable": {},
    "ExpectColumnValuesToBeJsonParseable": {},
    "ExpectColumnValuesToMatchJsonSchema": {"json_schema": {"type": "object"}},
    "ExpectColumnValuesToMatchStrftimeFormat": {"strftime_format": "%Y-%m-%d"},
    "ExpectColumnValuesToMatchRegex": {"regex": r"^[a-z0-9]\w*\s?"},
    "ExpectColumnValuesToMatchRegexList": {"regex_list": [r"^\s", r"^-?[0-9]"], "match_on": "any"},
    "ExpectColumnValuesToNotMatchRegex": {"regex": r"[^\s\d]$"},
    "ExpectColumnValuesToNotMatchRegexList": {"regex_list": [r"^\S+$", "-"]},
    "ExpectColumnValuesToMatchLikePattern": {"like_pattern": "a%"},
    "ExpectColumnValuesToMatchLikePatternList": {"like_pattern_list": ["a%", "_"], "match_on": "any"},
    "ExpectColumnValuesToNotMatchLikePattern": {"like_pattern": "%b%"},
    "ExpectColumnValuesToNotMatchLikePatternList": {"like_pattern_list": ["a_", "1"]},
}


def _column(name: str, share: float, rows: int = 400) -> pd.DataFrame:
    """A seeded column of many rows and few values, of which a share is missing."""
    kind, values = COLUMNS[name]
    draw = random.Random(f"{name} {share}")
    cells = [None if draw.random() < share else draw.choice(list(values)) for _ in range(rows)]
    return to_frame(pa.table({"x": pa.array(cells, kind)}))


def test_every_type_that_is_judged_by_value_is_tried() -> None:
    assert set(ARGUMENTS) == OF_PRESENCE | OF_SIZE | OF_TEXT


@pytest.mark.parametrize(("name", "share"), [*((name, at) for name in COLUMNS for at in (0.0, 0.1)), ("text", 1.0)])
@pytest.mark.parametrize("kind", ARGUMENTS)
def test_the_verdict_is_that_of_the_library_on_every_row(kind: str, name: str, share: float) -> None:
    built = prepare(expect("e", kind, "x", **ARGUMENTS[kind]), HISTORY)
    assert built.could_not_run is None
    frame, run = _column(name, share), judge_of(built)
    wanted = judge_frame(built, frame)
    for _ in range(2):  # the second time from what is known
        found = run(frame)
        assert (found.could_not_run is None) == (wanted.could_not_run is None)
        if wanted.could_not_run is None:
            assert list(found.positions) == list(wanted.positions)
            assert (found.missing, found.about_rows) == (wanted.missing, wanted.about_rows)


@pytest.mark.parametrize("kind", ["ExpectColumnValuesToMatchRegex", "ExpectColumnValuesToBeInSet"])
def test_a_column_of_mostly_different_values_is_judged_as_it_is(kind: str) -> None:
    built = prepare(expect("e", kind, "x", **ARGUMENTS[kind]), HISTORY)
    texts = [f"{'a' if at % 3 else '-'}{at}" if at % 7 else None for at in range(500)]
    frame = to_frame(pa.table({"x": pa.array(texts)}))
    found, wanted = judge_of(built)(frame), judge_frame(built, frame)
    assert found.positions
    assert (list(found.positions), found.missing) == (list(wanted.positions), wanted.missing)


def test_the_library_is_told_each_value_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[list[Any]] = []

    def listening(prepared: library.Prepared, frame: pd.DataFrame) -> Evaluated:
        told.append(frame.iloc[:, 0].tolist())
        return judge_frame(prepared, frame)

    monkeypatch.setattr(by_value, "judge_frame", listening)
    monkeypatch.setattr(examine, "CHUNK_ROWS", 100)
    rows: list[Record] = [{"x": "abc"[at % 3] if at < 900 else "d"} for at in range(1_000)]
    rule = expect("e", "ExpectColumnValuesToBeInSet", "x", value_set=["a", "b", "d"])
    _, failing = judged(tmp_path, stage(tmp_path, rows, {"x": pa.string()}), [rule])
    assert failing["e"] == [at for at in range(900) if at % 3 == 2]
    assert told == [["a", "b", "c"], ["d"]]


def test_a_frame_is_let_go_once_it_is_judged() -> None:
    built = prepare(expect("e", "ExpectColumnValuesToMatchRegex", "x", regex="a"), HISTORY)
    frame = pd.DataFrame({"x": ["a", "b"] * 50})
    kept = weakref.ref(frame)
    gc.collect()
    gc.disable()
    try:
        assert len(judge_frame(built, frame).positions) == 50
        del frame
        assert kept() is None
    finally:
        gc.enable()


def test_a_verdict_is_kept_apart_by_the_type_of_the_column() -> None:
    built = prepare(expect("e", "ExpectColumnValuesToMatchRegex", "x", regex=r"^\d+$"), HISTORY)
    run = judge_of(built)
    assert list(run(pd.DataFrame({"x": [1] * 50})).positions) == []
    flags = pd.DataFrame({"x": [True] * 50})
    assert list(run(flags).positions) == list(judge_frame(built, flags).positions) == list(range(50))


def test_a_rule_with_a_condition_of_the_library_is_not_judged_by_value(tmp_path: Path) -> None:
    given = {"value_set": ["a"], "row_condition": 'y=="judged"', "condition_parser": "pandas"}
    rule = expect("e", "ExpectColumnValuesToBeInSet", "x", columns=("x", "y"), column="x", **given)
    built = prepare(rule, HISTORY)
    frame = pd.DataFrame({"x": ["b"] * 80, "y": ["judged", "not"] * 40})
    wanted = judge_frame(built, frame)
    assert (judge_of(built)(frame).positions, wanted.could_not_run) == (wanted.positions, None)


@pytest.mark.parametrize(
    "values",
    [
        [True, False] * 40,
        pd.array([True, None] * 40, dtype="boolean"),
        np.array(["a", None, "b", 1] * 20, dtype=object),
        np.array([1, True, 1.0, 0] * 20, dtype=object),
        np.array(["a", None, "b", "c"] * 20, dtype=object),
        [0.0, -0.0, 1.5, float("nan")] * 20,
        pd.array([1, 2, None, 5] * 20, dtype="Int64"),
    ],
    ids=["flags", "flags, one unknown", "mixed", "equal objects", "texts", "zeros", "whole"],
)
@pytest.mark.parametrize("kind", sorted(OF_SIZE | {"ExpectColumnValuesToMatchRegex"}))
def test_a_derived_column_is_judged_as_the_library_judges_it(kind: str, values: Any) -> None:
    built = prepare(expect("e", kind, column=DERIVED, columns=("x",), **ARGUMENTS[kind]), HISTORY)
    frame = pd.DataFrame({"x": range(80), DERIVED: values})
    found, wanted = judge_of(built)(frame), judge_frame(built, frame)
    assert (found.could_not_run is None) == (wanted.could_not_run is None)
    if not wanted.could_not_run:
        assert list(found.positions) == list(wanted.positions)


def test_outliers_are_those_of_all_rows_and_not_of_a_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examine, "CHUNK_ROWS", 10)
    monkeypatch.setattr(examine, "NARROW_ROWS", 10)
    values = [1.0, 2.0, 3.0, 2.0] * 20 + [99.0] * 10
    rule = expect("e", "ExpectColumnValuesToNotBeOutliers", "x", method="iqr", multiplier=3.0)
    rows: list[Record] = [{"x": value} for value in values]
    assert judged(tmp_path, stage(tmp_path, rows, {"x": pa.float64()}), [rule])[1]["e"] == list(range(80, 90))


PIECES = [
    r"\s",
    r"\S",
    "[^@\\s]",
    "[\\s-]",
    "[]\\s]",
    "[^]\\S]",
    r"\[\s",
    "a",
    ".",
    "$",
    "^",
    r"\\s",
    "(?:\\s|a)",
    "(?=\\s)",
]
ALPHABET = st.sampled_from("a@]-\\s[ \t\n\v\f\r\x1c\x1f\x85\xa0\u1680\u2003\u2028\u3000\u200bé")


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=4), st.text(ALPHABET, max_size=6))
def test_a_pattern_spelt_out_means_the_same(pieces: list[str], text: str) -> None:
    pattern = "".join(pieces)
    assert bool(re.search(pattern, text)) == bool(re.search(spell_out(pattern), text))


def test_every_blank_is_spelt_out_and_what_has_flags_is_left_alone() -> None:
    everything = [chr(code) for code in range(sys.maxunicode + 1)]
    assert [bool(re.match(r"\s", one)) for one in everything] == [
        bool(re.match(spell_out(r"\s"), one)) for one in everything
    ]
    left = [r"(?x) \s # \s", r"(?i)\s", r"(?a:\s)", r"(?#[)\s", r"\s(", r"[\S]", r"\d"]
    assert [spell_out(one) for one in left] == left
    assert "\\s" not in spell_out(r"^[^@\s]+\s")


@pytest.mark.parametrize("name", [*COLUMNS, "decimal"])
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_equal_values_share_a_hash_and_no_others(name: str, share: float) -> None:
    from decimal import Decimal

    draw = random.Random(name)
    kind, few = COLUMNS.get(name, (pa.decimal128(10, 2), [Decimal("1.00"), Decimal("2.50")]))
    cells = [None if draw.random() < share else draw.choice(list(few)) for _ in range(300)]
    rule = expect("e", "ExpectColumnValuesToBeUnique", "x")
    one, two = pa.array(cells, kind), pa.array(cells[::-1], kind)
    table = pa.table({"x": pa.chunked_array([pa.concat_arrays([two, one])[300:], two])})
    found = hashes(prepare(rule, HISTORY), table, HISTORY).tolist()
    values = [*cells, *cells[::-1]]
    absent = [value is None or value != value for value in values]
    assert [one == 0 for one in found] == absent
    seen: dict[Any, set[int]] = {}
    for value, hashed, missing in zip(values, found, absent, strict=True):
        if not missing:
            seen.setdefault(value, set()).add(hashed)
    assert all(len(group) == 1 for group in seen.values())
    assert len(set.union(*seen.values())) == len(seen)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(st.none(), st.text(max_size=20), st.sampled_from(["", "aaaaaaaa", "aaaaaaaaa", "a" * 17])),
        max_size=30,
    )
)
@example(["", "\x01"])
def test_texts_are_repeated_where_python_says_so(values: list[str | None]) -> None:
    table = pa.table({"x": pa.array(values, pa.string())})
    found = hashes(prepare(expect("e", "ExpectColumnValuesToBeUnique", "x"), HISTORY), table, HISTORY)
    assert repeated([found]).tolist() == [value is not None and values.count(value) > 1 for value in values]


def test_combinations_are_repeated_only_as_a_whole() -> None:
    rule = expect("e", "ExpectCompoundColumnsToBeUnique", columns=("x", "y"), column_list=["x", "y"])
    table = pa.table({"x": ["a", "b", "a", None, None, "b"], "y": pa.array([1, 2, 1, 3, 3, None], pa.int64())})
    found = repeated(
        [
            hashes(prepare(rule, HISTORY), table.slice(0, 2), HISTORY),
            hashes(prepare(rule, HISTORY), table.slice(2), HISTORY),
        ]
    )
    assert found.tolist() == [True, False, True, True, True, False]


def test_rows_that_share_only_a_hash_are_told_apart_by_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examine, "repeated", lambda hashed: np.array([True, False, True, True]))
    rule = expect("e", "ExpectColumnValuesToBeUnique", "x")
    for values, wanted in (["abcd", []], ["abca", [0, 3]]):
        rows: list[Record] = [{"x": value} for value in values]
        assert judged(tmp_path, stage(tmp_path, rows, {"x": pa.string()}), [rule])[1]["e"] == wanted


def test_what_has_no_hash_is_told_to_the_library_as_it_is(tmp_path: Path) -> None:
    def as_lists(rows: Any, interval: Any) -> Any:
        return rows["x"].map(lambda value: [value])

    make: Callable[..., Expectation] = expect
    rule = make("e", "ExpectColumnValuesToBeUnique", columns=("x",), column=DERIVED, derive=as_lists)
    rows: list[Record] = [{"x": "a"}, {"x": "a"}]
    findings, _ = judged(tmp_path, stage(tmp_path, rows, {"x": pa.string()}), [rule])
    assert not findings["e"].success
