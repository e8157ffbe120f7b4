"""Rules suggested by made-up dirty tables, by files that are long, wide or hostile, and by a night's own rows."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from include.cli import main
from include.operations.check_file.suite_file import load_suite
from include.operations.suggest import seen as seen_of_files
from include.operations.suggest.seen import look
from include.operations.suggest.suggest import write_suggestions
from tests.bench.bench_suggest import score
from tests.bench.dirty_held_out import HELD_OUT
from tests.bench.dirty_tables import TUNED, Dirty
from tests.core.operations.suggest.test_suggest import clean
from tests.core.operations.suggest.wrong_cells import Rows, write

HOSTILE = (
    '"""\nraise SystemExit("ran")\n"""',
    '"); raise SystemExit("ran"); ("',
    "'); raise SystemExit('ran'); ('",
    'a\\", raise SystemExit("ran") #',
    "\\",
    "\n    raise SystemExit('ran')\n",
    "\r\x0craise SystemExit('ran')",
    "\u2028raise SystemExit('ran')\u2029",
    "\x85raise SystemExit('ran')",
    "{raise SystemExit}",
    "\\N{BULLET}\\x00",
    "\u202eevil",
    "class",
    "größe 数",
)


@pytest.mark.parametrize("make", [*TUNED, *HELD_OUT], ids=lambda make: make.__name__)
def test_errors_of_published_benchmarks_are_found_by_rules_as_they_are(
    make: Callable[[int], Dirty], tmp_path: Path
) -> None:
    rows, wrong = make(5)
    found = score(rows, wrong, tmp_path)
    recall, precision = found.found.total() / found.cells.total(), found.right.total() / found.findings.total()
    assert (recall >= 0.75, precision >= 0.9) == (True, True), (recall, precision, found.missed[:5])


def suggested(tmp_path: Path, rows: Rows) -> str:
    write(tmp_path / "t.csv", rows)
    write_suggestions(tmp_path / "t.csv", tmp_path / "rules.py")
    return (tmp_path / "rules.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_from_outside_is_run(name: str, tmp_path: Path) -> None:
    rows = clean(200)
    for at, row in enumerate(rows):
        row[name] = (name, "other", name + "x" * (at % 3))[at % 3]
        row["code" + name] = f"{name}{at:05}"
        row["zip" + name] = name + row["zip"]
    place = tmp_path / (name.replace("/", "").replace("\x00", "")[:40] + ".csv")
    write(place, rows)
    write_suggestions(place, tmp_path / "rules.py")
    suite = load_suite(str(tmp_path / "rules.py"))
    assert len(suite.expectations) > 10
    arguments = ["check", "--input", str(place), "--expectations", str(tmp_path / "rules.py")]
    out = io.StringIO()
    assert main(arguments, out) in (0, 1)
    assert "could not run" not in out.getvalue()


def test_rules_of_names_that_run_together_have_their_own_ids(tmp_path: Path) -> None:
    rows: Rows = [
        {"a": f"x{at % 20}", "a_b": f"y{at % 20}", "b_c": f"z{at % 20}", "c": f"w{at % 20}"} for at in range(400)
    ]
    suggested(tmp_path, rows)
    names = [one.id for one in load_suite(str(tmp_path / "rules.py")).expectations]
    assert len(names) == len(set(names))
    assert main(["check", "--input", str(tmp_path / "t.csv"), "--expectations", str(tmp_path / "rules.py")]) == 0


def test_a_form_with_a_line_break_is_written_so_that_it_loads(tmp_path: Path) -> None:
    text = suggested(tmp_path, [{"fax": f"({at}) 555\n{1000 + at}"} for at in range(200, 300)])
    assert r"\n" in text
    assert main(["check", "--input", str(tmp_path / "t.csv"), "--expectations", str(tmp_path / "rules.py")]) == 0


def test_of_a_long_file_rows_from_every_part_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen_of_files, "MOST_ROWS", 500)
    monkeypatch.setattr(seen_of_files, "_CHUNK", 100)
    rows = clean(2_000)
    for row in rows[1_000:]:
        row["status"] = "late"
    for row in rows[::40]:
        row["qty"] = "many"
    rows[1_900]["sku"] = "wrong"
    text = suggested(tmp_path, rows)
    assert "suggested by 500 of its 2,000 rows" in text
    assert 'accepted_values("status", ["cancelled", "late", "open", "shipped"])' in text
    assert "others e.g. line 1902" in text
    assert "all 500 rows have one, 50 cannot be read" in text
    assert [one.rows for one in look(tmp_path / "t.csv").columns] == [500] * 10


def test_columns_beyond_those_that_are_compared_are_told(tmp_path: Path) -> None:
    rows = [{f"c{at}": f"v{(number * (at + 3)) % 7}" for at in range(60)} for number in range(210)]
    for row in rows:
        row["zip"], row["city"] = row["c0"], row["c0"].upper()
    text = suggested(tmp_path, rows)
    assert "Only the first 40 of 62 columns were compared with others." in text
    assert 'accepted_values("city"' in text
    assert 'on="zip"' not in text


def test_digits_of_numbers_that_name_things_are_told(tmp_path: Path) -> None:
    rows = clean()
    for at, row in enumerate(rows):
        row["plz"] = str(10_115 + at % 90 * 997) if at % 50 else str(115 + at)
        row["licence"] = str(100_003 + at * 7919 % 899_989)
        row["salary"] = str((5 + at * 37 % 95) * 1000)
        row["grows"] = str(9_960 + at)
        row["house no"] = str(100 + at % 800)
        row["part no"] = str(10_000 + at * 197)
        row["votes"] = str(int(1.01**at) + 1)
    text = suggested(tmp_path, rows)
    assert 'matches("plz", r"[0-9]{5}")' in text
    assert "# 98.0% of 1,000 numbers have 5 digits; others e.g. line 2, 52, 102" in text
    assert 'matches("licence", r"[0-9]{6}")' in text
    for name in ("salary", "grows", "votes", "house no", "part no"):
        assert f'between("{name}"' in text, name


def test_what_another_column_tells_is_no_other_way_of_writing(tmp_path: Path) -> None:
    rows = clean()
    for at, row in enumerate(rows):
        abroad = at % 6 == 0
        row["country"] = "AT" if abroad else "DE"
        row["register"] = f"{100_000 + at} x" if abroad else f"{100_000 + at}"
        row["file"] = f"{100_000 + at} x" if at % 7 == 0 else f"{100_000 + at}"
    text = suggested(tmp_path, rows)
    assert 'matches("register", r"[0-9]{6}|[0-9]{6} x")' in text
    assert 'matches("file", r"[0-9]{6}")' in text
