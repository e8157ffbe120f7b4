"""A service desk that speaks a part of Zendesk's Support API v2: tickets, their comments, one ticket field.

Its tickets are those of the files that it exports to `drop/`; what was changed of them outlives the process. A
comment is public unless the call says otherwise, as the vendor has it.
https://developer.zendesk.com/api-reference/ticketing/tickets/tickets/
"""

from __future__ import annotations

import base64
import csv
import hmac
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from include.demo.sandbox.faults import DESK_FAULTS, FaultPlan, Ordinals
from include.demo.sandbox.journal import Journal, read_journal
from include.demo.sandbox.serving import MAX_BODY_BYTES, label, only_from_loopback, read_json, reset
from include.errors import ConfigurationError

LOGIN = "nightledger@example.com/token"
MARK_FIELD = 4001
"""The number of the ticket field that marks drafts, of type text."""
PREFIX = "HD-"
_MOST = 100
_STATUSES = ("new", "open", "pending", "hold", "solved", "closed")

Ticket = dict[str, Any]


class DeskApi:
    """One desk; `faults` may be replaced at any time. Faults strike changes alone."""

    def __init__(self, state: Path, token: str, faults: FaultPlan) -> None:
        """`state` is the sandbox's folder; the tickets are read when the first question comes."""
        self._state, self._token, self.faults = state, token, faults
        self.counts: Counter[str] = Counter()
        self._tickets: dict[int, Ticket] = {}
        self._ordinals = Ordinals()
        self._journal = Journal(state / "desk" / "journal.jsonl")
        self._changes = list(read_journal(state / "desk" / "journal.jsonl"))

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    def application(self) -> web.Application:
        """The aiohttp application with every route."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.on_response_prepare.append(label)
        app.router.add_get("/api/v2/tickets/show_many.json", self._guarded(self._show_many))
        app.router.add_get(r"/api/v2/tickets/{number:\d+}.json", self._guarded(self._show))
        app.router.add_put(r"/api/v2/tickets/{number:\d+}.json", self._guarded(self._update))
        app.router.add_get(r"/api/v2/tickets/{number:\d+}/comments.json", self._guarded(self._comments))
        app.router.add_get(r"/api/v2/ticket_fields/{number:\d+}.json", self._guarded(self._field))
        app.router.add_get("/sandbox/desk", only_from_loopback(self._all))
        app.router.add_post("/sandbox/desk/faults", only_from_loopback(self._set_faults))
        return app

    def _guarded(self, handler: Any) -> Any:
        wanted = f"Basic {base64.b64encode(f'{LOGIN}:{self._token}'.encode()).decode()}"

        async def guarded(request: web.Request) -> web.StreamResponse:
            given = request.headers.get("Authorization", "")
            if not hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode()):
                return self._answer(401, {"error": "Couldn't authenticate you"})
            response: web.StreamResponse = await handler(request)
            return response

        return guarded

    def _find(self, number: int) -> Ticket | None:
        if number not in self._tickets:
            for path in sorted(self._state.glob("sftp/*/tickets_*.csv")):
                self._load(path)
        return self._tickets.get(number)

    def _load(self, path: Path) -> None:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                number = (row.get("ticket_id") or "").removeprefix(PREFIX)
                if number.isascii() and number.isdecimal() and int(number) not in self._tickets:
                    self._tickets[int(number)] = _ticket(int(number), row)
                    for change in self._changes:
                        if change["id"] == int(number):
                            _apply(self._tickets[int(number)], change)

    async def _show_many(self, request: web.Request) -> web.StreamResponse:
        asked = [int(one) for one in request.query.get("ids", "").split(",") if one.isascii() and one.isdecimal()]
        if not 0 < len(asked) <= _MOST:
            return self._answer(400, {"error": "InvalidValue", "description": f"1 to {_MOST} ids"})
        found = [ticket for number in asked if (ticket := self._find(number))]
        return self._answer(200, {"tickets": [_shown(one) for one in found], "count": len(found)})

    async def _show(self, request: web.Request) -> web.StreamResponse:
        ticket = self._find(int(request.match_info["number"]))
        return self._answer(200, {"ticket": _shown(ticket)}) if ticket else self._unknown()

    async def _comments(self, request: web.Request) -> web.StreamResponse:
        ticket = self._find(int(request.match_info["number"]))
        return self._answer(200, {"comments": ticket["comments"]}) if ticket else self._unknown()

    async def _field(self, request: web.Request) -> web.StreamResponse:
        if int(request.match_info["number"]) != MARK_FIELD:
            return self._unknown()
        return self._answer(200, {"ticket_field": {"id": MARK_FIELD, "type": "text", "title": "Draft", "active": True}})

    async def _update(self, request: web.Request) -> web.StreamResponse:
        ticket = self._find(int(request.match_info["number"]))
        if ticket is None:
            return self._unknown()
        number = str(ticket["id"])
        fault = self.faults.draw(number, self._ordinals.next(number))
        if fault in ("http_500", "http_503"):
            return self._answer(int(fault.removeprefix("http_")), {"error": "InternalError"})
        if fault == "rate_limited":
            return self._answer(429, {"error": "APIRateLimitExceeded"}, {"Retry-After": "0"})
        try:
            given = dict((await read_json(request))["ticket"])
            change = _change(ticket, given)
        except (ValueError, KeyError, TypeError):
            return self._answer(400, {"error": "InvalidJSON"})
        if given.get("safe_update") and given.get("updated_stamp") != ticket["updated_at"]:
            return self._answer(409, {"error": "UpdateConflict", "description": "Safe Update prevented the update"})
        if ticket["status"] == "closed":
            return self._answer(422, {"error": "RecordInvalid", "description": "Status: closed prevents ticket update"})
        self._changes.append(change)
        self._journal.append(change)
        _apply(ticket, change)
        if fault == "reset":
            self.counts["reset"] += 1
            return await reset(request, b'{"ticket": {}, "audit": {}}')
        return self._answer(200, {"ticket": _shown(ticket), "audit": {"ticket_id": ticket["id"]}})

    def _unknown(self) -> web.Response:
        return self._answer(404, {"error": "RecordNotFound", "description": "Not found"})

    def _answer(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> web.Response:
        self.counts[str(status)] += 1
        return web.json_response(body, status=status, headers=headers)

    async def _all(self, request: web.Request) -> web.StreamResponse:
        """Every change that was taken, in order, and answers by status."""
        return web.json_response({"changes": self._changes, "status": dict(self.counts)})

    async def _set_faults(self, request: web.Request) -> web.StreamResponse:
        try:
            self.faults = FaultPlan.parse(await read_json(request), DESK_FAULTS)
        except (ConfigurationError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        self._ordinals = Ordinals()
        return web.json_response(self.faults.to_json())


def _ticket(number: int, row: Mapping[str, str]) -> Ticket:
    """A ticket as the desk holds it, of a line of its export; the customer's words are its first comment."""
    at = datetime.fromisoformat(row["created_at"]).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    first = {"id": number * 1_000, "public": True, "body": row["body"], "created_at": at}
    return {
        "id": number,
        "subject": row["subject"],
        "description": row["body"],
        "status": "open",
        "created_at": at,
        "updated_at": at,
        "custom_fields": [{"id": MARK_FIELD, "value": None}],
        "comments": [first],
    }


