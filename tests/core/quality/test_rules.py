"""Each short form passes once and fails once, through `check` on a file, with the right rows named."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from include.cli import main
from include.errors import ConfigurationError
from include.quality import rules
from include.quality.rules import between, not_null, reference

HEADER = "id,zip,city,status,qty,ordered,shipped\n"
GOOD = [
    "1,10115,Berlin,open,5,2026-01-01,",
    "2,10115,Berlin,shipped,7,2026-01-02,2026-01-03",
    "3,80331,Munich,shipped,900,2026-01-03,2026-01-03",
    "4,,,open,,2026-01-04,",
    "5,10115,Berlin,open,5,2026-01-05,2026-01-06",
]
Broken = Callable[..., tuple[int, str, list[int]]]


@pytest.fixture
def broken(tmp_path: Path) -> Broken:
    """Exit code, what was said, and the lines in the file of failing rows, of one rule on the given rows."""

    def run(rule: str, rows: list[str]) -> tuple[int, str, list[int]]:
        (tmp_path / "orders.csv").write_text(HEADER + "\n".join(rows) + "\n", encoding="utf-8")
        source = f"from datetime import *\nfrom include.quality.rules import *\nEXPECTATIONS = [row_count(1), {rule}]\n"
        (tmp_path / "rules.py").write_text(source, encoding="utf-8")
        out, failures = io.StringIO(), tmp_path / "failures.csv"
        files = ["--input", str(tmp_path / "orders.csv"), "--expectations", str(tmp_path / "rules.py")]
        code = main(
            [
                "check",
                *files,
                "--failures",
                str(failures),
                "--to",
                "2026-01-07T00:00:00Z",
                "--from",
                "2026-01-06T00:00:00Z",
            ],
            out,
        )
        lines = list(csv.DictReader(failures.open(encoding="utf-8"))) if failures.exists() else []
        return code, out.getvalue(), [int(line["row"].rpartition(":")[2] or 0) for line in lines]

    return run


@pytest.mark.parametrize(
    ("rule", "bad", "lines"),
    [
        ('not_null("id")', [",10115,Berlin,open,5,2026-01-01,"], [7]),
        ('not_null("shipped", where={"status": "shipped"})', ["6,10115,Berlin,shipped,5,2026-01-01,"], [7]),
        ('not_null("qty", where={"city": present})', ["6,10115,Berlin,shipped,,2026-01-01,"], [7]),
        ('unique("id")', ["2,10115,Berlin,open,5,2026-01-01,"], [3, 7]),
        ('unique("id", "ordered")', ["2,10115,Berlin,open,5,2026-01-02,"], [3, 7]),
        ('unique("ordered", where={"status": "open"})', ["6,80331,Munich,open,5,2026-01-04,"], [5, 7]),
        ('unique("id", "ordered", where={"status": "open"})', ["4,80331,Munich,open,5,2026-01-04,"], [5, 7]),
        ('accepted_values("status", ["open", "shipped"])', ["6,10115,Berlin,opne,5,2026-01-01,"], [7]),
        ('accepted_values("city", ["Berlin"], where={"zip": 10115})', ["6,10115,Bonn,open,5,2026-01-01,"], [7]),
        ('accepted_values("id", range(1, 99))', ["99,10115,Berlin,open,5,2026-01-01,"], [7]),
        (
            'between("qty", 1, 900)',
            ["6,10115,Berlin,open,901,2026-01-01,", "7,10115,Berlin,open,0,2026-01-01,"],
            [7, 8],
        ),
        ('between("qty", most=7, where={"city": "Berlin"})', ["6,10115,Berlin,open,8,2026-01-01,"], [7]),
        ('between("ordered", date(2026, 1, 1), date(2026, 1, 5))', ["6,10115,Berlin,open,5,2025-12-31,"], [7]),
        (
            'matches("zip", r"[0-9]{5}")',
            ["6,1011,Berlin,open,5,2026-01-01,", "7,101155,Berlin,open,5,2026-01-01,"],
            [7, 8],
        ),
        ('matches("status", "open", where={"qty": [5]})', ["6,10115,Berlin,open2,5,2026-01-01,"], [7]),
        ('not_after("ordered", "shipped")', ["6,10115,Berlin,open,5,2026-01-04,2026-01-03"], [7]),
        (
            'not_after("ordered", "shipped", where={"status": "shipped"})',
            ["6,10115,Berlin,shipped,5,2026-01-04,2026-01-03", "7,10115,Berlin,open,5,2026-01-04,2026-01-03"],
            [7],
        ),
        ('depends("city", on="zip")', ["6,10115,Munich,open,5,2026-01-01,"], [7]),
        ('depends("city", on=("zip", "status"))', ["6,10115,Munich,open,5,2026-01-01,"], [7]),
        (
            'depends("city", on="zip", where={"status": "open"})',
            ["6,10115,Munich,open,5,2026-01-01,", "7,80331,Berlin,shipped,5,2026-01-01,"],
            [7],
        ),
        ('spelt("city")', ["6,10115,Berlin,open,5,2026-01-01,"] * 20 + ["7,10115,Berlni,open,5,2026-01-01,"], [27]),
        ('fresh("ordered", within=timedelta(days=2, hours=1), id="late")', None, [0]),
        ('row_count(1, 4, id="rows")', None, [0]),
    ],
)
def test_a_rule_passes_once_and_fails_once(broken: Broken, rule: str, bad: list[str] | None, lines: list[int]) -> None:
    good = GOOD[:-1] if rule.startswith("row_count") else GOOD
    assert broken(rule, good)[0::2] == (0, [])
    given = [*GOOD, *bad] if bad is not None else GOOD if rule.startswith("row_count") else GOOD[:-2]
    code, said, found = broken(rule, given)
    assert (code, found) == (1, lines), said
    assert "could not run" not in said


def test_a_tie_names_every_row_of_the_group(broken: Broken) -> None:
    assert broken('depends("city", on="zip")', [*GOOD, "6,80331,Berlin,open,5,2026-01-01,"])[2] == [4, 7]


def test_terms_are_kept(broken: Broken) -> None:
    code, said, _ = broken('not_null("qty", severity="info", meaning="Of its own")', GOOD)
    assert (code, "noted   info              1  Of its own" in said) == (0, True)
    assert broken('not_null("qty", at_least=0.8)', GOOD)[0] == 0
    assert broken('not_null("qty", at_least=0.9)', GOOD)[0] == 1


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ('not_null("qty", where={"zip": "10115"})', "where of 'zip': can never hold, the column is no text"),
        ('not_null("qty", where={"zip": lambda values: values.nothing})', "where of 'zip': raised AttributeError"),
        ('not_null("qty", where={"zipp": 1})', "column 'zipp' is missing; renamed to 'zip'?"),
        ('reference("id", to="none.csv:id")', "cannot be read (No such file or directory)"),
        ('reference("id", to="orders.csv:ids")', "orders.csv:ids: no '...'; closest: 'id' (renamed?)"),
    ],
)
def test_a_rule_that_cannot_be_judged_says_why(broken: Broken, rule: str, said: str) -> None:
    code, words, _ = broken(rule, GOOD)
    assert code == 1
    assert said in words


def test_a_rule_that_means_nothing_is_refused() -> None:
    makes: list[Callable[[], object]] = [
        lambda: between("a"),
        lambda: between("a", 1, "b"),
        lambda: reference("a", to="b.csv"),
        lambda: reference(["a", "b"], to="b.csv:a"),
    ]
    for make in makes:
        with pytest.raises(ConfigurationError, match="needs"):
            make()
    with pytest.raises(ConfigurationError, match="share of rows"):
        not_null("a", at_least=95)


@pytest.mark.parametrize(
    ("rule", "theirs", "bad", "lines"),
    [
        (
            'reference("id", to="customers.csv:id")',
            "id\n1\n2\n3\n4\n5\n",
            ["6,,,open,,2026-01-04,", ",,,open,,2026-01-04,"],
            [7],
        ),
        ('reference("zip", to="customers.csv:z")', "z\n10115\n80331\nx\n", ["6,10116,,open,,2026-01-04,"], [7]),
        ('reference("zip", to="customers.csv:z")', "z\n10115.0\n80331.5\n80331\n", ["6,10116,,open,,2026-01-04,"], [7]),
        (
            'reference("ordered", to="customers.csv:t")',
            "t\n" + "".join(f"2026-01-0{d} 00:00:00\n" for d in range(1, 6)),
            ["6,,,open,,2026-01-06,"],
            [7],
        ),
        (
            'reference(["zip", "city"], to="customers.csv:z, c")',
            "c,z\nBerlin,10115\nMunich,80331\n",
            ["6,10115,Munich,open,,2026-01-04,"],
            [7],
        ),
        (
            'reference("city", to="customers.csv:c", where={"status": "shipped"})',
            "c\nBerlin\nMunich\n",
            ["6,1,Bonn,open,,2026-01-04,", "7,1,Bonn,shipped,,2026-01-04,"],
            [8],
        ),
    ],
)
def test_a_value_must_be_in_another_file(
    broken: Broken, tmp_path: Path, rule: str, theirs: str, bad: list[str], lines: list[int]
) -> None:
    (tmp_path / "customers.csv").write_text(theirs)
    assert broken(rule, GOOD)[0::2] == (0, [])
    code, said, found = broken(rule, [*GOOD, *bad])
    assert (code, found) == (1, lines), said


def test_a_reference_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    import pandas as pd

    from include.quality.references import Reference

    other = tmp_path / "other.csv"
    other.write_text("id\n1\n2\n")
    known = Reference(other, ("id",))
    asked = pd.Series([1, 3])
    assert known.holds([asked]).tolist() == [True, False]
    other.write_text("id\n1\n2\n3\n")
    assert known.holds([asked]).tolist() == [True, True]


def test_unreadable_records_of_a_reference_are_told(
    broken: Broken, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "customers.csv").write_text("id,name\n1,a\n2,b\n3\n4,d\n5,e\n")
    assert broken('reference("id", to="customers.csv:id")', GOOD)[2] == [4]
    assert "customers.csv:4" in caplog.text


def test_large_numbers_and_columns_that_run_together_stay_apart(broken: Broken, tmp_path: Path) -> None:
    large = [f"{2**53 + at},1,Bonn,{status},1,2026-01-01," for at, status in enumerate(["open", "open", "shipped"])]
    assert broken('unique("id", where={"status": "open"})', large)[2] == []
    (tmp_path / "customers.csv").write_text("a,b\nx\x1fy,z\n")
    assert broken('reference(["city", "status"], to="customers.csv:a,b")', ["1,1,x,y\x1fz,1,2026-01-01,"])[2] == [2]


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ("row_count(1)", "There are rows"),
        ("row_count(2)", "There are at least 2 rows"),
        ("row_count(1, 3)", "There are 1 to 3 rows"),
        ('fresh("day", timedelta(days=1))', "The newest day is at most 1 day old"),
        ('fresh("day", timedelta(hours=36))', "The newest day is at most 36 hours old"),
        ('fresh("day", timedelta(seconds=90))', "The newest day is at most 0:01:30 old"),
    ],
)
def test_rules_say_what_they_mean_as_people_do(made: str, says: str) -> None:
    assert eval(made, {**vars(rules), "timedelta": timedelta}).meaning == says
