"""HubSpot as a source keeps what every source promises."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import requests

from include.models import Column
from include.settings import ROOT
from include.systems.connections import HttpEndpoint
from include.systems.http import RestClient
from include.systems.hubspot.declared import HubSpotRecords
from include.systems.hubspot.reading import HubSpotReader
from include.systems.registry import read_systems
from tests.core.night.extract.conftest import Crm
from tests.core.systems.contracts import PAGE, SourceWorld, VersionedSourceContract

SOURCE = HubSpotRecords(
    system="crm",
    object="contacts",
    key=Column("hs_object_id", "lead_id"),
    modified=Column("lastmodifieddate", "modified_at", "datetime"),
    columns=(Column("firstname", "name"), Column("amount", "amount", "number")),
)


class HubSpotWorld(SourceWorld):
    def __init__(self, crm: Crm, session: requests.Session, registry: Any) -> None:
        self.crm, self.session, self.system = crm, session, registry
        crm.properties["contacts"] = {"hs_object_id", "lastmodifieddate", "firstname", "amount"}

    def put(self, number: int, changed: datetime, name: str = "Ann", amount: Any = "1.5") -> None:
        self.crm.add(number, changed, firstname=name, amount=str(amount))

    def remove(self, number: int) -> None:
        del self.crm.objects["contacts"][number]

    def rename_column(self, old: str, new: str) -> None:
        self.crm.properties["contacts"] = (self.crm.properties["contacts"] - {old}) | {new}

    def id_of(self, number: int) -> str:
        return str(number)

    def open(self) -> HubSpotReader:
        return HubSpotReader(RestClient(HttpEndpoint(self.session, self.crm.url), self.system), self.system, SOURCE)


class TestHubSpot(VersionedSourceContract):
    @pytest.fixture
    def world(self, crm: Crm, registry: Any) -> Iterator[SourceWorld]:
        with requests.Session() as session:
            session.trust_env = False
            session.headers["Authorization"] = "Bearer right"
            yield HubSpotWorld(crm, session, registry)

    @pytest.fixture
    def registry(self, tmp_path: Any) -> Any:
        text = (ROOT / "include" / "systems.toml").read_text()
        place = tmp_path / "systems.toml"
        place.write_text(text.replace("page_rows = 100", f"page_rows = {PAGE}"))
        return read_systems(place)["crm"]
