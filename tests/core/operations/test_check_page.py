"""`check` as people read it: one verdict everywhere, values that may be shown, the page, and the checks on record."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest
from upath import UPath

from include.cli import main
from include.operations.check_file.bars import Step, course, histogram
from include.operations.check_file.file_profile import Bin, FileColumn, profile_file
from include.personal import token_of
from include.quality.failing_values import Counted, Hidden, side_by_side, texts_of
from include.staging import StagedWriter
from include.systems.files.formats.stage import stage_file

RULES = """
from include.quality.rules import *

PERSONAL = ("owner",)
EXPECTATIONS = [
    unique("id", severity="critical"),
    accepted_values("city", ["Berlin", "Bonn"]),
    not_null("owner"),
    between("amount", 0, 100),
    accepted_values("note", ["fine"], severity="info"),
]
"""
HEADER = "id,city,owner,amount,note\n"
GOOD = HEADER + "".join(f"{at},Berlin,Ann Smith,{at},fine\n" for at in range(1, 31))
BAD = HEADER + "".join(
    f"{at},{'Berlni' if at % 3 == 0 else 'Bonn'},{'' if at % 7 == 0 else f'Ann {at}'},{at},write to a{at}@b.org\n"
    for at in range(1, 301)
)
SECRET = "of the test"


@dataclass(frozen=True, slots=True)
class Checked:
    """What one call of the command left."""

    code: int
    said: str
    page: str
    lines: list[dict[str, str]]

    @property
    def headline(self) -> str:
        """The page's verdict."""
        return re.findall("<h1>(.*)</h1>", self.page)[0]

    @property
    def plain(self) -> str:
        """The page without markup."""
        return " ".join(re.sub("<style.*?</style>|<[^>]+>", " ", self.page, flags=re.DOTALL).split())


Check = Callable[..., Checked]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    monkeypatch.setenv("NIGHTLEDGER_TOKEN_SECRET", SECRET)

    def run(
        content: str, *arguments: str, rules: str = RULES, name: str = "orders.csv", page: str = "r.html"
    ) -> Checked:
        source, suite, failures = tmp_path / name, tmp_path / "rules.py", tmp_path / "failing rows.csv"
        source.write_text(content, encoding="utf-8")
        suite.write_text(rules, encoding="utf-8")
        given = ["--input", str(source), "--expectations", str(suite), "--report", str(tmp_path / page)]
        out = io.StringIO()
        code = main(["check", *given, "--failures", str(failures), *arguments], out)
        text = (tmp_path / page).read_text(encoding="utf-8") if (tmp_path / page).exists() else ""
        lines = list(csv.DictReader(failures.open(encoding="utf-8"))) if failures.exists() else []
        return Checked(code, out.getvalue(), text, lines)

    return run


@pytest.mark.parametrize(
    ("content", "rules", "code", "verdict"),
    [
        (GOOD, RULES, 0, "All 5 expectations hold"),
        (GOOD, RULES.replace('["fine"]', '["good"]'), 0, "4 of 5 expectations hold, 1 for information only do not"),
        (GOOD + "31,Berlin\n", RULES, 1, "All 5 expectations hold, but 1 record or value cannot be read"),
        (BAD, RULES, 1, "3 of 5 expectations failed"),
        (GOOD, "EXPECTATIONS = []", 0, "No expectation was held against it"),
        (GOOD, "from include.quality.rules import *\nEXPECTATIONS = [row_count(1)]", 0, "The only expectation holds"),
    ],
)
def test_headline_terminal_and_exit_code_say_the_same(
    check: Check, content: str, rules: str, code: int, verdict: str
) -> None:
    found = check(content, rules=rules)
    assert (found.code, found.headline, found.said.splitlines()[-1]) == (code, verdict, verdict)
    assert f'class="banner {"good" if code == 0 else "bad" if "cannot" in verdict else "look"}"' in found.page


