"""The model endpoint through the `openai` SDK.

The SDK's own retries are off: one retry ladder (engine) decides, so that a call is never paid more often than the
ledger says. The plain response is read instead of the SDK's models, which costs a third of the CPU.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import Any, Literal, Self

import httpx2
import msgspec

from include.errors import AccessDenied, ConfigurationError, QuotaUsedUp
from include.models import Record
from include.personal import scrub, without_echo
from include.retry import retry_after_seconds
from include.systems.connections import ModelEndpoint
from include.systems.model.transport import Wire, open_sdk, refuse_redirect

Headers = Sequence[tuple[bytes, bytes]]
CallOutcome = Literal["answered", "rate_limited", "http_error", "timeout", "cancelled"]
Cause = Literal["", "form", "parameter", "too_large", "policy"]
"""Why a request was rejected: the form asked of the answer, a parameter, or the row itself (its size, its content)."""
CONNECT_SECONDS = 20.0
logging.getLogger("httpx2").setLevel(logging.WARNING)  # it would log a line for every call
_KEYS = re.compile(r"\b(sk|key|Bearer)[-_ ][\w-]{6,}", re.IGNORECASE)
_QUOTA = re.compile(r"insufficient_(\w+_)?(quota|balance|credits?|funds)|billing_(hard_limit_reached|not_active)")
_TOO_LARGE = re.compile(r"context[_ ](length|window|size)|too (large|long)|string_above_max_length", re.IGNORECASE)
_POLICY = re.compile(r"content[_ ](filter|policy|management)|policy_violation|moderation", re.IGNORECASE)
_FORM = re.compile(r"response_format|json_schema|json_object|structured output|guided_", re.IGNORECASE)
_NOT_TAKEN = re.compile(r"unsupported|unknown|unrecognized|not support|not permitted|invalid|extra", re.IGNORECASE)
_PAGE = re.compile(rb"\s*<(!doctype html|html)", re.IGNORECASE)
AN_HTML_PAGE = "an HTML page"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model asks for, with its arguments as text: nothing of it is checked."""

    name: str
    arguments: str


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
    cause: Cause = ""
    tool_calls: Sequence[ToolCall] = ()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class ModelClient:
    """An asynchronous client of one endpoint, for one event loop; close it by leaving the `async with` block."""

    def __init__(
        self, endpoint: ModelEndpoint, *, timeout: float, connections: int, first_byte: float | None = None
    ) -> None:
        """`timeout` bounds a whole call in seconds, `first_byte` its silence; `connections` are calls in flight."""
        if os.environ.get("NIGHTLEDGER_FORBID_MODEL_CALLS") == "1":
            raise ConfigurationError("model calls are forbidden here", system="model", action="See CONTRIBUTING.md")
        self._client = open_sdk(endpoint, connections=connections)
        given = {**self._client.auth_headers, **self._client.default_headers}
        if endpoint.key_header:
            given.pop("Authorization", None)
        headers = {name: value for name, value in given.items() if isinstance(value, str)}
        base = str(self._client.base_url).rstrip("/")
        self._url = httpx2.URL(f"{base}/chat/completions", params=endpoint.query or None)
        waits = (min(timeout, CONNECT_SECONDS), first_byte or timeout, timeout)
        self._wire = Wire(self._client, self._url, headers, waits)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def ask(self, body: Record) -> Reply:
        """Send one chat completion and say what happened; only a wrong credential or request raises.

        Raises what no retry can help: AccessDenied (401, 403), QuotaUsedUp, ConfigurationError (404: no such model; a
        redirect, which is never followed).
        """
        started = time.monotonic()
        try:
            status, told, answer = await self._wire.post(_to_bytes(body))
        except (TimeoutError, httpx2.HTTPError) as error:
            return _unanswered(error, time.monotonic() - started)
        latency = time.monotonic() - started
        if 200 <= status < 300:
            return _read(status, told, answer, latency)
        raw = [(name, value) for name, value in told if name.lower() != b"content-encoding"]
        asked = httpx2.Request("POST", self._url)
        return _refused(httpx2.Response(status, headers=raw, content=answer, request=asked), latency, body)