def _change(ticket: Ticket, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a call asks for, as it is kept; raises ValueError, KeyError or TypeError for what cannot be asked."""
    moment = datetime.fromisoformat(ticket["updated_at"]) + timedelta(seconds=1)
    change: dict[str, Any] = {"id": ticket["id"], "at": max(moment, datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")}
    if "status" in given:
        if given["status"] not in _STATUSES:
            raise ValueError("status")
        change["status"] = given["status"]
    if "comment" in given:
        comment = given["comment"]
        change["comment"] = {"body": str(comment["body"]), "public": bool(comment.get("public", True))}
    change["fields"] = {str(one["id"]): one["value"] for one in given.get("custom_fields", ())}
    return change


def _apply(ticket: Ticket, change: Mapping[str, Any]) -> None:
    ticket["updated_at"] = change["at"]
    ticket["status"] = change.get("status", ticket["status"])
    for one in ticket["custom_fields"]:
        one["value"] = change["fields"].get(str(one["id"]), one["value"])
    if comment := change.get("comment"):
        number = ticket["id"] * 1_000 + len(ticket["comments"])
        ticket["comments"].append({"id": number, **comment, "created_at": change["at"]})


def _shown(ticket: Ticket) -> Ticket:
    return {name: value for name, value in ticket.items() if name != "comments"}
