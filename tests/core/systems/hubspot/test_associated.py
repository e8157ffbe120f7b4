"""Rows with the records that they are associated with, whatever the two objects."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from include.errors import ContractBroken
from include.models import Column, Interval, Record
from include.systems.hubspot.associated import AssociatedRecords, Chosen, choose
from include.systems.hubspot.declared import Association, HubSpotRecords, Related
from include.systems.hubspot.reading import HubSpotReader
from include.systems.hubspot.related import RelatedRecords
from tests.core.systems.hubspot.conftest import SITES, SYSTEM, Crm, Script, results

NOW = datetime.now(UTC)
AROUND = Interval(NOW - timedelta(hours=1), NOW + timedelta(hours=1))
COMPANY = (Column("name", "company_name"), Column("domain", "company_domain"))


def sites(label: str = "", **more: Any) -> HubSpotRecords:
    return HubSpotRecords(
        system="crm",
        object=SITES,
        key=Column("external_id", "site"),
        modified=Column("hs_lastmodifieddate", "modified_at", "datetime"),
        columns=(Column("desks", "desks", "integer"),),
        related=(Related("companies", "company_id", COMPANY, by=Association(label)),),
        **more,
    )


def read(crm: Crm, source: HubSpotRecords, prefix: str) -> tuple[dict[str, Record], HubSpotReader]:
    reader = HubSpotReader(crm.client(), SYSTEM, source)
    reader.check_contract()
    pages = list(reader.read(AROUND))
    assert not any(page.rejected for page in pages)
    assert all(row.keys() >= {column.name for column in source.declared} for page in pages for row in page.rows)
    return {row["site"]: row for page in pages for row in page.rows if row["site"].startswith(prefix)}, reader


def test_a_custom_object_is_joined_with_what_it_is_associated_with(crm: Crm) -> None:
    made = crm.make(SITES, a1={"desks": 3}, a2={"desks": 4}, a3={}, a4={}, a5={}, a6={})
    companies = crm.ids("companies", 5)
    crm.associate((SITES, made[0]), ("companies", companies[1]), 71)
    for company in companies:
        crm.associate((SITES, made[1]), ("companies", company), 71)
    crm.associate((SITES, made[1]), ("companies", companies[3]), 73)
    rows, reader = read(crm, sites(), "a")
    names = {one: crm.read("companies", one, "name")["name"] for one in companies}
    assert rows["a1"]["row_id"] == f"crm/{SITES}/{made[0]}"
    assert (rows["a1"]["company_id"], rows["a1"]["company_id_count"]) == (companies[1], 1)
    assert rows["a1"]["company_name"] == names[companies[1]]
    assert (rows["a2"]["company_id"], rows["a2"]["company_id_count"]) == (min(companies, key=int), 5)
    assert (rows["a3"]["company_id"], rows["a3"]["company_id_count"], rows["a3"]["company_name"]) == (None, 0, None)
    assert reader.facts == {"missing_related": 0, "several_related": 1}
    landlord, _ = read(crm, sites("Landlord"), "a")
    assert (landlord["a2"]["company_id"], landlord["a2"]["company_id_count"]) == (companies[3], 1)
    assert landlord["a1"]["company_id"] is None


def test_rows_read_anew_are_joined_too(crm: Crm) -> None:
    (made,) = crm.make(SITES, b1={"desks": 3})
    (company,) = crm.ids("companies", 1)
    crm.associate((SITES, made), ("companies", company), 71)
    ((row,),) = [page.rows for page in HubSpotReader(crm.client(), SYSTEM, sites()).read_ids([made])]
    assert (row["company_id"], row["company_id_count"]) == (company, 1)


def test_a_custom_object_is_joined_onto_a_standard_one(crm: Crm) -> None:
    (site,), (company, *_) = crm.make(SITES, c1={"desks": 12}), crm.ids("companies", 1)
    crm.associate((SITES, site), ("companies", company), 75)
    source = HubSpotRecords(
        system="crm",
        object="companies",
        key=Column("hs_object_id", "company"),
        modified=Column("hs_lastmodifieddate", "modified_at", "datetime"),
        columns=(),
        related=(Related(SITES, "site_id", (Column("desks", "desks", "integer"),), by=Association("Tenant")),),
    )
    reader = HubSpotReader(crm.client(), SYSTEM, source)
    reader.check_contract()
    ((row,),) = [page.rows for page in reader.read_ids([company])]
    assert (row["site_id"], row["site_id_count"], row["desks"]) == (site, 1, 12)


def test_a_contact_has_its_primary_company_by_association_as_by_the_property(crm: Crm) -> None:
    source = HubSpotRecords(
        system="crm",
        object="contacts",
        key=Column("hs_object_id", "lead"),
        modified=Column("lastmodifieddate", "modified_at", "datetime"),
        columns=(Column("associatedcompanyid", "named"),),
        related=(Related("companies", "company_id", COMPANY, by=Association()),),
    )
    (first, *_), (other, *_) = crm.ids("contacts", 1), crm.ids("companies", 1)
    crm.associate(("contacts", first), ("companies", other), 279)
    reader = HubSpotReader(crm.client(), SYSTEM, source)
    rows = [row for page in reader.read_ids(crm.ids("contacts", 20)) for row in page.rows]
    assert len(rows) == 20
    named = {row["named"] if row["named"] != "999999999" else None for row in rows if row["lead"] != first}
    assert {row["company_id"] for row in rows if row["lead"] != first} == named
    assert reader.facts["missing_related"] == 0


@pytest.mark.parametrize(
    ("found", "label", "chosen"),
    [
        ({}, "", None),
        ({"7": [""]}, "", Chosen("7", 1, False)),
        ({"30": ["", "Primary"], "4": [""]}, "", Chosen("30", 2, False)),
        ({"30": [""], "4": [""]}, "", Chosen("4", 2, True)),
        ({"30": ["Primary"], "4": ["Primary"]}, "", Chosen("4", 2, True)),
        ({"30": ["Tenant"], "4": ["Landlord"], "5": ["Tenant", "Primary"]}, "Tenant", Chosen("5", 2, False)),
        ({"4": ["Landlord", "Primary"]}, "Tenant", None),
    ],
)
def test_which_of_several_is_meant(found: Any, label: str, chosen: Chosen | None) -> None:
    assert choose(found, Association(label)) == chosen


def test_a_label_that_is_gone_stops_before_a_row_is_read(crm: Crm) -> None:
    with pytest.raises(
        ContractBroken, match=rf"associations of {SITES} with companies.*no 'Landlords'; closest: 'Landlord'"
    ):
        HubSpotReader(crm.client(), SYSTEM, sites("Landlords")).check_contract()


def test_objects_that_cannot_be_associated_stop_too(crm: Crm) -> None:
    deals = Related("deals", "deal_id", (Column("dealname", "deal"),), by=Association())
    reader = HubSpotReader(crm.client(), SYSTEM, replace(sites(), related=(deals,)))
    with pytest.raises(ContractBroken, match="cannot be associated"):
        reader.check_contract()


def associated(script: Script, session: requests.Session, *numbers: str) -> list[Record]:
    """Rows of these numbers, joined by what the script answers."""
    client, related = script.client(session), Related("companies", "company_id", COMPANY, by=Association())
    with ThreadPoolExecutor(1) as pool:
        records = RelatedRecords(client, SYSTEM, related, (), pool)
        one = AssociatedRecords(client, SYSTEM, "deals", records, pool)
        rows: list[Record] = [{"row_id": f"crm/deals/{number}"} for number in numbers]
        one.join(rows, one.start(rows))
    return rows


def end(number: Any, *labels: str | None) -> Record:
    types = [{"category": "HUBSPOT_DEFINED", "typeId": at, "label": one} for at, one in enumerate(labels or (None,))]
    return {"toObjectId": number, "associationTypes": types}


def result(number: str, *ends: Record, after: str | None = None) -> Record:
    found: Record = {"from": {"id": number}, "to": list(ends)}
    return {**found, "paging": {"next": {"after": after}}} if after else found


def company(number: str) -> Record:
    return {"id": number, "properties": {"name": f"c{number}", "domain": None}}


def test_pages_are_asked_for_until_the_last_and_a_thousand_at_a_time(script: Script, session: requests.Session) -> None:
    script.answers = [
        results(result("1", end(9), after="x"), result("2", end("5", "Primary"))),
        results(result("1", end(8), after="y")),
        results(result("1", end(7))),
        results(result("1002", end(6))),
        results(company("7"), company("5"), company("6")),
    ]
    rows = associated(script, session, *map(str, range(1, 1_003)))
    asked = [
        body["inputs"]
        for path, body in script.asked
        if path.endswith("/crm/v4/associations/deals/companies/batch/read")
    ]
    assert [len(inputs) for inputs in asked] == [1_000, 1, 1, 2]
    assert asked[1:3] == [[{"id": "1", "after": "x"}], [{"id": "1", "after": "y"}]]
    assert [(row["company_id"], row["company_id_count"]) for row in (rows[0], rows[1], rows[2], rows[-1])] == [
        *(("7", 3), ("5", 1), (None, 0), ("6", 1)),
    ]
    assert rows[0]["company_name"] == "c7"


def test_a_page_that_leads_to_itself_ends(script: Script, session: requests.Session) -> None:
    script.answers = [results(result("1", end(9), after="x"))] * 3
    with pytest.raises(ContractBroken, match="leads to itself"):
        associated(script, session, "1")


def test_an_error_that_hides_associations_is_no_lack_of_them(script: Script, session: requests.Session) -> None:
    none = {"category": "OBJECT_NOT_FOUND", "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND"}
    script.answers = [results(errors=[none]), results(errors=[none, {"category": "RATE_LIMITS", "message": "Ann"}])]
    assert associated(script, session, "1")[0]["company_id"] is None
    with pytest.raises(ContractBroken, match="associations were refused: RATE_LIMITS"):
        associated(script, session, "1")


@pytest.mark.parametrize(
    "wrong",
    [
        {"from": {}, "to": []},
        {"from": {"id": "1"}, "to": None},
        {"from": {"id": "1"}, "to": [{"toObjectId": "x", "associationTypes": []}]},
        {"from": {"id": "1"}, "to": [{"toObjectId": 5}]},
    ],
)
def test_an_answer_of_another_shape_breaks_the_contract(script: Script, session: requests.Session, wrong: Any) -> None:
    script.answers = [results(wrong)]
    with pytest.raises(ContractBroken, match="not what the v3 API promises"):
        associated(script, session, "1")


def test_columns_of_associations_are_declared() -> None:
    source = sites()
    assert [(column.name, column.kind) for column in source.declared][3:5] == [
        ("company_id", "text"),
        ("company_id_count", "integer"),
    ]
    assert source.origins["company_id"] == ("crm", SITES, "associations/companies")
    assert source.refers == {"companies": "company_id"}


def test_what_is_meant_is_read_as_soon_as_it_is_known_and_a_failure_waits_for_its_turn(
    script: Script, session: requests.Session
) -> None:
    client, related = script.client(session), Related("companies", "company_id", COMPANY, by=Association())
    script.answers = [results(result("1", end("5"), end("6"))), results(company("5")), (404, {"message": "gone"})]
    with ThreadPoolExecutor(1) as pool:
        one = AssociatedRecords(client, SYSTEM, "deals", RelatedRecords(client, SYSTEM, related, (), pool), pool)
        rows: list[Record] = [{"row_id": "crm/deals/1"}]
        known = one.start(rows)
        wait(known.coming)
        one.go_on(rows, known)
        wait(known.coming)
        assert [path.rpartition("/crm/")[2] for path, _ in script.asked] == [
            *("v4/associations/deals/companies/batch/read", "v3/objects/companies/batch/read"),
        ]
        one.join(rows, known)
        assert (rows[0]["company_name"], one.take_several(), len(script.asked)) == ("c5", 1, 2)
        failed = one.start(rows)
        wait(failed.coming)
        one.go_on(rows, failed)
        with pytest.raises(ContractBroken, match="404"):
            one.join(rows, failed)
