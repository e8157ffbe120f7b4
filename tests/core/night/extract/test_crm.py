"""Reading the CRM over HTTP: paging, the interval's edges, related records, and every way it can refuse."""

from __future__ import annotations

import dataclasses
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from include.errors import AccessDenied, ContractBroken
from include.models import Record, RejectedRow
from include.settings import ROOT
from include.spec.use_case import UseCase
from include.systems.connections import HttpEndpoint
from include.systems.http import RestClient
from include.systems.hubspot.reading import HubSpotReader
from include.systems.registry import System, read_systems
from tests.core.night.extract.conftest import INTERVAL, Crm

Reader = Callable[..., HubSpotReader]


@pytest.fixture
def reader(crm: Crm, case: UseCase) -> Reader:
    """A reader of the test's CRM; keyword arguments change the registry's entry."""

    def endpoint() -> HttpEndpoint:
        session = requests.Session()
        session.headers["Authorization"] = "Bearer right"
        session.trust_env = False
        return HttpEndpoint(session, crm.url)

    def make(sessions: int = 1, **entry: Any) -> HubSpotReader:
        known: System = read_systems(ROOT / "include" / "systems.toml")["crm"]
        system = dataclasses.replace(known, limits=(), call_limits={}, **entry)
        more = [endpoint() for _ in range(sessions - 1)]
        client = RestClient(endpoint(), system, more=more, sleep=lambda _: None)
        return HubSpotReader(client, system, case.sources[0], case.personal)

    return make


def rows_of(reader: HubSpotReader, limit: int | None = None) -> tuple[list[Record], list[RejectedRow]]:
    pages = list(reader.read(INTERVAL, limit))
    return [row for page in pages for row in page.rows], [row for page in pages for row in page.rejected]


def ids(rows: list[Record]) -> list[int]:
    return [int(row["lead_id"]) for row in rows]


def test_every_row_of_every_page_arrives_once_with_its_place(crm: Crm, reader: Reader) -> None:
    for number in range(1, 246):
        crm.add(number, email=f"p{number}@example.com")
    found = reader()
    rows, rejected = rows_of(found)
    assert ids(rows) == list(range(1, 246))
    assert rejected == []
    assert (found.pages, found.rows) == (3, 245)
    assert rows[216]["row_id"] == "crm/contacts/217"
    assert rows[216]["row_key"] == "217"
    assert rows[216]["lineage"]["crm"] == "contacts page 3 row 17"
    assert rows[216]["email"] == "p217@example.com"


def test_a_full_last_page_ends_the_reading(crm: Crm, reader: Reader) -> None:
    for number in range(1, 201):
        crm.add(number)
    assert len(rows_of(reader())[0]) == 200
    assert len(crm.searches) == 2


def test_it_reads_past_the_hits_after_which_the_api_refuses(crm: Crm, reader: Reader) -> None:
    crm.max_hits = 100
    for number in range(1, 351):
        crm.add(number)
    assert len(rows_of(reader())[0]) == 350


def test_a_row_that_leaves_the_interval_while_we_read_hides_no_other(crm: Crm, reader: Reader) -> None:
    for number in range(1, 251):
        crm.add(number)

    def edit(searches: int) -> None:
        if searches == 1:
            crm.add(7, modified=INTERVAL.end + timedelta(hours=5))

    crm.before_search = edit
    assert ids(rows_of(reader())[0]) == list(range(1, 251))


def test_the_interval_holds_its_start_and_not_its_end(crm: Crm, reader: Reader) -> None:
    one = timedelta(milliseconds=1)
    crm.add(1, INTERVAL.start - one)
    crm.add(2, INTERVAL.start)
    crm.add(3, INTERVAL.end - one)
    crm.add(4, INTERVAL.end)
    found = reader()
    assert ids(rows_of(found)[0]) == [2, 3]
    assert found.watermark == INTERVAL.end - one


def test_two_intervals_that_meet_within_a_millisecond_share_no_row(crm: Crm, reader: Reader) -> None:
    border = INTERVAL.start + timedelta(hours=1, microseconds=300)
    for number in range(3):
        crm.add(number + 1, INTERVAL.start + timedelta(hours=1, milliseconds=number - 1))
    before = list(reader().read(dataclasses.replace(INTERVAL, end=border)))
    after = list(reader().read(dataclasses.replace(INTERVAL, start=border)))
    assert [len(pages[0].rows) for pages in (before, after)] == [2, 1]


