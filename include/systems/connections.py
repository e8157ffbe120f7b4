"""How the core reaches other systems: a port that Airflow's hooks fill in a task, and the environment elsewhere."""

from __future__ import annotations

import importlib
import json
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from include.errors import ConfigurationError
from include.systems.network import (
    Network,
    as_texts,
    bracketed,
    find_base_url,
    find_headers,
    read_object,
)

log = logging.getLogger(__name__)
NO_CONNECTION = "no such connection"
_CLIENT_KWARGS = frozenset(
    ("api_key", "base_url", "default_headers", "default_query", "max_retries", "organization", "project", "timeout")
)
"""What is honoured of an OpenAI connection's `openai_client_kwargs`."""
_LIBPQ = frozenset(
    ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "channel_binding", "gssencmode", "target_session_attrs")
)
"""What is honoured of a PostgreSQL connection's extra, under libpq's names."""

if TYPE_CHECKING:
    import requests


@dataclass(frozen=True, slots=True)
class HttpEndpoint:
    """A kept HTTP session that already carries its credential, and the URL that paths are appended to."""

    session: requests.Session
    base_url: str


@dataclass(frozen=True, slots=True)
class ModelEndpoint:
    """An OpenAI-compatible endpoint; key, headers and query never appear in a representation.

    `headers` and `query` go with every call. `key_header` is the header that carries the key (None: as a bearer token).
    `timeout` is seconds for a whole call, `first_byte` for its silence (None: as the registry says).
    """

    base_url: str | None
    api_key: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    key_header: str | None = None
    timeout: float | None = None
    first_byte: float | None = None
    network: Network = field(default_factory=Network)


