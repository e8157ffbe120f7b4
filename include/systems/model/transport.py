"""The HTTP client below the `openai` SDK: one for live calls and batches alike, and it follows no redirect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import httpx2
import openai
from openai._vendor.httpx_aiohttp.transport import map_aiohttp_exceptions

from include.errors import ConfigurationError
from include.systems.connections import ModelEndpoint
from include.systems.network import VENDOR_URL, describe_redirect

Waits = tuple[float, float, float]


def open_sdk(
    endpoint: ModelEndpoint, *, connections: int = 100, timeout: httpx2.Timeout = openai.DEFAULT_TIMEOUT
) -> openai.AsyncOpenAI:
    """The SDK's client with the endpoint's headers, query, proxy and certificates; its own retries are off.

    Raises ConfigurationError for a proxy or certificate that cannot be used.
    """
    network, limits = (
        endpoint.network,
        httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
    )
    own_tls = network.cert or network.verify is not True
    try:
        http = openai.DefaultAioHttpClient(
            limits=limits,
            follow_redirects=False,  # the next host would get the whole prompt
            verify=network.configure(httpx2.create_ssl_context(), "model") if own_tls else True,
            proxy=network.proxy_for(endpoint.base_url or VENDOR_URL),
            trust_env=network.trust_env,
        )
    except ValueError as error:
        raise ConfigurationError("the proxy is no URL", system="model", action="Correct the connection") from error
    headers = dict(endpoint.headers)
    if endpoint.key_header:
        headers[endpoint.key_header] = endpoint.api_key
        http.event_hooks = {"request": [_without_bearer]}
    return openai.AsyncOpenAI(
        api_key=endpoint.api_key,
        base_url=endpoint.base_url,
        default_headers=headers,
        default_query=dict(endpoint.query),
        max_retries=0,
        http_client=http,
        timeout=timeout,
    )


class Wire:
    """Posts bytes through the SDK's own connections, without its object for every request and answer.

    Proxy, certificates and pool are those of the SDK's client; what is left out costs a quarter of a call's CPU.
    """

    def __init__(self, client: openai.AsyncOpenAI, url: httpx2.URL, headers: Mapping[str, str], waits: Waits) -> None:
        """`waits` are seconds: until a connection is there, and of silence on it."""
        transport: Any = client._client._transport_for_url(url)
        self._transport, self._url, self._headers = transport, str(url), dict(headers)
        connect, silence, pool = waits
        self._options: dict[str, Any] = {
            "timeout": aiohttp.ClientTimeout(sock_connect=connect, sock_read=silence, connect=pool),
            "allow_redirects": False,  # the next host would get the whole prompt
        }
        if transport.proxy:
            self._options["proxy"] = str(transport.proxy.url)
            self._options["proxy_headers"] = transport.proxy.headers
            if transport.proxy.auth:
                self._options["proxy_auth"] = aiohttp.BasicAuth(*transport.proxy.auth)

    async def post(self, content: bytes) -> tuple[int, Sequence[tuple[bytes, bytes]], bytes]:
        """Status, headers and body; raises what the SDK's client would."""
        if not isinstance(self._transport.client, aiohttp.ClientSession):
            self._transport.client = self._transport.get_client()  # which the SDK's client closes
        try:
            async with self._transport.client.post(
                self._url, data=content, headers=self._headers, **self._options
            ) as response:
                return response.status, response.raw_headers, await response.read()
        except (aiohttp.ClientError, TimeoutError):
            with map_aiohttp_exceptions():
                raise


async def _without_bearer(request: httpx2.Request) -> None:
    """The SDK would send the key twice; it can leave its own header out only call by call."""
    request.headers.pop("Authorization", None)


def refuse_redirect(response: httpx2.Response) -> None:
    """Raise ConfigurationError naming both places if the response is a redirect."""
    if 300 <= response.status_code < 400:
        said = describe_redirect(response.status_code, str(response.request.url), response.headers.get("location"))
        action = "Put the address that is meant into the connection of this system"
        raise ConfigurationError(said, system="model", action=action) from None
