"""Answers of the batch API that the sandbox does not give, from a server that answers as scripted."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from include.errors import ContractBroken
from include.settings import ROOT
from include.systems.connections import HttpEndpoint
from include.systems.http import RestClient
from include.systems.hubspot.declared import HubSpotSink
from include.systems.hubspot.writing import HubSpotWriter, scrub
from include.systems.port import Outgoing, Sent
from include.systems.registry import read_systems

SINK = HubSpotSink(system="crm", object="contacts", fields={"score": "nl_score", "tier": "nl_tier"})
VALUES = {"nl_score": "80", "nl_tier": "hot"}
WRITE = Outgoing(VALUES, once="night/1")
Script = list[tuple[int, Any]]


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, Script]]:
    script: Script = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = script.pop(0)
            payload = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *arguments: Any) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_address[1]}", script
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def script(server: tuple[str, Script]) -> Script:
    server[1].clear()
    return server[1]


@pytest.fixture
def crm(server: tuple[str, Script]) -> Iterator[HubSpotWriter]:
    with requests.Session() as session:
        session.trust_env = False
        system = read_systems(ROOT / "include" / "systems.toml")["crm"]
        yield HubSpotWriter(RestClient(HttpEndpoint(session, server[0]), system), SINK)


def updated(number: str) -> dict[str, Any]:
    return {"id": number, "properties": VALUES | {"lastmodifieddate": "x"}, "updatedAt": "2026-11-21T03:00:00.000Z"}


def refused(message: str, **more: Any) -> tuple[int, Any]:
    return 400, {"status": "error", "category": "VALIDATION_ERROR", "message": message, **more}


def test_a_207_is_read_record_by_record(crm: HubSpotWriter, script: Script) -> None:
    gone = {"category": "OBJECT_NOT_FOUND", "message": "Could not get some", "context": {"ids": ["2"]}}
    bad = {"category": "VALIDATION_ERROR", "message": "hot is no tier of anna@example.com", "context": {"ids": ["3"]}}
    script.append((207, {"status": "COMPLETE", "results": [updated("1")], "numErrors": 2, "errors": [gone, bad]}))
    assert crm.send(dict.fromkeys("123", WRITE)) == {
        "1": Sent(VALUES | {"updatedAt": "2026-11-21T03:00:00.000Z"}),
        "2": Sent(None, "record_missing", "Could not get some"),
        "3": Sent(None, "rejected_by_destination", "[value] is no tier of [address]"),
    }


def test_a_record_that_the_answer_does_not_name_is_not_taken_for_written(crm: HubSpotWriter, script: Script) -> None:
    script.append((200, {"results": [updated("1")]}))
    sent = crm.send({"1": WRITE, "2": WRITE})
    assert (sent["1"].after is not None, sent["2"].cause) == (True, "no_result")


def test_records_that_were_not_sent_are_not_reported(crm: HubSpotWriter, script: Script) -> None:
    error = {"category": "OBJECT_NOT_FOUND", "message": "", "context": {"ids": ["8"]}}
    script.append((207, {"results": [updated("1"), updated("9")], "errors": [error]}))
    assert list(crm.send({"1": WRITE})) == ["1"]


def test_a_refused_batch_goes_through_in_halves(crm: HubSpotWriter, script: Script) -> None:
    no = refused("no")
    script.extend([no, (200, {"results": [updated("1")]}), no, (200, {"results": [updated("2")]}), no])
    sent = crm.send(dict.fromkeys("123", WRITE))
    assert {number: one.cause for number, one in sent.items()} == {"1": "", "2": "", "3": "rejected_by_destination"}
    assert script == []


@pytest.mark.parametrize(
    "body",
    [
        {"errors": [{"code": "INVALID_OPTION", "message": "Anna", "context": {"propertyName": ["nl_tier"]}}]},
        {"message": 'Property values were not valid: [{"error":"INVALID_OPTION","name":"nl_tier","message":"Anna"}]'},
    ],
)
def test_a_refusal_is_told_by_code_and_property_and_not_by_value(crm: HubSpotWriter, script: Script, body: Any) -> None:
    script.append(refused(**({"message": "Anna"} | body)))
    assert crm.send({"1": WRITE})["1"].detail == "INVALID_OPTION on nl_tier"


@pytest.mark.parametrize("listed", ["[not json", "[1, 2]", '[{"error": "anna said", "name": "nl_tier"}]', "{}"])
def test_a_refusal_in_an_unknown_form_keeps_the_scrubbed_message(
    crm: HubSpotWriter, script: Script, listed: str
) -> None:
    script.append(refused(f"hot was wrong: {listed}"))
    assert crm.send({"1": WRITE})["1"].detail == f"[value] was wrong: {listed}"


def test_a_property_unknown_to_the_crm_breaks_the_contract_at_once(crm: HubSpotWriter, script: Script) -> None:
    listed = json.dumps([{"error": "PROPERTY_DOESNT_EXIST", "name": "nl_tier"}])
    script.append(refused(f"Property values were not valid: {listed}"))
    with pytest.raises(ContractBroken, match="property `nl_tier` does not exist"):
        crm.send({"1": WRITE, "2": WRITE})


def test_a_400_that_is_about_no_value_breaks_the_contract(crm: HubSpotWriter, script: Script) -> None:
    script.append((400, {"status": "error", "category": "BAD_JSON", "message": "?"}))
    with pytest.raises(ContractBroken, match="400 of category BAD_JSON"):
        crm.send({"1": WRITE})


@pytest.mark.parametrize("body", [{}, [], {"results": None}, {"results": [{"id": "1"}]}, {"results": ["x"]}, "text"])
def test_an_answer_of_another_shape_breaks_the_contract(crm: HubSpotWriter, script: Script, body: Any) -> None:
    script.extend([(200, body), (200, body)])
    with pytest.raises(ContractBroken, match="crm contacts: the answer is no list of records"):
        crm.read(["1"])
    with pytest.raises(ContractBroken, match="crm contacts: the answer is no list of records"):
        crm.send({"1": WRITE})


def test_reading_gives_the_declared_properties_of_the_records_that_exist(crm: HubSpotWriter, script: Script) -> None:
    found = {"id": 1, "properties": {"nl_score": "7", "createdate": "x"}}
    script.append((207, {"results": [found], "errors": [{"category": "OBJECT_NOT_FOUND", "context": {"ids": ["2"]}}]}))
    assert crm.read(["1", "2"]) == {"1": {"nl_score": "7", "nl_tier": None}}


@pytest.mark.parametrize(
    ("message", "value", "scrubbed"),
    [
        ("7 is wrong, 70 is not", "7", "[value] is wrong, 70 is not"),
        ('"Jos\\u00e9 \\"Pepe\\"" is wrong', 'José "Pepe"', '"[value]" is wrong'),
        ("write to anna@example.com", "x", "write to [address]"),
        ("nothing of ours", "", "nothing of ours"),
    ],
)
def test_messages_lose_values_and_addresses(message: str, value: str, scrubbed: str) -> None:
    assert scrub(message, {"p": value}) == scrubbed
