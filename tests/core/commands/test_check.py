"""`check` on files, as a person types it: verdicts, exit codes, every failing row, and what bad input gets."""

from __future__ import annotations

import csv
import io
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from include.cli import main
from include.operations.check_file.suite_file import load_suite

SUITE = """
from include.quality.expectation import DERIVED, Expectation

COLUMNS = {"amount": "number"}


def _shipped_later(rows, interval):
    return rows["shipped"].isna() | (rows["shipped"] >= rows["ordered"])


EXPECTATIONS = (
    Expectation("rows", "ExpectTableRowCountToBeBetween", (), "critical", "There are rows", {"min_value": 1}),
    Expectation("id", "ExpectColumnValuesToBeUnique", ("id",), "critical", "No order twice", {"column": "id"}),
    Expectation(
        "amount", "ExpectColumnValuesToBeBetween", ("amount",), "warning", "Amounts are above 0",
        {"column": "amount", "min_value": 0},
    ),
    Expectation(
        "later", "ExpectColumnValuesToBeInSet", ("ordered", "shipped"), "info", "Shipped after it was ordered",
        {"column": DERIVED, "value_set": [True]}, derive=_shipped_later,
    ),
)
"""
GOOD = "id,amount,ordered,shipped\n1,5,2026-01-01,2026-01-02\n2,0,2026-01-01,\n"
BAD = GOOD + "2,-3,2026-01-03,2026-01-02\n3,many,2026-01-01,\n4\n=1+1,7,2026-01-01,2026-01-01\n"

Check = Callable[..., tuple[int, str, list[dict[str, str]]]]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    def run(
        content: str, *arguments: str, suite: str = SUITE, name: str = "orders.csv"
    ) -> tuple[int, str, list[dict[str, str]]]:
        (tmp_path / name).write_text(content, encoding="utf-8")
        (tmp_path / "suite.py").write_text(suite, encoding="utf-8")
        out, failures = io.StringIO(), tmp_path / "failures.csv"
        files = ["--input", str(tmp_path / name), "--expectations", str(tmp_path / "suite.py")]
        code = main(["check", *files, "--failures", str(failures), *arguments], out)
        lines = list(csv.DictReader(failures.open(encoding="utf-8"))) if failures.exists() else []
        return code, out.getvalue(), lines

    return run


def test_a_good_file_passes(check: Check) -> None:
    code, said, lines = check(GOOD)
    assert (code, lines) == (0, [])
    assert "2 rows, 4 columns" in said
    assert said.count("passed") == 4


def test_every_failing_row_of_every_expectation_is_in_the_csv(check: Check) -> None:
    code, said, lines = check(BAD, "--key", "id")
    assert code == 1
    assert [(line["expectation"], line["row"], line["key"]) for line in lines] == [
        ("readable", "orders.csv:6", ""),
        ("readable", "orders.csv:5", ""),
        ("id", "orders.csv:3", "2"),
        ("id", "orders.csv:4", "2"),
        ("amount", "orders.csv:4", "2"),
        ("later", "orders.csv:4", "2"),
    ]
    assert [line["found"] for line in lines[:2]] == ["has 1 fields, the header has 4", "is no number"]
    assert "FAILED  critical          2  records or values cannot be read" in said
    assert "noted   info              1  Shipped after it was ordered" in said


def test_no_cell_is_a_formula(check: Check) -> None:
    negative = SUITE.replace('"min_value": 0', '"min_value": 100')
    _, _, lines = check(BAD, "--key", "id", suite=negative)
    assert {line["key"] for line in lines if line["row"] == "orders.csv:7"} == {"'=1+1"}


@pytest.mark.parametrize("name", ["orders.jsonl", "orders.parquet"])
def test_other_kinds_of_files_give_the_same_verdict(check: Check, tmp_path: Path, name: str) -> None:
    (tmp_path / "text.csv").write_text(GOOD.replace("2,0,", "2,-1,"))
    table = pyarrow.csv.read_csv(tmp_path / "text.csv")
    if name.endswith("parquet"):
        pq.write_table(table, tmp_path / "given.parquet")
        (tmp_path / "suite.py").write_text(SUITE, encoding="utf-8")
        out = io.StringIO()
        files = ["--input", str(tmp_path / "given.parquet"), "--expectations", str(tmp_path / "suite.py")]
        code, said = main(["check", *files], out), out.getvalue()
    else:
        lines = [
            '{"id": 1, "amount": 5, "ordered": "2026-01-01", "shipped": "2026-01-02"}',
            '{"id": 2, "amount": -1, "ordered": "2026-01-01"}',
        ]
        code, said, _ = check("\n".join(lines), name=name)
    assert code == 1
    assert "FAILED  warning           1  Amounts are above 0" in said
    assert said.count("passed") == 3


