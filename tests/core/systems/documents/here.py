"""A run around a reader: a registry of one system, and folders of this machine or of a real SFTP server."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncssh

from include.models import Interval
from include.settings import Settings
from include.systems.connections import EnvironmentConnections
from include.systems.http import RestClient
from include.systems.limits.pace import Pace
from include.systems.registry import System, Window

START = datetime(2026, 11, 18, 2, tzinfo=UTC)


@dataclass
class Here:
    """The surroundings; every system has pages of `page_rows`."""

    connections: EnvironmentConnections
    page_rows: int = 5
    interval: Interval = field(default_factory=lambda: Interval(START, START + timedelta(days=1)))
    run_id: str = "run"
    personal: Sequence[str] = ()

    @property
    def settings(self) -> Settings:
        return Settings.read({})

    def system(self, name: str) -> System:
        return System(
            name=name,
            purpose="documents",
            data="documents",
            api="files",
            connection="drop",
            auth="key",
            network="inside",
            scopes=("read",),
            timeout_seconds=5,
            limits=(Window(1, requests=100),),
            page_rows=self.page_rows,
            owner="scanning",
        )

    def pace(self, system: str) -> Pace:
        return Pace(self.system(system))

    def client(self, system: str) -> RestClient:
        raise NotImplementedError


def local(folder: Path) -> Here:
    return Here(connections("fs", extra={"path": str(folder)}))


def connections(kind: str, **fields: Any) -> EnvironmentConnections:
    return EnvironmentConnections({"AIRFLOW_CONN_DROP": json.dumps({"conn_type": kind, **fields})})


class _Door(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return password == "right"


@contextmanager
def sftp(folder: Path) -> Iterator[Here]:
    """A real SFTP server, shut into the folder."""
    key, loop = asyncssh.generate_private_key("ssh-ed25519"), asyncio.new_event_loop()

    async def listen() -> asyncssh.SSHAcceptor:
        def serve(channel: Any) -> asyncssh.SFTPServer:
            return asyncssh.SFTPServer(channel, chroot=str(folder).encode())

        return await asyncssh.listen("127.0.0.1", 0, server_factory=_Door, server_host_keys=[key], sftp_factory=serve)

    acceptor = loop.run_until_complete(listen())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    pinned = " ".join(key.export_public_key().decode().split()[:2])
    fields = {"host": "127.0.0.1", "port": acceptor.get_port(), "login": "nl", "password": "right"}
    yield Here(connections("sftp", **fields, extra={"host_key": pinned}))
    asyncio.run_coroutine_threadsafe(_stop(acceptor), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


async def _stop(acceptor: asyncssh.SSHAcceptor) -> None:
    acceptor.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
