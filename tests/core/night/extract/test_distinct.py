"""Rows that come twice are set aside before anything is paid, and never end in a raw error of the database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import select

from include.database import transaction
from include.ledger import tables
from include.ledger.record import quarantine
from include.models import Column, Interval, Record, RejectedRow
from include.night.close.balance import compare
from include.night.extract.distinct import SAME_ID, SAME_KEY, Distinct
from include.night.extract.extract import extract
from include.run import Night
from include.spec.use_case import UseCase
from include.systems.hubspot.reading import HubSpotReader, Page
from tests.core.night.extract.conftest import HEADER, LINE, Crm, Drop

MakeNight = Callable[..., Night]


def row(row_id: str, key: str = "") -> Record:
    return {
        "row_id": row_id,
        "row_key": key or row_id,
        "lineage": {"mail": f"inbox {row_id}"},
        "email": "a@example.com",
    }


def test_every_further_row_of_an_id_is_set_aside_under_a_name_of_its_own() -> None:
    distinct = Distinct()
    first = distinct.admit(Page(1, [row("m/1"), row("m/2"), row("m/1")], []), "sales")
    second = distinct.admit(Page(2, [row("m/1"), row("m/3")], [RejectedRow("m/2", "m/2", "x", ("odd",), {})]), "sales")
    assert [one["row_id"] for one in (*first.rows, *second.rows)] == ["m/1", "m/2", "m/3"]
    again = [*first.rejected, *second.rejected]
    assert [(one.row_id, one.reasons) for one in again] == [
        ("m/1#2", (SAME_ID,)),
        ("m/1#3", (SAME_ID,)),
        ("m/2#2", (SAME_ID, "odd")),
    ]
    assert (again[0].source, again[0].owner, again[0].record) == (
        "mail: inbox m/1",
        "sales",
        {"email": "a@example.com"},
    )
    assert distinct.set_aside == 3


def test_a_row_that_could_not_be_read_holds_its_id_too() -> None:
    page = Distinct().admit(Page(1, [], [RejectedRow("m/1", "m/1", "x", ("odd",), {})]))
    assert [one.row_id for one in page.rejected] == ["m/1"]
    distinct = Distinct()
    distinct.admit(page)
    assert [one.row_id for one in distinct.admit(Page(2, [row("m/1")], [])).rejected] == ["m/1#2"]


def test_rows_of_one_key_would_be_written_to_one_record_so_only_the_first_is_kept() -> None:
    page = Distinct().admit(Page(1, [row("m/1", "a"), row("m/2", "a"), row("m/3", "b"), row("m/4", "m/1")], []))
    assert [one["row_id"] for one in page.rows] == ["m/1", "m/3", "m/4"]
    assert [(one.row_id, one.reasons) for one in page.rejected] == [("m/2", (SAME_KEY,))]


def test_lines_of_a_file_give_context_to_many_rows_and_are_left_alone() -> None:
    line = RejectedRow("sftp/f:3", None, "f:3", ("ragged",), {}, counts_as_input=False)
    assert Distinct().admit(Page(1, [], [line, line])).rejected == [line, line]


def kept(night: Night, table: Any) -> dict[str, Record]:
    with night.ledger.connect() as connection:
        found = connection.execute(select(table).where(table.c.run_id == night.run_id)).mappings()
        return {one["row_id"]: dict(one) for one in found}


def test_leads_that_share_a_key_are_set_aside_by_extract_and_the_counts_add_up(
    night_of: MakeNight, crm: Crm, drop: Drop, case: UseCase
) -> None:
    drop.put(f"{HEADER}\n{LINE.format(1)}\n")
    for number in range(1, 8):
        crm.add(number, email=f"p{number % 5}@example.com", jobtitle="CTO")
    first: Any = case.sources[0]
    source = replace(first, key=Column("email", "lead_id"), columns=first.columns[1:])
    night = night_of({"page_rows = 100": "page_rows = 3"}, case=replace(case, sources=(source,)))
    manifest = extract(night)
    staged = pq.read_table(manifest.uri).to_pylist()
    assert [one["row_id"] for one in staged] == [f"crm/contacts/{number}" for number in range(1, 6)]
    assert (manifest.facts["input_rows"], manifest.facts["rejected_input"]) == (7, 2)
    aside = kept(night, tables.quarantine)
    assert {name: one["reasons"] for name, one in aside.items()} == {
        "crm/contacts/6": [SAME_KEY],
        "crm/contacts/7": [SAME_KEY],
    }
    assert (aside["crm/contacts/6"]["owner"], aside["crm/contacts/6"]["stage"]) == ("revenue-operations", "extract")
    assert compare(night.ledger, night.run_id, manifest).unstaged == 0


def repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that gives every page twice, as one does that pages by an offset while records are added."""
    read = HubSpotReader.read

    def twice(self: HubSpotReader, interval: Interval, limit: int | None = None) -> Iterator[Page]:
        for page in read(self, interval, limit):
            yield page
            yield Page(page.number, [dict(one, lineage=dict(one["lineage"])) for one in page.rows], page.rejected)

    monkeypatch.setattr(HubSpotReader, "read", twice)


def test_a_source_that_gives_rows_twice_ends_in_one_outcome_for_each_of_them(
    night_of: MakeNight, crm: Crm, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop.put(f"{HEADER}\n{LINE.format(1)}\n")
    for number in range(1, 6):
        crm.add(number, hs_analytics_num_page_views="lots" if number == 5 else "1")
    repeat(monkeypatch)
    night = night_of()
    manifest = extract(night)
    assert (manifest.rows, manifest.facts["input_rows"]) == (4, 10)
    aside = kept(night, tables.quarantine)
    assert set(aside) == {"crm/contacts/5"} | {f"crm/contacts/{number}#2" for number in range(1, 6)}
    assert json.loads(pq.read_table(manifest.uri).to_pylist()[0]["lineage"])["crm"] == "contacts page 1 row 1"
    balance = compare(night.ledger, night.run_id, manifest)
    assert (balance.unstaged, balance.unknown, balance.repeated) == (0, 0, 0)


def test_a_row_set_aside_by_an_interrupted_attempt_is_not_let_in_by_the_next(
    night_of: MakeNight, crm: Crm, drop: Drop
) -> None:
    drop.put(f"{HEADER}\n{LINE.format(1)}\n")
    for number in range(1, 4):
        crm.add(number)
    night = night_of()
    with transaction(night.ledger) as connection:
        quarantine(connection, night, "extract", [RejectedRow("crm/contacts/2", "2", "page", ("odd",), {})])
    manifest = extract(night)
    assert [one["row_id"] for one in pq.read_table(manifest.uri).to_pylist()] == ["crm/contacts/1", "crm/contacts/3"]
    assert manifest.facts["input_rows"] == 3


def test_quarantine_takes_one_row_twice_in_a_call(make_night: MakeNight) -> None:
    night = make_night()
    rows = [RejectedRow("m/1", "1", "x", (reason,), {}) for reason in ("first", "second")]
    with transaction(night.ledger) as connection:
        assert quarantine(connection, night, "extract", rows) == 1
    assert kept(night, tables.quarantine)["m/1"]["reasons"] == ["second"]
