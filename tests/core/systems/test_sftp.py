"""Logins over SFTP: each failure by its cause, nothing left open, keys as Airflow's provider takes them."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import paramiko
import pytest

from include.errors import AccessDenied, ConfigurationError, SystemUnavailable
from include.systems.connections import EnvironmentConnections
from tests.core import openssh

PASSPHRASE = "open sesame"


@dataclass
class Server:
    """An SFTP server behind a door that can be shut; `open_connections` counts what reached the server and stayed."""

    port: int = 0
    host_key: str = ""
    accepts: list[asyncssh.SSHKey] = field(default_factory=list)
    open_connections: int = 0
    accepted: int = 0
    refuse: int = 0
    hang_up: int = 0

    def connections(self, **fields: Any) -> EnvironmentConnections:
        extra = {"host_key": self.host_key, **fields.pop("extra", {})}
        given = {"host": "127.0.0.1", "port": self.port, "login": "nl", "extra": extra, **fields}
        return EnvironmentConnections({"AIRFLOW_CONN_DROP": json.dumps(given)})


def _login(server: Server) -> type[asyncssh.SSHServer]:
    class Login(asyncssh.SSHServer):
        def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
            server.open_connections += 1
            self._connection = conn

        def connection_lost(self, exc: Exception | None) -> None:
            server.open_connections -= 1

        def begin_auth(self, username: str) -> bool:
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            if password == "cut":
                self._connection.abort()
            return password == "right"

        def public_key_auth_supported(self) -> bool:
            return True

        def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
            return key in server.accepts

    return Login


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """The server; the first `refuse` connections are reset as sshd does beyond MaxStartups."""
    made = Server()
    key = asyncssh.generate_private_key("ssh-ed25519")
    made.host_key = " ".join(key.export_public_key().decode().split()[:2])
    loop = asyncio.new_event_loop()

    async def door(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.accepted += 1
        if made.refuse:
            made.refuse -= 1
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
            return
        if made.hang_up:
            made.hang_up -= 1
            writer.close()
            return
        inner = await asyncio.open_connection("127.0.0.1", behind.get_port())
        await asyncio.gather(_pipe(reader, inner[1]), _pipe(inner[0], writer))

    async def start() -> tuple[asyncssh.SSHAcceptor, asyncio.Server]:
        acceptor = await asyncssh.listen(
            "127.0.0.1", 0, server_factory=_login(made), server_host_keys=[key], sftp_factory=True
        )
        return acceptor, await asyncio.start_server(door, "127.0.0.1", 0)

    behind, front = loop.run_until_complete(start())
    made.port = front.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield made
    asyncio.run_coroutine_threadsafe(_stop(behind, front), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


async def _stop(*servers: Any) -> None:
    for one in servers:
        one.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Attempts after which the ladder waited, for no time."""
    seen: list[int] = []

    def at_once(attempt: int) -> float:
        seen.append(attempt)
        return 0.0

    monkeypatch.setattr("include.systems.sftp.wait_seconds", at_once)
    return seen


def use(connections: EnvironmentConnections) -> list[str]:
    with connections.open("sftp", "drop") as sftp:
        return sftp.listdir("/")


def transports() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if isinstance(one, paramiko.Transport)]


def settled(happened: Callable[[], bool]) -> bool:
    pause = threading.Event()
    return any(happened() or pause.wait(0.05) for _ in range(100))


def wrong_host_key(server: Server) -> str:
    return " ".join(asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().split()[:2])


@pytest.mark.parametrize("what", ["password", "host key"])
def test_a_failed_login_leaves_nothing_open(server: Server, what: str) -> None:
    fields: dict[str, Any] = {"password": "wrong"}
    if what == "host key":
        fields = {"password": "right", "extra": {"host_key": wrong_host_key(server)}}
    before = len(transports())
    for _ in range(3):
        with pytest.raises((AccessDenied, ConfigurationError)):
            use(server.connections(**fields))
    assert settled(lambda: len(transports()) <= before)
    assert settled(lambda: server.open_connections == 0)
    assert server.accepted == 3, "a refusal is not asked again"


@pytest.mark.parametrize("how", ["refuse", "hang_up"])
def test_a_server_that_is_full_is_asked_again(server: Server, waits: list[int], how: str) -> None:
    setattr(server, how, 2)
    assert use(server.connections(password="right"))
    assert waits == [1, 2]


@pytest.mark.parametrize("how", ["refuse", "hang_up"])
def test_a_server_that_stays_full_is_unavailable_and_not_a_wrong_host_key(
    server: Server, waits: list[int], how: str
) -> None:
    setattr(server, how, 100)
    with pytest.raises(SystemUnavailable, match="drop: cannot connect") as caught:
        use(server.connections(password="right"))
    assert "host" not in str(caught.value)
    assert (waits, server.accepted) == ([1, 2, 3, 4], 5)


