"""What a history runs on: a database server, stand-ins behind proxies, and the processes that it starts and breaks."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg
import requests

from include.database import open_database
from include.demo.sandbox.config import Endpoints, SandboxConfig
from include.demo.sandbox.odata.api import ROOT as ERP
from include.demo.sandbox.process import running_sandbox
from include.demo.stack import postgres
from include.demo.stack.environment import ledger_connections, sandbox_connections
from include.ledger import schema
from include.settings import ROOT
from tests.faults import proposals
from tests.faults.between import Between, between
from tests.faults.planner import Planner
from tests.faults.wire import Wire, wire

CONCURRENCY = 8
LEASE_SECONDS = 3
ERP_SECONDS = 2
HANGS_SECONDS = 240.0
"""Far beyond what any process takes here, also on a machine that has much else to do."""
END = datetime(2026, 11, 20, 2, tzinfo=UTC)
SECRETS = dict.fromkeys(postgres.ROLES, "secret")
TEMPLATE = "NIGHTLEDGER_FAULTS_TEMPLATE"
"""Variable that names a stopped server's data folder with a migrated ledger, so that not every history makes one."""
_FULL = "File too large"
SKEW = """
import os, time, datetime
_shift, _time, _ns = float(os.environ.get("NEMESIS_CLOCK") or 0), time.time, time.time_ns
if _shift:
    _real = datetime.datetime
    time.time = lambda: _time() + _shift
    time.time_ns = lambda: _ns() + int(_shift * 1e9)
    class _Meta(type):
        def __instancecheck__(cls, value): return isinstance(value, _real)
        def __subclasscheck__(cls, kind): return issubclass(kind, _real)
    class datetime_(_real, metaclass=_Meta):
        @classmethod
        def now(cls, tz=None): return _real.fromtimestamp(time.time(), tz)
        @classmethod
        def utcnow(cls): return _real.utcfromtimestamp(time.time())
    datetime_.__name__ = datetime_.__qualname__ = "datetime"
    datetime.datetime = datetime_
"""


