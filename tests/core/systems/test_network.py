"""How a connection's host is reached, for HTTP and for models alike: proxy, authorities, certificates, IPv6."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from include.errors import ConfigurationError, SystemUnavailable
from include.systems.connections import EnvironmentConnections
from include.systems.http import RestClient
from include.systems.model.client import ModelClient
from include.systems.network import address_of, describe_redirect, find_base_url
from include.systems.registry import System
from tests.core.certificates import Certificates, make_certificates
from tests.core.odd_server import OddServer, Seen, completion, odd_server

Call = Callable[..., str]
SYSTEM = System("crm", "x", "x", "x", "crm_default", "x", "x", (), 5.0, ())


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


def answer(seen: Seen) -> web.Response:
    return completion("{}")


def connect(fields: dict[str, Any]) -> EnvironmentConnections:
    return EnvironmentConnections({"AIRFLOW_CONN_X": json.dumps(fields)})


def call_http(**fields: Any) -> str:
    """`answered`, or the error's words."""
    endpoint = connect(fields).open("http", "x")
    client = RestClient(endpoint, SYSTEM, sleep=lambda _: None)
    try:
        client.call("POST", "/v1/chat/completions", {})
    except (ConfigurationError, SystemUnavailable) as error:
        return str(error)
    return "answered"


def call_model(**fields: Any) -> str:
    """`answered`, or the reply's words."""
    fields["host"] = f"{fields['host']}/v1" if "://" in fields["host"] else fields["host"]

    async def run() -> str:
        async with ModelClient(connect(fields).open("model", "x"), timeout=5, connections=2) as client:
            reply = await client.ask({"model": "m", "messages": []})
        return reply.detail or reply.outcome

    return asyncio.run(run())


both = pytest.mark.parametrize("call", [call_http, call_model])


@both
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_a_private_authority_is_trusted_only_where_the_connection_names_it(
    certificates: Certificates, call: Call, tmp_path: Path
) -> None:
    folder = tmp_path / "authorities"
    folder.mkdir()
    with odd_server(answer, tls=certificates.server_context()) as server:
        assert call(host=server.url, password="k") != "answered"
        assert server.seen == []
        assert call(host=server.url, password="k", extra={"verify": str(certificates.authority)}) == "answered"
        assert call(host=server.url, password="k", extra={"verify": str(folder)}) != "answered"
        assert call(host=server.url, password="k", extra={"verify": "false"}) == "answered"


@both
def test_our_own_certificate_is_shown(certificates: Certificates, call: Call) -> None:
    trusted = {"verify": str(certificates.authority)}
    parts = [str(certificates.client), str(certificates.client_key)]
    with odd_server(answer, tls=certificates.server_context(asks_for_client=True)) as server:
        assert call(host=server.url, password="k", extra=trusted) != "answered"
        for cert in (parts[0], parts, json.dumps(parts)):
            assert call(host=server.url, password="k", extra={**trusted, "cert": cert}) == "answered"


@pytest.mark.parametrize("kind", ["http", "model"])
@pytest.mark.parametrize("extra", [{"verify": "/nowhere.pem"}, {"cert": "/nowhere.pem"}, {"cert": [1]}])
def test_files_that_cannot_be_used_are_named_before_any_call(kind: str, extra: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"x: .*cert"):
        connect({"host": "https://127.0.0.1:9", "extra": extra}).open(kind, "x")


def by_proxy(server: OddServer) -> bool:
    return [one.target for one in server.seen] == ["http://model.example/v1/chat/completions"]


@both
@pytest.mark.parametrize("as_text", [True, False])
def test_the_connections_proxy_wins_over_that_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, call: Call, as_text: bool
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with odd_server(answer) as proxy:
        extra = {"proxy": proxy.url} if as_text else {"proxies": {"http": proxy.url}}
        assert call(host="http://model.example", password="k", extra=extra) == "answered"
        assert by_proxy(proxy)


