"""A receiver of webhooks: checks signatures, takes a message once, and remembers what it took.

Signatures are those of Standard Webhooks, version 1: HMAC-SHA256 over `id.timestamp.body` in the header
`webhook-signature`, beside others if the secret is being changed, and a time of at most five minutes from now.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from include.demo.sandbox.faults import WEBHOOK_FAULTS, FaultPlan, Ordinals
from include.demo.sandbox.journal import Journal, read_journal
from include.demo.sandbox.serving import MAX_BODY_BYTES, label, only_from_loopback, read_json, reset
from include.errors import ConfigurationError

TOLERANCE_SECONDS = 300


class WebhookApi:
    """One receiver: `faults` may be replaced at any time; what was taken outlives the process.

    A message that comes again under its `webhook-id` is answered as if it were new, and only counted. A `timeout` or
    `reset` loses the answer to a message that was taken; other faults refuse it before.
    """

    def __init__(self, secret: str, journal: Path, faults: FaultPlan) -> None:
        """`secret` is `whsec_` and base64; `journal` is read for what was taken before."""
        self._key = base64.b64decode(secret.removeprefix("whsec_"))
        self.taken = {str(entry["id"]): entry for entry in read_journal(journal)}
        self.faults = faults
        self.counts: Counter[str] = Counter()
        self._repeats: Counter[str] = Counter()
        self._journal, self._ordinals = Journal(journal), Ordinals()

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    def application(self) -> web.Application:
        """The aiohttp application with every route."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.on_response_prepare.append(label)
        app.router.add_post("/hooks/{name}", self._take)
        app.router.add_get("/sandbox/webhooks", only_from_loopback(self._show))
        app.router.add_get("/sandbox/webhooks/faults", only_from_loopback(self._show_faults))
        app.router.add_post("/sandbox/webhooks/faults", only_from_loopback(self._set_faults))
        return app

    async def _take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        number = request.headers.get("webhook-id", "")
        problem = self._problem(request.headers, number, body)
        if problem:
            return self._answer(401, {"error": problem})
        fault = self.faults.draw(number, self._ordinals.next(number))
        if fault in ("http_500", "http_503"):
            return self._answer(int(fault.removeprefix("http_")), {"error": "try again"})
        if fault == "rate_limited":
            return self._answer(429, {"error": "too many messages"}, {"Retry-After": "0"})
        try:
            said = json.loads(body)
        except ValueError:
            return self._answer(400, {"error": "no JSON"})
        self._keep(number, request.match_info["name"], said)
        if fault == "timeout":
            await asyncio.sleep(self.faults.hold_seconds)
        if fault == "reset":
            self.counts["reset"] += 1
            return await reset(request, b'{"status": "taken"}')
        return self._answer(200, {"status": "taken"})

    def _problem(self, headers: Mapping[str, str], number: str, body: bytes) -> str | None:
        """Why a message is not believed."""
        stamp = headers.get("webhook-timestamp", "")
        if not number or not stamp.isascii() or not stamp.isdigit():
            return "webhook-id and webhook-timestamp are needed"
        if abs(time.time() - int(stamp)) > TOLERANCE_SECONDS:
            return "too old, or from the future"
        mac = hmac.new(self._key, f"{number}.{stamp}.".encode() + body, hashlib.sha256).digest()
        wanted = f"v1,{base64.b64encode(mac).decode()}".encode()
        found = headers.get("webhook-signature", "").split(" ")
        matches = [hmac.compare_digest(wanted, one.encode("utf-8", "replace")) for one in found]
        return None if any(matches) else "no signature fits"

    def _keep(self, number: str, name: str, said: Any) -> None:
        if number in self.taken:
            self._repeats[number] += 1
            return
        self.taken[number] = {"id": number, "hook": name, "body": said}
        self._journal.append(self.taken[number])

    def _answer(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> web.Response:
        self.counts[str(status)] += 1
        return web.json_response(body, status=status, headers=headers)

    async def _show(self, request: web.Request) -> web.StreamResponse:
        """Messages in the order in which they came, how often each came again, and answers by status."""
        return web.json_response(
            {"taken": list(self.taken.values()), "repeats": dict(self._repeats), "status": dict(self.counts)}
        )

    async def _show_faults(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self.faults.to_json())

    async def _set_faults(self, request: web.Request) -> web.StreamResponse:
        try:
            self.faults = FaultPlan.parse(await read_json(request), WEBHOOK_FAULTS)
        except (ConfigurationError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        self._ordinals = Ordinals()
        return await self._show_faults(request)
