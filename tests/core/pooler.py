"""A real PgBouncer in front of the embedded server; skipped where there is none, except in CI, which installs it."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import pytest
from sqlalchemy.engine import make_url

from include.ledger.schema import SERVICE_ROLE
from tests.debian import find_program

Mode = Literal["session", "transaction"]


class Server(Protocol):
    """A PostgreSQL server; `socket` is the folder of its Unix socket."""

    @property
    def socket(self) -> str: ...


@dataclass(frozen=True)
class Login:
    """A role whose password at the pooler is `asked`, and at the server behind it `own`; it may ask for statistics."""

    role: str
    asked: str
    own: str


_SESSIONS = {"session": 40, "transaction": 3}
"""Sessions with the server: one for each client, or few enough that clients have to share them."""


@contextmanager
def pgbouncer(postgres: Server, mode: Mode, login: Login | None = None) -> Iterator[int]:
    """The port on loopback of a pooler that lends sessions in this mode: to this login, or else to whoever asks."""
    program = find_program("pgbouncer", "pgbouncer")
    if program is None:
        assert os.environ.get("CI") != "true", "CI must run this, and apt-get cannot install PgBouncer"
        pytest.skip("no PgBouncer on this machine; install it: apt-get install pgbouncer")
    with tempfile.TemporaryDirectory(prefix="nightledger-pooler-") as folder:
        place, port = Path(folder), _free_port()
        place.chmod(0o755)  # it does not run as root
        users = {login.role: login.asked} if login else {"postgres": "", SERVICE_ROLE: ""}
        lines = (f'"{name}" "{password}"\n' for name, password in users.items())
        (place / "users.txt").write_text("".join(lines), encoding="utf-8")
        (place / "pooler.ini").write_text(_settings(postgres, place, port, mode, login), encoding="utf-8")
        owner = pwd.getpwuid(Path(postgres.socket).stat().st_uid).pw_name  # nobody else may reach the socket
        other = ["-u", owner] if os.geteuid() == 0 else []
        with (place / "log").open("w") as log:
            process = subprocess.Popen([program, "-q", *other, str(place / "pooler.ini")], stdout=log, stderr=log)
        try:
            _wait(process, port, place / "log")
            yield port
        finally:
            process.terminate()
            process.wait(20)


def through(url: str, port: int) -> str:
    """The same database by way of the pooler."""
    return make_url(url).set(host="127.0.0.1", port=port, query={}).render_as_string(False)


def _settings(postgres: Server, place: Path, port: int, mode: Mode, login: Login | None) -> str:
    return f"""
[databases]
* = host={postgres.socket} {f"user={login.role} password={login.own}" if login else ""}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = {"scram-sha-256" if login else "trust"}
stats_users = {login.role if login else ""}
auth_file = {place / "users.txt"}
pool_mode = {mode}
default_pool_size = {_SESSIONS[mode]}
"""


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"PgBouncer does not answer: {log.read_text(encoding='utf-8')[-1000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