@dataclass
class World:
    """A history's folder, systems and processes, and what happened in it.

    `effects` counts what took effect, by name; `deeds` is what the nemesis did, in order; `gave_up` holds the last
    lines of processes that ended by themselves without being done.
    """

    folder: Path
    endpoints: Endpoints
    environment: Mapping[str, str]
    chance: random.Random
    server: postgres.Server
    model: Between
    crm: Between
    erp: Planner
    sftp: Wire
    deeds: list[str] = field(default_factory=list)
    effects: Counter[str] = field(default_factory=Counter)
    gave_up: list[str] = field(default_factory=list)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def command(
        self, name: str, arguments: Sequence[object], *, clock: float = 0.0, disk: int | None = None
    ) -> subprocess.Popen[str]:
        """Start the command line; its clock may be off by seconds, its disk full after so many bytes of a file."""

        def fill_disk() -> None:
            if disk is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (disk, disk))
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

        if disk is not None:  # in a log of its own: the size of the other would be over the limit from the first word
            name = f"{name}-full-{len(self.started)}"
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "include.cli", *map(str, arguments)],
            env={**self.environment, "NEMESIS_CLOCK": str(clock or "")},
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=self.log(name).open("a"),
            text=True,
            preexec_fn=fill_disk,
        )
        self.started.append(process)
        return process

    def log(self, name: str) -> Path:
        """Where a process says what it does."""
        return self.folder / f"{name}.log"

    def finish(
        self,
        name: str,
        process: subprocess.Popen[str],
        again: Callable[[], subprocess.Popen[str]],
        seconds: float = HANGS_SECONDS,
    ) -> None:
        """Wait for a process; one that gave up (ledger gone, disk full) is started again, as Airflow would."""
        for _ in range(5):
            try:
                process.wait(timeout=seconds)
            except subprocess.TimeoutExpired as error:
                raise AssertionError(f"{name} hangs: {self.said(name)}") from error
            if process.returncode in (0, 1):
                return
            if process.returncode > 0:
                self.gave_up.append(f"{name}: {self.said(name)}")
            process = again()
        raise AssertionError(f"{name} gives up again and again: {self.said(name)}")

    def said(self, name: str) -> str:
        """The last line of a process's log."""
        return (self.log(name).read_text().strip().splitlines() or ["nothing"])[-1][-400:]

    def kill(self, process: subprocess.Popen[str], calls: Between | None = None) -> bool:
        """kill -9 while a call is in the air, if one comes within three seconds; False if it had ended before."""
        calls = calls or self.model
        wait_until(lambda: calls.in_flight > 0 or process.poll() is not None, 3)
        flying = calls.in_flight
        process.kill()
        took = process.wait() == -signal.SIGKILL
        self.effects["kill"] += took
        self.effects["kill in the air"] += took and flying > 0
        return took

    def fail(self, rates: Mapping[str, float], where: str = "model", only: str = "all") -> None:
        """Change what a stand-in does wrong by itself."""
        plan = {"seed": self.chance.randint(1, 10**6), "rates": rates, "hold_seconds": 3.0, "only": only}
        places = {
            "model": f"{self.endpoints.model_root}/sandbox",
            "crm": f"{self.endpoints.crm_url}/sandbox/crm",
            "erp": f"{self.erp.target}/sandbox/erp",
        }
        requests.post(f"{places[where]}/faults", json=plan, timeout=10).raise_for_status()

    def calm(self) -> None:
        """Nothing breaks any more."""
        self.fail({})
        self.fail({}, "crm")
        self.fail({}, "erp")
        for one in (self.model, self.crm, self.erp):
            one.rates = {}
            one.script.clear()
            one.let_go.set()
        self.sftp.script.clear()
        self.sftp.pace = 0.0

    def calls(self) -> list[dict[str, Any]]:
        """What the model endpoint itself has counted."""
        found = requests.get(f"{self.endpoints.model_root}/sandbox/billed?detail=1", timeout=10).json()
        return list(found["requests"])

    def crm_counts(self) -> dict[str, Any]:
        """What the CRM itself has counted."""
        return dict(requests.get(f"{self.endpoints.crm_url}/sandbox/crm/requests", timeout=10).json())

    def postmaster(self) -> psutil.Process:
        """The database server's first process."""
        return psutil.Process(int((self.server.folder / "postmaster.pid").read_text().splitlines()[0]))

    def restart_ledger(self) -> None:
        """Stop the database server, in order or with kill -9 as an accident does, and start it again."""
        if self.chance.random() < 0.5:
            postgres.stop(self.server.folder)
        else:
            kill_server(self.postmaster())
        time.sleep(self.chance.uniform(0.0, 1.0))
        postgres.start(self.server.folder)
        self.effects["ledger restart"] += 1

    @contextmanager
    def ledger_disk_full(self, room: int) -> Iterator[None]:
        """For the block, nothing of the database server grows by more than `room` bytes; waits until that has hurt."""
        data, before = self.server.folder, len(self._server_log())
        with psycopg.connect(self.server.url("postgres", driver="postgresql"), autocommit=True) as connection:
            found = connection.execute("SELECT (pg_current_wal_lsn() - '0/0') % (16 * 1024 * 1024)").fetchone()
        postgres.stop(data)
        with _files_limited(int(found[0] if found else 0) + room):
            postgres.start(data)
        try:
            yield
            self.effects["ledger disk full"] += wait_until(lambda: _FULL in self._server_log()[before:], HANGS_SECONDS)
        finally:
            if postgres.is_running(data):
                kill_server(self.postmaster())
            postgres.start(data)

    def _server_log(self) -> str:
        return "".join(
            file.read_text(errors="replace") for file in sorted(self.server.folder.glob("*log*")) if file.is_file()
        )

    def all_effects(self) -> Counter[str]:
        """What took effect, at the processes and on the wire."""
        return self.effects + self.model.effects + self.crm.effects + self.erp.effects + self.sftp.effects


@contextmanager
def _files_limited(most: int) -> Iterator[None]:
    """What the block starts can let no file grow beyond so many bytes."""
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, kept[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)


def kill_server(server: psutil.Process) -> None:
    """kill -9 of a database server; its sessions end by themselves when they notice."""
    sessions = server.children(recursive=True)
    server.kill()
    psutil.wait_procs([server, *sessions], timeout=30)