def test_a_rule_that_cannot_run_never_passes_and_says_why(check: Check) -> None:
    undeclared = SUITE.replace('"amount": "number"', "")
    more = "".join(f"{number},{number},2026-01-01,\n" for number in range(3, 9))
    code, said, lines = check(GOOD.replace("5,2026", "lots,2026") + more, suite=undeclared)
    assert code == 1
    assert "could not run" in said
    assert "'amount' is text, since orders.csv:2 is no integer" in said
    assert [line["expectation"] for line in lines] == ["amount"]
    code, said, _ = check(GOOD.replace("amount", "amounts"), suite=undeclared)
    assert "column 'amount' is missing; renamed to 'amounts'?" in said
    assert code == 1


def test_a_file_without_rows_does_not_pass(check: Check) -> None:
    code, said, _ = check("id,amount,ordered,shipped\n")
    assert code == 1
    assert "There are rows: found 0" in said


@pytest.mark.parametrize(
    ("suite", "said"),
    [
        ("import nothing_of_this_name", "ModuleNotFoundError"),
        ("EXPECTATIONS = 7", "has no list EXPECTATIONS"),
        ("def", "SyntaxError"),
        (SUITE.replace('"later"', '"id"'), "two expectations are called id"),
    ],
)
def test_a_suite_that_is_none_is_named(check: Check, capsys: pytest.CaptureFixture[str], suite: str, said: str) -> None:
    assert check(GOOD, suite=suite)[0] == 2
    assert said in capsys.readouterr().err


