"""The lists for source owners: nothing in them runs, nothing personal shows, every row and reason is there once."""

from __future__ import annotations

import csv
import io
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from include.database import transaction
from include.ledger import tables
from include.ledger.quarantine import Filter
from include.ledger.record import quarantine
from include.models import RejectedRow
from include.night.extract.owners import Owners
from include.report.cleanup import NOBODY, SHOWN, harmless, write_cleanup
from include.run import Night
from include.spec.use_case import load
from include.systems.registry import read_systems
from tests.core.conftest import MakeNight

ATTACK = "<script>alert('x')</script>"
EMAIL, REVENUE, UNIQUE = "email_present", "revenue_not_negative", "email_unique"


def expect(night: Night, name: str, kind: str, columns: list[str], meaning: str) -> None:
    """An expectation as the check puts it on record."""
    found: dict[str, Any] = {"run_id": night.run_id, "expectation": name, "type": kind, "columns": columns}
    found |= {"severity": "warning", "threshold": Decimal(1), "meaning": meaning, "success": False}
    with transaction(night.ledger) as connection:
        connection.execute(tables.quality_result.insert().values({**found, "rows_checked": 9, "unexpected_count": 1}))


def reject(night: Night, stage: str, *rejected: RejectedRow) -> None:
    with transaction(night.ledger) as connection:
        quarantine(connection, night, stage, rejected)


def row(number: int | str, *failed: str, **more: Any) -> RejectedRow:
    source = "crm contacts page 3 row 1; sftp firm.csv:7; retrieved_at 2026-11-20"
    record = more.pop("record", {"email": "ada@example.com", "firm_annual_revenue": -5.0})
    why = tuple(f"not met ({name})" for name in failed)
    return RejectedRow(
        f"crm/contacts/{number}", str(number), source, why, record, expectations=failed, owner="x", **more
    )


@pytest.fixture
def night(make_night: MakeNight) -> Night:
    made = make_night()
    expect(made, EMAIL, "ExpectColumnValuesToNotBeNull", ["email"], "The lead has an address")
    expect(made, UNIQUE, "ExpectColumnValuesToBeUnique", ["email"], f"No two {ATTACK}")
    expect(made, REVENUE, "ExpectColumnValuesToBeBetween", ["annual_revenue"], "=HYPERLINK(1)")
    return made


def read(places: tuple[str, str]) -> tuple[list[dict[str, str]], str]:
    listed, page = places
    content = Path(listed).read_bytes().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(content))), Path(page).read_text(encoding="utf-8")


def write(night: Night, folder: Path, chosen: Filter | None = None) -> dict[str, tuple[str, str]]:
    return write_cleanup(night.ledger, night.settings, chosen or Filter(), folder)


def test_every_reason_goes_to_who_can_mend_it(night: Night, tmp_path: Path) -> None:
    line = RejectedRow(
        "sftp/firm.csv:4", "acme.com", "sftp/firm.csv:4", ("firm_employees: expected integer, got '50-100'",), {},
        counts_as_input=False, owner="partner-data",
    )  # fmt: skip
    reject(night, "check", row(1, EMAIL, REVENUE), row(2, UNIQUE), row(3, REVENUE, record={"company_revenue": -1.0}))
    reject(night, "extract", line, RejectedRow("odd", None, "somewhere", ("cannot be read",), {}))
    places = write(night, tmp_path)
    assert places.keys() == {"revenue-operations", "partner-data", NOBODY}
    crm, page = read(places["revenue-operations"])
    found = {(task["row key"], task["columns"], task["object"], task["todo"]) for task in crm}
    assert found == {
        ("1", "email", "contacts", "Fill in email"),
        ("2", "email", "contacts", "Decide which row with this email is right; correct or remove the others"),
        ("3", "annualrevenue", "companies", "Correct annualrevenue"),
    }
    assert {task["place"] for task in crm} == {"contacts page 3 row 1"}
    vendor, _ = read(places["partner-data"])
    assert [(task["place"], task["columns"], task["todo"]) for task in vendor] == [
        ("firm.csv:4", "firm_employees", "Correct firm_employees and deliver the file again"),
        ("firm.csv:7", "annual_revenue_usd", "Correct annual_revenue_usd"),
    ]
    assert "3 things" in page


