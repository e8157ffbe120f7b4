"""Writing to the stand-in CRM follows HubSpot's contract, and what was written is there after a restart."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.journal import Journal, read_journal
from include.demo.sandbox.process import running_sandbox
from tests.core.demo.sandbox.conftest import QUICK, Crm, Start

BATCH = "/crm/v3/objects/contacts/batch"


def change(number: str, **values: Any) -> dict[str, Any]:
    return {"id": number, "properties": values}


def test_an_update_bumps_last_modified_to_now(crm: Crm) -> None:
    number = crm.first()
    before = time.time()
    answer = crm.call("PATCH", f"/crm/v3/objects/contacts/{number}", {"properties": {"nl_lead_score": time.time_ns()}})
    assert answer.status_code == 200
    changed = crm.search("contacts", {"propertyName": "hs_object_id", "operator": "EQ", "value": number})["results"][0]
    assert changed["updatedAt"] >= time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(before))


def test_writing_the_same_values_again_changes_nothing(crm: Crm) -> None:
    number = crm.first()
    body = {"inputs": [change(number, nl_lead_score=55.0, nl_lead_tier="warm", nl_scored_at="2026-11-20T02:00:00Z")]}
    first = crm.call("POST", f"{BATCH}/update", body).json()["results"][0]
    second = crm.call("POST", f"{BATCH}/update", body).json()["results"][0]
    assert first["updatedAt"] == second["updatedAt"]
    assert first["properties"]["nl_lead_score"] == "55"
    assert first["properties"]["nl_scored_at"] == "2026-11-20T02:00:00.000Z"


def test_an_empty_value_clears_a_property(crm: Crm) -> None:
    number = crm.first()
    for value in ("a note", ""):
        crm.call("POST", f"{BATCH}/update", {"inputs": [change(number, nl_lead_summary=value)]})
    assert crm.read(number, "nl_lead_summary")["nl_lead_summary"] is None


def test_a_batch_read_with_missing_ids_is_207(crm: Crm) -> None:
    number = crm.first()
    inputs = [{"id": number}, {"id": "424242"}, {"id": "x"}]
    answer = crm.call("POST", f"{BATCH}/read", {"inputs": inputs, "properties": ["email"]})
    body = answer.json()
    assert answer.status_code == 207
    assert [each["id"] for each in body["results"]] == [number]
    assert body["status"] == "COMPLETE"
    assert body["numErrors"] == 1
    assert body["errors"][0]["category"] == "OBJECT_NOT_FOUND"
    assert body["errors"][0]["context"]["ids"] == ["424242", "x"]


def test_a_batch_update_with_missing_ids_writes_the_others(crm: Crm) -> None:
    number, score = crm.first(), str(time.time_ns())
    inputs = [change(number, nl_lead_score=score), change("424242", nl_lead_score=score)]
    answer = crm.call("POST", f"{BATCH}/update", {"inputs": inputs})
    assert answer.status_code == 207
    assert answer.json()["errors"][0]["context"]["ids"] == ["424242"]
    assert crm.read(number, "nl_lead_score")["nl_lead_score"] == score


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"nl_nosuch": "1"}, "PROPERTY_DOESNT_EXIST"),
        ({"nl_lead_score": "many"}, "INVALID_INTEGER"),
        ({"nl_lead_score": " 5"}, "INVALID_INTEGER"),
        ({"nl_lead_tier": "lukewarm"}, "INVALID_OPTION"),
        ({"nl_scored_at": "soon"}, "INVALID_LONG"),
        ({"email": "nobody"}, "INVALID_EMAIL"),
        ({"lastmodifieddate": "2026-01-01"}, "READ_ONLY_VALUE"),
    ],
)
def test_one_wrong_value_refuses_the_whole_batch(crm: Crm, values: dict[str, str], code: str) -> None:
    found = [each["id"] for each in crm.search("contacts", limit=2)["results"]]
    before = crm.read(found[0], "nl_next_action")
    good = change(found[0], nl_next_action=str(time.time_ns()))
    answer = crm.call("POST", f"{BATCH}/update", {"inputs": [good, change(found[1], **values)]})
    body = answer.json()
    assert answer.status_code == 400
    assert body["category"] == "VALIDATION_ERROR"
    listed = json.loads(body["message"].removeprefix("Property values were not valid: "))
    assert listed[0]["error"] == body["errors"][0]["code"] == code
    assert crm.read(found[0], "nl_next_action") == before


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": [{"id": "1", "properties": {}}] * 2},
        {"inputs": [{"id": str(number), "properties": {}} for number in range(101)]},
        {"inputs": []},
        {"inputs": [{"id": "1"}]},
        {},
        None,
    ],
)
def test_a_batch_that_hubspot_refuses(crm: Crm, body: Any) -> None:
    assert crm.call("POST", f"{BATCH}/update", body).status_code == 400


def test_a_single_missing_record_is_404(crm: Crm) -> None:
    for method, body in (("GET", None), ("PATCH", {"properties": {"nl_lead_score": 1}})):
        answer = crm.call(method, "/crm/v3/objects/contacts/424242", body)
        assert (answer.status_code, answer.json()["category"]) == (404, "OBJECT_NOT_FOUND")


def test_requests_and_written_records_are_counted(start: Start) -> None:
    crm = Crm(start())
    number = crm.first()
    for _ in range(2):
        crm.call("POST", f"{BATCH}/update", {"inputs": [change(number, nl_lead_score=7)]})
    counts = crm.call("GET", "/sandbox/crm/requests").json()
    assert (counts["reads"], counts["writes"], counts["records_written"]) == (1, 2, 1)
    assert counts["route"] == {"list": 1, "batch/update": 2}
    assert counts["status"] == {"200": 3}


def test_a_restart_keeps_what_was_written(start: Start, tmp_path: Any) -> None:
    state = tmp_path / "kept"
    config = SandboxConfig(state, **{**QUICK, "leads_per_day": 12, "days": 1})
    with running_sandbox(config) as endpoints:
        crm = Crm(endpoints)
        number = crm.first()
        crm.call("PATCH", f"/crm/v3/objects/contacts/{number}", {"properties": {"nl_lead_score": 81}})
        before = crm.read(number, "nl_lead_score", "email")
    with running_sandbox(config) as again:
        assert Crm(again).read(number, "nl_lead_score", "email") == before
        assert (again.crm_token, again.sftp_host_key) == (endpoints.crm_token, endpoints.sftp_host_key)


def test_a_line_cut_short_by_a_kill_is_dropped(tmp_path: Any) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append({"n": 1}, {"n": 2})
    journal.close()
    with path.open("a") as file:
        file.write('{"n": 3, "cut')
    assert [entry["n"] for entry in read_journal(path)] == [1, 2]
    journal = Journal(path)
    journal.append({"n": 4})
    journal.close()
    assert [entry["n"] for entry in read_journal(path)] == [1, 2, 4]
