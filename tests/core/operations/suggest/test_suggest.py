"""Rules suggested by a file: they load and run as they are, name what is wrong in it, and hold no personal value."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.cli import main
from include.operations.check_file.suite_file import load_suite
from include.quality.conflicts import conflicting, misspellings
from include.quality.forms import find_characters, find_form
from tests.bench import bench_suggest
from tests.core.operations.suggest.wrong_cells import Rows, spoil, write

CITIES = {"10115": "Berlin", "80331": "Munich", "50667": "Cologne", "20095": "Hamburg", "70173": "Stuttgart"}
Suggest = Callable[[Rows], str]


def clean(rows: int = 1_000, seed: int = 3) -> Rows:
    """Orders as they should be: a key, codes, a dependency, amounts, dates, a condition, e-mail addresses."""
    chance = random.Random(seed)
    found = []
    for at in range(rows):
        zipped, status = chance.choice(list(CITIES)), chance.choice(["open", "shipped", "shipped", "cancelled"])
        day, month = chance.randrange(1, 21), chance.randrange(1, 13)
        found.append(
            {
                "order_id": str(10_000 + at),
                "sku": f"AB-{chance.randrange(1000, 10_000)}",
                "zip": zipped,
                "city": CITIES[zipped],
                "status": status,
                "qty": str(chance.randrange(1, 60)),
                "price": f"{chance.lognormvariate(3, 0.5):.2f}",
                "ordered": f"2025-{month:02}-{day:02}",
                "shipped": f"2025-{month:02}-{day + chance.randrange(0, 7):02}" if status == "shipped" else "",
                "email": f"{chance.choice(['ann', 'bob', 'eve'])}{at}@example.com",
            }
        )
    return found


@pytest.fixture
def suggest(tmp_path: Path) -> Suggest:
    """The text of the rules that rows suggest; they are then the file `rules.py` beside `orders.csv`."""

    def run(rows: Rows) -> str:
        write(tmp_path / "orders.csv", rows)
        (tmp_path / "rules.py").unlink(missing_ok=True)
        out = io.StringIO()
        assert (
            main(["check", "--input", str(tmp_path / "orders.csv"), "--suggest", str(tmp_path / "rules.py")], out) == 0
        )
        assert "rules for orders.csv" in out.getvalue()
        return (tmp_path / "rules.py").read_text(encoding="utf-8")

    return run


def test_what_a_right_file_suggests_holds_for_it(suggest: Suggest, tmp_path: Path) -> None:
    text, out = suggest(clean()), io.StringIO()
    code = main(["check", "--input", str(tmp_path / "orders.csv"), "--expectations", str(tmp_path / "rules.py")], out)
    assert (code, "could not run" in out.getvalue()) == (0, False), out.getvalue()
    for rule in (
        'unique("order_id", severity="critical")',
        'matches("sku", r"AB-[0-9]{4}")',
        'accepted_values("status", ["cancelled", "open", "shipped"])',
        'between("qty", 1, 59)',
        'depends("city", on="zip", majority=0.6)',
        'not_null("shipped", where={"status": "shipped"})',
        'not_after("ordered", "shipped")',
        'between("ordered", date(2025, 1, 1), date(2026, 12, 31))',
        '# fresh("ordered", within=',
    ):
        assert rule in text, rule
    assert "# all 1,000 rows have one" in text
    assert '    not_null("shipped"),' not in text


def test_the_evidence_says_how_many_and_where(suggest: Suggest) -> None:
    rows = clean()
    rows[15]["sku"] = "AB1234"
    rows[228]["sku"] = "AB-12"
    rows[3]["zip"], rows[3]["city"] = "10115", "Munich"
    rows[40]["qty"] = "many"
    text = suggest(rows)
    assert "# 99.8% of 1,000 values have this form, AA-9999; others e.g. line 17, 230\n    matches(" in text
    assert "rows that share their zip agree; in conflict e.g. line 5\n" in text
    assert "# COLUMNS says integer: all but 1 values are, others e.g. line 42\n" in text
    assert '"qty": "integer",' in text


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_wrong_cells_are_found_by_rules_from_the_wrong_file(tmp_path: Path, seed: int) -> None:
    rows = clean(2_000, seed)
    wrong = spoil(rows, seed, key="order_id", depends={"city": "zip"})
    found = bench_suggest.score(rows, wrong, tmp_path)
    recall, precision = found.found.total() / found.cells.total(), found.right.total() / found.findings.total()
    assert (recall >= 0.8, precision >= 0.85) == (True, True), (recall, precision, found)
    least = {"missing": 0.9, "typo": 0.55, "swapped": 0.8, "dependency": 0.9, "format": 0.95, "range": 0.7}
    for kind, share in least.items():
        assert found.found[kind] >= share * found.cells[kind], (kind, found.found[kind], found.cells[kind])


def test_no_personal_value_is_written(suggest: Suggest) -> None:
    rows = clean()
    for at, row in enumerate(rows):
        row["contact"] = ["ann@example.com", "bob@example.org"][at % 2]
        row["phone"] = f"+49 30 {1_000_000 + at}"
    text = suggest(rows)
    assert "example" not in text
    assert not [row["phone"] for row in rows if row["phone"] in text]
    assert 'matches("contact"' in text
    assert 'accepted_values("contact"' not in text


def test_weak_evidence_is_commented_out(suggest: Suggest, tmp_path: Path) -> None:
    text = suggest(clean(12))
    rules = [line.strip() for line in text.partition("EXPECTATIONS")[2].splitlines()]
    assert [line for line in rules if line and not line.startswith("#")] == ["= (", "row_count(1),", ")"]
    assert len(load_suite(str(tmp_path / "rules.py")).expectations) == 1


def test_missing_values_that_say_something_are_no_errors(suggest: Suggest) -> None:
    rows = clean()
    for row in rows:
        row["region"] = "" if row["city"] == "Berlin" else "R-" + row["city"][:2]
    rows[990]["status"] = "shipped"
    text = suggest(rows)
    assert 'depends("region", on="zip", majority=0.6, missing=True)' in text
    for row in rows[985:]:
        row["qty"] = ""
    text = suggest(rows)
    assert "nearly all among the last rows, so maybe not yet" in text
    assert '    # not_null("qty"),' in text


def test_names_and_values_from_outside_stay_text(suggest: Suggest, tmp_path: Path) -> None:
    rows = [{'a"""b\\': row["status"] + "\\'\"", "c\nd": row["qty"]} for row in clean()]
    suggest(rows)
    out = io.StringIO()
    assert (
        main(["check", "--input", str(tmp_path / "orders.csv"), "--expectations", str(tmp_path / "rules.py")], out) == 0
    )


