"""An OData service of the test's own making on loopback, and what an adapter is given of a run."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiohttp import web

from include.demo.sandbox.faults import NO_FAULTS, FaultPlan
from include.demo.sandbox.odata.api import LOGIN, ROOT, ODataApi
from include.demo.sandbox.odata.model import EntitySet, Link, Model, Prop, metadata
from include.demo.sandbox.odata.store import Store
from include.demo.sandbox.serving import Latency
from include.models import Interval
from include.settings import Settings
from include.systems.connections import Connections, EnvironmentConnections
from include.systems.http import RestClient
from include.systems.limits.pace import Pace
from include.systems.registry import System
from tests.core.systems.contracts import NIGHT, PAGE

PASSWORD = "not a secret"
TEXT = Prop("Edm.String")
TIME = Prop("Edm.DateTimeOffset")
DECIMAL = Prop("Edm.Decimal")
ROW = {"name": TEXT, "amount": DECIMAL, "ChangedAt": TIME}
MODEL: Model = {
    each.name: each
    for each in (
        EntitySet("Things", "Thing", ("Code",), {"Code": Prop("Edm.String", required=True), "MakerId": TEXT, **ROW}),
        EntitySet(
            "Lines",
            "Line",
            ("Plant", "Number"),
            {"Plant": Prop("Edm.String", required=True), "Number": Prop("Edm.Int64", required=True), **ROW},
        ),
        EntitySet("Makers", "Maker", ("Id",), {"Id": Prop("Edm.String", required=True), "Town": TEXT}),
        EntitySet(
            "Scores",
            "Score",
            ("Id",),
            {
                "Id": Prop("Edm.String", required=True),
                "score": Prop("Edm.Decimal", scale=3),
                "note": Prop("Edm.String", longest=40),
                "Rank": Prop("Edm.Int32"),
                "Total": Prop("Edm.Int64"),
                "ChangedAt": Prop("Edm.DateTimeOffset", computed=True),
            },
            changed="ChangedAt",
            writable=True,
        ),
    )
}
MODEL = {
    **MODEL,
    "Things": replace(MODEL["Things"], links={"Maker": Link("Makers", {"MakerId": "Id"})}),
    "Makers": replace(MODEL["Makers"], links={"Things": Link("Things", {"Id": "MakerId"}, many=True)}),
}


@dataclass
class Erp:
    """A running service; each test has a store of its own, and sees what was asked."""

    url: str
    api: ODataApi
    asked: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return self.api.store

    def set_of(self, name: str) -> EntitySet:
        return self.store.model[name]

    def put(self, name: str, /, **values: Any) -> None:
        """Add an entity, or change it, as somebody else would."""
        self.store.put(self.set_of(name), values)

    def change_set(self, name: str, **parts: Any) -> None:
        """The service now describes a set otherwise."""
        self.store.model = {**self.store.model, name: replace(self.set_of(name), **parts)}

    def fail(self, **plan: Any) -> None:
        self.api.faults = FaultPlan(**plan)

    def paths(self, method: str = "GET") -> list[str]:
        """What was asked by that method, without `$metadata`."""
        return [path for verb, path, _ in self.asked if verb == method and "$metadata" not in path]


@dataclass
class Here:
    """What an adapter may know of a run, as `Surroundings` has it."""

    url: str
    interval: Interval = NIGHT
    run_id: str = "run"
    personal: Sequence[str] = ()
    page_rows: int = PAGE
    sessions: int = 4
    settings: Settings = field(default_factory=lambda: Settings.read({}))
    slept: list[float] = field(default_factory=list)

    @property
    def connections(self) -> Connections:
        stored = {"conn_type": "http", "host": self.url, "login": LOGIN, "password": PASSWORD}
        return EnvironmentConnections({"AIRFLOW_CONN_ERP_DEFAULT": json.dumps(stored)})

    def system(self, name: str) -> System:
        facts = dict.fromkeys(("purpose", "data", "api", "auth", "network"), "")
        more: dict[str, Any] = {"scopes": (), "timeout_seconds": 5, "limits": (), "owner": "supply-chain"}
        return System(name=name, connection="erp_default", page_rows=self.page_rows, **facts, **more)

    def pace(self, system: str) -> Pace:
        return Pace(self.system(system))

    def client(self, system: str) -> RestClient:
        first, *more = (self.connections.open("http", "erp_default") for _ in range(self.sessions))
        return RestClient(first, self.system(system), more=more, sleep=self.slept.append)


@dataclass
class Loop:
    """An event loop in a thread of its own, which serves applications."""

    loop: asyncio.AbstractEventLoop

    def serve(self, app: web.Application) -> str:
        async def start() -> str:
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            return f"http://127.0.0.1:{runner.addresses[0][1]}"

        return asyncio.run_coroutine_threadsafe(start(), self.loop).result(10)


@pytest.fixture(scope="session")
def serving() -> Iterator[Loop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield Loop(loop)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)


@pytest.fixture(scope="session")
def service(serving: Loop) -> Erp:
    api = ODataApi(lambda: Store(MODEL, {}), PASSWORD, Latency(0, 0, 1), NO_FAULTS, page_rows=PAGE)
    erp = Erp("", api)

    @web.middleware
    async def note(request: web.Request, handler: Callable[..., Any]) -> Any:
        erp.asked.append((request.method, request.raw_path, dict(request.headers)))
        return await handler(request)

    app = api.application()
    app.middlewares.append(note)
    erp.url = serving.serve(app) + ROOT
    return erp


@pytest.fixture
def erp(service: Erp) -> Erp:
    """The service, with empty sets and without faults."""
    service.api._store = Store(MODEL, {})
    service.api.relative_links = False
    service.api._ordinals = type(service.api._ordinals)()
    service.fail()
    service.asked.clear()
    return service


@pytest.fixture
def here(erp: Erp) -> Here:
    return Here(erp.url)


@dataclass
class Said:
    """An answer of the scripted service."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Scripted:
    """A service that answers in a given order, the last answer for ever, and describes itself as `MODEL`.

    For what a service that keeps the protocol never says. The forms of answers are those of
    https://docs.oasis-open.org/odata/odata-json-format/v4.01/odata-json-format-v4.01.html
    """

    url: str = ""
    answers: list[Said] = field(default_factory=list)
    document: bytes = b""
    asked: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)

    def says(self, *bodies: Any) -> None:
        self.answers = [body if isinstance(body, Said) else Said(body) for body in bodies]
        self.document, self.asked = metadata(MODEL).encode(), []

    def paths(self, method: str = "GET") -> list[str]:
        return [path for verb, path, _ in self.asked if verb == method]

    async def answer(self, request: web.Request) -> web.Response:
        if request.path.endswith("$metadata"):
            return web.Response(body=self.document, content_type="application/xml")
        self.asked.append((request.method, request.raw_path, dict(request.headers)))
        said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if said.body is None:
            return web.Response(status=said.status, headers=said.headers)
        return web.json_response(said.body, status=said.status, headers=said.headers)


@pytest.fixture(scope="session")
def scripts(serving: Loop) -> Scripted:
    scripted = Scripted()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", scripted.answer)
    scripted.url = serving.serve(app) + "/api/v4"
    return scripted


@pytest.fixture
def scripted(scripts: Scripted) -> Scripted:
    scripts.says({"value": []})
    return scripts