def test_a_page_alone_profiles_the_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "orders.csv").write_text(GOOD)
    out, page = io.StringIO(), tmp_path / "p.html"
    assert main(["check", "--input", str(tmp_path / "orders.csv"), "--report", str(page)], out) == 0
    assert "<h1>No expectation was held against it</h1>" in page.read_text()
    assert "30 values; most, 2, from 1 to 3" in page.read_text()
    assert main(["check", "--input", str(tmp_path / "orders.csv")], out) == 2
    assert "--report alone profiles the columns" in capsys.readouterr().err


def test_values_are_shown_only_when_asked_for(check: Check) -> None:
    found = check(BAD)
    assert "Berlni" not in found.page + found.said + str(found.lines)
    found = check(BAD, "--show-values")
    assert "100 x Berlni" in found.said
    assert re.search(r"Berlni</th>.*?>100<.*?>100.0 %<", found.page, re.DOTALL)
    assert {line["found"] for line in found.lines if line["expectation"] == "city_accepted_values"} == {"Berlni"}
    assert "200 x 101" not in found.said
    assert "and 195 others" in found.said  # amounts 101 to 300, each there once
    assert "What they hold in amount" not in found.plain


def test_personal_values_are_tokens_with_their_form_wherever_they_are_shown(check: Check) -> None:
    rules = RULES.replace('not_null("owner")', 'matches("owner", "Bob .*")')
    found = check(BAD, "--show-values", "--key", "owner", rules=rules)
    everything = found.page + found.said + str(found.lines)
    assert not re.search(r"Ann \d|@b\.org", everything)
    assert f"{token_of('Ann 1', SECRET)} like Aaa 9" in found.said
    assert f"write to {token_of('a1@b.org', SECRET)}" in found.said
    assert {line["key"] for line in found.lines if line["row"] == "orders.csv:2"} == {token_of("Ann 1", SECRET)}


def test_a_personal_column_that_is_misspelt_is_told(check: Check) -> None:
    assert (
        "personal is not in the file: no 'onwer'; closest: 'owner'"
        in check(GOOD, rules=RULES.replace('("owner",)', '("onwer",)')).said
    )


