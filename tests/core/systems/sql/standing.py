"""What an adapter is given of a run, without a ledger: a registry of systems and connections from variables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from include.models import Interval
from include.settings import Settings
from include.systems.connections import Connections, EnvironmentConnections
from include.systems.http import RestClient
from include.systems.limits.pace import Pace
from include.systems.registry import System
from tests.core.systems.contracts import NIGHT, PAGE

SYSTEM = System("shop", "tests", "", "", "shop_default", "", "", (), 5.0, (), page_rows=PAGE, batch_rows=PAGE)


@dataclass(frozen=True)
class Standing:
    """The run that adapters are opened in."""

    connection: Mapping[str, Any]
    entry: System = SYSTEM
    interval: Interval = NIGHT
    run_id: str = "run-1"
    settings: Settings = field(default_factory=lambda: Settings.read({"NIGHTLEDGER_TOKEN_SECRET": "s"}))
    personal: Sequence[str] = ()

    @property
    def connections(self) -> Connections:
        return EnvironmentConnections({"AIRFLOW_CONN_SHOP_DEFAULT": json.dumps(dict(self.connection))})

    def system(self, name: str) -> System:
        assert name == self.entry.name
        return self.entry

    def pace(self, system: str) -> Pace:
        return Pace(self.system(system))

    def client(self, system: str) -> RestClient:
        return RestClient(
            self.connections.open("http", self.entry.connection), self.system(system), sleep=lambda _: None
        )

    def with_(self, **changes: Any) -> Standing:
        return replace(self, **changes)
