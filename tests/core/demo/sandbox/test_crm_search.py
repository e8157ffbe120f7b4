"""Searching and reading the stand-in CRM follows HubSpot's contract."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from include.demo.sandbox.crm.errors import CrmError
from include.demo.sandbox.crm.properties import millis
from include.demo.sandbox.crm.search import search
from include.demo.sandbox.crm.store import Store, seed_entry
from tests.core.demo.sandbox.conftest import ANCHOR, Crm

START = ANCHOR - timedelta(days=1)
WITHIN_NIGHT = (
    {"propertyName": "lastmodifieddate", "operator": "GTE", "value": str(int(START.timestamp() * 1000))},
    {"propertyName": "lastmodifieddate", "operator": "LT", "value": ANCHOR.isoformat()},
)


def pages(crm: Crm, *filters: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = None
    while True:
        page = crm.search("contacts", *filters, **more, **({"after": after} if after else {}))
        found += page["results"]
        if "paging" not in page:
            assert page["total"] == len(found)
            return found
        after = page["paging"]["next"]["after"]


def test_paging_gives_every_hit_once(crm: Crm) -> None:
    found = pages(crm, *WITHIN_NIGHT, limit=50)
    assert len({each["id"] for each in found}) == len(found) == 120


def test_the_night_is_filtered_by_millis_and_by_iso_time(crm: Crm) -> None:
    for each in pages(crm, *WITHIN_NIGHT, limit=100):
        changed = datetime.fromisoformat(each["properties"]["lastmodifieddate"])
        assert START <= changed < ANCHOR


@pytest.mark.parametrize("descending", [False, True])
def test_one_sort_orders_hits(crm: Crm, descending: bool) -> None:
    sorts = [{"propertyName": "lastmodifieddate", "direction": "DESCENDING" if descending else "ASCENDING"}]
    found = [each["properties"]["lastmodifieddate"] for each in pages(crm, sorts=sorts, limit=100)]
    assert found == sorted(found, reverse=descending)


@pytest.mark.parametrize("direction", ["ASCENDING", "DESCENDING"])
def test_records_without_the_value_sort_last(crm: Crm, direction: str) -> None:
    sorts = [{"propertyName": "hs_analytics_num_page_views", "direction": direction}]
    found = pages(crm, sorts=sorts, limit=100, properties=["hs_analytics_num_page_views"])
    absent = [each["properties"]["hs_analytics_num_page_views"] is None for each in found]
    assert any(absent)
    assert absent == sorted(absent)


def test_ids_compare_as_numbers(crm: Crm) -> None:
    everyone = [int(each["id"]) for each in pages(crm, limit=100)]
    middle = sorted(everyone)[100]
    after = pages(crm, {"propertyName": "hs_object_id", "operator": "GT", "value": str(middle)}, limit=100)
    assert sorted(int(each["id"]) for each in after) == sorted(number for number in everyone if number > middle)


@pytest.mark.parametrize(
    ("condition", "test"),
    [
        ({"operator": "EQ", "value": "referrals"}, lambda value: value == "REFERRALS"),
        ({"operator": "NEQ", "value": "REFERRALS"}, lambda value: value != "REFERRALS"),
        ({"operator": "IN", "values": ["REFERRALS", "OFFLINE"]}, lambda value: value in ("REFERRALS", "OFFLINE")),
        ({"operator": "HAS_PROPERTY"}, lambda value: value is not None),
    ],
)
def test_text_operators(crm: Crm, condition: dict[str, Any], test: Any) -> None:
    every = pages(crm, limit=100, properties=["hs_analytics_source"])
    found = pages(crm, {"propertyName": "hs_analytics_source", **condition}, limit=100)
    expected = {each["id"] for each in every if test(each["properties"]["hs_analytics_source"])}
    assert {each["id"] for each in found} == expected != set()


@pytest.mark.parametrize(
    ("condition", "test"),
    [
        ({"operator": "LT", "value": "5"}, lambda value: value < 5),
        ({"operator": "LTE", "value": "5"}, lambda value: value <= 5),
        ({"operator": "GT", "value": "5"}, lambda value: value > 5),
        ({"operator": "GTE", "value": "5"}, lambda value: value >= 5),
        ({"operator": "BETWEEN", "value": "5", "highValue": "9"}, lambda value: 5 <= value <= 9),
    ],
)
def test_number_operators_compare_numbers_not_text(crm: Crm, condition: dict[str, Any], test: Any) -> None:
    name = "hs_analytics_num_page_views"
    every = [each["properties"][name] for each in pages(crm, limit=100, properties=[name])]
    found = pages(crm, {"propertyName": name, **condition}, limit=100, properties=[name])
    assert len(found) == sum(1 for value in every if value is not None and test(float(value))) > 0


def test_groups_are_alternatives(crm: Crm) -> None:
    without = {"filters": [{"propertyName": "jobtitle", "operator": "NOT_HAS_PROPERTY"}]}
    with_it = {"filters": [{"propertyName": "jobtitle", "operator": "HAS_PROPERTY"}]}
    body = {"filterGroups": [without, with_it], "limit": 1}
    answer = crm.call("POST", "/crm/v3/objects/contacts/search", body)
    assert answer.json()["total"] == 240


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 101},
        {"limit": 0},
        {"after": "x"},
        {"sorts": [{"propertyName": "email"}, {"propertyName": "phone"}]},
        {"filterGroups": [{"filters": [{"propertyName": "nosuch", "operator": "EQ", "value": "1"}]}]},
        {"filterGroups": [{"filters": [{"propertyName": "email", "operator": "LIKE", "value": "1"}]}]},
        {"filterGroups": [{"filters": [{"propertyName": "email", "operator": "IN"}]}]},
        {"filterGroups": [{"filters": [{"propertyName": "lastmodifieddate", "operator": "GTE", "value": "soon"}]}]},
        {"filterGroups": [{"filters": []}] * 6},
        ["no object"],
    ],
)
def test_a_search_that_hubspot_refuses(crm: Crm, body: Any) -> None:
    answer = crm.call("POST", "/crm/v3/objects/contacts/search", body)
    assert answer.status_code == 400
    assert answer.json()["category"] == "VALIDATION_ERROR"
    assert answer.json()["correlationId"]


def test_paging_past_ten_thousand_hits_is_refused(tmp_path: Path) -> None:
    moment = START.isoformat()
    lines = (json.dumps(seed_entry("contacts", number, moment, moment, {})) for number in range(1, 10_051))
    (tmp_path / "seed-1.jsonl").write_text("\n".join(lines) + "\n")
    store = Store(tmp_path)
    last = search(store, "contacts", {"limit": 100, "after": "9900"})
    assert last["total"] == 10_050
    assert last["paging"]["next"]["after"] == "10000"
    with pytest.raises(CrmError) as refused:
        search(store, "contacts", {"limit": 100, "after": "10000"})
    assert refused.value.status == 400
    store.close()


def stored(folder: Path, records: int) -> Store:
    """A store of its own, with a contact changed in every minute of the night."""
    moments = [(START + timedelta(minutes=number)).isoformat() for number in range(records)]
    lines = (json.dumps(seed_entry("contacts", at, each, each, {})) for at, each in enumerate(moments, 1))
    (folder / "seed-1.jsonl").write_text("\n".join(lines) + "\n")
    return Store(folder)


def by_id(store: Store, *bounds: tuple[str, int], **more: Any) -> Any:
    conditions = [{"propertyName": "hs_object_id", "operator": name, "value": str(value)} for name, value in bounds]
    sorts = [{"propertyName": "hs_object_id", "direction": "ASCENDING"}]
    body = {"filterGroups": [{"filters": [*WITHIN_NIGHT, *conditions]}], "sorts": sorts, **more}
    return search(store, "contacts", body)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ([("GT", 10)], range(11, 41)),
        ([("GTE", 10), ("LT", 13)], range(10, 13)),
        ([("GT", 10), ("GTE", 30), ("LTE", 33)], range(30, 34)),
        ([("GT", 39), ("LT", 5)], range(0)),
        ([("EQ", 7)], range(7, 8)),
    ],
)
def test_bounds_on_the_id_give_the_hits_between_them(
    tmp_path: Path, bounds: list[tuple[str, int]], expected: range
) -> None:
    store = stored(tmp_path, 40)
    page = by_id(store, *bounds, limit=100)
    assert [int(each["id"]) for each in page["results"]] == list(expected)
    assert page["total"] == len(expected)
    assert "paging" not in page
    store.close()


def test_a_record_that_changes_is_searched_as_it_is_now(tmp_path: Path) -> None:
    store = stored(tmp_path, 40)
    assert by_id(store, limit=1)["total"] == 40
    store.update("contacts", [(item, {"jobtitle": "CTO"}) for item in store.get("contacts", [3, 20])])  # changed today
    found = by_id(store, ("GT", 2), limit=100)
    assert [int(each["id"]) for each in found["results"]] == [number for number in range(4, 41) if number != 20]
    body = {"filterGroups": [{"filters": [{"propertyName": "jobtitle", "operator": "EQ", "value": "CTO"}]}]}
    assert [each["id"] for each in search(store, "contacts", body)["results"]] == ["3", "20"]
    store.close()


def test_only_the_first_page_of_a_search_looks_at_every_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, scans = stored(tmp_path, 300), list[str]()
    items = store.items
    monkeypatch.setattr(store, "items", lambda kind: scans.append(kind) or items(kind))
    for last in (0, 100, 200):
        assert len(by_id(store, ("GT", last), limit=100)["results"]) == 100
    assert scans == ["contacts"]
    store.close()


def test_only_properties_asked_for_and_those_always_given(crm: Crm) -> None:
    found = crm.search("contacts", limit=1, properties=["jobtitle", "nosuch"])["results"][0]
    assert set(found["properties"]) == {"jobtitle", "createdate", "lastmodifieddate", "hs_object_id"}
    assert found["properties"]["hs_object_id"] == found["id"]
    assert found["archived"] is False
    assert found["updatedAt"] == found["properties"]["lastmodifieddate"]


def test_values_are_text_or_null(crm: Crm) -> None:
    names = ["hs_analytics_num_page_views", "email", "nl_lead_score", "associatedcompanyid"]
    for each in pages(crm, limit=100, properties=names):
        assert all(value is None or isinstance(value, str) for value in each["properties"].values())


def test_listing_pages_through_all_records(crm: Crm) -> None:
    found, path = [], "/crm/v3/objects/tickets?limit=30&properties=subject"
    while path:
        page = crm.call("GET", path).json()
        found += [each["id"] for each in page["results"]]
        path = page.get("paging", {}).get("next", {}).get("link", "")
    assert len(set(found)) == len(found) == 120


def test_property_definitions_name_what_we_write(crm: Crm) -> None:
    found = {each["name"]: each for each in crm.call("GET", "/crm/v3/properties/contacts").json()["results"]}
    assert found["nl_lead_score"]["type"] == "number"
    assert [option["value"] for option in found["nl_lead_tier"]["options"]] == ["hot", "warm", "cold"]
    assert found["lastmodifieddate"]["modificationMetadata"]["readOnlyValue"] is True
    assert crm.call("GET", "/crm/v3/properties/contacts/nosuch").status_code == 404


def test_an_unknown_object_is_refused(crm: Crm) -> None:
    assert crm.call("GET", "/crm/v3/objects/unicorns").status_code == 400


def test_times_in_millis_and_in_iso_form_are_equal() -> None:
    assert millis("1795140000123") == millis("2026-11-20T02:00:00.123Z") == millis("2026-11-20T02:00:00.123")
    assert millis("yesterday") is None
    assert datetime.fromtimestamp(1_795_140_000, UTC) == ANCHOR