def test_other_files_and_odd_columns_suggest_too(tmp_path: Path) -> None:
    rows = clean(200)
    table = pa.table(
        {
            "id": pa.array(range(200)),
            "none": pa.nulls(200, pa.string()),
            "flag": pa.array([at % 2 == 0 for at in range(200)]),
            "same": ["x"] * 200,
            "inf": [float("inf"), float("nan"), *map(float, range(198))],
            "list": [[1]] * 200,
            "city": [row["city"] for row in rows],
            "row_id": [row["sku"] for row in rows],
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    assert (
        main(["check", "--input", str(tmp_path / "t.parquet"), "--suggest", str(tmp_path / "r.py")], io.StringIO()) == 0
    )
    out = io.StringIO()
    main(["check", "--input", str(tmp_path / "t.parquet"), "--expectations", str(tmp_path / "r.py")], out)
    assert "could not run" not in out.getvalue()
    assert 'unique("id", severity="critical")' in (tmp_path / "r.py").read_text()


def test_what_cannot_be_suggested_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    orders, rules = tmp_path / "orders.csv", tmp_path / "rules.py"
    write(orders, clean(40))

    def refused(*arguments: str) -> str:
        assert main(["check", "--input", *arguments], io.StringIO()) == 2
        return capsys.readouterr().err

    rules.write_text("mine")
    assert "exists and is not overwritten" in refused(str(orders), "--suggest", str(rules))
    assert rules.read_text() == "mine"
    assert "must end in .py" in refused(str(orders), "--suggest", str(tmp_path / "rules"))
    assert "cannot be written" in refused(str(orders), "--suggest", str(tmp_path / "none" / "rules.py"))
    orders.write_text("a,b\n")
    assert "has no rows to learn rules from" in refused(str(orders), "--suggest", str(tmp_path / "other.py"))
    with pytest.raises(SystemExit):
        main(["check", "--input", str(orders), "--suggest", "a.py", "--expectations", "b.py"], io.StringIO())


def test_unreadable_records_are_told(suggest: Suggest, tmp_path: Path) -> None:
    suggest(clean(50))
    with (tmp_path / "orders.csv").open("a", encoding="utf-8") as file:
        csv.writer(file).writerow(["1", "2"])
    (tmp_path / "rules.py").unlink()
    main(["check", "--input", str(tmp_path / "orders.csv"), "--suggest", str(tmp_path / "rules.py")], io.StringIO())
    assert "1 records cannot be read and suggest nothing." in (tmp_path / "rules.py").read_text()


@pytest.mark.parametrize(
    ("values", "shown", "pattern"),
    [
        (["AB-1234", "CD-5678"], "AA-9999", "[A-Z]{2}-[0-9]{4}"),
        (["AB-1234", "AB-5678"], "AA-9999", "AB-[0-9]{4}"),
        (["SO1", "SO22", "SO333", "SO4444"], "A9", "SO[0-9]{1,4}"),
        ([f"{at * 2654435761 % 2**32:08x}" for at in range(1, 40)], "X", "[0-9a-f]{8}"),
    ],
)
def test_forms_become_patterns(values: list[str], shown: str, pattern: str) -> None:
    found = find_form(dict.fromkeys(values, 10))
    assert found is not None
    assert (pattern in found.pattern, shown in found.shown, found.share) == (True, True, 1.0), found


def test_free_text_has_no_form_but_maybe_no_digits() -> None:
    words = {" ".join("x" * (3 + at * part % 7) for part in range(1, 3 + at % 5)): 1 for at in range(40)}
    found = find_characters(words)
    assert found is not None
    assert found.shown == "has no digits"


def test_slips_are_found_and_numbers_are_none() -> None:
    counts = {"Berlin": 500, "Berlni": 1, "Brlin": 1, "berlin": 2, "Bern": 40, "Merlin": 30, "P-100": 400, "P-101": 1}
    assert misspellings(counts) == {"Berlni": "Berlin", "Brlin": "Berlin", "berlin": "Berlin"}


def test_what_looks_wrong_but_is_usual_is_kept(suggest: Suggest) -> None:
    rows = clean()
    for at, row in enumerate(rows):
        row["plz"] = f"0{1000 + at % 90}"
        row["invoice"] = f"{'C' if at % 40 == 0 else ''}{536_000 + at}"
        row["qty"] = "-3" if at == 7 else row["qty"]
        row["status"] = "shiped" if at == 9 else row["status"]
        row["district"] = row["city"] if row["city"] != "Berlin" or at % 6 else "Potsdam"
    text = suggest(rows)
    assert '"plz": ' not in text
    assert '"invoice": ' not in text
    assert 'between("qty", 1, 59)' in text or 'between("qty", 0, 59)' in text
    assert '"shiped"' not in text
    assert 'depends("district", on="zip"' not in text


def test_groups_without_a_clear_majority_are_left_out_on_request() -> None:
    on, of = np.array([0, 0, 1, 1, 1, -1]), np.array([1, 2, 5, 5, 6, 9])
    assert conflicting(on, of).tolist() == [True, True, False, False, True, False]
    assert conflicting(on, of, 0.6).tolist() == [False, False, False, False, True, False]
