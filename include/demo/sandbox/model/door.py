"""What the routes of files and batches share: the key they need, refusals in the vendor's shape, pages of a list."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiohttp import web

from include.demo.sandbox.model.shapes import ModelError
from include.demo.sandbox.serving import Handler

MOST_OF_A_PAGE = 100
Owner = Callable[[web.Request], str]
"""Whose request it is, or ModelError 401."""


def for_key(owner: Owner, handler: Callable[[web.Request, str], Awaitable[web.StreamResponse]]) -> Handler:
    """Let in whoever has a key, and answer refusals as the vendor does."""

    async def answered(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request, owner(request))
        except ModelError as error:
            headers = {"x-request-id": f"req_{uuid.uuid4().hex}", **error.headers}
            return web.json_response(error.body, status=error.status, headers=headers)

    return answered


def page(request: web.Request, items: Sequence[dict[str, Any]]) -> web.Response:
    """A page of a list by `limit` and `after` of the query; raises ModelError 400 for one that cannot be."""
    limit, after = request.query.get("limit", "20"), request.query.get("after")
    if not limit.isdecimal() or not 1 <= int(limit) <= MOST_OF_A_PAGE:
        raise ModelError(400, f"Invalid 'limit': expected 1 to {MOST_OF_A_PAGE}.", param="limit")
    numbers = [item["id"] for item in items]
    if after is not None and after not in numbers:
        raise ModelError(400, f"No such cursor: {after[:64]!r}.", param="after")
    start = numbers.index(after) + 1 if after is not None else 0
    found = items[start : start + int(limit)]
    ends = {"first_id": found[0]["id"], "last_id": found[-1]["id"]} if found else {"first_id": None, "last_id": None}
    return web.json_response({"object": "list", "data": found, **ends, "has_more": len(items) > start + len(found)})