def wait_until(holds: Callable[[], bool], seconds: float) -> bool:
    """Whether it holds within so many seconds."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def small_batches(registry: str) -> str:
    """The registry with batches of ten records, so that a small night writes several, and an ERP that is given up soon.

    A call that the ERP holds back for longer is carried out after its caller has turned to something else.
    """
    above, begins, erp = registry.partition("[erp]\n")
    assert "batch_rows = 100\n" in above
    assert "timeout_seconds = 60\n" in erp
    erp = erp.replace("timeout_seconds = 60\n", f"timeout_seconds = {ERP_SECONDS}\n", 1)
    return (above + begins + erp).replace("batch_rows = 100\n", "batch_rows = 10\n")


def make_template(folder: Path) -> Path:
    """A stopped server's data folder with roles, databases and a migrated ledger."""
    data = folder / "postgres"
    with postgres.embedded_postgres(data) as server:
        postgres.prepare(server, SECRETS)
        owner = open_database(server.url("nightledger", "nightledger_owner", SECRETS["nightledger_owner"]))
        schema.upgrade(owner)
        owner.dispose()
        with (data / "postgresql.auto.conf").open("a") as settings:
            settings.write("fsync = off\nfull_page_writes = off\n")  # processes are killed here, machines are not
    return data


@contextmanager
def world(seed: int, folder: Path, **sandbox: Any) -> Iterator[World]:
    """Everything that one history needs; nothing of it runs after the block, whatever happens in it."""
    chance = random.Random(seed)
    (folder / "skew").mkdir()
    (folder / "skew" / "sitecustomize.py").write_text(SKEW)
    proposals.install(folder / "site")
    given = {"days": 1, "leads_per_day": 40, "rpm": 6_000, "crm_latency_ms": 5, "anchor": END, "seed": 1, **sandbox}
    data = folder / "postgres"
    with ExitStack() as stack:
        stack.callback(stop_server, data)
        if template := os.environ.get(TEMPLATE):
            subprocess.run(["cp", "-a", template, str(data)], check=True)
        else:
            make_template(folder)
        server = postgres.start(data)
        (folder / "systems.toml").write_text(small_batches((ROOT / "include" / "systems.toml").read_text()))
        endpoints = stack.enter_context(running_sandbox(SandboxConfig(state=folder / "sandbox", **given)))
        model = stack.enter_context(between(endpoints.model_root, "/chat/completions", chance, Between))
        crm = stack.enter_context(between(endpoints.crm_url, "/batch/update", chance, Between))
        erp = stack.enter_context(between(endpoints.erp_url.removesuffix(ERP), "", chance, Planner))
        sftp = stack.enter_context(wire(endpoints.sftp_host, endpoints.sftp_port))
        urls = {"model_url": model.url, "crm_url": crm.url, "erp_url": f"{erp.url}{ERP}"}
        seen = {**endpoints.to_json(), **urls, "sftp_port": sftp.port}
        here = World(folder, endpoints, _environment(folder, server, seen), chance, server, model, crm, erp, sftp)
        stack.callback(_end, here.started)
        yield here


def _environment(folder: Path, server: postgres.Server, endpoints: Mapping[str, Any]) -> dict[str, str]:
    left_out = ("AIRFLOW", "NIGHTLEDGER", "OPENAI", "PYTHONDONTWRITEBYTECODE")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(left_out)},
        **ledger_connections(server, SECRETS, ""),
        **sandbox_connections(endpoints),
        "NIGHTLEDGER_HOME": str(folder),
        "NIGHTLEDGER_TOKEN_SECRET": "secret",
        "NIGHTLEDGER_SYSTEMS": str(folder / "systems.toml"),
        "NIGHTLEDGER_OUTAGE_SECONDS": "20",
        "NIGHTLEDGER_CONCURRENCY": str(CONCURRENCY),
        "NIGHTLEDGER_LEASE_SECONDS": str(LEASE_SECONDS),
        "PYTHONPATH": os.pathsep.join([str(folder / "skew"), str(folder / "site"), str(ROOT)]),
    }


def _end(processes: Sequence[subprocess.Popen[str]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()


def stop_server(data: Path) -> None:
    """Stop a database server that is thrown away."""
    if not postgres.is_running(data):
        return
    kill_server(psutil.Process(int((data / "postmaster.pid").read_text().splitlines()[0])))


@contextmanager
def own_folder(name: str) -> Iterator[Path]:
    """A folder for one history, removed unless the history failed."""
    folder = Path(tempfile.mkdtemp(prefix=f"nightledger-history-{name}-"))
    folder.chmod(0o755)  # the database server has its own account where tests run as root
    yield folder
    shutil.rmtree(folder)
