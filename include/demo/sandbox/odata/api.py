"""The service over HTTP: login, routes, conditional requests, faults, and counts of what it was asked."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from aiohttp import web

from include.demo.sandbox.faults import ODATA_FAULTS, FaultPlan, Ordinals
from include.demo.sandbox.odata.changes import change, delete, insert
from include.demo.sandbox.odata.errors import ODataError, bad_request, not_found
from include.demo.sandbox.odata.filters import parse_key
from include.demo.sandbox.odata.model import EntitySet, metadata
from include.demo.sandbox.odata.query import View, check_options, collection
from include.demo.sandbox.odata.store import Store
from include.demo.sandbox.serving import MAX_BODY_BYTES, Latency, label, only_from_loopback, read_json, reset
from include.errors import ConfigurationError

ROOT = "/odata/v4/erp"
LOGIN = "nightledger"
_SEGMENT = re.compile(r"(\w+)(?:\((.*)\))?", re.DOTALL)
_PAGE_SIZE = re.compile(r"(?:odata\.)?maxpagesize=(\d+)")
_ELSEWHERE = "http://elsewhere.invalid/odata"


@dataclass
class Reply:
    """An answer before it is sent."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class ODataApi:
    """One service; `faults` and `relative_links` may change at any time, `counts` holds requests by what they do."""

    def __init__(
        self,
        open_store: Callable[[], Store],
        password: str,
        latency: Latency,
        faults: FaultPlan,
        page_rows: int = 200,
    ) -> None:
        """The store is opened at the first question, so that nobody pays for it who asks none."""
        self._open_store, self._password, self._latency = open_store, password, latency
        self.faults, self.page_rows, self.relative_links = faults, page_rows, False
        self.counts: Counter[str] = Counter()
        self._store: Store | None = None
        self._ordinals = Ordinals()

    @property
    def store(self) -> Store:
        """The data, opened when it is first asked for."""
        if self._store is None:
            self._store = self._open_store()
        return self._store

    def close(self) -> None:
        """Close the store, if it was ever opened."""
        if self._store is not None:
            self._store.close()

    def application(self) -> web.Application:
        """The aiohttp application with every route."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.on_response_prepare.append(label)
        app.router.add_get("/sandbox/erp/requests", only_from_loopback(self._show_requests))
        app.router.add_get("/sandbox/erp/faults", only_from_loopback(self._show_faults))
        app.router.add_post("/sandbox/erp/faults", only_from_loopback(self._set_faults))
        app.router.add_route("*", f"{ROOT}{{rest:.*}}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.counts[f"method:{request.method}"] += 1
        fault = None
        try:
            self._identify(request.headers.get("Authorization", ""))
            fault = await self._draw(request)
            await self._latency.wait()
            self._refuse(fault)
            if fault == "timeout":
                await asyncio.sleep(self.faults.hold_seconds)
            reply = await self._answer(request, fault)
        except ODataError as error:
            reply = Reply(error.status, error.body, error.headers)
        self.counts[f"status:{'reset' if fault == 'reset' else reply.status}"] += 1
        response = _response(request, reply)
        return await reset(request, bytes(response.body or b"{}")) if fault == "reset" else response  # type: ignore[arg-type]

    def _identify(self, authorization: str) -> None:
        scheme, _, given = authorization.partition(" ")
        wanted = base64.b64encode(f"{LOGIN}:{self._password}".encode()).decode()
        if scheme.lower() != "basic" or not hmac.compare_digest(given, wanted):
            raise ODataError(401, "Unauthorized", "Login and password are needed", WWW_Authenticate='Basic realm="erp"')

    async def _draw(self, request: web.Request) -> str | None:
        """The fault of this request, by what is asked and how often it was asked before."""
        if not self.faults.rates or self.faults.only == ("read" if request.method != "GET" else "write"):
            return None
        asked = hashlib.sha256(f"{request.method} {request.raw_path}\n".encode() + await request.read()).hexdigest()
        return self.faults.draw(asked, self._ordinals.next(asked))

    def _refuse(self, fault: str | None) -> None:
        if fault in ("http_500", "http_503"):
            raise ODataError(int(fault.removeprefix("http_")), "InternalServerError", "An unexpected error occurred")
        if fault == "rate_limited":
            raise ODataError(429, "TooManyRequests", "Number of requests exceeded the limit", Retry_After="1")

    async def _answer(self, request: web.Request, fault: str | None) -> Reply:
        most = request.headers.get("OData-MaxVersion", "4.0")
        if most < "4":
            raise bad_request(f"Version {most} is not spoken")
        segments = [unquote(part) for part in urlsplit(request.raw_path).path.removeprefix(ROOT).split("/") if part]
        if not segments:
            listed = [{"name": name, "kind": "EntitySet", "url": name} for name in self.store.model]
            return Reply(200, {"@odata.context": f"{_root(request)}/$metadata", "value": listed})
        if segments == ["$metadata"]:
            return Reply(200, metadata(self.store.model))
        match = _SEGMENT.fullmatch(segments[0])
        within = self.store.model.get(match[1]) if match else None
        if match is None or within is None or len(segments) > 1:
            raise not_found(f"The resource '{segments[0]}'")
        options = dict(request.query)
        check_options(options)
        if match[2] is None:
            return await self._collection(request, within, options, fault)
        return await self._entity(request, within, parse_key(match[2], within), options)

    async def _collection(
        self, request: web.Request, within: EntitySet, options: Mapping[str, str], fault: str | None
    ) -> Reply:
        if request.method == "POST":
            entity = insert(self.store, within, await _body(request), texts=_texts(request, "Content-Type"))
            body = View.of(self.store, within, options, texts=_texts(request, "Accept")).show(within, entity)
            return Reply(201, body, {"ETag": entity.etag})
        if request.method != "GET":
            raise ODataError(405, "MethodNotAllowed", f"{request.method} is not for a collection", Allow="GET, POST")
        wanted = _PAGE_SIZE.search(request.headers.get("Prefer", ""))
        most = min(self.page_rows, int(wanted[1])) if wanted and int(wanted[1]) else self.page_rows
        body, later = collection(self.store, within, options, most=most, texts=_texts(request, "Accept"))
        body = {"@odata.context": f"{_root(request)}/$metadata#{within.name}", **body}
        if later:
            start = within.name if self.relative_links else f"{_root(request)}/{within.name}"
            link = f"{start}?{later}"
            repeated = str(request.url) if fault == "repeated_link" else link
            body["@odata.nextLink"] = _ELSEWHERE if fault == "foreign_link" else repeated
        return Reply(200, body, {"Preference-Applied": f"odata.maxpagesize={most}"} if wanted else {})

    async def _entity(
        self, request: web.Request, within: EntitySet, key: tuple[Any, ...], options: Mapping[str, str]
    ) -> Reply:
        view, match = (
            View.of(self.store, within, options, texts=_texts(request, "Accept")),
            request.headers.get("If-Match"),
        )
        if request.method == "GET":
            entity = self.store.find(within.name, key)
            if entity is None:
                raise not_found("The entity")
            if request.headers.get("If-None-Match") == entity.etag:
                return Reply(304, None, {"ETag": entity.etag})
            return Reply(200, view.show(within, entity), {"ETag": entity.etag})
        if request.method == "DELETE":
            delete(self.store, within, key, match)
            return Reply(204)
        if request.method != "PATCH":
            raise ODataError(405, "MethodNotAllowed", f"{request.method} is not spoken", Allow="GET, PATCH, DELETE")
        texts = _texts(request, "Content-Type")
        entity, made = change(self.store, within, key, await _body(request), match, texts=texts)
        if "return=representation" not in request.headers.get("Prefer", ""):
            return Reply(201 if made else 204, None, {"ETag": entity.etag})
        applied = {"ETag": entity.etag, "Preference-Applied": "return=representation"}
        return Reply(201 if made else 200, view.show(within, entity), applied)

    async def _show_requests(self, request: web.Request) -> web.StreamResponse:
        groups: dict[str, dict[str, int]] = {"method": {}, "status": {}}
        for name, count in self.counts.items():
            group, _, what = name.partition(":")
            groups[group][what] = count
        return web.json_response({**groups, "changes": self._store.changes - 1 if self._store else 0})

    async def _show_faults(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self.faults.to_json())

    async def _set_faults(self, request: web.Request) -> web.StreamResponse:
        try:
            self.faults = FaultPlan.parse(await read_json(request), ODATA_FAULTS)
        except (ConfigurationError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        self._ordinals = Ordinals()
        return await self._show_faults(request)


def _response(request: web.Request, reply: Reply) -> web.Response:
    headers = {"OData-Version": "4.0", **reply.headers}
    if isinstance(reply.body, str):
        return web.Response(text=reply.body, status=reply.status, headers=headers, content_type="application/xml")
    if reply.body is None:
        return web.Response(status=reply.status, headers=headers)
    kind = "application/json;odata.metadata=minimal"
    kind += ";IEEE754Compatible=true" if _texts(request, "Accept") else ""
    response = web.json_response(reply.body, status=reply.status, headers=headers)
    response.headers["Content-Type"] = kind
    return response


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = await read_json(request)
    except ValueError as error:
        raise bad_request("The body is no JSON") from error
    if not isinstance(body, dict):
        raise bad_request("The body is no entity")
    return body


def _texts(request: web.Request, header: str) -> bool:
    """Whether long numbers are texts, in the answer (`Accept`) or in the request (`Content-Type`)."""
    return "ieee754compatible=true" in request.headers.get(header, "").lower().replace(" ", "")


def _root(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}{ROOT}"
