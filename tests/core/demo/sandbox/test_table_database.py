"""Rows of the sandbox's table database: added day by day, a day twice without doubling anything."""

import sqlite3
from pathlib import Path

from include.demo.sandbox.seed.table_database import FILE, add_rows


def rows(state: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(state / "tables" / FILE) as base:
        return base.execute("SELECT id, amount, typeof(amount), note FROM sales ORDER BY id").fetchall()


def test_rows_of_a_day_are_added_once_and_may_lack_values(tmp_path: Path) -> None:
    first = [{"id": "a", "amount": None, "note": "x"}, {"id": "b", "amount": 1.5, "note": None}]
    add_rows(tmp_path, {"sales": first})
    add_rows(tmp_path, {"sales": [*first[1:], {"id": "c", "amount": 2.0, "note": "y"}]})
    assert rows(tmp_path) == [("a", None, "null", "x"), ("b", 1.5, "real", None), ("c", 2.0, "real", "y")]


def test_nothing_to_add_makes_no_database(tmp_path: Path) -> None:
    add_rows(tmp_path, {"sales": []})
    assert not (tmp_path / "tables").exists()
