"""The HTTP client below the `openai` SDK: one for live calls and batches alike, and it follows no redirect."""

from __future__ import annotations

import httpx2
import openai

from include.connections import ModelEndpoint
from include.errors import ConfigurationError
from include.network import VENDOR_URL, describe_redirect


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


async def _without_bearer(request: httpx2.Request) -> None:
    """The SDK would send the key twice; it can leave its own header out only call by call."""
    request.headers.pop("Authorization", None)


def refuse_redirect(response: httpx2.Response) -> None:
    """Raise ConfigurationError naming both places if the response is a redirect."""
    if 300 <= response.status_code < 400:
        said = describe_redirect(response.status_code, str(response.request.url), response.headers.get("location"))
        action = "Put the address that is meant into the connection of this system"
        raise ConfigurationError(said, system="model", action=action) from None
