"""LIKE means what it means to databases: held against DuckDB, and SQLite where case is kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.errors import ConfigurationError
from include.models import Record
from include.quality.patterns import regex_of_like
from include.quality.rules import like
from tests.core.quality.suites import expect, judged, stage
from tests.core.quality.test_rules import GOOD, Broken, broken

__all__ = ["broken"]
VALUES = [
    "",
    "a",
    "A",
    "ab",
    "a%",
    "a_",
    "a\\b",
    "a.b",
    "axb",
    "é",
    "😀",
    "a\nb",
    "ab\n",
    "[a]",
    "a*",
    "(",
    "^a$",
    None,
]
PATTERNS = ["", "%", "_", "a%", "%b", "a_b", "__", "a%%", "a.b", "[a]", "(", "^a$", "a\\b", "a*", "é", "%\n%", "A%"]
TEXT = st.text(st.sampled_from("aAb%_.*[]()^$\\\né😀"), max_size=6)


def by_duckdb(values: Sequence[str | None], pattern: str, escape: str = "") -> list[int]:
    """Positions of values that are not like the pattern; a missing one is."""
    ending = " ESCAPE ?" if escape else ""
    with duckdb.connect() as database:
        found = database.execute(
            f"SELECT coalesce(value LIKE ?{ending}, true) FROM (SELECT unnest(?::VARCHAR[]) AS value)",
            [pattern, *([escape] if escape else []), list(values)],
        ).fetchall()
    return [at for at, (holds,) in enumerate(found) if not holds]


def by_sqlite(values: Sequence[str | None], pattern: str) -> list[int]:
    with sqlite3.connect(":memory:") as database:
        database.execute("PRAGMA case_sensitive_like = true")
        found = [database.execute("SELECT coalesce(? LIKE ?, 1)", (value, pattern)).fetchone()[0] for value in values]
    return [at for at, holds in enumerate(found) if not holds]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_value_is_like_a_pattern_where_databases_say_so(tmp_path: Path, pattern: str) -> None:
    rows: list[Record] = [{"x": value} for value in VALUES]
    wanted = by_duckdb(VALUES, pattern)
    assert wanted == by_sqlite(VALUES, pattern)
    data = stage(tmp_path, rows, {"x": pa.string()})
    suite = [
        like("x", pattern, id="rule"),
        expect("type", "ExpectColumnValuesToMatchLikePattern", "x", like_pattern=pattern),
        expect("not", "ExpectColumnValuesToNotMatchLikePattern", "x", like_pattern=pattern),
    ]
    findings, failing = judged(tmp_path, data, suite)
    assert [one.could_not_run for one in findings.values()] == [None] * 3
    assert failing["rule"] == failing["type"] == wanted
    assert failing["not"] == [at for at, value in enumerate(VALUES) if value is not None and at not in wanted]


@pytest.mark.parametrize(
    ("kind", "more", "fails"),
    [
        ("Match", {"match_on": "any"}, lambda in_first, in_second: not (in_first or in_second)),
        ("Match", {"match_on": "all"}, lambda in_first, in_second: not (in_first and in_second)),
        ("NotMatch", {}, lambda in_first, in_second: in_first or in_second),
    ],
)
def test_lists_of_patterns(tmp_path: Path, kind: str, more: Mapping[str, Any], fails: Any) -> None:
    first, second = (set(by_duckdb(VALUES, pattern)) for pattern in ("a%", "%b"))
    rows: list[Record] = [{"x": value} for value in VALUES]
    rule = expect("e", f"ExpectColumnValuesTo{kind}LikePatternList", "x", like_pattern_list=["a%", "%b"], **more)
    _, failing = judged(tmp_path, stage(tmp_path, rows, {"x": pa.string()}), [rule])
    present = [at for at, value in enumerate(VALUES) if value is not None]
    assert failing["e"] == [at for at in present if fails(at not in first, at not in second)]


@settings(max_examples=100, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=8), TEXT, st.sampled_from(["", "\\", "a"]))
def test_a_pattern_means_what_it_means_to_duckdb(values: list[str], pattern: str, escape: str) -> None:
    import re

    try:
        regex = re.compile(regex_of_like(pattern, escape))
    except ValueError:
        return
    assert [at for at, value in enumerate(values) if not regex.search(value)] == by_duckdb(values, pattern, escape)


def test_a_rule_passes_once_and_fails_once(broken: Broken) -> None:
    rule = 'like("city", "B%n")'
    assert broken('like("zip", "_____")', GOOD)[0::2] == (0, [])
    assert broken(rule, [*GOOD, "6,1,Bonn%,open,1,2026-01-01,"])[2] == [4, 7]
    assert broken('like("city", "B!%", escape="!", where={"id": 6})', [*GOOD, "6,1,B%,open,1,2026-01-01,"])[0] == 0


@pytest.mark.parametrize(("pattern", "escape"), [("a!", "!"), ("a", "!!")])
def test_a_pattern_that_means_nothing_is_refused(pattern: str, escape: str) -> None:
    with pytest.raises(ConfigurationError, match="like 'x'"):
        like("x", pattern, escape=escape)


@pytest.mark.parametrize("given", [{}, {"like_pattern": 5}, {"like_pattern": "a", "regex": "b"}])
def test_a_type_without_a_pattern_cannot_run_and_says_what_it_needs(tmp_path: Path, given: dict[str, Any]) -> None:
    data = stage(tmp_path, [{"x": "a"}], {"x": pa.string()})
    rule = expect("e", "ExpectColumnValuesToMatchLikePattern", "x", **given)
    findings, _ = judged(tmp_path, data, [rule])
    assert not findings["e"].success
    assert "`like`" in (findings["e"].could_not_run or "")
