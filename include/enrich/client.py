"""The model endpoint through the `openai` SDK; the only file that imports it.

The SDK's own retries are off: one retry ladder (engine) decides, so that a call is never paid more often than the
ledger says. The plain response is read instead of the SDK's models, which costs a third of the CPU.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

import httpx2
import openai

from include.connections import ModelEndpoint
from include.errors import AccessDenied, ConfigurationError
from include.models import Record
from include.retry import retry_after_seconds

CallOutcome = Literal["answered", "rate_limited", "http_error", "timeout", "cancelled"]
CONNECT_SECONDS = 20.0
logging.getLogger("httpx2").setLevel(logging.WARNING)  # it would log a line for every call
_KEYS = re.compile(r"\b(sk|key|Bearer)[-_ ][\w-]{6,}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for one call: an answer or the class of failure, with what the vendor said about limits.

    Times are seconds. `retryable` says whether the same call may succeed later, `maybe_billed` that the vendor may
    have answered although nothing came back.
    """

    outcome: CallOutcome
    latency: float
    detail: str = ""
    status: int | None = None
    text: str | None = None
    refusal: str | None = None
    finish_reason: str | None = None
    model: str | None = None
    request_id: str | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    retry_after: float | None = None
    retryable: bool = False
    usage_reported: bool = True
    maybe_billed: bool = False
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class ModelClient:
    """An asynchronous client of one endpoint, for one event loop; close it by leaving the `async with` block."""

    def __init__(
        self, endpoint: ModelEndpoint, *, timeout: float, connections: int, first_byte: float | None = None
    ) -> None:
        """`timeout` bounds a whole call in seconds, `first_byte` its silence; `connections` are calls in flight."""
        if os.environ.get("NIGHTLEDGER_FORBID_MODEL_CALLS") == "1":
            raise ConfigurationError("model calls are forbidden here", system="model", action="See CONTRIBUTING.md")
        limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._timeout = timeout
        self._client = openai.AsyncOpenAI(
            api_key=endpoint.api_key,
            base_url=endpoint.base_url,
            max_retries=0,
            timeout=httpx2.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS), read=first_byte or timeout),
            http_client=openai.DefaultAioHttpClient(limits=limits),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def ask(self, body: Record) -> Reply:
        """Send one chat completion and say what happened; only a wrong credential or request raises.

        Raises AccessDenied (401, 403) and ConfigurationError (404: no such model), since no retry can help those.
        """
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._client.post("/chat/completions", body=body, cast_to=httpx2.Response)
                return _read(response, time.monotonic() - started)
        except openai.APIStatusError as error:
            return _refused(error, time.monotonic() - started, str(body.get("model")))
        except (TimeoutError, openai.APIConnectionError, httpx2.HTTPError) as error:
            return _unanswered(error, time.monotonic() - started)


def _read(response: httpx2.Response, latency: float) -> Reply:
    headers = dict(response.headers)
    try:
        body = json.loads(response.content.decode("utf-8", "replace"), strict=False)
        choice = body["choices"][0]
        message = choice["message"]
        usage = body.get("usage") or {}
        tokens_in, tokens_out = _tokens(usage.get("prompt_tokens")), _tokens(usage.get("completion_tokens"))
        text = message.get("content")
        if text is not None and not isinstance(text, str):
            raise TypeError
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        problem = "the answer is no chat completion"
        return Reply(
            "http_error", latency, problem, response.status_code, retryable=True, maybe_billed=True, headers=headers
        )
    return Reply(
        "answered",
        latency,
        status=response.status_code,
        text=text,
        refusal=message.get("refusal"),
        finish_reason=choice.get("finish_reason"),
        model=body.get("model"),
        request_id=headers.get("x-request-id") or body.get("id"),
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        tokens_cached=min(_tokens((usage.get("prompt_tokens_details") or {}).get("cached_tokens")), tokens_in),
        usage_reported=tokens_in > 0,
        headers=headers,
    )


def _tokens(value: Any) -> int:
    """A count of tokens, 0 if the vendor gave something that is none."""
    return value if isinstance(value, int) and 0 <= value < 2**31 else 0


def _unanswered(error: Exception, latency: float) -> Reply:
    """A time-out, or no connection; the aiohttp transport reports a refused connection as a time-out, too."""
    cause = error.__cause__ or error
    late = isinstance(error, (TimeoutError, openai.APITimeoutError))
    if isinstance(cause.__cause__, OSError) and not isinstance(cause.__cause__, TimeoutError):
        late, cause = False, cause.__cause__
    unsent = isinstance(cause, (ConnectionRefusedError, httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout))
    if late:
        return Reply("timeout", latency, "no answer in time", retryable=True, maybe_billed=not unsent)
    reason = f"connection failed ({type(cause).__name__})"
    return Reply("http_error", latency, reason, retryable=True, maybe_billed=not unsent)


def _refused(error: openai.APIStatusError, latency: float, model: str) -> Reply:
    headers = dict(error.response.headers)
    detail = _scrub(error)
    if error.status_code in (401, 403):
        reason = "the key is wrong or expired" if error.status_code == 401 else "the key lacks a permission"
        raise AccessDenied(
            f"{reason} ({error.status_code})", system="model", action="Renew the key in the connection of this system"
        ) from None
    if error.status_code == 404:
        raise ConfigurationError(f"no such model or path: {detail}", system="model", about=model) from None
    return Reply(
        "rate_limited" if error.status_code == 429 and error.code != "insufficient_quota" else "http_error",
        latency,
        detail,
        error.status_code,
        request_id=headers.get("x-request-id"),
        retry_after=retry_after_seconds(headers),
        retryable=error.status_code in (408, 409, 429) or error.status_code >= 500,
        headers=headers,
    )


def _scrub(error: openai.APIStatusError) -> str:
    """The vendor's code and the start of its message, without anything that looks like a key."""
    body: Any = error.body if isinstance(error.body, dict) else {}
    message = _KEYS.sub("[key]", str(body.get("message") or error.message))[:200]
    return f"{error.status_code} {error.code or body.get('type') or ''}: {message}".strip()