def test_an_expectation_that_is_not_on_record_is_said_as_the_row_has_it(night: Night, tmp_path: Path) -> None:
    old = RejectedRow("crm/contacts/1", "1", "page 1", ("not met: Has a name (name_present)", "spoilt"), {}, owner="x")
    reject(night, "check", old)
    (places,) = write(night, tmp_path).values()
    assert [(task["expected"], task["todo"]) for task in read(places)[0]] == [
        ("Has a name", "Correct the row"),
        ("spoilt", "Correct the row"),
    ]


def test_nothing_in_the_lists_runs_or_is_personal(night: Night, tmp_path: Path) -> None:
    hostile = f'=cmd|" /C calc"!A0{ATTACK}'
    reject(night, "check", row(f"{hostile}\n\x00", REVENUE, UNIQUE))
    reject(
        night, "extract", RejectedRow("a/b/c", hostile, "+1", ("email: expected text, got something",), {}, owner="@x")
    )
    for places in write(night, tmp_path).values():
        tasks, page = read(places)
        assert tasks
        for cell in (cell for task in tasks for cell in task.values()):
            assert not re.match(r"\s*[=+\-@\t\r\n]", cell), cell
        text = Path(places[0]).read_text(encoding="utf-8-sig") + page
        assert "ada@example.com" not in text
        assert "\x00" not in text
        assert "<script" not in page
        assert "://" not in page
        assert Path(places[0]).parent == tmp_path


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@a", "\t=1", "\n=1", "  =1", "\uff1d1", "\u00a0@x"])
def test_a_cell_that_could_be_a_formula_is_text(cell: str) -> None:
    assert harmless(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "a=1", "1-1", "a@b", "o'neil", 'say "x"', "\U0001f680"])
def test_other_cells_are_kept(cell: str) -> None:
    assert harmless(cell) == cell


@pytest.mark.parametrize(
    ("cell", "shown"),
    [("a\u202eb\u200bc", "abc"), ("a\x00\x1bb", "a\ufffd\ufffdb"), ("\u202e=1", "'=1"), ("\r1", "'\n1")],
)
def test_what_is_not_seen_is_not_written(cell: str, shown: str) -> None:
    assert harmless(cell) == shown


def test_a_long_list_is_whole_and_its_page_is_not_longer_than_people_read(night: Night, tmp_path: Path) -> None:
    reject(night, "check", *(row(number, EMAIL) for number in range(2_500)))
    (places,) = write(night, tmp_path).values()
    tasks, page = read(places)
    assert len({task["row key"] for task in tasks}) == len(tasks) == 2_500
    assert page.count("<tr><th") == SHOWN + 1
    assert f"2,500 rows, of which the first {SHOWN} are shown" in page


def test_unreadable_rows_are_one_group_whatever_came_and_owners_never_share_a_file(
    night: Night, tmp_path: Path
) -> None:
    reject(
        night,
        "extract",
        *(
            RejectedRow(f"crm/contacts/{at}", str(at), "a", (f"views: expected integer, got 'x{at}'",), {}, owner=owner)
            for at, owner in enumerate(["The Sales", "the-sales"] * 20)
        ),
    )
    found = {owner: read(places) for owner, places in write(night, tmp_path).items()}
    assert found.keys() == {"The Sales", "the-sales"}
    for tasks, page in found.values():
        assert (len(tasks), page.count("<h2")) == (20, 1)
    assert len(list(tmp_path.iterdir())) == 4


def test_nothing_chosen_writes_nothing(night: Night, tmp_path: Path) -> None:
    reject(night, "check", row(1, EMAIL))
    empty = tmp_path / "empty"
    empty.mkdir()
    assert write(night, empty, Filter(status="dismissed")) == {}
    assert list(empty.iterdir()) == []


def test_every_system_of_the_registry_has_an_owner_and_every_column_a_system(make_night: MakeNight) -> None:
    systems = read_systems(make_night().settings.systems_file)
    assert all(system.owner for system in systems.values())
    owners = Owners.read(load("crm_lead_scoring"), systems)
    sales, vendor = "revenue-operations", "partner-data"
    for column, record, owner in (
        ("email", {}, sales),
        ("company_revenue", {}, sales),
        ("firm_industry", {}, vendor),
        ("industry", {"company_industry": "x", "firm_industry": "y"}, sales),
        ("industry", {"firm_industry": "y"}, vendor),
        ("industry", {}, sales),
        ("employees", {}, vendor),
        ("last_activity_days", {}, sales),
        ("no such column", {}, sales),
    ):
        assert owners.of_columns([column], record) == owner, column
