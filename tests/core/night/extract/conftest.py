"""A CRM and an SFTP server on loopback, over real HTTP and SSH, and a night that reads from both."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from include.models import Interval
from include.run import Night
from include.spec.use_case import UseCase, load
from include.systems.files.drop import FileDrop

INTERVAL = Interval(datetime(2024, 3, 5, 2, tzinfo=UTC), datetime(2024, 3, 6, 2, tzinfo=UTC))
HEADER = "domain,company_name,industry,employees,annual_revenue_usd,founded_year,technologies,updated_at"
LINE = "acme{0}.com,Acme {0},software,{0},1000.5,1990,python;sql,2024-03-01T00:00:00Z"
FILE = "firmographics_2024-03-05.csv"


def millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


@dataclass
class Crm:
    """Just enough of HubSpot's CRM v3 API; `answers` are (status, body, headers) given before anything else.

    `before_search` is called with the number of searches so far, so that a test can edit records while they are read;
    `before_batch` with the ids of a batch.
    """

    url: str = ""
    objects: dict[str, dict[int, dict[str, Any]]] = field(default_factory=lambda: {"contacts": {}, "companies": {}})
    properties: dict[str, set[str]] = field(default_factory=dict)
    answers: list[tuple[int, Any, dict[str, str]]] = field(default_factory=list)
    max_hits: int = 10_000
    batch_reads: list[list[str]] = field(default_factory=list)
    searches: list[dict[str, Any]] = field(default_factory=list)
    before_search: Callable[[int], None] = lambda _: None
    before_batch: Callable[[list[str]], None] = lambda _: None

    def add(self, number: int, modified: datetime | None = None, **properties: Any) -> None:
        moment = modified or INTERVAL.start + timedelta(hours=1)
        iso = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self.objects["contacts"][number] = {"lastmodifieddate": iso, **properties}

    def add_company(self, number: int, **properties: Any) -> None:
        self.objects["companies"][number] = properties

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        parts = path.strip("/").split("/")
        if method == "GET":
            return 200, {"results": [{"name": name} for name in sorted(self.properties[parts[3]])]}
        if path.endswith("/search"):
            self.before_search(len(self.searches))
            self.searches.append(body)
            return self._search(parts[3], body)
        asked = [item["id"] for item in body["inputs"]]
        self.batch_reads.append(asked)
        self.before_batch(asked)
        known = self.objects[parts[3]]
        found = [self._item(int(n), known[int(n)], body) for n in asked if int(n) in known]
        return (200 if len(found) == len(body["inputs"]) else 207), {"results": found}

    def _search(self, kind: str, body: dict[str, Any]) -> tuple[int, Any]:
        offset = int(body.get("after") or 0)
        if offset + body["limit"] > self.max_hits:
            return 400, {"message": "paging past 10000 hits is refused"}
        hits = [n for n in sorted(self.objects[kind]) if self._matches(n, self.objects[kind][n], body)]
        page = hits[offset : offset + body["limit"]]
        answer: dict[str, Any] = {
            "total": len(hits),
            "results": [self._item(n, self.objects[kind][n], body) for n in page],
        }
        if offset + len(page) < len(hits):
            answer["paging"] = {"next": {"after": str(offset + len(page))}}
        return 200, answer

    def _matches(self, number: int, properties: dict[str, Any], body: dict[str, Any]) -> bool:
        for condition in body["filterGroups"][0]["filters"]:
            name = condition["propertyName"]
            value = number if name == "hs_object_id" else millis(datetime.fromisoformat(properties[name]))
            against = int(condition["value"])
            if not {"GTE": value >= against, "LT": value < against, "GT": value > against}[condition["operator"]]:
                return False
        return True

    def _item(self, number: int, properties: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        shown = {name: properties.get(name) for name in body["properties"]} | {"hs_object_id": str(number)}
        updated = properties.get("lastmodifieddate") or properties.get("hs_lastmodifieddate")
        return {"id": str(number), "properties": shown, "updatedAt": updated, "archived": False}


@pytest.fixture(scope="module")
def crm_server() -> Iterator[tuple[str, dict[str, Crm]]]:
    """A server and the slot for the CRM that answers on it."""
    slot: dict[str, Crm] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer leaves in one piece, or the client waits 40 ms for the second

        def handle_one(self) -> None:
            crm = slot["crm"]
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
            if crm.answers:
                status, answer, headers = crm.answers.pop(0)
            elif self.headers["Authorization"] != "Bearer right":
                status, answer, headers = 401, {"message": "no"}, {}
            else:
                status, answer = crm.answer(self.command, self.path, body)
                headers = {}
            data = json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = handle_one

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", slot
    server.shutdown()
    server.server_close()


@pytest.fixture
def crm(crm_server: tuple[str, dict[str, Crm]], case: UseCase) -> Crm:
    """An empty CRM that has every declared property."""
    url, slot = crm_server
    source: Any = case.sources[0]
    slot["crm"] = Crm(url=url)
    slot["crm"].properties["contacts"] = {c.source_name for c in (source.key, source.modified, *source.columns)}
    for related in source.related:
        slot["crm"].properties[related.object] = {column.source_name for column in related.columns}
    return slot["crm"]


@dataclass
class Drop:
    """The SFTP server's files as a local folder, with what a connection to it needs."""

    root: Path
    port: int
    host_key: str

    def put(self, text: str | bytes, name: str = FILE, *, checksum: bool = True, folder: str = "drop") -> Path:
        path = self.root / folder / name
        data = text.encode() if isinstance(text, str) else text
        path.write_bytes(data)
        if checksum:
            Path(f"{path}.sha256").write_text(f"{hashlib.sha256(data).hexdigest()}  {name}\n")
        return path

    def names(self, folder: str) -> list[str]:
        return sorted(path.name for path in (self.root / folder).iterdir())