def test_a_limit_takes_the_first_rows_by_id(crm: Crm, reader: Reader) -> None:
    for number in range(300, 0, -1):
        crm.add(number)
    assert ids(rows_of(reader(), limit=150)[0]) == list(range(1, 151))
    assert [search["limit"] for search in crm.searches] == [100, 50]


def test_results_out_of_order_are_refused(crm: Crm, reader: Reader) -> None:
    properties = {"lastmodifieddate": "2024-03-05T03:00:00Z"}
    crm.answers = [(200, {"results": [{"id": n, "properties": properties} for n in ("5", "4")]}, {})]
    with pytest.raises(ContractBroken, match="ascending"):
        rows_of(reader())


@pytest.mark.parametrize("body", [[], {}, {"results": [{"id": "x", "properties": {}}]}, {"results": [{"id": "1"}]}])
def test_an_answer_of_another_shape_breaks_the_contract(crm: Crm, reader: Reader, body: Any) -> None:
    crm.answers = [(200, body, {})]
    with pytest.raises(ContractBroken, match="contacts"):
        rows_of(reader())


def test_values_are_read_as_declared(crm: Crm, reader: Reader) -> None:
    crm.add(
        1, jobtitle="  CTO ", country="n/a", hs_analytics_num_page_views="1,204", notes_last_updated="1709600000000"
    )
    row = rows_of(reader())[0][0]
    assert (row["job_title"], row["country"], row["page_views"]) == ("CTO", None, 1204)
    assert row["last_activity_at"] == datetime.fromtimestamp(1_709_600_000, UTC)


def test_a_row_that_cannot_be_read_is_set_aside_with_every_reason(crm: Crm, reader: Reader) -> None:
    crm.add(1, email="a@example.com", hs_analytics_num_page_views="many", notes_last_updated="yesterday")
    crm.add(2)
    rows, rejected = rows_of(reader())
    assert ids(rows) == [2]
    assert (rejected[0].row_id, rejected[0].row_key, rejected[0].source) == (
        "crm/contacts/1",
        "1",
        "crm: contacts page 1 row 1",
    )
    assert rejected[0].reasons == (
        "page_views: expected integer, got 'many'",
        "last_activity_at: expected datetime, got 'yesterday'",
    )
    assert rejected[0].counts_as_input
    assert rejected[0].record["email"] == "a@example.com"


def test_related_records_are_read_once_and_a_missing_one_leaves_nulls(crm: Crm, reader: Reader) -> None:
    crm.add_company(9, name="Acme", domain="acme.com", numberofemployees="12")
    for number in range(1, 151):
        crm.add(number, associatedcompanyid="9")
    crm.add(151, associatedcompanyid="404")
    crm.add(152)
    found = reader()
    rows, _ = rows_of(found)
    assert crm.batch_reads == [["9"], ["404"]]
    assert {(row["company_name"], row["company_employees"]) for row in rows[:150]} == {("Acme", 12)}
    assert (rows[150]["company_name"], rows[151]["company_name"]) == (None, None)
    assert found.facts["missing_related"] == 1


def test_a_related_id_that_is_none_is_not_asked_for(crm: Crm, reader: Reader) -> None:
    crm.add_company(9, name="Acme")
    crm.add(1, associatedcompanyid="acme")
    crm.add(2, associatedcompanyid="9")
    found = reader()
    assert [row["company_name"] for row in rows_of(found)[0]] == [None, "Acme"]
    assert crm.batch_reads == [["9"]]
    assert found.facts["missing_related"] == 1


def test_related_records_are_asked_in_batches_of_the_registry(crm: Crm, reader: Reader) -> None:
    for number in range(1, 8):
        crm.add_company(number, name=f"c{number}")
        crm.add(number, associatedcompanyid=str(number))
    rows, _ = rows_of(reader(batch_rows=3))
    assert [len(batch) for batch in crm.batch_reads] == [3, 3, 1]
    assert [row["company_name"] for row in rows] == [f"c{number}" for number in range(1, 8)]


def test_an_unreadable_related_value_is_set_aside_as_context_and_costs_no_row(crm: Crm, reader: Reader) -> None:
    crm.add_company(9, name="Acme", numberofemployees="a few")
    crm.add(1, associatedcompanyid="9")
    rows, rejected = rows_of(reader())
    assert (rows[0]["company_name"], rows[0]["company_employees"]) == ("Acme", None)
    assert (rejected[0].row_id, rejected[0].counts_as_input) == ("crm/companies/9", False)
    assert rejected[0].reasons == ("company_employees: expected integer, got 'a few'",)


