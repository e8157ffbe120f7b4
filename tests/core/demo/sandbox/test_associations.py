"""Associations, owners, and upserts of the stand-in CRM follow HubSpot's contract."""

from __future__ import annotations

from typing import Any

import pytest

from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.crm.properties import SITES
from include.demo.sandbox.process import running_sandbox
from tests.core.demo.sandbox.conftest import QUICK, Crm, Start

READ = "/crm/v4/associations/contacts/companies/batch/read"
UPSERT = f"/crm/v3/objects/{SITES}/batch/upsert"


def site(key: str, trace: str = "", **values: Any) -> dict[str, Any]:
    one = {"id": key, "idProperty": "external_id", "properties": values}
    return {**one, "objectWriteTraceId": trace} if trace else one


def associate(crm: Crm, contact: str, company: str, *types: int) -> int:
    body = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": one} for one in types]
    path = f"/crm/v4/objects/contacts/{contact}/associations/companies/{company}"
    return crm.call("PUT", path, body).status_code


def with_company(crm: Crm, *operators: str) -> list[dict[str, Any]]:
    filters = [{"propertyName": "associatedcompanyid", "operator": one} for one in operators]
    found = crm.search("contacts", *filters, properties=["associatedcompanyid"], limit=50)["results"]
    return [one for one in found if one["properties"]["associatedcompanyid"] != "999999999"]


def test_a_company_that_a_contact_names_is_its_primary_one_and_none_is_an_error_in_a_207(crm: Crm) -> None:
    named, alone = with_company(crm, "HAS_PROPERTY")[0], with_company(crm, "NOT_HAS_PROPERTY")[0]["id"]
    answer = crm.call("POST", READ, {"inputs": [{"id": named["id"]}, {"id": alone}]})
    body = answer.json()
    assert answer.status_code == 207
    (one,) = body["results"]
    assert one["from"] == {"id": named["id"]}
    (to,) = one["to"]
    assert str(to["toObjectId"]) == named["properties"]["associatedcompanyid"]
    assert [(each["typeId"], each["label"]) for each in to["associationTypes"]] == [(1, "Primary"), (279, None)]
    assert body["numErrors"] == 1
    assert body["errors"][0]["subCategory"] == "crm.associations.NO_ASSOCIATIONS_FOUND"
    assert body["errors"][0]["context"]["fromObjectId"] == [alone]


def test_many_associations_come_in_pages_both_ways_and_outlive_a_restart(tmp_path: Any) -> None:
    config = SandboxConfig(tmp_path, **{**QUICK, "leads_per_day": 30, "days": 1, "crm_associations_per_page": 2})
    with running_sandbox(config) as endpoints:
        crm = Crm(endpoints)
        contact = with_company(crm, "NOT_HAS_PROPERTY")[0]["id"]
        companies = [one["id"] for one in crm.search("companies", limit=5)["results"]]
        assert {associate(crm, contact, one, 279) for one in companies} == {201}
        assert associate(crm, contact, companies[0], 36) == 201
        assert associate(crm, contact, companies[0], 5) == 400
        assert associate(crm, contact, "424242", 279) == 404
    with running_sandbox(config) as endpoints:
        crm, found, after = Crm(endpoints), list[dict[str, Any]](), ""
        while True:
            body = {"inputs": [{"id": contact, **({"after": after} if after else {})}]}
            (one,) = crm.call("POST", READ, body).json()["results"]
            assert len(one["to"]) <= 2
            found += one["to"]
            if "paging" not in one:
                break
            after = one["paging"]["next"]["after"]
        assert [str(each["toObjectId"]) for each in found] == sorted(companies, key=int)
        assert [each["label"] for each in found[0]["associationTypes"]] == ["Billing contact", None]
        back = crm.call(
            "POST", "/crm/v4/associations/companies/contacts/batch/read", {"inputs": [{"id": companies[0]}]}
        )
        assert contact in [str(each["toObjectId"]) for each in back.json()["results"][0]["to"]]


@pytest.mark.parametrize("body", [{}, {"inputs": []}, {"inputs": [{"id": "1"}] * 1_001}, {"inputs": [{}]}, []])
def test_a_read_that_hubspot_refuses(crm: Crm, body: Any) -> None:
    assert crm.call("POST", READ, body).status_code == 400


def test_labels_name_the_types_of_a_pair(crm: Crm) -> None:
    found = crm.call("GET", f"/crm/v4/associations/{SITES}/companies/labels").json()["results"]
    assert {one["label"] for one in found} == {None, "Landlord", "Tenant"}
    assert crm.call("GET", "/crm/v4/associations/deals/deals/labels").status_code == 400


