"""Drafts of replies as private comments on tickets, by the Support API v2 of Zendesk.

A comment and a ticket field are set by one call, and the field says which draft the ticket has: so a call whose answer
was lost is looked up before it is repeated, and nothing is put there twice. Every call says `public: false`, since the
API's own default is a reply that the customer gets at once.
https://developer.zendesk.com/api-reference/ticketing/tickets/tickets/#update-ticket
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from include.addresses import strange_links
from include.canonical import digest
from include.errors import ContractBroken
from include.models import Record
from include.systems.desk.declared import DeskReply
from include.systems.http import Reply, RestClient
from include.systems.in_air import in_order, threads
from include.systems.port import VERSION, Outgoing, Sent
from include.systems.values import plain

DRAFT, STATUS = "draft", "status"
"""What is read of a ticket: which draft of ours it has, and how far its work is."""
_OVER = ("solved", "closed")
_MISSING, _CHANGED, _REFUSED = 404, 409, (400, 413, 422)
_CODE = re.compile(r"[A-Za-z]{3,60}")
_MARK_DIGITS = 32


@dataclass(frozen=True, slots=True)
class DeskDrafts:
    """Writes to the tickets of one desk; a batch is sent over all of the client's sessions, so one is in the air."""

    sink: DeskReply
    client: RestClient
    batch_rows: int = 100

    creates: ClassVar[bool] = False
    in_air: ClassVar[int] = 1

    @property
    def calls(self) -> int:
        """Requests so far, retries included."""
        return self.client.calls

    @property
    def retries(self) -> int:
        """Requests that were sent again."""
        return self.client.retries

    def check_contract(self) -> None:
        """Raise ContractBroken where the ticket field that marks drafts is not there, or holds no text."""
        reply = self.client.call("GET", f"/api/v2/ticket_fields/{self.sink.mark}.json", accept=(200, _MISSING))
        found = reply.body.get("ticket_field") if isinstance(reply.body, dict) else None
        kind = found.get("type") if isinstance(found, dict) else None
        if reply.status == _MISSING or kind != "text":
            problem = "does not exist" if reply.status == _MISSING else f"is of type {str(kind)[:40]}, not text"
            action = "Make a ticket field of type text for it, and put its number into `mark` of the use case's sink"
            raise self._broken(f"ticket field {self.sink.mark} {problem}", action)

    def form(self, values: Record) -> Record:
        """Values as visible text, and the mark of this very draft."""
        said = {name: "" if value is None else str(plain(value)) for name, value in values.items() if name != DRAFT}
        return {**said, DRAFT: values.get(DRAFT) or digest(said)[:_MARK_DIGITS]}

    def holds(self, current: Record, values: Record) -> bool:
        """Whether the ticket has this very draft; what became of it since is the agents' business."""
        return bool(current.get(DRAFT) == self.form(values)[DRAFT])

    def read(self, ids: Sequence[str]) -> Mapping[str, Record]:
        """Which draft each ticket has, its status, and the time of its last change as version."""
        numbers = {number: one for one in ids if (number := self._number(one))}
        if not numbers:
            return {}
        reply = self.client.call("GET", f"/api/v2/tickets/show_many.json?ids={','.join(numbers)}")
        found = reply.body.get("tickets") if isinstance(reply.body, dict) else None
        if not isinstance(found, list):
            raise self._broken("the answer is no list of tickets", "Check that the connection points at the desk's API")
        return {numbers[str(one["id"])]: self._held(one) for one in found if str(one.get("id")) in numbers}

    def send(self, writes: Mapping[str, Outgoing]) -> Mapping[str, Sent]:
        """Put each draft on its ticket; one that may not go, or whose ticket is over, is a result and no error."""
        with threads(self.client.in_air) as pool:
            sent = in_order(pool, lambda one: self._send(*one), writes.items(), self.client.in_air)
            return dict(zip(writes, sent, strict=True))

    def _send(self, one: str, write: Outgoing) -> Sent:
        number, before = self._number(one), write.before or {}
        if number is None:
            return Sent(None, "record_missing", "no ticket can have such a number")
        if before.get(STATUS) in _OVER:
            return Sent(None, "changed_since_read", f"the ticket is {before[STATUS]}: nobody waits for a reply")
        if problem := self._problem(write.values):
            return Sent(None, "rejected_by_destination", problem)
        return self._put(number, write, write.version or before.get(VERSION))

    def _put(self, number: str, write: Outgoing, version: str | None) -> Sent:
        path, mark = f"/api/v2/tickets/{number}.json", write.values[DRAFT]

        def arrived() -> Reply | None:
            now = self.client.call("GET", path, accept=(200, _MISSING))
            return now if now.status == 200 and self._held(now.body["ticket"]).get(DRAFT) == mark else None

        accept = (200, _MISSING, _CHANGED, *_REFUSED)
        reply = self.client.call("PUT", path, self._update(write.values, version), accept=accept, arrived=arrived)
        if reply.status == _CHANGED:
            reply = arrived() or reply  # a call that was given up may have been carried out late
        if reply.status == 200:
            return Sent({**write.values, **self._held(reply.body["ticket"])})
        if reply.status == _MISSING:
            return Sent(None, "record_missing", "there is no ticket of that number")
        if reply.status == _CHANGED:
            return Sent(None, "changed_since_read", "somebody worked on the ticket while the draft was on its way")
        return Sent(None, "rejected_by_destination", f"{reply.status} {_code(reply.body)}".rstrip())

    def _update(self, values: Mapping[str, Any], version: str | None) -> Record:
        """The body of the call; with a version the desk refuses it where the ticket has another by now."""
        subject = f"Subject: {values['subject']}\n\n" if values.get("subject") else ""
        ticket: Record = {
            "comment": {"body": f"{subject}{values['body']}", "public": False},
            "custom_fields": [{"id": self.sink.mark, "value": values[DRAFT]}],
        }
        return {"ticket": ticket | ({"safe_update": True, "updated_stamp": version} if version else {})}

    def _problem(self, values: Mapping[str, Any]) -> str:
        """Why a draft may not go, without its text; it is looked at as it leaves, values in the place of tokens."""
        texts = [str(value) for name, value in values.items() if name != DRAFT]
        if (longest := max(map(len, texts), default=0)) > self.sink.longest:
            return f"a text of {longest:,} characters, {self.sink.longest:,} are the most"
        strange = sum(len(strange_links(text, self.sink.links)) for text in texts)
        return f"it holds {strange} addresses that are not among those allowed" if strange else ""

    def _held(self, ticket: Record) -> Record:
        """What a ticket says of itself; raises ContractBroken where it is none."""
        try:
            marks = [one.get("value") for one in ticket["custom_fields"] if one["id"] == self.sink.mark]
            return {DRAFT: marks[0] if marks else None, STATUS: ticket["status"], VERSION: ticket["updated_at"]}
        except (KeyError, TypeError, AttributeError) as error:
            raise self._broken(
                "a ticket lacks status, time of change or fields", "See the desk's own API log"
            ) from error

    def _number(self, one: str) -> str | None:
        number = one.removeprefix(self.sink.prefix)
        known = one.startswith(self.sink.prefix) and number.isascii() and number.isdecimal()
        return str(int(number)) if known else None

    def _broken(self, problem: str, action: str) -> ContractBroken:
        return ContractBroken(problem, system=self.sink.system, about=self.sink.object, action=action)


def _code(body: Any) -> str:
    """The desk's word for a refusal; its sentences may quote what was sent."""
    said = body.get("error") if isinstance(body, dict) else None
    return said if isinstance(said, str) and _CODE.fullmatch(said) else ""
