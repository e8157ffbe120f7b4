"""Connections as Airflow gives them, through its own hooks, from variables of the environment."""

from __future__ import annotations

import json
import logging
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from sqlalchemy.engine import make_url

from include.errors import ConfigurationError
from include.systems.connections import EnvironmentConnections
from tests.core import openssh

if TYPE_CHECKING:
    from nightledger.hooks.connections import AirflowConnections

SECRET = "s3cret/pass:word@"


@pytest.fixture
def connections(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> AirflowConnections:
    for name in [name for name in os.environ if name.startswith(("AIRFLOW__", "AIRFLOW_CONN_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
    from nightledger.hooks.connections import AirflowConnections

    return AirflowConnections()


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch, connections: AirflowConnections) -> Define:
    return Define(monkeypatch)


class Define:
    """Sets connections for one test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, conn_id: str, **fields: object) -> None:
        self._monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({"schema": "http", "host": "127.0.0.1", "port": 8123}, "http://127.0.0.1:8123"),
        ({"schema": "https", "host": "api.example"}, "https://api.example"),
        ({"host": "https://api.example"}, "https://api.example"),
    ],
)
def test_http_sends_the_password_as_bearer_token(
    connections: AirflowConnections, define: Define, fields: dict[str, object], base_url: str
) -> None:
    define("crm_default", conn_type="http", password=SECRET, **fields)
    endpoint = connections.open("http", "crm_default")
    sent = endpoint.session.prepare_request(requests.Request("GET", endpoint.base_url))
    assert sent.headers["Authorization"] == f"Bearer {SECRET}"
    assert endpoint.base_url == base_url == EnvironmentConnections().open("http", "crm_default").base_url


def test_a_login_is_sent_as_login(connections: AirflowConnections, define: Define) -> None:
    define("crm_default", conn_type="http", schema="http", host="127.0.0.1", login="me", password="pw")
    endpoint = connections.open("http", "crm_default")
    sent = endpoint.session.prepare_request(requests.Request("GET", endpoint.base_url))
    assert sent.headers["Authorization"] == "Basic bWU6cHc="


@pytest.mark.parametrize("kind", ["http", "model"])
def test_a_missing_connection_names_the_variable_to_set(connections: AirflowConnections, kind: str) -> None:
    with pytest.raises(ConfigurationError, match="AIRFLOW_CONN_NOWHERE"):
        connections.open(kind, "nowhere")


def test_a_missing_drop_names_the_variable_to_set(connections: AirflowConnections) -> None:
    with pytest.raises(ConfigurationError, match="AIRFLOW_CONN_NOWHERE"), connections.open("sftp", "nowhere"):
        pass


def test_the_model_endpoint_is_that_of_the_command_line(connections: AirflowConnections, define: Define) -> None:
    define("openai_default", conn_type="openai", host="http://127.0.0.1:9/v1", password=SECRET)
    endpoint = connections.open("model", "openai_default")
    assert (str(endpoint.base_url).rstrip("/"), endpoint.api_key) == ("http://127.0.0.1:9/v1", SECRET)
    assert SECRET not in repr(endpoint)
    assert endpoint == EnvironmentConnections().open("model", "openai_default")


def test_a_model_without_host_is_the_vendors(connections: AirflowConnections, define: Define) -> None:
    define("openai_default", conn_type="openai", password=SECRET)
    assert connections.open("model", "openai_default").base_url is None


def test_a_database_over_tcp_and_over_a_socket(connections: AirflowConnections, define: Define) -> None:
    define("over_tcp", conn_type="postgres", host="db.example", port=5433, schema="books", login="me", password=SECRET)
    define("over_socket", conn_type="postgres", host="/run/my pg", schema="books", login="me", password=SECRET)
    tcp, socket = (make_url(connections.find("database", name) or "") for name in ("over_tcp", "over_socket"))
    assert (tcp.host, tcp.port, tcp.database, tcp.password) == ("db.example", 5433, "books", SECRET)
    assert (socket.host, socket.query["host"], socket.database, socket.password) == (
        None,
        "/run/my pg",
        "books",
        SECRET,
    )
    assert {url.drivername for url in (tcp, socket)} == {"postgresql+psycopg"}


def test_a_database_that_is_not_defined_is_none(connections: AirflowConnections) -> None:
    assert connections.find("database", "nowhere_db") is None


def test_a_database_that_cannot_be_used_is_not_taken_for_none(connections: AirflowConnections, define: Define) -> None:
    define("nightledger_db", conn_type="postgres", host="db.example", extra={"sslmode": ["require"]})
    for found in (connections, EnvironmentConnections()):
        with pytest.raises(ConfigurationError, match="sslmode"):
            found.find("database", "nightledger_db")


def test_fields_are_those_that_the_command_line_reads(connections: AirflowConnections, define: Define) -> None:
    extra = {"host_key": "ssh-ed25519 AAAA", "key_file": "/keys/client"}
    define("sftp_default", conn_type="sftp", host="127.0.0.1", port=2222, login="drop", extra=extra)
    assert connections.get("sftp_default") == EnvironmentConnections().get("sftp_default")


@pytest.mark.parametrize(
    "uri",
    [
        "http://me:p%20w@api.example:8443/https?verify=false&X-Api-Key=k",
        "http://https://me:pw@api.example:8443/base",
        "http://:token@[::1]:8443/http",
        "openai://:key@http%3A%2F%2Fapi.example%2Fv1",
        "openai:///?__extra__=%7B%22openai_client_kwargs%22%3A%20%7B%22timeout%22%3A%205%7D%7D",
        "http://api.example?proxy=http%3A%2F%2Fproxy.example%3A3128&empty=",
    ],
)
def test_a_uri_means_the_same_to_both(
    connections: AirflowConnections, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CRM_DEFAULT", uri)
    assert connections.get("crm_default") == EnvironmentConnections().get("crm_default")


def test_a_host_is_reached_the_same_way_by_both(connections: AirflowConnections, define: Define) -> None:
    extra = {"proxies": {"https": "http://proxy.example:3128"}, "verify": False, "trust_env": False, "X-Team": "data"}
    define("crm_default", conn_type="http", host="api.example", port=8443, login="me", password=SECRET, extra=extra)
    ours, theirs = connections.open("http", "crm_default"), EnvironmentConnections().open("http", "crm_default")
    assert ours.base_url == theirs.base_url == "https://api.example:8443"
    for name in ("proxies", "verify", "cert", "trust_env", "auth", "headers"):
        assert getattr(ours.session, name) == getattr(theirs.session, name), name
    kwargs = {"timeout": 90, "default_query": {"api-version": "1"}, "organization": "o"}
    define("openai_default", conn_type="openai", password="k", extra={**extra, "openai_client_kwargs": kwargs})
    assert connections.open("model", "openai_default") == EnvironmentConnections().open("model", "openai_default")
    assert connections.open("model", "openai_default").timeout == 90


@pytest.mark.skipif(not openssh.SSHD or os.getuid() != 0, reason=openssh.MISSING + ", or not root")
def test_a_key_as_text_with_its_passphrase_logs_in_on_both_sides(
    connections: AirflowConnections, define: Define, tmp_path: Path
) -> None:
    with openssh.running_sshd(tmp_path) as sshd:
        locked = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "open sesame", "-f", str(sshd.client_key)]
        subprocess.run(locked, check=True)
        key = {"private_key": sshd.client_key.read_text(), "private_key_passphrase": "open sesame"}
        extra = {"host_key": sshd.host_key, **key}
        define("sftp_default", conn_type="sftp", host="127.0.0.1", port=sshd.port, login=sshd.login, extra=extra)
        for side in (connections, EnvironmentConnections()):
            with side.open("sftp", "sftp_default") as sftp:
                assert "host" in sftp.listdir(str(tmp_path))


def test_no_secret_is_logged(connections: AirflowConnections, define: Define, caplog: pytest.LogCaptureFixture) -> None:
    define("crm_default", conn_type="http", schema="http", host="127.0.0.1", password=SECRET)
    define("openai_default", conn_type="openai", host="http://127.0.0.1:9/v1", password=SECRET)
    with caplog.at_level(logging.DEBUG):
        connections.open("http", "crm_default")
        connections.open("model", "openai_default")
        connections.find("database", "crm_default")
    assert SECRET not in caplog.text