def test_without_a_secret_tokens_cannot_be_told_from_other_checks(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NIGHTLEDGER_TOKEN_SECRET")
    rules = RULES.replace('not_null("owner")', 'matches("owner", "Bob .*")')
    first, second = (set(re.findall("token:[0-9a-f]+", check(BAD, "--show-values", rules=rules).said)) for _ in "ab")
    assert first
    assert not first & second


def test_what_was_observed_of_a_table_holds_nothing_personal(check: Check) -> None:
    expectation = """
from include.quality.expectation import Expectation
PERSONAL = ("amount",)
EXPECTATIONS = [
    Expectation("most", "ExpectColumnMaxToBeBetween", ("amount",), "info", "A", {"column": "amount", "max_value": 5}),
    Expectation("same", "ExpectColumnMaxToBeBetween", ("id",), "warning", "B", {"column": "id", "max_value": 5}),
]
"""
    found = check(GOOD.replace(",30,", ",77007,"), rules=expectation)
    assert "77007" not in found.page.replace(",", "") + found.said.replace(",", "")
    assert "found 30" in found.said


def test_every_number_of_failing_rows_leads_to_them(check: Check) -> None:
    found = check(BAD + "1,Bonn,x,many,fine\n5\n", rules='COLUMNS = {"amount": "number"}\n' + RULES)
    anchors, ids = re.findall('href="#([^"]+)"', found.page), re.findall(' id="([^"]+)"', found.page)
    assert len(ids) == len(set(ids))
    assert set(anchors) <= set(ids)
    for count in ("100", "2", "42", "200"):
        assert re.search(f'<a href="#rows-[0-9]+">{count}</a>', found.page), count
    assert '<a href="#rows-unreadable">2 records or values</a>' in found.page
    assert 'All 200 are in <a href="failing%20rows.csv">failing rows.csv</a>' in found.page
    assert "amount: is no number" in found.plain
    assert "the first 100 of 200" in found.plain


def test_the_page_says_what_was_checked_when_and_by_which_rules(check: Check, tmp_path: Path) -> None:
    found = check("﻿" + GOOD, "--from", "2026-11-01", "--to", "2026-11-02")
    for name in ("orders.csv", "rules.py"):
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() in found.page
    assert f"{(tmp_path / 'orders.csv').stat().st_size:,} bytes" in found.page
    assert "utf-8-sig (byte order mark)" in found.plain
    assert re.search(
        r"Checked \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, for \[2026-11-01 00:00, 2026-11-02 00:00\)", found.plain
    )


def test_what_a_file_was_read_as_and_its_blank_lines_are_on_record(check: Check, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    found = check(GOOD.replace(",", ";") + "\n\n;;;;\n", "--history", str(kept))
    (record,) = (json.loads(one.read_text()) for one in kept.iterdir())
    assert (record["file"]["form"], record["lines_blank"], record["records_empty"]) == ("delimiter ;", 2, 1)
    assert "Read as delimiter ; ; 2 blank lines passed over" in found.plain.replace("delimiter ;;", "delimiter ; ;")
    lines = '{"id": 1, "city": "Bonn", "owner": "x", "amount": 1, "note": "fine"}\n\n'
    assert "Read as JSON Lines; 1 blank line passed over" in check(lines, name="orders.jsonl").plain
    fixed = "id city owneramountnote\n1  Bonn Ann  7     fine\n\n"
    assert "Read as fields of fixed widths; 1 blank line" in check(fixed, "--widths", "3,5,5,6,4").plain


def test_values_that_cannot_be_read_are_counted_where_values_may_be_shown(check: Check) -> None:
    rules = 'COLUMNS = {"amount": "number", "owner": "date"}\n' + RULES
    content = GOOD + "".join(f"{at},Bonn,Ann,{'many' if at % 2 else 'a few'},fine\n" for at in range(41, 46))
    found = check(content + "50,Bonn,,none at all,fine\n", rules=rules)
    assert "6 x amount: is no number" in found.said
    assert "many" not in found.said + found.page
    found = check(content + "50,Bonn,,none at all,fine\n", "--show-values", rules=rules)
    assert "3 x amount: is no number: many" in found.said
    assert "2 x amount: is no number: a few" in found.said
    assert "1 x amount: is no number: none at all" in found.said
    assert f"30 x owner: is no date: {token_of('Ann Smith', SECRET)} like Aaa Aaaaa" in found.said


def test_a_file_that_changes_while_it_is_read_has_no_verdict(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def slow(source: Path, *arguments: object, **more: object) -> object:
        staged = stage_file(source, *arguments, **more)  # type: ignore[arg-type]
        source.write_text(GOOD.replace("Berlin", "Bremen"), encoding="utf-8")
        return staged

    monkeypatch.setattr("include.operations.check_file.check.stage_file", slow)
    assert check(GOOD).code == 2
    assert "was changed while it was read" in capsys.readouterr().err


def nights(check: Check, tmp_path: Path) -> list[Checked]:
    """Four checks of four files, kept in one folder; the third has 10 more rows and a wrong city."""
    contents = [GOOD, GOOD, GOOD + "".join(f"{at},Bremen,Ann,1,fine\n" for at in range(31, 41)), GOOD]
    return [
        check(
            content + "\n" * day,
            *("--history", str(tmp_path / "kept"), "--from", f"2026-11-0{day}", "--to", f"2026-11-0{day + 1}"),
            name=f"orders_{day}.csv",
            page=f"r{day}.html",
        )
        for day, content in enumerate(contents, 1)
    ]


def test_checks_on_record_become_trends(check: Check, tmp_path: Path) -> None:
    found = nights(check, tmp_path)
    assert "since" not in found[0].said
    assert "since orders_1.csv" in found[1].said
    assert "nothing is different" in found[1].said
    assert "rows 30 -> 40 (+33.3%); city_accepted_values held then and does not now" in found[2].said
    assert "rows 40 -> 30 (-25.0%); city_accepted_values holds again" in found[3].said
    assert "Failing share of 4 checks: 0.00% to 25.00%, last 0.00%; did not hold in 1" in found[3].page
    assert "All 4, newest first" in found[3].plain
    assert [f'href="r{day}.html"' in found[3].page for day in (1, 2, 3, 4)] == [True, True, True, False]
    records = [json.loads(one.read_text()) for one in sorted((tmp_path / "kept").iterdir())]
    assert [one["rows"] for one in records] == [30, 30, 40, 30]
    assert "Share without a value of 4 checks" not in found[3].page
    assert [one["report"] for one in records] == [f"../r{day}.html" for day in (1, 2, 3, 4)]
    assert records[2]["expectations"][1]["failing"] == 10
    assert "Bremen" not in json.dumps(records)
    assert records[0]["file"]["sha256"] == hashlib.sha256((tmp_path / "orders_1.csv").read_bytes()).hexdigest()


def test_more_that_cannot_be_read_is_a_difference(check: Check, tmp_path: Path) -> None:
    for day, content in enumerate((GOOD, GOOD + "31,Bonn\n"), 1):
        dates = ("--from", f"2026-11-0{day}", "--to", f"2026-11-0{day + 1}")
        found = check(content, "--history", str(tmp_path / "kept"), *dates)
    assert "UTC: what cannot be read 0 -> 1\n" in found.said


def test_a_name_from_the_file_steers_no_terminal(check: Check) -> None:
    hostile = "amount\x1b[2J"
    rules = f'COLUMNS = {{"{hostile}": "number"}}\n' + RULES
    found = check(GOOD.replace("amount", hostile, 1) + "31,Bonn,x,many,fine\n", rules=rules)
    assert "is no number" in found.said
    assert "\x1b" not in found.said


def test_the_course_of_missing_values_is_drawn_beside_their_share(check: Check, tmp_path: Path) -> None:
    for day, content in enumerate((GOOD, BAD), 1):
        dates = ("--from", f"2026-11-0{day}", "--to", f"2026-11-0{day + 1}")
        found = check(content, "--history", str(tmp_path / "kept"), *dates)
    assert found.page.count("Share without a value of 2 checks: 0.00% to 14.00%, last 14.00%") == 2  # label and title


def test_a_file_checked_again_stands_once_and_other_rules_and_damaged_records_do_not_count(
    check: Check, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    nights(check, tmp_path)
    again = nights(check, tmp_path)[-1]
    assert "All 4, newest first" in again.plain
    first = min(kept.iterdir())
    record = json.loads(first.read_text())
    (kept / "x.check.json").write_text(first.read_text()[:100])
    others = {"rules": {"name": "others.py", "sha256": ""}, "file": record["file"] | {"sha256": "0"}}
    (kept / "y.check.json").write_text(json.dumps(record | others))
    (kept / "notes.txt").write_text("of mine")
    again = nights(check, tmp_path)[-1]
    assert "All 4, newest first" in again.plain
    assert "note: x.check.json is no record of a check and is left out" in again.said
    assert "y.check" not in again.said


def test_what_is_kept_has_no_value_and_leads_to_the_page_that_is_there(check: Check, tmp_path: Path) -> None:
    for day in (1, 2):
        given = ("--history", str(tmp_path / "kept"), "--from", f"2026-11-0{day}", "--to", f"2026-11-0{day + 1}")
        found = check(BAD + "\n" * day, *given, "--show-values", name=f"orders_{day}.csv")
    assert "Berlni" in found.page
    assert "Berlni" not in "".join(one.read_text() for one in (tmp_path / "kept").iterdir())
    assert re.findall(r'<a href="r.html">([^<]*)<', found.page) == ["orders_2.csv"]


def test_a_folder_that_cannot_be_written_is_named(
    check: Check, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kept").write_text("a file")
    assert check(GOOD, "--history", str(tmp_path / "kept")).code == 2
    assert "cannot be written" in capsys.readouterr().err


def test_nobody_who_reads_is_no_defect(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(GOOD)
    (tmp_path / "rules.py").write_text(RULES)
    files = ["--input", str(tmp_path / "orders.csv"), "--expectations", str(tmp_path / "rules.py")]
    command = [sys.executable, "-m", "include.cli", "check", *files]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        said = process.stderr.read() if process.stderr is not None else b""
    assert (process.returncode, said) == (141, b"")


def profiled(tmp_path: Path, table: pa.Table, **how: object) -> dict[str, FileColumn]:
    with StagedWriter(UPath(tmp_path / "t.parquet"), table.schema) as writer:
        writer.write_table(table)
    return {one.name: one for one in profile_file(writer.manifest("file", "raw"), **how)}  # type: ignore[arg-type]


def test_a_profile_counts_what_there_is(tmp_path: Path) -> None:
    table = pa.table(
        {
            "whole": pa.array([*range(1, 11), 5, None], pa.int64()),
            "real": pa.array([float(at) for at in range(10)] + [float("nan"), float("inf")]),
            "word": pa.array(["a"] * 6 + ["bcd"] * 3 + ["e", None, None]),
            "none": pa.nulls(12, pa.float64()),
            "same": pa.array([7] * 12),
            "day": pa.array([1, 2] * 6, pa.int32()).cast(pa.date32()),
        }
    )
    found = profiled(tmp_path, table, shown=Hidden(frozenset(), SECRET))
    whole = found["whole"]
    assert (whole.nulls, whole.different, whole.least, whole.most, whole.quartiles) == (
        1,
        10,
        "1",
        "10",
        ("3", "5", "8"),
    )
    assert (sum(one.rows for one in whole.bins), whole.bins[4].rows) == (11, 2)
    assert (found["real"].nulls, found["real"].most, sum(one.rows for one in found["real"].bins)) == (1, "9", 10)
    word = found["word"]
    assert (word.nulls, word.different, word.shortest, word.longest) == (2, 3, 1, 3)
    assert word.frequent == (("a", 6), ("bcd", 3))
    assert (found["none"].nulls, found["none"].different, found["none"].bins) == (12, 0, ())
    assert found["same"].bins == (Bin("7", "7", 12),)
    assert (found["day"].least, found["day"].most, found["day"].different) == ("1970-01-02", "1970-01-03", 2)
    assert found["day"].bins == (Bin("1970-01-02", "1970-01-02", 6), Bin("1970-01-03", "1970-01-03", 6))


def test_a_profile_of_the_ends_of_every_type_is_one(tmp_path: Path) -> None:
    first, last = datetime(1, 1, 1), datetime(9999, 12, 31)
    table = pa.table(
        {
            "real": pa.array([1.7e308, -1.7e308, 1.7e308, 1.7e308, float("nan"), None]),
            "huge": pa.array([1e300] * 6),
            "tiny": pa.array([5e-324, 1e-320, 0.0, -0.0, 1e-300, 2.0]),
            "signed": pa.array([2**63 - 1, -(2**63), 0, 1, 2, 3]),
            "unsigned": pa.array([2**64 - 1, 0, 1, 2, 3, 4], pa.uint64()),
            "time": pa.array([first, last, None, None, None, None], pa.timestamp("us")),
            "nothing": pa.nulls(6),
            "bytes": pa.array([b"\x00\xff", b"a", b"a", None, b"", b"x"]),
            "coded": pa.array(["a", "b", "a", None, "a", "c"]).dictionary_encode(),
            "listed": pa.array([[1], [2, 3], None, [], [1], [1]]),
        }
    )
    found = profiled(tmp_path, table, shown=Hidden(frozenset(), SECRET))
    real = found["real"]
    assert (real.nulls, real.different, real.mean, real.bins, real.most) == (2, 2, None, (), "1.7e+308")
    assert found["huge"].bins == (Bin("1e+300", "1e+300", 6),)
    for name in ("tiny", "signed", "unsigned", "time"):
        assert sum(one.rows for one in found[name].bins) == 6 - found[name].nulls, name
    assert (found["time"].least, found["time"].most) == ("0001-01-01", "9999-12-31")
    assert [found[name].different for name in ("nothing", "bytes", "coded", "listed")] == [0, 4, 3, 3]
    assert found["coded"].frequent == (("a", 3),)


def test_one_far_value_does_not_hide_where_the_others_lie(tmp_path: Path) -> None:
    column = profiled(tmp_path, pa.table({"n": pa.array([float(at % 50) for at in range(999)] + [1e12])}))["n"]
    assert (column.bins[-1].high, column.bins[-1].rows) == (None, 1)
    assert sum(one.rows > 0 for one in column.bins) > 8
    assert sum(one.rows for one in column.bins) == 1_000


def test_a_personal_column_is_profiled_by_rows_and_lengths_only(tmp_path: Path) -> None:
    table = pa.table({"pay": pa.array([10.5, 20.5, 20.5]), "name": pa.array(["Ann", "Bob", "Bob"])})
    shown = Hidden(frozenset({"name", "pay"}), SECRET)
    found = profiled(tmp_path, table, personal=("pay", "name"), shown=shown)
    assert (found["pay"].least, found["pay"].mean, found["pay"].bins, found["pay"].different) == (None, None, (), 2)
    assert found["name"].frequent == ((f"{token_of('Bob', SECRET)} like Aaa", 2),)


def test_values_that_are_counted_in_parts_are_counted_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted()
    counted.add([pa.array(["a", "b", None]), pa.array(["1", "1", "1"])])
    counted.add([pa.array([None, "a"]), pa.array(["1", "2"])])
    assert counted.most(2) == [([None, "1"], 2), (["a", "1"], 1)]
    assert (counted.different, counted.at_least) == (4, False)
    monkeypatch.setattr("include.quality.failing_values.MOST_COUNTED", 4)
    counted.add([pa.array(["x", "y", None]), pa.array(["1", "1", "1"])])
    assert (counted.most(1), counted.different, counted.at_least) == ([([None, "1"], 3)], 2, True)


def test_texts_are_what_a_person_writes() -> None:
    assert texts_of(pa.array([0, 86_400_500_000], pa.timestamp("us", "UTC"))).to_pylist() == [
        "1970-01-01 00:00:00Z",
        "1970-01-02 00:00:00.500000Z",
    ]
    assert texts_of(pa.array([0, 500_000_000], pa.timestamp("ns", "Europe/Berlin"))).to_pylist() == [
        "1970-01-01 01:00:00+0100",
        "1970-01-01 01:00:00.500000000+0100",
    ]
    assert texts_of(pa.array([[1, 2], None])).to_pylist() == ["[1, 2]", None]
    assert texts_of(pa.array([5.0, 0.25])).to_pylist() == ["5", "0.25"]


def test_two_datasets_side_by_side_show_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = pa.table({"n": pa.array(range(10))})
    with StagedWriter(UPath(tmp_path / "n.parquet"), numbers.schema) as writer:
        writer.write_table(numbers)
    one, sizes = writer.manifest("file", "raw"), iter([(3, 5, 2), (7, 1, 2)])

    def uneven(*_: object, **__: object) -> Iterator[pa.RecordBatch]:
        at = 0
        for size in next(sizes):
            yield numbers.slice(at, size).to_batches()[0]
            at += size

    monkeypatch.setattr("include.quality.failing_values.read_chunks", uneven)
    seen = list(side_by_side(one, one, rows=4, columns=["n"]))
    assert [at for at, _, _ in seen] == [0, 3, 7, 8]
    assert all(left.column("n").equals(right.column("n")) for _, left, right in seen)
    assert sum(left.num_rows for _, left, _ in seen) == 10


def test_charts_name_their_bars_and_escape_what_they_quote() -> None:
    drawn = histogram([Bin(None, "<1>", 3), Bin("<1>", "2", 1)])
    assert "<title>below &lt;1&gt;: 3</title>" in drawn
    assert 'aria-label="4 values; most, 3, below &lt;1&gt;"' in drawn
    drawn = course([Step("<day>", 0.0), Step("2", 8.0, fine=False)], "rows")
    assert "<title>&lt;day&gt;: 0 rows</title>" in drawn
    assert "2: 8 rows, not as expected" in drawn
