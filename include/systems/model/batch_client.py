"""The provider's files and batches through the `openai` SDK."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2
import openai

from include.errors import AccessDenied, ConfigurationError, SystemUnavailable
from include.personal import scrub
from include.retry import MAX_ATTEMPTS, wait_seconds
from include.systems.connections import ModelEndpoint
from include.systems.model.client import Reply, find_cause, is_quota, quota_used_up, read_completion
from include.systems.model.transport import open_sdk, refuse_redirect

T = TypeVar("T")
FINGERPRINT = "nightledger_job"
"""Metadata key under which a batch carries the ledger's id of its job, so that it can be found again."""
QUOTA_USED_UP = "the account's quota is used up"
"""How the detail of an item begins that was not answered for this reason, which is no failed try of its question."""
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_SECONDS = 120.0
_PIECE = 2**16
"""Bytes of a file of results that are read at a time."""
_CODE = 60


@dataclass(frozen=True, slots=True)
class BatchState:
    """What the provider says of one batch."""

    batch_id: str
    status: str
    output_file: str | None
    error_file: str | None
    problems: tuple[str, ...]
    fingerprint: str | None

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.status in ENDED


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One line of an output or error file; `reply` is as if the request had been made alone."""

    custom_id: str | None
    reply: Reply
    quota: str = ""
    """What the provider said if the account's quota is used up: then no other item helps either."""


class BatchClient:
    """An asynchronous client of one endpoint's batch API; close it by leaving the `async with` block."""

    def __init__(self, endpoint: ModelEndpoint) -> None:
        self._client = open_sdk(endpoint, timeout=httpx2.Timeout(_SECONDS, connect=20.0))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def upload(self, file: Path) -> str:
        """The id of the uploaded file; repeated on failure, since an unused file costs nothing."""
        return str((await _patiently(lambda: self._client.files.create(file=file, purpose="batch"))).id)

    async def create(self, file_id: str, fingerprint: str) -> BatchState:
        """Start a batch. Never repeated here: a batch that was made although no answer came is found by `find`.

        Raises SystemUnavailable when it is not known whether the batch exists.
        """
        made = self._client.batches.create(
            input_file_id=file_id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            metadata={FINGERPRINT: fingerprint},
        )
        try:
            return _state(await made)
        except openai.OpenAIError as error:
            raise _translate(error) from None

    async def find(self, fingerprint: str) -> BatchState | None:
        """The batch that carries this fingerprint, among all that the key can see."""
        after: str | None = None
        while True:
            page = await _patiently(partial(self._page, after))
            for batch in page.data:
                if (batch.metadata or {}).get(FINGERPRINT) == fingerprint:
                    return _state(batch)
            if not page.data or not page.has_more:
                return None
            after = page.data[-1].id

    async def _page(self, after: str | None) -> Any:
        return await self._client.batches.list(limit=100, after=after or openai.omit)

    async def retrieve(self, batch_id: str) -> BatchState:
        """How far a batch is."""
        return _state(await _patiently(lambda: self._client.batches.retrieve(batch_id)))

    async def cancel(self, batch_id: str) -> BatchState:
        """Ask for a batch to end; what it answered already is still delivered and paid."""
        return _state(await _patiently(lambda: self._client.batches.cancel(batch_id)))

    async def lines(self, file_id: str) -> AsyncIterator[BatchItem]:
        """The items of an output or error file, one at a time.

        Lines end with a line feed only: the SDK's `iter_lines` would cut an answer in two at a U+2028 within it.
        Raises SystemUnavailable when the file cannot be read to its end.
        """
        rest = b""
        try:
            async with self._client.files.with_streaming_response.content(file_id) as response:
                async for piece in response.iter_bytes(_PIECE):
                    *lines, rest = (rest + piece).split(b"\n")
                    for line in filter(bytes.strip, lines):
                        yield read_item(line)
        except openai.OpenAIError as error:
            raise _translate(error) from None
        except (httpx2.TransportError, TimeoutError, OSError) as error:
            about = f"batch API ({type(error).__name__})"
            raise SystemUnavailable("a file of results broke off", system="model", about=about) from None
        if rest.strip():
            yield read_item(rest)