def _to_bytes(body: Record) -> bytes:
    try:
        return msgspec.json.encode(body)
    except (ValueError, OverflowError):  # half a surrogate pair, a number of more than 64 bits
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _from_bytes(content: bytes) -> Any:
    """What an answer holds as JSON, read with patience for what is nearly that; None if it is none."""
    try:
        return msgspec.json.decode(content)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(content.decode("utf-8", "replace"), strict=False)
    except (ValueError, RecursionError):
        return None


def _read(status: int, told: Headers, content: bytes, latency: float) -> Reply:
    headers, body = _told(told), _from_bytes(content)
    if body is None and _PAGE.match(content):
        detail = f"{AN_HTML_PAGE} came instead of a completion; is the base URL that of an API?"
        return Reply("http_error", latency, detail, status, retryable=True, headers=headers)
    return read_completion(body, status, latency, headers.get("x-request-id"), headers)


def read_completion(
    body: Any, status: int, latency: float, request_id: str | None, headers: Mapping[str, str] = MappingProxyType({})
) -> Reply:
    """A chat completion's body as a reply; what is none may be asked again, and may have been billed."""
    try:
        choice = body["choices"][0]
        message = choice["message"]
        usage = body.get("usage") or {}
        tokens_in, tokens_out = _tokens(usage.get("prompt_tokens")), _tokens(usage.get("completion_tokens"))
        cached = _tokens((usage.get("prompt_tokens_details") or {}).get("cached_tokens"))
        text, refused = _join(message.get("content"))
        calls = _calls(message.get("tool_calls"))
    except (KeyError, IndexError, TypeError, AttributeError):
        problem = "the answer is no chat completion"
        return Reply("http_error", latency, problem, status, retryable=True, maybe_billed=True, headers=headers)
    return Reply(
        "answered",
        latency,
        status=status,
        text=text,
        refusal=_word(message.get("refusal")) or refused,
        finish_reason=_word(choice.get("finish_reason")),
        model=_word(body.get("model")),
        request_id=_word(request_id) or _word(body.get("id")),
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        tokens_cached=min(cached, tokens_in),
        usage_reported=tokens_in > 0,
        tool_calls=calls,
        headers=headers,
    )


def _calls(said: Any) -> tuple[ToolCall, ...]:
    """The tools asked for; what is no such call is one without a name, so that it is answered like a wrong one."""
    found = []
    for one in said if isinstance(said, list) else ():
        function = one.get("function") if isinstance(one, dict) else None
        given = function if isinstance(function, dict) else {}
        found.append(ToolCall(_word(given.get("name")) or "", _word(given.get("arguments")) or ""))
    return tuple(found)


def _join(content: Any) -> tuple[str | None, str | None]:
    """The text of an answer, also if it comes in parts, and a refusal among them; TypeError for what is neither."""
    if content is None or isinstance(content, str):
        return content, None
    if not isinstance(content, list):
        raise TypeError
    parts = [{"type": "text", "text": part} if isinstance(part, str) else part for part in content]
    said: list[Any] = [part.get("text") for part in parts if part.get("type") in ("text", "output_text")]
    refused = next((_word(part.get("refusal")) for part in parts if part.get("type") == "refusal"), None)
    return "".join(said), refused  # join raises TypeError for what is no text


def _word(value: Any) -> str | None:
    """What should be text, None if the vendor gave something else."""
    return value if isinstance(value, str) else None


def _tokens(value: Any) -> int:
    """A count of tokens, 0 if the vendor gave something that is none."""
    return value if isinstance(value, int) and 0 <= value < 2**31 else 0


def _told(raw: Headers) -> dict[str, str]:
    """What the headers say about limits and the request, by lower-case name; the others cost more than they tell."""
    kept = (b"x-ratelimit", b"retry-after", b"x-request-id")
    return {low.decode(): value.decode("latin-1") for name, value in raw if (low := name.lower()).startswith(kept)}


