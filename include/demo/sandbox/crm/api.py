"""The CRM over HTTP: routes, tokens, limits, faults, and counts of what it was asked."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from include.demo.sandbox.crm import associations, objects
from include.demo.sandbox.crm.access import Access
from include.demo.sandbox.crm.errors import CrmError, invalid_request, not_found, over_limit, server_error
from include.demo.sandbox.crm.owners import read_owners
from include.demo.sandbox.crm.properties import PROPERTIES
from include.demo.sandbox.crm.search import search
from include.demo.sandbox.crm.store import OBJECTS, Store
from include.demo.sandbox.crm.upsert import upsert_batch
from include.demo.sandbox.faults import CRM_FAULTS, FaultPlan, Ordinals
from include.demo.sandbox.serving import MAX_BODY_BYTES, Latency, label, only_from_loopback, read_json, reset
from include.errors import ConfigurationError

Route = Callable[[web.Request, str, Any], Awaitable[objects.Reply] | objects.Reply]


class CrmApi:
    """One CRM: `faults` may be replaced at any time; `counts` holds requests per route, by what they do."""

    def __init__(self, store: Store, access: Access, latency: Latency, faults: FaultPlan) -> None:
        self.store, self.access, self.latency, self.faults = store, access, latency, faults
        self.counts: Counter[str] = Counter()
        self._ordinals = Ordinals()

    def application(self) -> web.Application:
        """The aiohttp application with every route."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.on_response_prepare.append(label)
        root = "/crm/v3/objects/{object}"
        app.router.add_post(f"{root}/search", self._route("search", self._search))
        app.router.add_post(f"{root}/batch/read", self._route("batch/read", self._read_batch))
        app.router.add_post(f"{root}/batch/update", self._route("batch/update", self._update_batch, writes=True))
        app.router.add_post(f"{root}/batch/upsert", self._route("batch/upsert", self._upsert_batch, writes=True))
        self._add_associations(app)
        app.router.add_get(f"{root}/{{id}}", self._route("get", self._read_one))
        app.router.add_patch(f"{root}/{{id}}", self._route("patch", self._update_one, writes=True))
        app.router.add_get(root, self._route("list", self._read_page))
        app.router.add_get("/crm/v3/properties/{object}", self._route("properties", self._properties))
        app.router.add_get("/crm/v3/properties/{object}/{name}", self._route("property", self._property))
        app.router.add_get("/sandbox/crm/requests", only_from_loopback(self._show_requests))
        app.router.add_get("/sandbox/crm/faults", only_from_loopback(self._show_faults))
        app.router.add_post("/sandbox/crm/faults", only_from_loopback(self._set_faults))
        return app

    def _add_associations(self, app: web.Application) -> None:
        pair = "/crm/v4/associations/{object}/{to}"
        one = "/crm/v4/objects/{object}/{id}/associations/{to}/{other}"
        app.router.add_post(f"{pair}/batch/read", self._route("associations", self._associations))
        app.router.add_get(f"{pair}/labels", self._route("labels", self._labels))
        app.router.add_put(one, self._route("associate", self._associate, writes=True))
        app.router.add_get("/crm/v3/owners", self._route("owners", self._owners))

    def _route(
        self, name: str, route: Route, *, writes: bool = False
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.counts[f"route:{name}"] += 1
            self.counts["writes" if writes else "reads"] += 1
            headers: dict[str, str] = {}
            try:
                headers = self._admit(request, name, writes)
                status, body = await self._answer(request, name, route, writes)
            except CrmError as error:
                status, body = error.status, error.body
                headers["X-HubSpot-Correlation-Id"] = error.body["correlationId"]
            except _Reset as broken:
                self.counts["status:reset"] += 1
                return await reset(request, broken.body)
            self.counts[f"status:{status}"] += 1
            return web.json_response(body, status=status, headers=headers)

        return handle

    def _admit(self, request: web.Request, name: str, writes: bool) -> dict[str, str]:
        """Check token, scope and limits; the rate limit headers, which HubSpot leaves out on searches."""
        token = self.access.identify(request.headers.get("Authorization", ""))
        quota = self.access.quota(token)
        quota.take(is_search=name == "search")
        kind = "owners" if name == "owners" else _object(request)
        area = "schemas" if name in ("properties", "property") else "objects"
        self.access.permit(token, f"crm.{area}.{kind}.{'write' if writes else 'read'}")
        return {} if name == "search" else quota.headers()

    async def _answer(self, request: web.Request, name: str, route: Route, writes: bool) -> objects.Reply:
        fault = await self._draw(request, name, writes)
        await self.latency.wait()
        if fault in ("http_500", "http_503"):
            raise server_error(int(fault.removeprefix("http_")))
        if fault == "rate_limited":
            raise over_limit("TEN_SECONDLY_ROLLING")
        if fault == "timeout":
            await asyncio.sleep(self.faults.hold_seconds)
        body: Any = None
        if request.method != "GET":
            try:
                body = await read_json(request)
            except ValueError as error:
                raise invalid_request("Invalid input JSON") from error
        reply = route(request, "" if name == "owners" else _object(request), body)
        done = reply if isinstance(reply, tuple) else await reply
        if fault == "reset":
            raise _Reset(web.json_response(done[1]).body)
        return done

    async def _draw(self, request: web.Request, name: str, writes: bool) -> str | None:
        """The fault of this request, by what is asked and how often it was asked before."""
        if not self.faults.rates or self.faults.only == ("read" if writes else "write"):
            return None
        asked = hashlib.sha256(request.path_qs.encode() + b"\n" + await request.read()).hexdigest()
        return self.faults.draw(asked, self._ordinals.next(asked))

    def _search(self, request: web.Request, kind: str, body: Any) -> objects.Reply:
        return 200, search(self.store, kind, body)

    def _read_batch(self, request: web.Request, kind: str, body: Any) -> objects.Reply:
        return objects.read_batch(self.store, kind, body, _now())

    def _update_batch(self, request: web.Request, kind: str, body: Any) -> objects.Reply:
        return objects.update_batch(self.store, kind, body, _now())

    def _upsert_batch(self, request: web.Request, kind: str, body: Any) -> objects.Reply:
        return upsert_batch(self.store, kind, body, _now())

    def _associations(self, request: web.Request, kind: str, body: Any) -> objects.Reply:
        page = self.access.config.crm_associations_per_page
        return associations.read_batch(self.store, kind, _object(request, "to"), body, page, _now())

    def _labels(self, request: web.Request, kind: str, body: Any) -> objects.Reply:
        return 200, associations.labels(kind, _object(request, "to"))

    def _associate(self, request: web.Request, kind: str, body: Any) -> objects.Reply:
        ends = request.match_info
        return associations.associate(self.store, kind, ends["id"], _object(request, "to"), ends["other"], body)

    def _owners(self, request: web.Request, kind: str, body: Any) -> objects.Reply:
        return 200, read_owners(request.query)

    def _read_one(self, request: web.Request, kind: str, body: Any) -> objects.Reply:
        return objects.read_one(self.store, kind, request.match_info["id"], _asked(request))

    def _update_one(self, request: web.Request, kind: str, body: Any) -> objects.Reply:
        return objects.update_one(self.store, kind, request.match_info["id"], body)

    def _read_page(self, request: web.Request, kind: str, body: Any) -> objects.Reply:
        query = request.query
        return objects.read_page(self.store, kind, query.get("after", "0"), query.get("limit", "10"), _asked(request))

    def _properties(self, request: web.Request, kind: str, body: Any) -> objects.Reply:
        return 200, {"results": [each.to_json() for each in PROPERTIES[kind].values()]}

    def _property(self, request: web.Request, kind: str, body: Any) -> objects.Reply:
        found = PROPERTIES[kind].get(request.match_info["name"])
        if found is None:
            raise not_found()
        return 200, found.to_json()

    async def _show_requests(self, request: web.Request) -> web.StreamResponse:
        counts = {"requests": self.counts["reads"] + self.counts["writes"]}
        for group in ("route", "status"):
            counts[group] = {  # type: ignore[assignment]
                name.partition(":")[2]: count for name, count in self.counts.items() if name.startswith(f"{group}:")
            }
        totals = {"reads": self.counts["reads"], "writes": self.counts["writes"]}
        return web.json_response({**counts, **totals, "records_written": self.store.records_written})

    async def _show_faults(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self.faults.to_json())

    async def _set_faults(self, request: web.Request) -> web.StreamResponse:
        try:
            self.faults = FaultPlan.parse(await read_json(request), CRM_FAULTS)
        except (ConfigurationError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        self._ordinals = Ordinals()
        return await self._show_faults(request)


class _Reset(Exception):
    """The connection is to be reset in the middle of this body."""

    def __init__(self, body: Any) -> None:
        super().__init__()
        self.body = bytes(body or b"")


def _object(request: web.Request, part: str = "object") -> str:
    name = request.match_info[part]
    if name not in OBJECTS:
        raise invalid_request(f"Unable to infer object type from: {name}")
    return name


def _asked(request: web.Request) -> list[str] | None:
    text = request.query.get("properties")
    return text.split(",") if text is not None else None


def _now() -> int:
    return time.time_ns() // 1_000_000