def test_a_property_that_is_missing_is_named_with_what_it_may_be_called_now(crm: Crm, reader: Reader) -> None:
    crm.properties["contacts"] = (crm.properties["contacts"] - {"jobtitle"}) | {"job_title_text"}
    with pytest.raises(ContractBroken, match=r"no 'jobtitle'; closest: 'job_title_text'.*renamed\?"):
        reader().check_contract()


def test_a_property_missing_on_a_related_object_is_found_too(crm: Crm, reader: Reader) -> None:
    crm.properties["companies"].remove("industry")
    with pytest.raises(ContractBroken, match="properties of companies: no 'industry'"):
        reader().check_contract()


def test_a_limit_hit_midway_is_waited_out_and_loses_nothing(crm: Crm, reader: Reader) -> None:
    for number in range(1, 131):
        crm.add(number)
    crm.answers = [(429, {"message": "ten seconds"}, {"Retry-After": "1"}), (429, {}, {}), (500, {}, {})]
    found = reader()
    assert len(rows_of(found)[0]) == 130
    assert found.client.retries == 3


@pytest.mark.parametrize(("status", "text"), [(401, "crm_default"), (403, "scope")])
def test_a_refused_credential_stops_at_once(crm: Crm, reader: Reader, status: int, text: str) -> None:
    crm.answers = [(status, {"message": "no"}, {})]
    with pytest.raises(AccessDenied, match=text):
        reader().check_contract()


def test_an_empty_interval_is_no_error(reader: Reader) -> None:
    assert rows_of(reader()) == ([], [])


def test_an_id_that_was_merged_into_another_is_not_there_and_the_other_comes_once(crm: Crm, reader: Reader) -> None:
    for number in (1, 2, 3):
        crm.add(number)
    merged = crm.objects["contacts"].pop(2)
    item = {"properties": {"lastmodifieddate": merged["lastmodifieddate"]}}
    results = [{**item, "id": number} for number in ("1", "3", "3")]
    crm.answers = [(207, {"results": results}, {})]
    (page,) = reader().read_ids(["1", "2", "3"])
    assert ids(page.rows) == [1, 3]
    crm.answers = [(200, {"results": results[1:]}, {})]
    (page,) = reader().read_ids(["2"])
    assert page.rows == []


def test_the_next_page_is_searched_while_what_a_page_refers_to_is_read(crm: Crm, reader: Reader) -> None:
    third = threading.Event()
    for number in range(1, 301):
        crm.add(number, associatedcompanyid=str(number))
        crm.add_company(number, name=f"Company {number}")
    crm.before_search = lambda searches: third.set() if searches == 2 else None
    crm.before_batch = lambda numbers: assert_set(third)
    found = reader(sessions=4)
    rows, _ = rows_of(found)
    assert ids(rows) == list(range(1, 301))
    assert [row["company_name"] for row in rows] == [f"Company {number}" for number in range(1, 301)]
    assert (found.pages, found.facts["missing_related"]) == (3, 0)


def assert_set(event: threading.Event) -> None:
    assert event.wait(20)


def test_pages_that_overtake_each_other_give_the_rows_of_one_after_the_other(crm: Crm, reader: Reader) -> None:
    chance = random.Random(3)
    for number in range(1, 400):
        crm.add(number, associatedcompanyid=str(chance.randint(1, 90)), hs_analytics_num_page_views="12")
    for number in range(1, 80):
        crm.add_company(number, name=f"Company {number}", numberofemployees="many" if number % 9 == 0 else "5")
    slow = random.Random(4)
    one, four = reader(page_rows=20, batch_rows=7), reader(sessions=4, page_rows=20, batch_rows=7)
    before = rows_of(one)
    crm.before_batch = lambda numbers: time.sleep(slow.uniform(0, 0.02))
    after = rows_of(four)
    assert [without_time(row) for row in after[0]] == [without_time(row) for row in before[0]]
    assert after[1] == before[1]
    facts = [(each.pages, each.rows, each.facts, each.client.calls, each.watermark) for each in (one, four)]
    assert facts[0] == facts[1]


def without_time(row: Record) -> Record:
    return {**row, "lineage": {name: place for name, place in row["lineage"].items() if name != "retrieved_at"}}


def test_what_fails_in_the_air_ends_the_reading_and_nothing_is_sent_after(crm: Crm, reader: Reader) -> None:
    for number in range(1, 1_001):
        crm.add(number, associatedcompanyid=str(number))
    crm.before_search = lambda searches: crm.answers.append((400, {"message": "no"}, {})) if searches == 2 else None
    found = reader(sessions=4)
    with pytest.raises(ContractBroken):
        rows_of(found)
    calls = found.client.calls
    time.sleep(0.1)
    assert found.client.calls == calls <= 8
