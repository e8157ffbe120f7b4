"""Records made or changed by a unique property: who is meant, what was refused, and what stops before a write."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import requests

from include.errors import ContractBroken
from include.systems.hubspot.declared import HubSpotSink
from include.systems.hubspot.upserting import HubSpotUpserter
from include.systems.hubspot.writing import HubSpotWriter
from include.systems.port import VERSION, Outgoing
from tests.core.systems.hubspot.conftest import SITES, SYSTEM, Crm, Script, results

SINK = HubSpotSink(system="crm", object=SITES, fields={"score": "nl_site_score"}, id_property="external_id")
PEOPLE = HubSpotSink(system="crm", object="contacts", fields={"score": "nl_lead_score"}, id_property="email")


def writes(*keys: str, name: str = "nl_site_score") -> dict[str, Outgoing]:
    return {key: Outgoing({name: "7"}, once=key) for key in keys}


def record(key: str, **more: Any) -> dict[str, Any]:
    return {"id": "90", "properties": {"external_id": key, "nl_site_score": "7"}, "updatedAt": "t", **more}


def scripted(script: Script, session: requests.Session, sink: HubSpotSink = SINK) -> HubSpotUpserter:
    return HubSpotUpserter(script.client(session), sink, 5)


def test_what_is_missing_is_made_and_the_rest_changed(crm: Crm) -> None:
    crm.make(SITES, u1={"nl_site_score": 1, "desks": 3})
    there = HubSpotUpserter(crm.client(), SINK, 5)
    there.check_contract()
    assert there.creates
    sent = there.send(writes("u1", "u2"))
    assert {key: one.cause for key, one in sent.items()} == {"u1": "", "u2": ""}
    read = there.read(["u1", "u2", "u3"])
    assert read == {"u1": {"nl_site_score": "7"}, "u2": {"nl_site_score": "7"}}


def test_the_version_comes_with_what_is_read_where_it_is_guarded(crm: Crm) -> None:
    crm.make(SITES, v1={"nl_site_score": 1})
    guarded = HubSpotSink(
        system="crm", object=SITES, fields=SINK.fields, id_property="external_id", guard="unchanged_since_read"
    )
    (read,) = HubSpotUpserter(crm.client(), guarded, 5).read(["v1"]).values()
    assert read.keys() == {"nl_site_score", VERSION}


def test_contacts_are_named_by_address_and_one_that_differs_in_case_is_no_other(crm: Crm) -> None:
    there = HubSpotUpserter(crm.client(), PEOPLE, 5)
    there.check_contract()
    sent = there.send(writes("Ann@x.example", "ann@X.example", "bo@x.example", name="nl_lead_score"))
    assert {key: one.cause for key, one in sent.items()} == {
        "Ann@x.example": "",
        "bo@x.example": "",
        "ann@X.example": "rejected_by_destination",
    }
    assert there.read(["ANN@x.example"]).keys() == {"ANN@x.example"}


def test_a_207_is_read_record_by_record(script: Script, session: requests.Session) -> None:
    listed = json.dumps([{"isValid": False, "error": "INVALID_INTEGER", "name": "nl_site_score", "message": "Ann"}])
    bad = {"category": "VALIDATION_ERROR", "message": f"Property values were not valid: {listed}"}
    other = {"category": "CONFLICT", "message": "k4 of ann@x.example is taken: 7"}
    script.answers = [
        results(
            record("k1", new=True),
            record("k3", new=False),
            record("elsewhere"),
            errors=[
                {**bad, "context": {"objectWriteTraceId": ["1"]}},
                {**other, "context": {"objectWriteTraceId": ["3", "77", "x"]}},
            ],
        )
    ]
    sent = scripted(script, session).send(writes("k1", "k2", "k3", "k4", "k5"))
    assert {key: (one.cause, one.detail) for key, one in sent.items()} == {
        "k1": ("", ""),
        "k2": ("rejected_by_destination", "INVALID_INTEGER on nl_site_score"),
        "k3": ("", ""),
        "k4": ("rejected_by_destination", "[value] of [address] is taken: [value]"),
        "k5": ("no_result", "the answer did not name this record"),
    }
    ((path, body),) = script.asked
    assert path == f"/crm/v3/objects/{SITES}/batch/upsert"
    assert body["inputs"][1] == {
        "id": "k2",
        "idProperty": "external_id",
        "properties": {"external_id": "k2", "nl_site_score": "7"},
        "objectWriteTraceId": "1",
    }


@pytest.mark.parametrize("status", [400, 409])
def test_a_batch_refused_as_a_whole_goes_through_in_halves(
    script: Script, session: requests.Session, status: int
) -> None:
    no = (status, {"category": "VALIDATION_ERROR" if status == 400 else "CONFLICT", "message": "k2 no"})
    script.answers = [no, results(record("k1")), no, no, results(record("k3"))]
    sent = scripted(script, session).send(writes("k1", "k2", "k3"))
    assert {key: one.cause for key, one in sent.items()} == {"k1": "", "k2": "rejected_by_destination", "k3": ""}
    assert sent["k2"].detail == "[value] no"
    assert script.answers == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"id_property": "externalid"}, r"no 'externalid'; closest: 'external_id'"),
        ({"id_property": "site_name"}, "`site_name` is not unique"),
        ({"id_property": "hs_object_id"}, "`hs_object_id` is read-only"),
        ({"fields": {"score": "nl_site_scores"}}, "closest: 'nl_site_score'"),
        ({"fields": {"score": "hs_lastmodifieddate"}}, "`hs_lastmodifieddate` is read-only"),
    ],
)
def test_what_cannot_be_written_so_stops_before_anything_is(crm: Crm, changed: Any, words: str) -> None:
    given: Any = {"system": "crm", "object": SITES, "fields": SINK.fields, "id_property": "external_id", **changed}
    with pytest.raises(ContractBroken, match=words):
        HubSpotUpserter(crm.client(), HubSpotSink(**given), 5).check_contract()


@pytest.mark.parametrize("body", [[], {}, {"results": [{}]}, {"results": None}])
def test_definitions_of_another_shape_break_the_contract(script: Script, session: requests.Session, body: Any) -> None:
    script.answers = [(200, body)]
    with pytest.raises(ContractBroken, match="no list of properties"):
        scripted(script, session).check_contract()


@pytest.mark.parametrize(("registry", "batch"), [(5, 5), (1_000, 100)])
def test_the_sink_opens_what_it_declares_in_batches_that_the_vendor_takes(registry: int, batch: int) -> None:
    class Here:
        def client(self, system: str) -> Any:
            return None

        def system(self, name: str) -> Any:
            return replace(SYSTEM, batch_rows=registry)

    named, plain = SINK.open(Here()), replace(SINK, id_property="").open(Here())  # type: ignore[arg-type]
    assert (type(named), named.creates, named.batch_rows) == (HubSpotUpserter, True, batch)
    assert (type(plain), plain.creates, plain.batch_rows) == (HubSpotWriter, False, batch)
