"""The stand-in ERP over HTTP: queries, pages, conditional requests, faults, and its data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from include.demo.sandbox.config import Endpoints, SandboxConfig
from include.demo.sandbox.credentials import credentials_of
from include.demo.sandbox.faults import NO_FAULTS
from include.demo.sandbox.odata.erp import MODEL, Erp
from include.demo.sandbox.process import running_sandbox
from include.demo.stack.environment import sandbox_connections
from include.errors import ConfigurationError
from include.models import Column, Interval
from include.systems.connections import EnvironmentConnections
from include.systems.http import RestClient
from include.systems.odata.declared import ODataRecords, ODataSink
from include.systems.odata.reading import ODataReader
from include.systems.odata.service import Service
from include.systems.odata.writing import ODataDestination
from include.systems.port import VERSION, Outgoing
from include.systems.registry import System
from tests.core.demo.sandbox.conftest import ANCHOR, QUICK, Start
from tests.core.systems.contracts import rows_of

TEXTS = {"Accept": "application/json;IEEE754Compatible=true"}
PROPOSAL = "ForecastProposals(ProductId='P-1001',Plant='DE01',Ahead=1)"


@dataclass
class Caller:
    """A caller with the login of the ERP."""

    endpoints: Endpoints

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        login = (self.endpoints.erp_login, self.endpoints.erp_password)
        url, given = f"{self.endpoints.erp_url}/{path}", {name.replace("_", "-"): v for name, v in headers.items()}
        return requests.request(method, url, json=body, headers=given, auth=login, timeout=10)

    def rows(self, path: str, **headers: str) -> Any:
        answer = self.call("GET", path, **headers)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]

    def fail(self, **plan: Any) -> None:
        url = f"http://127.0.0.1:{self.endpoints.erp_port}/sandbox/erp/faults"
        requests.post(url, json={**NO_FAULTS.to_json(), **plan}, timeout=5).raise_for_status()


@pytest.fixture
def erp(shared: Endpoints) -> Iterator[Caller]:
    caller = Caller(shared)
    caller.fail()
    yield caller
    caller.fail()


class TestQueries:
    def test_the_service_describes_itself(self, erp: Caller) -> None:
        assert [one["name"] for one in erp.rows("")] == list(MODEL)
        document = erp.call("GET", "$metadata")
        assert document.headers["Content-Type"].startswith("application/xml")
        assert document.headers["OData-Version"] == "4.0"
        assert document.headers["Server"] == "nightledger-sandbox"

    @pytest.mark.parametrize("login", [None, ("nightledger", "wrong"), ("other", "")])
    def test_without_its_login_nothing_is_told(self, erp: Caller, login: Any) -> None:
        answer = requests.get(f"{erp.endpoints.erp_url}/Products", auth=login, timeout=5)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "Unauthorized")

    @pytest.mark.parametrize(
        ("condition", "test"),
        [
            ("Plant eq 'DE01'", lambda r: r["Plant"] == "DE01"),
            ("Plant ne 'DE01' and SafetyStock gt 50", lambda r: r["Plant"] != "DE01" and r["SafetyStock"] > 50),
            ("SafetyStock le 30 or SafetyStock ge 110", lambda r: r["SafetyStock"] <= 30 or r["SafetyStock"] >= 110),
            ("not (Plant eq 'DE01') and SafetyStock lt 60", lambda r: r["Plant"] == "FR02" and r["SafetyStock"] < 60),
            ("ProductId in ('P-1001','P-1002')", lambda r: r["ProductId"] in ("P-1001", "P-1002")),
            (
                "Plant eq 'x' or Plant eq 'DE01' and SafetyStock lt 50",
                lambda r: r["Plant"] == "DE01" and r["SafetyStock"] < 50,
            ),
            ("CountedOn lt 2026-10-01", lambda r: r["CountedOn"] < "2026-10-01"),
            ("ModifiedAt ge 2026-11-18T02:00:00Z", lambda r: r["ModifiedAt"] >= "2026-11-18T02:00:00Z"),
            ("OnHand gt 99.5", lambda r: float(r["OnHand"]) > 99.5),
            ("CountedOn eq null", lambda r: False),
        ],
    )
    def test_a_filter_gives_what_it_says(self, erp: Caller, condition: str, test: Any) -> None:
        everything = erp.rows("Stock")
        assert erp.rows(f"Stock?$filter={condition}") == [row for row in everything if test(row)]
        assert len(everything) == 48

    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ("$filter=Plnt eq 'DE01'", 400),
            ("$filter=Plant eq 5", 400),
            ("$filter=SafetyStock eq '5'", 400),
            ("$filter=Plant eq", 400),
            ("$filter=Plant eq 'DE01' or", 400),
            ("$filter=(Plant eq 'DE01'", 400),
            ("$filter=Plant eq 'DE01' Plant eq 'FR02'", 400),
            ("$filter=Plant eq 'DE01", 400),
            ("$filter=CountedOn eq 2026-13-01", 400),
            ("$filter=" + " or ".join(["SafetyStock eq 1"] * 30), 400),
            ("$filter=startswith(Plant,'D')", 501),
            ("$filter=Plant has 'D'", 501),
            ("$select=Nope", 400),
            ("$orderby=Nope", 400),
            ("$orderby=Plant sideways", 400),
            ("$top=-1", 400),
            ("$top=1.5", 400),
            ("$skiptoken=zzz", 400),
            ("$expand=Nope", 400),
            ("$expand=Product($filter=Name eq 'x')", 501),
            ("$apply=aggregate($count as n)", 501),
        ],
    )
    def test_what_it_does_not_know_it_refuses(self, erp: Caller, query: str, status: int) -> None:
        answer = erp.call("GET", f"Stock?{query}")
        assert answer.status_code == status, answer.text
        assert answer.json()["error"]["message"]

    @pytest.mark.parametrize("path", ["Nope", "Products('no')", "Products('P-1001')/Name", "Products('P-1001"])
    def test_what_is_not_there_is_404(self, erp: Caller, path: str) -> None:
        assert erp.call("GET", path).status_code == 404

    @pytest.mark.parametrize(
        "key", ["Stock('P-1001')", "Stock(Plant='DE01')", "PurchaseOrders('4500000001')", "Stock()"]
    )
    def test_a_key_has_all_its_parts(self, erp: Caller, key: str) -> None:
        assert erp.call("GET", key).status_code == 400

    def test_select_expand_order_and_count(self, erp: Caller) -> None:
        path = "Stock?$select=Plant,OnHand&$expand=Product($select=Name)&$orderby=Plant desc,OnHand&$top=3&$count=true"
        body = erp.call("GET", path).json()
        assert body["@odata.count"] == 48
        assert [row["Plant"] for row in body["value"]] == ["FR02"] * 3
        assert sorted(row["OnHand"] for row in body["value"]) == [row["OnHand"] for row in body["value"]]
        assert all(row.keys() == {"@odata.etag", "Plant", "OnHand", "Product"} for row in body["value"])
        assert all(row["Product"]["Name"] for row in body["value"])

    def test_what_leads_to_many_is_a_list(self, erp: Caller) -> None:
        one = erp.call("GET", "Products('P-1001')?$expand=Stock").json()
        assert [stock["Plant"] for stock in one["Stock"]] == ["DE01", "FR02"]

    def test_long_numbers_are_texts_where_that_is_asked_for(self, erp: Caller) -> None:
        (plain,), (texts,) = (erp.rows("PurchaseOrders?$top=1", **headers) for headers in ({}, TEXTS))
        assert (plain["OrderNumber"], texts["OrderNumber"]) == (4_500_000_000, "4500000000")
        assert isinstance(plain["Amount"], (int, float))
        assert float(texts["Amount"]) == plain["Amount"]

    def test_pages_lead_on_to_every_row_once(self, erp: Caller) -> None:
        answer = erp.call("GET", "DemandHistory?$select=ProductId,Plant,Week&$top=300", Prefer="odata.maxpagesize=70")
        assert answer.headers["Preference-Applied"] == "odata.maxpagesize=70"
        body, rows, pages = answer.json(), list(answer.json()["value"]), 1
        while link := body.get("@odata.nextLink"):
            body = erp.call("GET", link.removeprefix(erp.endpoints.erp_url + "/"), Prefer="odata.maxpagesize=70").json()
            rows, pages = rows + body["value"], pages + 1
        keys = [(row["ProductId"], row["Plant"], row["Week"]) for row in rows]
        assert (len(keys), pages) == (300, 5)
        assert keys == sorted(set(keys))


class TestChanges:
    def test_a_change_needs_the_version_where_the_set_says_so(self, start: Start) -> None:
        erp = Caller(start())
        before = erp.call("GET", PROPOSAL)
        was = before.headers["ETag"]
        assert before.json()["@odata.etag"] == was
        assert erp.call("PATCH", PROPOSAL, {"Note": "a"}).status_code == 428
        assert erp.call("PATCH", PROPOSAL, {"Note": "a"}, If_Match='W/"0"').status_code == 412
        done = erp.call("PATCH", PROPOSAL, {"Note": "a"}, If_Match=was)
        assert (done.status_code, done.content) == (204, b"")
        shown = erp.call(
            "PATCH", PROPOSAL, {"Note": "b"}, If_Match=done.headers["ETag"], Prefer="return=representation"
        )
        assert (shown.status_code, shown.json()["Note"]) == (200, "b")
        assert erp.call("GET", PROPOSAL, If_None_Match=shown.headers["ETag"]).status_code == 304
        assert erp.call("DELETE", PROPOSAL).status_code == 428
        assert erp.call("DELETE", PROPOSAL, If_Match=shown.headers["ETag"]).status_code == 204
        assert erp.call("GET", PROPOSAL).status_code == 404

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ({"Note": "x" * 201}, "longer than 200"),
            ({"Note": 5}, "not a string"),
            ({"Quantity": "5"}, "Cannot convert"),
            ({"Quantity": 1.2345}, "more than 3 digits"),
            ({"Quantity": True}, "not a number"),
            ({"Quantty": 5}, "does not exist"),
            ({"Plant": None}, "must not be null"),
            ([1], "no entity"),
        ],
    )
    def test_a_value_that_is_not_allowed(self, erp: Caller, body: Any, words: str) -> None:
        answer = erp.call("PATCH", PROPOSAL, body, If_Match=erp.call("GET", PROPOSAL).headers["ETag"])
        assert answer.status_code == 400
        assert words in answer.json()["error"]["message"]

    def test_an_update_of_what_is_not_there_inserts_it_unless_a_version_is_named(self, start: Start) -> None:
        erp, new = Caller(start()), "PurchaseOrders(77)"
        assert erp.call("PATCH", new, {"Status": "open"}, If_Match="*").status_code == 404
        assert erp.call("PATCH", new, {"Status": "open"}).status_code == 201
        assert erp.call("GET", new).json()["Status"] == "open"
        assert erp.call("POST", "PurchaseOrders", {"OrderNumber": 77}).status_code == 409
        assert (
            erp.call("POST", "PurchaseOrders", {"OrderNumber": 78, "ProductId": "P", "Plant": "x"}).status_code == 201
        )
        assert erp.call("POST", "PurchaseOrders", {"ProductId": "P"}).status_code == 400
        assert erp.call("PATCH", new, {"OrderNumber": 78}).status_code == 400
        assert erp.call("PATCH", "Products('P-1001')", {"Name": "x"}).status_code == 405

    def test_changes_outlive_the_process(self, tmp_path: Path) -> None:
        config = SandboxConfig(tmp_path, **{**QUICK, "leads_per_day": 12, "days": 1})
        with running_sandbox(config) as endpoints:
            erp = Caller(endpoints)
            was = erp.call("GET", PROPOSAL).headers["ETag"]
            erp.call("PATCH", PROPOSAL, {"Note": "kept"}, If_Match=was)
            erp.call("PATCH", "PurchaseOrders(4500000003)", {"Status": "closed"})
            left = erp.call("GET", PROPOSAL).json()
        with running_sandbox(config) as endpoints:
            erp = Caller(endpoints)
            assert erp.call("GET", PROPOSAL).json() == left
            assert erp.call("GET", "PurchaseOrders(4500000003)").json()["Status"] == "closed"


class TestFaults:
    @pytest.mark.parametrize(("fault", "status"), [("http_500", 500), ("http_503", 503), ("rate_limited", 429)])
    def test_a_status(self, erp: Caller, fault: str, status: int) -> None:
        erp.fail(rates={fault: 1.0}, first_asks=1)
        answers = [erp.call("GET", "Products?$top=1") for _ in range(2)]
        assert [answer.status_code for answer in answers] == [status, 200]
        assert ("Retry-After" in answers[0].headers) == (status == 429)

    def test_a_lost_answer_was_a_change(self, start: Start) -> None:
        erp = Caller(start())
        erp.fail(rates={"reset": 1.0}, only="write", first_asks=1)
        with pytest.raises(requests.RequestException):
            erp.call("PATCH", "PurchaseOrders(4500000003)", {"Status": "lost"})
        assert erp.call("GET", "PurchaseOrders(4500000003)").json()["Status"] == "lost"
        url = f"http://127.0.0.1:{erp.endpoints.erp_port}/sandbox/erp/requests"
        assert requests.get(url, timeout=5).json()["changes"] == 1

    def test_links_that_repeat_or_lead_away(self, erp: Caller) -> None:
        for fault, words in (("repeated_link", "Products?$top=5"), ("foreign_link", "elsewhere.invalid")):
            erp.fail(rates={fault: 1.0})
            link = erp.call("GET", "Products?$top=5", Prefer="odata.maxpagesize=2").json()["@odata.nextLink"]
            assert words in link.replace("%24", "$")

    def test_an_unknown_kind_is_refused(self, erp: Caller) -> None:
        url = f"http://127.0.0.1:{erp.endpoints.erp_port}/sandbox/erp/faults"
        assert requests.post(url, json={"rates": {"prose": 1.0}}, timeout=5).status_code == 400


class TestData:
    def test_equal_seeds_and_dates_give_equal_data(self) -> None:
        first, second, other = (_all(Erp(seed, 6, ANCHOR)) for seed in (7, 7, 8))
        assert first == second
        assert first != other

    def test_a_later_end_leaves_the_history_as_it_was(self) -> None:
        before, after = (_all(Erp(7, 6, ANCHOR + timedelta(days=days)))["DemandHistory"] for days in (0, 8))
        weeks = {row["Week"] for row in after}
        kept = [row for row in before if row["Week"] in weeks]
        assert len(kept) > 200
        assert all(row in after for row in kept)
        assert len(after) > len(kept)

    def test_every_night_has_something_new(self) -> None:
        changed = [row["ModifiedAt"][:10] for row in _all(Erp(7, 24, ANCHOR))["DemandHistory"]]
        days = {(ANCHOR - timedelta(days=back)).date().isoformat() for back in range(1, 8)}
        assert days <= set(changed)

    def test_nothing_is_made_before_somebody_asks(self, tmp_path: Path) -> None:
        with running_sandbox(SandboxConfig(tmp_path, **{**QUICK, "leads_per_day": 12, "days": 1})) as endpoints:
            assert not (tmp_path / "erp").exists()
            assert Caller(endpoints).rows("Products")
            assert (tmp_path / "erp").exists()

    def test_an_older_folder_gets_a_password_and_keeps_its_secrets(self, tmp_path: Path) -> None:
        old = credentials_of(tmp_path)
        known = json.loads((tmp_path / "secrets.json").read_text())
        del known["erp_password"]
        (tmp_path / "secrets.json").write_text(json.dumps(known))
        new = credentials_of(tmp_path)
        assert new.crm_token == old.crm_token
        assert new.erp_password
        assert credentials_of(tmp_path) == new

    @pytest.mark.parametrize("wrong", [{"erp_products": 0}, {"erp_page_rows": 0}])
    def test_sizes_that_make_no_sense_are_refused(self, tmp_path: Path, wrong: Mapping[str, int]) -> None:
        with pytest.raises(ConfigurationError, match="erp_products must be"):
            SandboxConfig(tmp_path, **wrong)


def test_demand_is_read_and_forecasts_are_written_through_the_stack_s_connection(start: Start) -> None:
    endpoints = start()
    connections = EnvironmentConnections(sandbox_connections(endpoints.to_json()))
    facts = dict.fromkeys(("purpose", "data", "api", "auth", "network"), "")
    system = System(name="erp", connection="erp_default", scopes=(), timeout_seconds=5, limits=(), **facts)
    client = RestClient(connections.open("http", "erp_default"), system)
    source = ODataRecords(
        system="erp",
        object="DemandHistory",
        keys=(Column("ProductId", "product"), Column("Plant", "plant"), Column("Week", "week", "date")),
        changed=Column("ModifiedAt", "changed_at", "datetime"),
        columns=(Column("Quantity", "quantity", "number"), Column("Product/Family", "family")),
    )
    reader = ODataReader(Service(client, system, "DemandHistory"), source)
    reader.check_contract()
    rows = rows_of(reader.read(Interval(ANCHOR - timedelta(days=7), ANCHOR)))
    assert len(rows) > 20
    assert all(row["quantity"] >= 0 and row["family"] for row in rows)
    sink = ODataSink(
        system="erp",
        object="ForecastProposals",
        fields={"quantity": "Quantity", "note": "Note"},
        keys=("ProductId", "Plant", "Ahead"),
        each="horizon",
        creates=True,
    )
    there = ODataDestination(Service(client, system, "ForecastProposals"), sink, creates=True)
    there.check_contract()
    known, new = "P-1001,DE01/1", "P-1001,DE01/5"
    held = there.read([known, new])
    assert held.keys() == {known}
    values = there.form({"Quantity": 12.34567, "Note": "Theta"})
    writes = {known: Outgoing(values, "1", version=held[known][VERSION]), new: Outgoing(values, "2")}
    assert all(sent.after is not None for sent in there.send(writes).values())
    assert {one["Quantity"] for one in there.read([known, new]).values()} == {"12.346"}


def _all(erp: Erp) -> dict[str, list[dict[str, Any]]]:
    return {name: list(rows) for name, rows in erp.rows().items()}
