"""Connections from the environment: both of Airflow's forms, what is wrong in them, and no secret shown."""

from __future__ import annotations

import json

import pytest
import requests
from sqlalchemy.engine import make_url

from include.errors import ConfigurationError
from include.systems.connections import EnvironmentConnections, ModelEndpoint, StoredConnection, database_url

SECRET = "s3cret/pass:word@"


def only(name: str, value: object) -> EnvironmentConnections:
    text = value if isinstance(value, str) else json.dumps(value)
    return EnvironmentConnections({f"AIRFLOW_CONN_{name.upper()}": text})


def test_the_json_form_is_read() -> None:
    given = {"conn_type": "sftp", "host": "drop.example", "port": 2222, "login": "me", "extra": {"host_key": "ssh-a"}}
    found = only("sftp_default", given).get("sftp_default")
    assert (found.host, found.port, found.login, found.extra) == ("drop.example", 2222, "me", {"host_key": "ssh-a"})


def test_extra_may_be_json_within_the_json_and_a_port_may_be_text() -> None:
    found = only("sftp_default", {"port": "22", "extra": '{"key_file": "/k"}'}).get("sftp_default")
    assert (found.port, found.extra) == (22, {"key_file": "/k"})


def test_absent_fields_are_empty() -> None:
    given = {"host": None, "port": None, "password": None, "extra": None}
    assert only("crm_default", given).get("crm_default") == StoredConnection("crm_default")


def test_the_uri_form_is_read_and_decoded() -> None:
    uri = "postgres://me:s3cret%2Fpass%3Aword%40@db.example:5433/ledger?sslmode=require"
    found = only("nightledger_db", uri).get("nightledger_db")
    assert (found.host, found.port, found.schema, found.login) == ("db.example", 5433, "ledger", "me")
    assert (found.password, found.extra) == (SECRET, {"sslmode": "require"})


def test_a_socket_folder_in_a_uri_keeps_its_capitals() -> None:
    found = only("nightledger_db", "postgres://me@%2FUsers%2FMe%2Fpg:5433/ledger").get("nightledger_db")
    assert (found.host, found.port) == ("/Users/Me/pg", 5433)


@pytest.mark.parametrize(
    "text",
    [
        '{"host": ',
        '{"port": "many"}',
        '{"extra": "no json"}',
        "just words",
        "postgres://me:pw@db.example:port/x",
        "[1, 2]",
    ],
)
def test_what_is_neither_json_nor_a_uri_names_its_variable(text: str) -> None:
    with pytest.raises(ConfigurationError, match="AIRFLOW_CONN_CRM_DEFAULT is neither valid JSON nor a URI"):
        only("crm_default", text).get("crm_default")


def test_a_malformed_connection_does_not_quote_its_secret() -> None:
    with pytest.raises(ConfigurationError) as caught:
        only("crm_default", f'{{"password": "{SECRET}", ').get("crm_default")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("environment", [{}, {"AIRFLOW_CONN_CRM_DEFAULT": ""}])
def test_a_missing_connection_names_the_variable_to_set(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="AIRFLOW_CONN_CRM_DEFAULT"):
        EnvironmentConnections(environment).open("http", "crm_default")


def test_the_process_environment_is_read_when_called(monkeypatch: pytest.MonkeyPatch) -> None:
    connections = EnvironmentConnections()
    monkeypatch.setenv("AIRFLOW_CONN_CRM_DEFAULT", '{"host": "crm.example"}')
    assert connections.get("crm_default").host == "crm.example"


@pytest.mark.parametrize(
    ("given", "base_url"),
    [
        ({"host": "https://api.example"}, "https://api.example"),
        ({"host": "api.example"}, "https://api.example"),
        ({"host": "127.0.0.1", "schema": "http", "port": 8123}, "http://127.0.0.1:8123"),
        ({"host": "http://127.0.0.1", "port": 8123}, "http://127.0.0.1:8123"),
    ],
)
def test_http_sends_the_password_as_bearer_token(given: dict[str, object], base_url: str) -> None:
    endpoint = only("crm_default", {**given, "password": SECRET}).open("http", "crm_default")
    assert endpoint.base_url == base_url
    sent = endpoint.session.prepare_request(requests.Request("GET", endpoint.base_url))
    assert sent.headers["Authorization"] == f"Bearer {SECRET}"


def test_the_model_is_reached_by_host_and_password() -> None:
    given = {"host": "http://127.0.0.1:9/v1", "password": SECRET}
    assert only("openai_default", given).open("model", "openai_default") == ModelEndpoint(
        "http://127.0.0.1:9/v1", SECRET
    )
    assert only("openai_default", {"password": SECRET}).open("model", "openai_default").base_url is None


def test_a_database_over_tcp() -> None:
    given = {"host": "db.example", "port": 5433, "schema": "books", "login": "m e", "password": SECRET}
    url = only("nightledger_db", given).find("database", "nightledger_db")
    assert url is not None
    parts = make_url(url)
    assert parts.drivername == "postgresql+psycopg"
    assert (parts.host, parts.port, parts.database) == ("db.example", 5433, "books")
    assert (parts.username, parts.password) == ("m e", SECRET)


def test_a_database_over_a_unix_socket() -> None:
    given = {"host": "/run/my pg", "schema": "books", "login": "me", "password": SECRET}
    url = only("nightledger_db", given).find("database", "nightledger_db")
    assert url is not None
    parts = make_url(url)
    assert (parts.host, dict(parts.query), parts.database) == (None, {"host": "/run/my pg"}, "books")
    assert (parts.username, parts.password) == ("me", SECRET)


def test_a_database_is_reached_by_tls_as_the_extra_says_and_by_ipv6() -> None:
    given = {"sslmode": "verify-full", "sslrootcert": "/run/ca.pem", "cursor": "dictcursor"}
    for host in ("::1", "/run/pg"):
        url = make_url(database_url(StoredConnection("db", host=host, login="me", extra=given)))
        assert {name: url.query.get(name) for name in given} == {**given, "cursor": None}
    assert make_url(database_url(StoredConnection("db", host="::1", login="me"))).host == "::1"


def test_a_database_has_defaults() -> None:
    assert database_url(StoredConnection("db", login="me")) == "postgresql+psycopg://me@localhost:5432/nightledger"


def test_no_such_database_is_none_and_a_malformed_one_an_error() -> None:
    assert EnvironmentConnections({}).find("database", "nightledger_db") is None
    with pytest.raises(ConfigurationError, match="NIGHTLEDGER_DB"):
        only("nightledger_db", "just words").find("database", "nightledger_db")


def test_secrets_are_in_no_representation() -> None:
    given = {"host": "db.example", "login": "me", "password": SECRET, "extra": {"private_key": SECRET}}
    connections = only("openai_default", given)
    shown = f"{connections!r} {connections.get('openai_default')!r} {connections.open('model', 'openai_default')!r}"
    assert "db.example" in shown
    assert SECRET not in shown