@both
def test_the_environments_proxy_is_used_unless_the_connection_says_no(
    monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    with odd_server(answer) as proxy, odd_server(answer) as server:
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        assert call(host="http://model.example", password="k") == "answered"
        assert by_proxy(proxy)
        assert call(host=server.url, password="k", extra={"trust_env": False}) == "answered"
        assert (len(proxy.seen), len(server.seen)) == (1, 1)


@both
def test_an_ipv6_host_is_reached(call: Call) -> None:
    with odd_server(answer, host="::1") as server:
        assert call(host=server.url, password="k") == "answered"
        port = int(server.url.rpartition(":")[2])
        assert call(host="::1", schema="http", port=port, password="k") == "answered"


def test_login_password_token_and_headers_go_as_the_connection_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    given: list[tuple[dict[str, Any], str | None]] = [
        ({"login": "me", "password": "pw"}, "Basic bWU6cHc="),
        ({"password": "token"}, "Bearer token"),
        ({"extra": {"X-Api-Key": "k", "verify": True}}, None),
        ({"password": "token", "extra": {"Authorization": "Token t"}}, "Token t"),
    ]
    with odd_server(answer) as server:
        for fields, expected in given:
            assert call_http(host=server.url, **fields) == "answered"
            assert server.seen[-1].headers.get("authorization") == expected
            assert server.seen[-1].headers.get("x-api-key") == ("k" if "X-Api-Key" in str(fields) else None)
            assert "verify" not in server.seen[-1].headers


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (("https://api.example", None, ""), "https://api.example"),
        (("api.example", None, ""), "https://api.example"),
        (("api.example", 8443, "http"), "http://api.example:8443"),
        (("https://api.example/base/", 8443, ""), "https://api.example:8443/base"),
        (("https://api.example:1", 8443, ""), "https://api.example:1"),
        (("::1", 8443, "http"), "http://[::1]:8443"),
        (("http://[::1]", 8443, ""), "http://[::1]:8443"),
        (("api.example", None, "v1"), "https://api.example/v1"),
    ],
)
def test_the_base_url_of_a_connection(fields: tuple[str, int | None, str], expected: str) -> None:
    assert find_base_url("x", *fields) == expected


@pytest.mark.parametrize("host", ["", "https://", "ftp://api.example", "https://me:pw@api.example", "https://a:port"])
def test_a_host_that_is_none_is_named_without_its_password(host: str) -> None:
    with pytest.raises(ConfigurationError, match="x: ") as caught:
        find_base_url("x", host, None, "")
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("kwargs", "named"),
    [
        ({"http_client": "x", "timeout": 5}, "http_client"),
        ({"timeout": "soon"}, "timeout"),
        ({"default_headers": {"a": {}}}, "default_headers"),
        ({"default_query": "a=1"}, "default_query"),
    ],
)
def test_what_is_not_honoured_of_an_openai_connection_is_named(kwargs: dict[str, Any], named: str) -> None:
    for given in (kwargs, json.dumps(kwargs)):
        with pytest.raises(ConfigurationError, match=named):
            connect({"password": "k", "extra": {"openai_client_kwargs": given}}).open("model", "x")


def test_what_is_honoured_of_an_openai_connection() -> None:
    kwargs = {
        "base_url": "http://127.0.0.1:9/v2",
        "timeout": 5,
        "max_retries": 0,
        "organization": "o",
        "default_query": {"api-version": 1},
    }
    found = connect({"host": "http://127.0.0.1:9/v1", "password": "k", "extra": {"openai_client_kwargs": kwargs}})
    endpoint = found.open("model", "x")
    assert (endpoint.base_url, endpoint.timeout) == ("http://127.0.0.1:9/v2", 5.0)
    assert (endpoint.headers, endpoint.query) == ({"OpenAI-Organization": "o"}, {"api-version": "1"})
    with pytest.raises(ConfigurationError, match="workload_identity"):
        connect({"extra": {"auth_type": "workload_identity"}}).open("model", "x")


def test_an_address_holds_no_secret_and_tells_servers_apart() -> None:
    same = {
        address_of(url) for url in ("https://a.example/v1", "https://A.example:443/v1/", "https://k@a.example/v1?s=1")
    }
    assert len(same) == 1
    assert same.pop().startswith("https://a.example#")
    others = {
        address_of(url) for url in (None, "http://a.example/v1", "https://a.example:1/v1", "https://a.example/v2")
    }
    assert len(others) == 4
    assert address_of(None) == address_of("https://api.openai.com/v1/")


def test_a_redirect_names_places_and_nothing_else() -> None:
    said = describe_redirect(302, "https://a.example/v1?key=s", "//b.example:1/x?token=s")
    assert said == "302: https://a.example redirects to https://b.example:1, which is not followed"
    assert "nowhere" in describe_redirect(304, "https://a.example", None)