def read_item(line: bytes | str) -> BatchItem:
    """One line as an item; what is no item has no `custom_id` and says why in its reply."""
    try:
        item = json.loads(line, strict=False)
        name, response, error = item.get("custom_id"), item.get("response"), item.get("error")
    except (ValueError, AttributeError, RecursionError):
        return BatchItem(None, Reply("http_error", 0.0, "a line of the provider's file is no JSON object"))
    if not isinstance(name, str):
        return BatchItem(None, Reply("http_error", 0.0, "a line of the provider's file names no request"))
    if not isinstance(response, dict):
        code = str(_within(error, "code") or "no response")[:_CODE]
        if is_quota_code(code):
            return unpaid_item(name, code)
        return BatchItem(name, Reply("http_error", 0.0, f"not answered: {code}", retryable=True))
    told = response.get("status_code")
    status = told if isinstance(told, int) else 0
    if status == 200:
        return BatchItem(name, read_completion(response.get("body"), status, 0.0, response.get("request_id")))
    inner = _within(response.get("body"), "error")
    said = inner if isinstance(inner, dict) else {}
    detail = f"{status} {str(said.get('code') or said.get('type') or '')[:_CODE]}".strip()
    if is_quota(status, said):
        return unpaid_item(name, detail, status)
    may_help = status >= 500 or status in (408, 409, 429)
    return BatchItem(
        name,
        Reply("http_error", 0.0, detail, status, retryable=may_help, cause=find_cause(status, said, {})),
    )


def is_quota_code(code: str) -> bool:
    """Whether a code that comes without an HTTP status says that the account's quota is used up."""
    return is_quota(429, {"code": code})


def unpaid_item(name: str | None, detail: str, status: int | None = None) -> BatchItem:
    """An item that was not answered since the account's quota is used up."""
    return BatchItem(name, Reply("http_error", 0.0, f"{QUOTA_USED_UP} ({detail})", status), quota=detail)


def _within(value: Any, name: str) -> Any:
    """A field of what should be an object; None if it is none."""
    return value.get(name) if isinstance(value, dict) else None


def _state(batch: Any) -> BatchState:
    problems = tuple(
        scrub(f"{one.code}: {one.message}")[:200] for one in (batch.errors.data if batch.errors else None) or ()
    )
    made = (batch.metadata or {}).get(FINGERPRINT)
    return BatchState(batch.id, batch.status, batch.output_file_id, batch.error_file_id, problems, made)


async def _patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat what may be repeated, up the retry ladder."""
    for attempt in range(1, MAX_ATTEMPTS):
        try:
            return await call()
        except openai.OpenAIError as error:
            problem = _translate(error)
            if not isinstance(problem, SystemUnavailable):
                raise problem from None
            await asyncio.sleep(wait_seconds(attempt))
    try:
        return await call()
    except openai.OpenAIError as error:
        raise _translate(error) from None


def _translate(error: openai.OpenAIError) -> Exception:
    """The SDK's error as ours, without its text: it may quote a request."""
    status = getattr(error, "status_code", None)
    if isinstance(error, openai.APIStatusError):
        refuse_redirect(error.response)
        code = str(error.code or error.type or "")[:_CODE]
        if is_quota(error.status_code, {"code": error.code, "type": error.type}):
            return quota_used_up(f"{status} {code}".strip())
    about = f"batch API ({status or type(error).__name__})"
    if status in (401, 403):
        return AccessDenied("the key is wrong, expired or lacks a permission", system="model", about=about)
    if status is not None and status < 500 and status not in (408, 409, 429):
        code = getattr(error, "code", None) or "rejected"
        return ConfigurationError(f"the request was rejected: {code}", system="model", about=about)
    return SystemUnavailable("gave no useful answer", system="model", about=about, action="The task tries again")