def _unanswered(error: Exception, latency: float) -> Reply:
    """A time-out, or no connection; the aiohttp transport reports a refused connection as a time-out, too."""
    cause = error.__cause__ or error
    late = isinstance(error, (TimeoutError, httpx2.TimeoutException))
    if isinstance(cause, OSError) and not isinstance(cause, TimeoutError):
        late = False
    unsent = isinstance(cause, ConnectionRefusedError) or isinstance(
        error, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
    )
    if late:
        return Reply("timeout", latency, "no answer in time", retryable=True, maybe_billed=not unsent)
    reason = f"connection failed ({type(cause).__name__})"
    return Reply("http_error", latency, reason, retryable=True, maybe_billed=not unsent)


def _refused(response: httpx2.Response, latency: float, sent: Record) -> Reply:
    refuse_redirect(response)
    headers, status = _told(response.headers.raw), response.status_code
    error = _error_of(response)
    detail = _scrub(status, error, sent)
    if is_quota(status, error):
        raise quota_used_up(detail) from None
    if status in (401, 403):
        reason = "the key is wrong or expired" if status == 401 else "the key lacks a permission"
        raise AccessDenied(
            f"{reason} ({status})", system="model", action="Renew the key in the connection of this system"
        ) from None
    if status == 404:
        raise ConfigurationError(
            f"no such model or path: {detail}", system="model", about=str(sent.get("model"))
        ) from None
    return Reply(
        "rate_limited" if status == 429 else "http_error",
        latency,
        detail,
        status,
        request_id=headers.get("x-request-id"),
        retry_after=retry_after_seconds(headers),
        retryable=status in (408, 409, 429) or status >= 500,
        cause=find_cause(status, error, sent),
        headers=headers,
    )


def is_quota(status: int, error: Record) -> bool:
    """Whether the vendor says that what was paid for is used up, which no waiting brings back."""
    said = f"{error.get('code')} {error.get('type')}"
    return status == 402 or (status in (403, 429) and _QUOTA.search(said) is not None)


def quota_used_up(detail: str) -> QuotaUsedUp:
    """The error that ends a run at once."""
    action = "Add credit or raise the ceiling in the vendor's account; what is answered is on record, so run again then"
    return QuotaUsedUp(f"the quota of the vendor's account is used up ({detail})", system="model", action=action)


def find_cause(status: int, error: Record, sent: Record) -> Cause:
    """What a rejected request was rejected for: first what is the row's, then what is wrong for every row."""
    if status in (408, 409, 429):
        return ""
    said = f"{error.get('code')} {error.get('type')} {error.get('message')}"
    named = str(error.get("param") or "").split(".")[0].split("[")[0]
    if status < 500 and named in sent.keys() - {"model", "messages", "response_format"}:
        return "parameter"
    if status == 413 or _TOO_LARGE.search(said):
        return "too_large"
    if _POLICY.search(said):
        return "policy"
    if named == "response_format" or _FORM.search(said):
        return "form"
    names = sent.keys() - {"model", "messages", "response_format"}
    is_named = any(re.search(rf"[\"'`]{re.escape(name)}[\"'`]", said) for name in names)
    return "parameter" if status < 500 and is_named and _NOT_TAKEN.search(said) else ""


def _error_of(response: httpx2.Response) -> Record:
    """The vendor's error object, or an empty one where a proxy answered something else."""
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return {"code": AN_HTML_PAGE} if _PAGE.match(response.content) else {}
    error = body.get("error", body) if isinstance(body, dict) else {}
    return error if isinstance(error, dict) else {"message": str(error)}


def _scrub(status: int, error: Record, body: Record) -> str:
    """The vendor's code and the start of its message, without keys, personal values and what it repeats of the row."""
    asked = "\n".join(str(one.get("content")) for one in body.get("messages", ()) if one.get("role") != "system")
    message = without_echo(scrub(_KEYS.sub("[key]", str(error.get("message") or "")[:2_000])), asked)[:200]
    return f"{status} {error.get('code') or error.get('type') or ''}: {message}".strip(" :")