def test_a_line_cut_within_the_login_is_no_refusal_and_not_asked_again_at_once(
    server: Server, waits: list[int]
) -> None:
    with pytest.raises(SystemUnavailable, match="cannot connect"):
        use(server.connections(password="cut"))
    assert (waits, server.accepted) == ([], 1)


def test_nobody_listening_is_unavailable(server: Server, waits: list[int]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(SystemUnavailable, match="cannot connect"):
            use(server.connections(password="right", port=taken.getsockname()[1]))
    assert len(waits) == 4


def test_another_host_key_is_named_and_asked_once(server: Server, waits: list[int]) -> None:
    with pytest.raises(ConfigurationError, match="host key is not the pinned one"):
        use(server.connections(password="right", extra={"host_key": wrong_host_key(server)}))
    assert (waits, server.accepted) == ([], 1)


def test_a_host_key_that_is_nowhere_pinned_is_named(
    server: Server, waits: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match="host key is not known"):
        use(server.connections(password="right", extra={"host_key": ""}))
    assert waits == []


@pytest.mark.parametrize("host_key", ["junk", "ssh-ed25519 AAAA", "ssh-ed25519 ???"])
def test_a_pinned_host_key_that_is_none_is_named(server: Server, host_key: str) -> None:
    with pytest.raises(ConfigurationError, match="`host_key` is no public key"):
        use(server.connections(password="right", extra={"host_key": host_key}))


@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
@pytest.mark.parametrize("form", ["text", "file"])
def test_a_key_with_a_passphrase_opens_the_server(server: Server, tmp_path: Path, kind: str, form: str) -> None:
    file = tmp_path / kind
    command = ["ssh-keygen", "-q", "-t", kind, "-N", PASSPHRASE, "-f", file]
    subprocess.run(command, check=True)
    server.accepts.append(asyncssh.read_public_key(f"{file}.pub"))
    key = {"private_key": file.read_text()} if form == "text" else {"key_file": str(file)}
    assert use(server.connections(extra={**key, "private_key_passphrase": PASSPHRASE}))
    assert use(server.connections(extra=key, password=PASSPHRASE)), "as under Airflow, the password opens a key"


@pytest.fixture
def locked(tmp_path: Path) -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", PASSPHRASE, "-f", tmp_path / "k"], check=True)
    return (tmp_path / "k").read_text()


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({}, "the private key has a passphrase, none is given. Set `private_key_passphrase`"),
        ({"private_key_passphrase": "shut"}, "the passphrase does not open the private key"),
        ({"private_key": "junk"}, "the private key cannot be read"),
        ({"key_file": "/nowhere/key"}, "both `private_key` and `key_file`"),
        ({"private_key": "", "key_file": "/nowhere/key"}, "drop /nowhere/key: extra `key_file` cannot be read"),
        ({"private_key": ""}, "neither a password nor a key"),
        ({"conn_timeout": "soon"}, "`conn_timeout` is no number"),
    ],
)
def test_what_is_wrong_with_a_key_is_said_before_anything_is_sent(
    server: Server, locked: str, extra: dict[str, str], said: str
) -> None:
    if "conn_timeout" in extra:
        extra = {**extra, "private_key": "", "private_key_passphrase": ""}
    fields = {"password": "right"} if "conn_timeout" in extra else {}
    with pytest.raises(ConfigurationError) as caught:
        use(server.connections(extra={"private_key": locked, **extra}, **fields))
    assert said in str(caught.value)
    assert "shut" not in str(caught.value)
    assert server.accepted == 0


@pytest.mark.skipif(not openssh.SSHD or os.getuid() != 0, reason=openssh.MISSING + ", or not root")
def test_refused_logins_do_not_block_a_real_server(tmp_path: Path, waits: list[int]) -> None:
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    with openssh.running_sshd(tmp_path, "MaxStartups 3:100:3") as sshd:
        server = Server(port=sshd.port, host_key=sshd.host_key)
        for _ in range(4):
            with pytest.raises(AccessDenied):
                use(server.connections(login=sshd.login, extra={"key_file": str(other)}))
        assert use(server.connections(login=sshd.login, extra={"key_file": str(sshd.client_key)}))


@pytest.mark.skipif(not openssh.SSHD or os.getuid() != 0, reason=openssh.MISSING + ", or not root")
def test_a_real_server_beyond_its_startups_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with openssh.running_sshd(tmp_path, "MaxStartups 2:100:2") as sshd:
        idle = [socket.create_connection(("127.0.0.1", sshd.port)) for _ in range(2)]
        attempts: list[int] = []

        def leave(attempt: int) -> float:
            attempts.append(attempt)
            for one in idle:
                one.close()
            return 0.5

        monkeypatch.setattr("include.systems.sftp.wait_seconds", leave)
        server = Server(port=sshd.port, host_key=sshd.host_key)
        assert use(server.connections(login=sshd.login, extra={"key_file": str(sshd.client_key)}))
        assert attempts


def test_no_request_waits_for_the_answer_to_another(server: Server) -> None:
    with server.connections(password="right").open("sftp", "drop") as sftp:
        line = sftp.get_channel().get_transport().sock
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