@dataclass(frozen=True, slots=True)
class StoredConnection:
    """The fields of an Airflow connection that we use."""

    conn_id: str
    host: str = ""
    port: int | None = None
    schema: str = ""
    login: str = ""
    password: str = field(default="", repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


OPENERS: dict[str, str] = {
    "http": "include.systems.connections:open_http",
    "sftp": "include.systems.sftp:open_sftp",
    "model": "include.systems.connections:open_model",
    "sql": "include.systems.sql.engine:open_sql",
    "database": "include.systems.connections:database_url",
}
"""Kind of system -> what makes of a stored connection what its adapters work with, as `module:function`.

A new kind adds its own when its declaration is imported."""


class Connections(ABC):
    """The systems that somebody has stored connections for."""

    @abstractmethod
    def get(self, conn_id: str) -> StoredConnection:
        """The connection of that id; raises ConfigurationError if it is missing or cannot be read."""

    def open(self, kind: str, conn_id: str) -> Any:
        """The system behind a connection: what the opener of its kind, one of `OPENERS`, makes of it.

        Raises ConfigurationError if there is no such connection, or naming what of it cannot be used.
        """
        module, _, opener = OPENERS[kind].partition(":")
        return getattr(importlib.import_module(module), opener)(self.get(conn_id))

    def find(self, kind: str, conn_id: str) -> Any | None:
        """As `open`, but None if no such connection exists."""
        try:
            return self.open(kind, conn_id)
        except ConfigurationError as error:
            if error.problem == NO_CONNECTION:
                return None
            raise


class EnvironmentConnections(Connections):
    """Connections from `AIRFLOW_CONN_<ID>` variables (JSON or URI form), for the command line and tests."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """Read from `environment`, or from the process's own when called."""
        self._environment = environment

    def get(self, conn_id: str) -> StoredConnection:
        """The connection of that id; raises ConfigurationError if it is missing or cannot be read."""
        variable = f"AIRFLOW_CONN_{conn_id.upper()}"
        text = (os.environ if self._environment is None else self._environment).get(variable)
        if not text:
            raise ConfigurationError(
                NO_CONNECTION,
                system=conn_id,
                action=f"Define it in Airflow, or set {variable} (see .env.example)",
            )
        try:
            return _from_json(conn_id, text) if text.lstrip().startswith("{") else _from_uri(conn_id, text)
        except (ValueError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"{variable} is neither valid JSON nor a URI", system=conn_id) from error


def open_http(connection: StoredConnection) -> HttpEndpoint:
    """A kept session: login and password as basic auth, a password alone as bearer token, headers from the extra.

    Raises ConfigurationError naming what cannot be used. Both Airflow's connections and the environment's come here.
    """
    from include.systems.sessions import Bearer, KeptSession

    session = KeptSession(Network.read(connection.conn_id, connection.extra))
    session.headers.update(find_headers(connection.conn_id, connection.extra))
    if connection.login:
        session.auth = (connection.login, connection.password)
    elif connection.password:
        session.auth = Bearer(connection.password)
    else:
        session.auth = _keep  # no `.netrc` either
    base = find_base_url(connection.conn_id, connection.host, connection.port, connection.schema)
    return HttpEndpoint(session, base)


def _keep(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def open_model(connection: StoredConnection) -> ModelEndpoint:
    """Key from the password, base URL from the host (None: the vendor's), the rest from extra `openai_client_kwargs`.

    Proxy, authorities and certificate are called as for HTTP. Raises ConfigurationError naming what is not honoured.
    """
    name, extra = connection.conn_id, connection.extra
    given = read_object(name, "openai_client_kwargs", extra.get("openai_client_kwargs"))
    problems = sorted(given.keys() - _CLIENT_KWARGS)
    if problems or extra.get("auth_type") not in (None, "", "api_key"):
        what = f"`openai_client_kwargs`: {', '.join(problems)}" if problems else f"`auth_type` {extra['auth_type']}"
        known = f"Known are {', '.join(sorted(_CLIENT_KWARGS))}, and an API key as password"
        raise ConfigurationError(f"{what} cannot be honoured", system=name, action=known)
    if given.get("max_retries"):
        log.info("connection %s: `max_retries` is not used; this package retries by itself, on record", name)
    url, host = given.get("base_url"), (connection.host, connection.port, connection.schema)
    headers = as_texts(name, "default_headers", given.get("default_headers"))
    named = {"OpenAI-Organization": given.get("organization"), "OpenAI-Project": given.get("project")}
    return ModelEndpoint(
        base_url=find_base_url(name, str(url), None, "") if url else find_base_url(name, *host) if host[0] else None,
        api_key=str(given.get("api_key") or connection.password),
        headers={**as_texts(name, "openai_client_kwargs", {k: v for k, v in named.items() if v}), **headers},
        query=as_texts(name, "default_query", given.get("default_query")),
        timeout=_seconds(name, given.get("timeout")),
        network=Network.read(name, extra),
    )


def _seconds(conn_id: str, value: Any) -> float | None:
    try:
        seconds = None if value is None else float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if seconds is not None and not 0 < seconds < float("inf"):
        raise ConfigurationError("`timeout` must be a number of seconds above 0", system=conn_id)
    return seconds


def database_url(connection: StoredConnection) -> str:
    """SQLAlchemy URL for psycopg, with what the extra says about TLS; a host that starts with `/` is a socket's folder.

    Raises ConfigurationError for a value of the extra that is no text.
    """
    who = quote(connection.login, safe="") + (f":{quote(connection.password, safe='')}" if connection.password else "")
    name, known = connection.schema or "nightledger", connection.extra.keys() & _LIBPQ
    query = as_texts(connection.conn_id, "extra", {option: connection.extra[option] for option in sorted(known)})
    if connection.host.startswith("/"):
        return f"postgresql+psycopg://{who}@/{name}?{urlencode({'host': connection.host, **query})}"
    place = f"{bracketed(connection.host or 'localhost')}:{connection.port or 5432}"
    return f"postgresql+psycopg://{who}@{place}/{name}" + (f"?{urlencode(query)}" if query else "")


def _from_json(conn_id: str, text: str) -> StoredConnection:
    value = json.loads(text)
    extra = value.get("extra") or {}
    return StoredConnection(
        conn_id=conn_id,
        host=value.get("host") or "",
        port=int(value["port"]) if value.get("port") else None,
        schema=value.get("schema") or "",
        login=value.get("login") or "",
        password=value.get("password") or "",
        extra=json.loads(extra) if isinstance(extra, str) else extra,
    )


def _from_uri(conn_id: str, text: str) -> StoredConnection:
    """Airflow's form: `type://login:password@host:port/schema?extra`; the host may bring its own `http://`."""
    kind, found, rest = text.partition("://")
    if not kind or not found or not rest:
        raise ValueError("no URI")
    own_scheme = "://" in rest.partition("?")[0]
    parts = urlsplit(rest if own_scheme else text)
    host, query = unquote(parts.hostname or ""), dict(parse_qsl(parts.query, keep_blank_values=True))
    return StoredConnection(
        conn_id=conn_id,
        host=f"{parts.scheme}://{bracketed(host)}" if own_scheme else host,
        port=parts.port,
        schema=unquote(parts.path.lstrip("/")),
        login=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        extra=json.loads(query["__extra__"]) if "__extra__" in query else query,
    )
