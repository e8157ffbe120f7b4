"""A folder's tickets, weeks of demand and invoices stand in the place of generated ones; what it lacks is generated."""

from __future__ import annotations

import csv
import io
import sqlite3
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.seed.given import given_demand, given_invoices, given_tickets, kinds_in
from include.demo.sandbox.seed.prepare import prepare, require_data
from include.errors import ConfigurationError
from tests.core.demo.sandbox.conftest import ANCHOR

TICKETS = 'id,subject,body\nT1,Refund,"Where is\nmy money?"\n,,My card does not work\n'
DEMAND = "product,week,quantity\nP-1,2011-09-19,4\nP-1,2011-09-26,0.5\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "data"
    place.mkdir()
    return place


def test_tickets_become_the_service_desks_file_of_the_night(folder: Path) -> None:
    (folder / "tickets.csv").write_text(TICKETS)
    files = given_tickets(folder, ANCHOR).files
    rows = list(csv.DictReader(io.StringIO(files["tickets_2026-11-19.csv"].decode(), newline="")))
    assert [(row["ticket_id"], row["subject"], row["body"]) for row in rows] == [
        ("T1", "Refund", "Where is\nmy money?"),
        ("HD-2", "", "My card does not work"),
    ]
    assert {row["created_at"] for row in rows} == {"2026-11-19T02:00:00+00:00"}
    assert "tickets_2026-11-19.csv.sha256" in files


@pytest.mark.parametrize(
    ("end", "last"), [(ANCHOR, "2026-11-09"), (datetime(2026, 11, 23, 2, tzinfo=UTC), "2026-11-16")]
)
def test_weeks_of_demand_are_moved_to_the_last_that_was_over(folder: Path, end: datetime, last: str) -> None:
    (folder / "demand.csv").write_text(DEMAND)
    rows = given_demand(folder, end).tables["demand_history"]
    assert [row["quantity"] for row in rows] == [4.0, 0.5]
    assert rows[1]["week"] == last
    first, second = (date.fromisoformat(row["week"]) for row in rows)
    assert (second - first).days == 7
    assert second.weekday() == 0
    assert {row["plant"] for row in rows} == {"UK03"}
    assert rows[1]["id"] == f"P-1.UK03.{last}"
    assert all(datetime.fromisoformat(row["changed_at"]).replace(tzinfo=UTC) < end for row in rows)


@pytest.mark.parametrize("bad", ["P-1,last week,4", "P-1,2011-10-03,four"])
def test_a_week_that_is_none_is_refused_by_its_row(folder: Path, bad: str) -> None:
    (folder / "demand.csv").write_text(f"{DEMAND}{bad}\n")
    with pytest.raises(ConfigurationError, match=r"demand\.csv, row 4: needs a date"):
        require_data(folder)


def test_invoices_keep_their_names(folder: Path) -> None:
    for name in ("one.pdf", "TWO.XML", "notes.txt"):
        (folder / name).write_bytes(name.encode())
    assert given_invoices(folder, ANCHOR).files == {"invoices/TWO.XML": b"TWO.XML", "invoices/one.pdf": b"one.pdf"}


def test_what_the_folder_lacks_is_generated(folder: Path, tmp_path: Path) -> None:
    (folder / "tickets.csv").write_text(TICKETS)
    state = tmp_path / "state"
    prepare(SandboxConfig(state, anchor=ANCHOR, data=folder, leads_per_day=20))
    assert b"my money" in (state / "sftp/drop/tickets_2026-11-19.csv").read_bytes()
    assert not list((state / "crm").glob("*tickets*"))
    assert (state / "sftp/drop/firmographics_2026-11-19.csv").exists()
    assert len(list((state / "sftp/invoices").iterdir())) == 12
    with sqlite3.connect(state / "tables/shop.sqlite") as shop:
        assert shop.execute("SELECT count(*) FROM demand_history").fetchone()[0] > 500


def test_what_the_folder_has_is_not_generated(folder: Path, tmp_path: Path) -> None:
    (folder / "demand.csv").write_text(DEMAND)
    (folder / "one.xml").write_text("<Invoice/>")
    state = tmp_path / "state"
    prepare(SandboxConfig(state, anchor=ANCHOR, data=folder, leads_per_day=20))
    assert [each.name for each in (state / "sftp/invoices").iterdir()] == ["one.xml"]
    with sqlite3.connect(state / "tables/shop.sqlite") as shop:
        assert shop.execute("SELECT count(*) FROM demand_history").fetchone() == (2,)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((), r"lacks data: accounts\.csv with sales_pipeline\.csv or tickets\.csv or demand\.csv .*found no file"),
        (("other.csv",), r"found other\.csv"),
        (("accounts.csv", "tickets.csv"), r"lacks sales_pipeline\.csv; found accounts\.csv, tickets\.csv"),
    ],
)
def test_a_folder_of_none_of_them_is_refused(folder: Path, names: tuple[str, ...], words: str) -> None:
    for name in names:
        (folder / name).touch()
    with pytest.raises(ConfigurationError, match=words):
        kinds_in(folder)


def test_a_file_without_its_columns_is_refused_before_anything_starts(folder: Path) -> None:
    (folder / "tickets.csv").write_text("text,label\nHello,greeting\n")
    with pytest.raises(ConfigurationError, match=r"tickets\.csv: has no column body; found text, label"):
        require_data(folder)
