"""HubSpot as a sink keeps what every sink promises."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import requests

from include.models import Record
from include.settings import ROOT
from include.systems.connections import HttpEndpoint
from include.systems.http import RestClient
from include.systems.hubspot.declared import HubSpotSink
from include.systems.hubspot.writing import HubSpotWriter
from include.systems.registry import read_systems
from tests.core.night.write.conftest import MISSING, Crm
from tests.core.systems.contracts import SinkContract, SinkWorld, outgoing

SINK = HubSpotSink(system="crm", object="contacts", fields={"score": "nl_lead_score", "note": "nl_lead_summary"})


class HubSpotWorld(SinkWorld):
    refused: Mapping[str, str] = {"score": "between nine and ten"}
    names: Mapping[str, str] = {"score": "nl_lead_score", "note": "nl_lead_summary"}

    def __init__(self, crm: Crm, session: requests.Session) -> None:
        self.crm, self.session = crm, session
        self.ids: dict[int, str] = {}
        self.before = crm.seen()["records_written"]

    def id_of(self, number: int) -> str:
        if number >= 77:
            return str(int(MISSING) - number)
        return self.ids.setdefault(number, self.ids.get(number) or next(self.crm.unused))

    def put(self, number: int, **values: Any) -> None:
        self.crm.edit(self.id_of(number), nl_lead_score=str(values["score"]), nl_lead_summary=values["note"])
        self.before = self.crm.seen()["records_written"]

    def held(self) -> Mapping[str, Record]:
        read = {number: self.crm.read(number) for number in self.ids.values()}
        return {n: {"score": one["nl_lead_score"], "note": one["nl_lead_summary"]} for n, one in read.items()}

    def writes_seen(self) -> int:
        return int(self.crm.seen()["records_written"]) - self.before

    def lose_next_answer(self) -> None:
        raise NotImplementedError

    def open(self) -> HubSpotWriter:
        system = read_systems(ROOT / "include" / "systems.toml")["crm"]
        endpoint = HttpEndpoint(self.session, self.crm.endpoints.crm_url)
        return HubSpotWriter(RestClient(endpoint, system), SINK, system.batch_rows)


class TestHubSpot(SinkContract):
    @pytest.fixture
    def world(self, crm: Crm) -> Iterator[SinkWorld]:
        with requests.Session() as session:
            session.trust_env = False
            session.headers["Authorization"] = f"Bearer {crm.endpoints.crm_token}"
            yield HubSpotWorld(crm, session)

    def test_the_same_write_again_is_not_written_twice(self, world: SinkWorld) -> None:
        """An update sets values, so that one which comes twice leaves what one leaves; the API has no key for it."""
        world.put(1, score=0, note="")
        there = world.open()
        write = {world.id_of(1): outgoing(there, 1, names=world.names)}
        there.send(write)
        once = world.held()
        there.send(write)
        assert world.held() == once
