"""The model endpoint over HTTP: keys, limits per key, faults, bills."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from include.demo.sandbox.faults import MODEL_FAULTS, FaultPlan
from include.demo.sandbox.model import shapes
from include.demo.sandbox.model.answers import answer
from include.demo.sandbox.model.batch_work import BatchSettings
from include.demo.sandbox.model.batches import BatchApi
from include.demo.sandbox.model.bills import Bills, call_of
from include.demo.sandbox.model.prompts import CONTEXT_TOKENS, Prompt, read_prompt, tokens_in
from include.demo.sandbox.model.shapes import ModelError
from include.demo.sandbox.serving import MAX_BODY_BYTES, Latency, label, only_from_loopback, read_json, reset
from include.demo.sandbox.windows import Bucket
from include.errors import ConfigurationError

CACHED_FROM_TOKENS, CACHED_STEP_TOKENS = 1_024, 128
_RELEASED = 1_767_225_600


@dataclass
class Limits:
    """Requests and tokens per minute of one key, as buckets that refill evenly."""

    requests: Bucket
    tokens: Bucket

    def take(self, model: str, tokens: int, now: float) -> None:
        """Count one request; raises ModelError 429 if either bucket is too low, and then counts nothing."""
        for kind, bucket, units in (("requests", self.requests, 1), ("tokens", self.tokens, tokens)):
            if (wait := bucket.wait_for(units, now)) > 0:
                used = bucket.limit - int(bucket.level(now))
                raise shapes.over_limit(model, kind, bucket.limit, used, units, wait)
        self.requests.take(1, now)
        self.tokens.take(tokens, now)

    def headers(self, now: float) -> dict[str, str]:
        """`x-ratelimit-*` as of now."""
        return {
            "x-ratelimit-limit-requests": str(self.requests.limit),
            "x-ratelimit-limit-tokens": str(self.tokens.limit),
            "x-ratelimit-remaining-requests": str(int(self.requests.level(now))),
            "x-ratelimit-remaining-tokens": str(int(self.tokens.level(now))),
            "x-ratelimit-reset-requests": shapes.duration(self.requests.until_full(now)),
            "x-ratelimit-reset-tokens": shapes.duration(self.tokens.until_full(now)),
        }


@dataclass
class ModelApi:
    """One endpoint; `faults` may be replaced at any time. `rpm` and `tpm`: requests and tokens per minute and key."""

    keys: tuple[str, ...]
    rpm: int
    tpm: int
    latency: Latency
    bills: Bills
    faults: FaultPlan
    folder: Path
    batching: BatchSettings
    _limits: dict[str, Limits] = field(default_factory=dict)
    _prefixes: set[str] = field(default_factory=set)

    def application(self) -> web.Application:
        """The aiohttp application with every route."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.on_response_prepare.append(label)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/v1/models", self._list_models)
        app.router.add_get("/v1/models/{name}", self._show_model)
        BatchApi(
            self.folder,
            self.batching,
            lambda request: tag(self._key(request)),
            self.bills,
            self._usage,
            lambda: self.faults,
        ).routes(app)
        app.router.add_get("/sandbox/billed", only_from_loopback(self._show_bills))
        app.router.add_get("/sandbox/faults", only_from_loopback(self._show_faults))
        app.router.add_post("/sandbox/faults", only_from_loopback(self._set_faults))
        return app

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        started = time.perf_counter()
        headers = {"x-request-id": f"req_{uuid.uuid4().hex}"}
        try:
            key = self._key(request)
            prompt = await self._prompt(request)
            return await self._ask(request, key, prompt, headers, started)
        except ModelError as error:
            return _reply(error.status, error.body, {**headers, **error.headers})

    async def _ask(
        self, request: web.Request, key: str, prompt: Prompt, headers: dict[str, str], started: float
    ) -> web.StreamResponse:
        """Count, bill, wait and answer. The bill comes before the wait: a caller that hangs up still pays."""
        limits = self._limits.setdefault(key, Limits(Bucket(self.rpm), Bucket(self.tpm)))
        request_id, now = headers["x-request-id"], time.monotonic()
        try:
            limits.take(prompt.model, max(prompt.tokens, prompt.max_output or 0), now)
        except ModelError as error:
            self.bills.add(call_of(request_id, tag(key), prompt, error.status))
            headers.update(limits.headers(now))
            raise
        headers.update(limits.headers(now))
        fault = self.faults.draw(prompt.message, self.bills.asked[prompt.message] + 1)
        if refused := shapes.refusal(prompt.model, fault):
            self.bills.add(call_of(request_id, tag(key), prompt, refused.status, fault))
            await self.latency.wait()
            raise refused
        message, reason = answer(prompt, fault)
        used = self._usage(prompt, message)
        self.bills.add(call_of(request_id, tag(key), prompt, 200, fault, used))
        await self.latency.wait()
        if fault == "timeout":
            await asyncio.sleep(self.faults.hold_seconds)
        body = shapes.completion(request_id[4:], int(time.time()), prompt.model, message, reason, used)
        if fault == "reset":
            return await reset(request, json.dumps(body).encode())
        headers["openai-processing-ms"] = str(round((time.perf_counter() - started) * 1000))
        headers["openai-version"] = "2020-10-01"
        return _reply(200, body, headers)

    def _key(self, request: web.Request) -> str:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or key not in self.keys:
            raise shapes.wrong_key(key)
        return key

    async def _prompt(self, request: web.Request) -> Prompt:
        try:
            return read_prompt(await read_json(request))
        except ValueError as error:
            raise ModelError(400, "We could not parse the JSON body of your request.") from error

    def _usage(self, prompt: Prompt, message: Mapping[str, Any]) -> dict[str, Any]:
        """Tokens of this call; a prefix of 1,024 tokens or more seen before counts as cached, in steps of 128."""
        cached = 0
        if prompt.prefix_tokens >= CACHED_FROM_TOKENS:
            if prompt.prefix in self._prefixes:
                cached = prompt.prefix_tokens // CACHED_STEP_TOKENS * CACHED_STEP_TOKENS
            self._prefixes.add(prompt.prefix)
        said = message.get("content") or message.get("refusal") or json.dumps(message.get("tool_calls") or "")
        completed = tokens_in(said)
        return shapes.usage(prompt.tokens, completed, cached)

    async def _list_models(self, request: web.Request) -> web.StreamResponse:
        try:
            self._key(request)
        except ModelError as error:
            return _reply(error.status, error.body, error.headers)
        return _reply(200, {"object": "list", "data": [_model(name) for name in CONTEXT_TOKENS]}, {})

    async def _show_model(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        try:
            self._key(request)
            if name not in CONTEXT_TOKENS:
                raise shapes.unknown_model(name)
        except ModelError as error:
            return _reply(error.status, error.body, error.headers)
        return _reply(200, _model(name), {})

    async def _show_bills(self, request: web.Request) -> web.StreamResponse:
        shown = self.bills.summary()
        if request.query.get("detail") == "1":
            shown["requests"] = [call.to_json() for call in self.bills.calls]
        return _reply(200, shown, {})

    async def _show_faults(self, request: web.Request) -> web.StreamResponse:
        return _reply(200, self.faults.to_json(), {})

    async def _set_faults(self, request: web.Request) -> web.StreamResponse:
        try:
            self.faults = FaultPlan.parse(await read_json(request), MODEL_FAULTS)
        except (ConfigurationError, ValueError) as error:
            return _reply(400, {"error": {"message": str(error)}}, {})
        self.bills.asked.clear()
        return await self._show_faults(request)


def tag(key: str) -> str:
    """How a key is named in bills: its last digits."""
    return f"...{key[-4:]}"


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _RELEASED, "owned_by": "nightledger-sandbox"}


def _reply(status: int, body: Mapping[str, Any], headers: Mapping[str, str]) -> web.Response:
    text = json.dumps(body)
    return web.Response(text=text, status=status, headers=headers, content_type="application/json")
