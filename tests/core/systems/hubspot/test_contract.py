"""Custom objects as source and sink, and records named by a property of their own, keep what every kind promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import pytest
import requests

from include.models import Column, Record
from include.systems.connections import HttpEndpoint
from include.systems.http import RestClient
from include.systems.hubspot.declared import Association, HubSpotRecords, HubSpotSink, Related
from include.systems.hubspot.reading import HubSpotReader
from include.systems.hubspot.upserting import HubSpotUpserter
from include.systems.hubspot.writing import HubSpotWriter
from include.systems.port import Destination
from tests.core.night.extract.conftest import Crm as ScriptedCrm
from tests.core.night.extract.conftest import crm_server
from tests.core.systems.contracts import SinkContract, SinkWorld, SourceWorld, VersionedSourceContract, outgoing
from tests.core.systems.hubspot.conftest import SITES, SYSTEM, Crm

__all__ = ["crm_server"]
SOURCE = HubSpotRecords(
    system="crm",
    object=SITES,
    key=Column("hs_object_id", "site"),
    modified=Column("hs_lastmodifieddate", "modified_at", "datetime"),
    columns=(Column("site_name", "name"), Column("amount", "amount", "number")),
    related=(Related("companies", "company_id", (Column("name", "company"),), by=Association("Tenant")),),
)
FIELDS = {"score": "nl_site_score", "note": "nl_site_note"}


class AssociatingCrm(ScriptedCrm):
    """The CRM of the tests of reading, with a custom object of which each record has one company."""

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if not path.startswith("/crm/v4/associations/"):
            return super().answer(method, path, body)
        types = [{"category": "USER_DEFINED", "typeId": 75, "label": "Tenant"}]
        if path.endswith("/labels"):
            return 200, {"results": types}
        ends = [{"toObjectId": 5_000 + int(one["id"]), "associationTypes": types} for one in body["inputs"]]
        starts = [one["id"] for one in body["inputs"]]
        return 200, {"results": [{"from": {"id": one}, "to": [to]} for one, to in zip(starts, ends, strict=True)]}


class CustomObjectWorld(SourceWorld):
    def __init__(self, crm: ScriptedCrm, session: requests.Session) -> None:
        self.crm, self.session = crm, session
        crm.objects[SITES] = {}
        crm.properties = {
            SITES: {"hs_object_id", "hs_lastmodifieddate", "site_name", "amount"},
            "companies": {"name", "hs_lastmodifieddate"},
        }

    def put(self, number: int, changed: datetime, name: str = "Ann", amount: Any = "1.5") -> None:
        iso = changed.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self.crm.objects[SITES][number] = {"hs_lastmodifieddate": iso, "site_name": name, "amount": str(amount)}
        self.crm.add_company(5_000 + number, name=f"company of {number}")

    def remove(self, number: int) -> None:
        del self.crm.objects[SITES][number]

    def rename_column(self, old: str, new: str) -> None:
        self.crm.properties[SITES] = (self.crm.properties[SITES] - {old}) | {new}

    def id_of(self, number: int) -> str:
        return str(number)

    def open(self) -> HubSpotReader:
        return HubSpotReader(RestClient(HttpEndpoint(self.session, self.crm.url), SYSTEM), SYSTEM, SOURCE)


class TestCustomObject(VersionedSourceContract):
    @pytest.fixture
    def world(self, crm_server: tuple[str, dict[str, ScriptedCrm]], session: requests.Session) -> Iterator[SourceWorld]:
        url, slot = crm_server
        session.headers["Authorization"] = "Bearer right"
        slot["crm"] = AssociatingCrm(url=url)
        return CustomObjectWorld(slot["crm"], session)

    def test_every_row_has_its_company(self, world: SourceWorld) -> None:
        self.fill(world)
        for page in world.open().read_ids([world.id_of(n) for n in range(1, 12)]) or ():
            assert all(row["company"] == f"company of {row['site']}" for row in page.rows)


class CustomSinkWorld(SinkWorld):
    """Records of the sandbox's custom object, by HubSpot's id."""

    refused: Mapping[str, str] = {"score": "between nine and ten"}
    names: Mapping[str, str] = FIELDS
    keys = 0

    def __init__(self, crm: Crm) -> None:
        self.crm = crm
        self.numbers: dict[int, str] = {}
        self.count()

    def count(self) -> None:
        self.before = int(self.crm.seen()["records_written"])

    def id_of(self, number: int) -> str:
        return self.numbers.get(number, str(80_000_000 + number))

    def put(self, number: int, **values: Any) -> None:
        held = {"nl_site_score": str(values["score"]), "nl_site_note": values["note"]}
        if number in self.numbers:
            self.crm.change(SITES, self.numbers[number], **held)
        else:
            CustomSinkWorld.keys += 1
            (self.numbers[number],) = self.crm.make(SITES, **{f"k{CustomSinkWorld.keys}": held})
        self.count()

    def held(self) -> Mapping[str, Record]:
        return {self.id_of(n): self.of(hub) for n, hub in self.numbers.items()}

    def of(self, hub: str) -> Record:
        read = self.crm.read(SITES, hub, *FIELDS.values())
        return {"score": read["nl_site_score"], "note": read["nl_site_note"]}

    def writes_seen(self) -> int:
        return int(self.crm.seen()["records_written"]) - self.before

    def lose_next_answer(self) -> None:
        self.crm.fail(rates={"reset": 1.0}, only="write", first_asks=1)

    def open(self) -> Destination:
        sink = HubSpotSink(system="crm", object=SITES, fields=FIELDS)
        return HubSpotWriter(self.crm.client(), sink, SYSTEM.batch_rows)


class UpsertWorld(CustomSinkWorld):
    """The same records by their external id."""

    creates = True

    def id_of(self, number: int) -> str:
        return self.keys_of.setdefault(number, f"site {id(self)} {number}")

    def __init__(self, crm: Crm) -> None:
        self.keys_of: dict[int, str] = {}
        super().__init__(crm)

    def put(self, number: int, **values: Any) -> None:
        held = {"nl_site_score": str(values["score"]), "nl_site_note": values["note"]}
        self.crm.make(SITES, **{self.id_of(number): held})
        self.count()

    def held(self) -> Mapping[str, Record]:
        inputs = [{"id": key} for key in self.keys_of.values()]
        body = {"idProperty": "external_id", "inputs": inputs, "properties": ["external_id", *FIELDS.values()]}
        found = self.crm.call("POST", f"/crm/v3/objects/{SITES}/batch/read", body)["results"]
        read = {one["properties"]["external_id"]: one["properties"] for one in found}
        return {key: {"score": one["nl_site_score"], "note": one["nl_site_note"]} for key, one in read.items()}

    def open(self) -> Destination:
        sink = HubSpotSink(system="crm", object=SITES, fields=FIELDS, id_property="external_id")
        return HubSpotUpserter(self.crm.client(), sink, SYSTEM.batch_rows)


class OverSandbox(SinkContract):
    @pytest.fixture(autouse=True)
    def _without_faults(self, crm: Crm) -> Iterator[None]:
        yield
        crm.fail()


class TestCustomSink(OverSandbox):
    @pytest.fixture
    def world(self, crm: Crm) -> SinkWorld:  # type: ignore[override]
        return CustomSinkWorld(crm)


class TestUpsert(OverSandbox):
    @pytest.fixture
    def world(self, crm: Crm) -> SinkWorld:  # type: ignore[override]
        return UpsertWorld(crm)

    def test_a_record_that_was_made_is_made_once_though_the_answer_was_lost(self, world: SinkWorld) -> None:
        world.lose_next_answer()
        there = world.open()
        (sent,) = there.send({world.id_of(1): outgoing(there, 1, names=world.names)}).values()
        assert sent.after is not None
        assert there.retries == 1
        assert world.writes_seen() == 1
        assert len(world.held()) == 1