@pytest.fixture(scope="module")
def sftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drop]:
    root = tmp_path_factory.mktemp("sftp")
    key = asyncssh.generate_private_key("ssh-ed25519")
    loop = asyncio.new_event_loop()

    class Login(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return password == "right"

    async def start() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=Login,
            server_host_keys=[key],
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(root).encode()),
        )

    acceptor = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    public = key.export_public_key().decode()
    yield Drop(root, acceptor.get_port(), " ".join(public.split()[:2]))
    asyncio.run_coroutine_threadsafe(_stop(acceptor), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


async def _stop(acceptor: asyncssh.SSHAcceptor) -> None:
    acceptor.close()
    await acceptor.wait_closed()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@pytest.fixture
def drop(sftp_server: Drop) -> Drop:
    """Empty folders `drop` and `archive`."""
    for folder in ("drop", "archive"):
        (sftp_server.root / folder).mkdir(exist_ok=True)
        for path in (sftp_server.root / folder).iterdir():
            path.unlink()
    return sftp_server


@pytest.fixture(scope="session")
def case() -> UseCase:
    """Lead scoring, with a file that settles at once."""
    spec = load("crm_lead_scoring")
    return replace(spec, joins=tuple(replace(drop, settle_seconds=0.05) for drop in spec.joins))


@pytest.fixture
def file_drop(case: UseCase) -> FileDrop:
    return case.joins[0]


@pytest.fixture
def connections(crm: Crm, drop: Drop) -> dict[str, str]:
    """Variables of the connections that extract uses."""
    port = int(crm.url.rpartition(":")[2])
    sftp = {"host": "127.0.0.1", "port": drop.port, "login": "nl", "password": "right"}
    return {
        "AIRFLOW_CONN_CRM_DEFAULT": json.dumps({"host": "http://127.0.0.1", "port": port, "password": "right"}),
        "AIRFLOW_CONN_SFTP_DEFAULT": json.dumps({**sftp, "extra": {"host_key": drop.host_key}}),
    }


@pytest.fixture
def night_of(
    make_night: Callable[..., Night], case: UseCase, connections: dict[str, str], tmp_path: Path
) -> Callable[..., Night]:
    """A factory of nights over INTERVAL; `systems` replaces text in the registry, e.g. a limit."""

    def make(systems: dict[str, str] | None = None, **parts: Any) -> Night:
        registry = Path("include/systems.toml").resolve().read_text()
        for old, new in (systems or {}).items():
            assert old in registry
            registry = registry.replace(old, new)
        file = tmp_path / "systems.toml"
        file.write_text(registry)
        settings = {"systems_file": file, **parts.pop("settings", {})}
        given = {"case": case, "interval": INTERVAL, "connections": connections, **parts}
        return make_night(settings=settings, **given)

    return make