def test_what_cannot_be_read_or_written_is_named(
    check: Check, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(GOOD, "--key", "order_id")[0] == 2
    assert "no 'order_id'" in capsys.readouterr().err
    assert check(GOOD, "--failures", str(tmp_path / "none" / "f.csv"))[0] == 2
    assert "cannot be written" in capsys.readouterr().err
    assert check(GOOD, "--from", "yesterday")[0] == 2
    assert "ISO 8601" in capsys.readouterr().err


def test_the_page_says_what_was_found_and_escapes_what_comes_from_outside(check: Check, tmp_path: Path) -> None:
    page, hostile = tmp_path / "report.html", "<script>alert(1)</script>"
    suite = SUITE.replace("No order twice", hostile)
    code, said, _ = check(BAD.replace("shipped", f"shipped,{hostile}", 1), "--report", str(page), suite=suite)
    assert (code, f"Report: {page}" in said) == (1, True)
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "default-src 'none'" in text
    assert re.search(r"<h1>\d of 4 expectations failed, and \d records or values cannot be read</h1>", text)
    code, _, _ = check(BAD, "--report", str(page), "--key", "id")
    text = page.read_text(encoding="utf-8")
    assert "<h1>2 of 4 expectations failed, and 2 records or values cannot be read</h1>" in text
    assert ">orders.csv:3</th>" in text
    assert not [word for word in ("http://", "https://", "src=", "@import") if word in text]


def test_a_page_that_cannot_be_written_is_named(
    check: Check, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(GOOD, "--report", str(tmp_path / "none" / "r.html"))[0] == 2
    assert "cannot be written" in capsys.readouterr().err


def rules(*expectations: str, more: str = "") -> str:
    return f"from include.quality.expectation import Expectation\n{more}\nEXPECTATIONS = [{', '.join(expectations)}]\n"


def rule(kind: str, column: str, arguments: str = "", *, severity: str = "critical") -> str:
    given = f'{{"column": "{column}", {arguments}}}'
    return f'Expectation("{column}", "{kind}", ("{column}",), "{severity}", "A rule", {given})'


UNIQUE, BETWEEN, REGEX = (
    "ExpectColumnValuesToBeUnique",
    "ExpectColumnValuesToBeBetween",
    "ExpectColumnValuesToMatchRegex",
)


def test_long_identifiers_are_not_duplicates(check: Check) -> None:
    content = "parcel\n" + "".join(f"{10**19 + number}\n" for number in range(1_000))
    code, _, lines = check(content, suite=rules(rule(UNIQUE, "parcel")))
    assert (code, lines) == (0, [])


@pytest.mark.parametrize("column", ["row_id", "row_key", "lineage", "line", "key"])
def test_rules_mean_the_columns_of_the_file(check: Check, column: str) -> None:
    code, _, lines = check(f"{column},b\nx,1\ny,2\nx,3\n", suite=rules(rule(UNIQUE, column)))
    assert code == 1
    assert [line["row"] for line in lines] == ["orders.csv:2", "orders.csv:4"]
    code, said, _ = check("other,b\nx,1\n", suite=rules(rule(UNIQUE, column)))
    assert (code, "is missing" in said) == (1, True)


def test_rules_see_blanks_unless_trimming_is_declared(check: Check) -> None:
    blank = rules(rule("ExpectColumnValuesToNotMatchRegex", "name", 'regex" : " $"'.replace('regex"', '"regex"')))
    content = "name,n\nx,1\ny ,2\nz\t,3\n"
    assert [line["row"] for line in check(content, suite=blank)[2]] == ["orders.csv:3"]
    for trim in ("TRIM = True", 'TRIM = ("name",)'):
        assert check(content, suite=blank.replace("EXPECTATIONS", f"{trim}\nEXPECTATIONS", 1))[0] == 0


def test_one_bad_value_is_named_and_the_rule_judges_the_rest(check: Check) -> None:
    content = "n,amount\n" + "".join(f"{number},{number}\n" for number in range(2_000)) + "2000,lots\n2001,-5\n"
    code, _, lines = check(content, suite=rules(rule(BETWEEN, "amount", '"min_value": 0')))
    assert code == 1
    assert [(line["expectation"], line["row"], line["columns"], line["found"]) for line in lines] == [
        ("readable", "orders.csv:2002", "amount", "is no integer"),
        ("amount", "orders.csv:2003", "amount", ""),
    ]


def test_codes_that_are_mostly_digits_stay_codes_where_no_rule_wants_numbers(check: Check) -> None:
    content = "code\n" + "".join(f"{number}\n" for number in range(1_000)) + "C17\n"
    assert check(content, suite=rules(rule(UNIQUE, "code")))[0] == 0
    assert check(content, suite=rules(rule(REGEX, "code", '"regex": "^C?[0-9]+$"')))[0] == 0
    assert (
        check("code\n1\n2\n", suite=rules(rule("ExpectColumnValuesToBeInSet", "code", '"value_set": ["1", "2"]')))[0]
        == 0
    )
    assert (
        check("code\n1\n2\n", suite=rules(rule("ExpectColumnValuesToBeInSet", "code", '"value_set": [1, 2]')))[0] == 0
    )


@pytest.mark.parametrize(
    ("suite", "said"),
    [
        (
            rules(rule(UNIQUE, "id", severity="critcal")),
            "severity 'critcal' is none of critical, warning, info; critical?",
        ),
        (rules(rule(UNIQUE, "id"), more='COLUMNS = {"amount": "numbr"}'), "'amount': type 'numbr' is none of"),
        (rules(rule(UNIQUE, "id"), more='COLUMNS = {"amount": float}'), "'amount': type 'float' is none of"),
        (rules(rule(UNIQUE, "id"), more='COLUMNS = ["amount"]'), "COLUMNS is no mapping"),
        (rules(rule(UNIQUE, "id"), more='TRIM = "id"'), "TRIM is neither True nor"),
        (rules(rule(UNIQUE, "id"), more='ABSENT = "NA"'), "ABSENT is no list of words"),
        (rules('Expectation("a", dict, ("id",), "info", "m")'), 'a class, the name of one is needed: "dict"'),
        (rules('Expectation("a", "ExpectX", "id", "info", "m")'), "`columns` is no tuple of names: 'id'"),
        (rules('Expectation("a", "ExpectX", ("id",), "info", "m", {}, at_least=95)'), "no share from 0 to 1: 95"),
        (rules('Expectation("a", "ExpectX", ("id",), "info", "m", {}, rows="drop")'), "rows 'drop' is none of"),
    ],
)
def test_what_does_not_exist_in_a_suite_is_named(
    check: Check, capsys: pytest.CaptureFixture[str], suite: str, said: str
) -> None:
    assert check(GOOD, suite=suite)[0] == 2
    assert said in capsys.readouterr().err


def test_how_the_file_is_written_can_be_said(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    content = "a title; that says nothing\n1:x:2\n2:y:3\n"
    suite = rules(rule(UNIQUE, "id"), rule(BETWEEN, "n", '"min_value": 0'))
    form = ["--delimiter", ":", "--skip", "1", "--columns", "id,name,n", "--encoding", "cp1252"]
    code, said, _ = check(content, *form, suite=suite)
    assert (code, "2 rows, 3 columns" in said) == (0, True)
    assert "encoding: cp1252 (declared)" in said
    for wrong in (["--delimiter", "::"], ["--skip", "-1"], ["--encoding", "utf-9"]):
        assert check(content, *wrong, suite=suite)[0] == 2
    assert "is no encoding that Python knows" in capsys.readouterr().err


def test_what_was_guessed_stands_in_the_result_and_on_the_page(check: Check, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    content = "id;;amount\n1;x;NA\n2;y;7\n"
    code, said, _ = check(content, "--report", str(page), suite=rules(rule(UNIQUE, "id")))
    assert code == 0
    text = page.read_text(encoding="utf-8")
    for found in ("fields are set apart by ;", "column 2 is called", "it has no name"):
        assert found in said
        assert found in text
    assert "no value in 'amount': 'NA' (1)" in said
    assert "no value: NA (1)" in text
    assert "<dt>Encoding</dt><dd>utf-8</dd>" in text


def test_rules_are_read_as_they_are_now_and_leave_nothing_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    rules = tmp_path / "rules.py"
    for share in ("0.8", "0.9"):
        suite = f"EXPECTATIONS = (not_null('x', at_least={share}),)"
        rules.write_text(f"from include.quality.rules import not_null\n{suite}\n")
        os.utime(rules, (1_700_000_000, 1_700_000_000))  # written within one second
        (one,) = load_suite(str(rules)).expectations
        assert one.at_least == float(share)
    assert [path.name for path in tmp_path.iterdir()] == ["rules.py"]