def test_owners_come_in_pages_and_those_who_left_only_when_asked_for(crm: Crm) -> None:
    first = crm.call("GET", "/crm/v3/owners?limit=2").json()
    rest = crm.call("GET", f"/crm/v3/owners?limit=2&after={first['paging']['next']['after']}").json()
    assert [one["firstName"] for one in (*first["results"], *rest["results"])] == ["Ada", "Bruno", "Chika"]
    assert "paging" not in rest
    (left,) = crm.call("GET", "/crm/v3/owners?archived=true").json()["results"]
    assert (left["archived"], left["userId"], left["email"]) == (True, None, "dora.novak@sandbox.example")
    assert crm.call("GET", "/crm/v3/owners?limit=501").status_code == 400


def test_an_upsert_makes_what_is_missing_and_changes_what_is_there(start: Start) -> None:
    crm = Crm(start())
    first = crm.call("POST", UPSERT, {"inputs": [site("a", desks=3), site("b", desks=4)]}).json()["results"]
    assert [one["new"] for one in first] == [True, True]
    again = crm.call("POST", UPSERT, {"inputs": [site("b", desks=4), site("c", desks=5)]}).json()["results"]
    assert [(one["new"], one["properties"]["external_id"]) for one in again] == [(False, "b"), (True, "c")]
    assert again[0]["id"] == first[1]["id"]
    assert crm.call("GET", "/sandbox/crm/requests").json()["records_written"] == 3
    body = {"idProperty": "external_id", "properties": ["desks"], "inputs": [{"id": "a"}, {"id": "x"}]}
    read = crm.call("POST", f"/crm/v3/objects/{SITES}/batch/read", body)
    assert (read.status_code, [one["properties"]["desks"] for one in read.json()["results"]]) == (207, ["3"])
    found = crm.search(SITES, {"propertyName": "external_id", "operator": "EQ", "value": "c"}, properties=["desks"])
    assert found["results"][0]["properties"]["desks"] == "5"


def test_one_wrong_value_refuses_the_batch_unless_every_input_can_be_told_apart(start: Start) -> None:
    crm = Crm(start())
    whole = crm.call("POST", UPSERT, {"inputs": [site("a", desks=1), site("b", desks="many")]})
    assert (whole.status_code, whole.json()["category"]) == (400, "VALIDATION_ERROR")
    assert crm.search(SITES)["total"] == 0
    told = crm.call("POST", UPSERT, {"inputs": [site("a", "t1", desks=1), site("b", "t2", desks="many")]})
    body = told.json()
    assert (told.status_code, body["numErrors"]) == (207, 1)
    assert body["results"][0]["objectWriteTraceId"] == "t1"
    assert body["errors"][0]["context"]["objectWriteTraceId"] == ["t2"]
    assert crm.search(SITES)["total"] == 1


@pytest.mark.parametrize(
    "inputs",
    [
        [site("a"), site("a")],
        [site(str(number)) for number in range(101)],
        [{"id": "a", "properties": {}}],
        [{"id": "1", "idProperty": "hs_object_id", "properties": {}}],
        [{"id": "a", "idProperty": "site_name", "properties": {}}],
        [],
    ],
)
def test_an_upsert_that_hubspot_refuses(crm: Crm, inputs: Any) -> None:
    answer = crm.call("POST", UPSERT, {"inputs": inputs})
    assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR")


def test_a_made_record_outlives_a_restart(tmp_path: Any) -> None:
    config = SandboxConfig(tmp_path, **{**QUICK, "leads_per_day": 3, "days": 1})
    with running_sandbox(config) as endpoints:
        made = Crm(endpoints).call("POST", UPSERT, {"inputs": [site("a", desks=3)]}).json()["results"][0]
    with running_sandbox(config) as endpoints:
        again = Crm(endpoints).call("POST", UPSERT, {"inputs": [site("a", desks=4), site("b")]}).json()["results"]
        assert [(one["id"], one["new"]) for one in again] == [(made["id"], False), (str(int(made["id"]) + 1), True)]


def test_contacts_are_named_by_address_in_any_case(start: Start) -> None:
    crm = Crm(start())
    inputs = [
        {"id": address, "idProperty": "email", "properties": {}} for address in ("New@x.example", "new@X.example")
    ]
    path = "/crm/v3/objects/contacts/batch/upsert"
    assert crm.call("POST", path, {"inputs": inputs}).status_code == 400
    assert [crm.call("POST", path, {"inputs": [one]}).json()["results"][0]["new"] for one in inputs] == [True, False]
