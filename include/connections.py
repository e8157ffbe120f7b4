"""How the core reaches other systems: a port that Airflow's hooks fill in a task, and the environment elsewhere."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from include.errors import AccessDenied, ConfigurationError, SystemUnavailable

if TYPE_CHECKING:
    import paramiko
    import requests


@dataclass(frozen=True, slots=True)
class HttpEndpoint:
    """A kept HTTP session that already carries its credential, and the URL that paths are appended to."""

    session: requests.Session
    base_url: str


@dataclass(frozen=True, slots=True)
class ModelEndpoint:
    """An OpenAI-compatible endpoint; `api_key` never appears in a representation."""

    base_url: str | None
    api_key: str = field(repr=False)


class Connections(Protocol):
    """Opens systems by connection id; every method raises ConfigurationError if the connection does not exist."""

    def http(self, conn_id: str) -> HttpEndpoint:
        """A session for a REST system."""
        ...

    def sftp(self, conn_id: str) -> AbstractContextManager[paramiko.SFTPClient]:
        """One SFTP connection, host key checked, closed on exit."""
        ...

    def model(self, conn_id: str) -> ModelEndpoint:
        """Where to send prompts, and the key."""
        ...

    def database(self, conn_id: str) -> str | None:
        """SQLAlchemy URL of a PostgreSQL database, or None if no such connection exists."""
        ...


@dataclass(frozen=True, slots=True)
class Connection:
    """The fields of an Airflow connection that we use."""

    conn_id: str
    host: str = ""
    port: int | None = None
    schema: str = ""
    login: str = ""
    password: str = field(default="", repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


class EnvironmentConnections:
    """Connections from `AIRFLOW_CONN_<ID>` variables (JSON or URI form), for the command line and tests."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """Read from `environment`, or from the process's own when called."""
        self._environment = environment

    def get(self, conn_id: str) -> Connection:
        """The connection of that id; raises ConfigurationError if it is missing or cannot be read."""
        variable = f"AIRFLOW_CONN_{conn_id.upper()}"
        text = (os.environ if self._environment is None else self._environment).get(variable)
        if not text:
            raise ConfigurationError(
                "no such connection",
                system=conn_id,
                action=f"Define it in Airflow, or set {variable} (see .env.example)",
            )
        try:
            return _from_json(conn_id, text) if text.lstrip().startswith("{") else _from_uri(conn_id, text)
        except (ValueError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"{variable} is neither valid JSON nor a URI", system=conn_id) from error

    def http(self, conn_id: str) -> HttpEndpoint:
        """A session with the password as bearer token."""
        import requests

        found = self.get(conn_id)
        session = requests.Session()
        session.trust_env = False  # a .netrc would replace the token
        session.headers["Authorization"] = f"Bearer {found.password}"
        port = f":{found.port}" if found.port else ""
        base = found.host if "://" in found.host else f"{found.schema or 'https'}://{found.host}"
        return HttpEndpoint(session, f"{base}{port}")

    def sftp(self, conn_id: str) -> AbstractContextManager[paramiko.SFTPClient]:
        """One SFTP connection by key or password; the host key comes from the connection's extra `host_key`."""
        return open_sftp(self.get(conn_id))

    def model(self, conn_id: str) -> ModelEndpoint:
        """Key from the password, base URL from the host."""
        found = self.get(conn_id)
        return ModelEndpoint(found.host or None, found.password)

    def database(self, conn_id: str) -> str | None:
        """SQLAlchemy URL for psycopg, or None if no such connection exists."""
        try:
            return database_url(self.get(conn_id))
        except ConfigurationError as error:
            if error.problem == "no such connection":
                return None
            raise


def database_url(connection: Connection) -> str:
    """SQLAlchemy URL for psycopg; a host that starts with `/` is a Unix socket's folder."""
    who = quote(connection.login, safe="") + (f":{quote(connection.password, safe='')}" if connection.password else "")
    name = connection.schema or "nightledger"
    if connection.host.startswith("/"):
        return f"postgresql+psycopg://{who}@/{name}?{urlencode({'host': connection.host})}"
    return f"postgresql+psycopg://{who}@{connection.host or 'localhost'}:{connection.port or 5432}/{name}"


@contextmanager
def open_sftp(connection: Connection) -> Iterator[paramiko.SFTPClient]:
    """Connect with host-key checking; raises AccessDenied, SystemUnavailable or ConfigurationError."""
    import paramiko

    client = paramiko.SSHClient()
    host_key = str(connection.extra.get("host_key") or "")
    name = connection.host if (connection.port or 22) == 22 else f"[{connection.host}]:{connection.port}"
    if host_key:
        entry = paramiko.hostkeys.HostKeyEntry.from_line(f"{name} {host_key}")
        if entry is None or entry.key is None:
            raise ConfigurationError("extra `host_key` is no public key", system=connection.conn_id)
        client.get_host_keys().add(name, entry.key.get_name(), entry.key)
    else:
        client.load_system_host_keys()
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    try:
        client.connect(
            connection.host,
            port=connection.port or 22,
            username=connection.login,
            password=connection.password or None,
            key_filename=connection.extra.get("key_file") or None,
            timeout=20,
            allow_agent=False,
            look_for_keys=False,
        )
    except paramiko.AuthenticationException as error:
        raise AccessDenied(
            "login refused", system=connection.conn_id, action="Renew the key or password of this connection"
        ) from error
    except paramiko.SSHException as error:
        raise ConfigurationError(
            f"host key or handshake refused ({error.__class__.__name__})",
            system=connection.conn_id,
            action="Compare the server's key with `host_key` in the connection's extra",
        ) from error
    except OSError as error:
        raise SystemUnavailable(f"cannot connect ({error.__class__.__name__})", system=connection.conn_id) from error
    try:
        yield client.open_sftp()
    finally:
        client.close()


def _from_json(conn_id: str, text: str) -> Connection:
    value = json.loads(text)
    extra = value.get("extra") or {}
    return Connection(
        conn_id=conn_id,
        host=value.get("host") or "",
        port=int(value["port"]) if value.get("port") else None,
        schema=value.get("schema") or "",
        login=value.get("login") or "",
        password=value.get("password") or "",
        extra=json.loads(extra) if isinstance(extra, str) else extra,
    )


def _from_uri(conn_id: str, text: str) -> Connection:
    parts = urlsplit(text)
    if not parts.scheme or not parts.netloc:
        raise ValueError("no URI")
    return Connection(
        conn_id=conn_id,
        host=unquote(parts.hostname or ""),
        port=parts.port,
        schema=unquote(parts.path.lstrip("/")),
        login=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        extra=dict(parse_qsl(parts.query)),
    )
