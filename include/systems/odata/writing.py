"""Write records of an entity set, one call each, and only over what is known to be there.

Every change carries `If-Match`: the version that the record must still have, or `*`. Without it a service may make a
record that is not there (an upsert), and two writers would not see each other. A write whose answer was lost is looked
up before it is ever sent again.
https://docs.oasis-open.org/odata/odata/v4.01/odata-v4.01-part1-protocol.html (8.2.4, 11.4)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from include.models import Record
from include.systems.files.formats.values import explain_missing
from include.systems.http import Reply, message_of, scrub_message
from include.systems.in_air import in_order, threads
from include.systems.odata.declared import ODataSink
from include.systems.odata.keys import Key, Keys
from include.systems.odata.schema import Property
from include.systems.odata.service import JSON, READS, Service, etag
from include.systems.odata.values import needs_texts, to_json
from include.systems.port import VERSION, Outgoing, Sent

_DONE = (200, 201, 204)
_MISSING = (404, 410)
_CHANGED, _REQUIRED, _CONFLICT = 412, 428, 409
_REFUSED = (400, 413, 422, 423)
_ACCEPT = (*_DONE, *_MISSING, _CHANGED, _REQUIRED, _CONFLICT, *_REFUSED)
_ANY = "*"
_TRIES = 3
"""Of one record that somebody else changes again and again between our reading it and our writing it."""


@dataclass
class ODataDestination:
    """Writes to one entity set; a batch is sent over all of the client's sessions, so one at a time is in the air."""

    service: Service
    sink: ODataSink
    batch_rows: int = 100
    creates: bool = False
    in_air: int = 1

    @property
    def calls(self) -> int:
        """Requests to the system so far, retries included."""
        return self.service.client.calls

    @property
    def retries(self) -> int:
        """Requests that were sent again."""
        return self.service.client.retries

    @cached_property
    def keys(self) -> Keys:
        """The key of the set; raises ContractBroken if it is not the declared one."""
        return self.service.keys(self.sink.keys)

    def check_contract(self) -> None:
        """Raise ContractBroken for fields that do not exist, are read-only, or are no single value."""
        self.keys  # noqa: B018 - looking at them checks them
        properties, problems = self.service.entity.properties, []
        for name in self.sink.fields.values():
            found = properties.get(name)
            if found is None:
                problems.append(explain_missing(name, properties))
            elif found.read_only:
                problems.append(f"{name!r} is read-only")
            elif found.type.startswith("Collection(") or self.service.schema.type(found.type):
                problems.append(f"{name!r} is {found.type}, which is no single value")
        if problems:
            raise self.service.broken("; ".join(problems), "Correct the sink's fields, or ask the system's owner")

    def form(self, values: Record) -> Record:
        """Values as the service stores them: long numbers as texts, decimals of the property's scale, times in UTC."""
        properties = self.service.entity.properties
        return {name: self._form(properties.get(name), value) for name, value in values.items()}

    def holds(self, current: Record, values: Record) -> bool:
        """Whether a record already holds these values."""
        held = self.form({name: current.get(name) for name in values})
        return held == self.form(values)

    def read(self, ids: Sequence[str]) -> Mapping[str, Record]:
        """The written fields as they are now, by id, with the ETag as `version`; unknown ids are absent."""
        asked = {key: one for one in ids if (key := self._key(one))}
        batches = list(self.keys.batches(list(asked)))
        found: dict[str, Record] = {}
        with threads(self.service.client.in_air) as pool:
            for items in in_order(pool, self._look_up, batches, self.service.client.in_air):
                found |= {asked[key]: self._held(item) for key, item in items.items() if key in asked}
        return found

    def send(self, writes: Mapping[str, Outgoing]) -> Mapping[str, Sent]:
        """Write records, by id, several at once; a result for each of them.

        Raises SystemUnavailable where nothing tells whether a write arrived: sent again, it is looked up first.
        """
        with threads(self.service.client.in_air) as pool:
            sent = in_order(pool, lambda one: self._send(*one), writes.items(), self.service.client.in_air)
            return dict(zip(writes, sent, strict=True))

    def _send(self, one: str, write: Outgoing) -> Sent:
        key = self._key(one)
        if key is None:
            return Sent(None, "record_missing", "no such key can exist")
        if self._is_new(write):
            return self._make(key, write)
        condition = write.version or _ANY
        for _ in range(_TRIES):
            reply = self._change(key, write, condition)
            if reply.status in _DONE:
                return self._done(reply, write)
            if reply.status in _REFUSED:
                return _refused(reply, write.values)
            now = self._now(key)
            if now is None:
                return self._absent(key, write)
            if settled := self._settled(reply, write, now):
                return settled
            condition = str(etag(now))
        return Sent(None, "changed_since_read", f"somebody else changed the record, {_TRIES} times in a row")

    def _key(self, one: str) -> Key | None:
        return self.keys.of_numbered(one) if self.sink.each else self.keys.of_id(one)

    def _is_new(self, write: Outgoing) -> bool:
        """Whether there was no such record, so that to change one would be to change what others have made since."""
        return self.creates and self.sink.guard != "own_fields" and write.version is None and write.before is None

    def _settled(self, reply: Reply, write: Outgoing, now: Record) -> Sent | None:
        """What became of a write over a record that is there; None if it may go out again, under its present version.

        Some services say 409 where others say 412. A write that was given up and sent again may be refused because of
        itself: it was carried out late.
        """
        if self.holds(now, dict(write.values)):
            return self._done(Reply(200, now, {}), write)
        if write.version and etag(now) != write.version:
            return Sent(None, "changed_since_read", "the record has another version now")
        if reply.status not in (_CHANGED, _REQUIRED) or not etag(now):
            return _refused(reply, write.values)
        if reply.status == _REQUIRED and self.sink.guard != "own_fields":
            return Sent(None, "changed_since_read", "the service asks for a version, and the write came without one")
        return None

    def _absent(self, key: Key, write: Outgoing) -> Sent:
        if self.creates and write.version is None:
            return self._make(key, write)
        return Sent(None, "record_missing", "there is no record of that key")

    def _change(self, key: Key, write: Outgoing, condition: str) -> Reply:
        def arrived() -> Reply | None:
            now = self._now(key)
            return Reply(200, now, {}) if now and self.holds(now, dict(write.values)) else None

        headers, path = {**self._headers(write.values), "If-Match": condition}, self.service.path_of(self.keys, key)
        return self.service.client.call(
            "PATCH", path, dict(write.values), accept=_ACCEPT, headers=headers, arrived=arrived
        )

    def _make(self, key: Key, write: Outgoing) -> Sent:
        """Insert the record; one that somebody else has made meanwhile is left alone."""

        def arrived() -> Reply | None:
            now = self._now(key)
            return Reply(201 if self.holds(now, dict(write.values)) else _CONFLICT, now, {}) if now else None

        texts = zip(self.keys.types.items(), key.values, strict=True)
        body = {name: to_json(text, Property(edm), edm) for (name, edm), text in texts} | dict(write.values)
        reply = self.service.client.call(
            "POST", self.service.object, body, accept=_ACCEPT, headers=self._headers(body), arrived=arrived
        )
        if reply.status == _CONFLICT:
            reply = arrived() or reply  # an insert that was given up may have been carried out late
        if reply.status in _DONE:
            return self._done(reply, write)
        if reply.status == _CONFLICT:
            return Sent(None, "changed_since_read", "somebody else has made the record meanwhile")
        return _refused(reply, body)

    def _done(self, reply: Reply, write: Outgoing) -> Sent:
        """What the record holds now: as the service says, else as it was sent."""
        if isinstance(reply.body, dict):
            held = self.form({name: reply.body.get(name) for name in write.values})
            return Sent({**held, **_version(etag(reply.body))})
        return Sent({**write.values, **_version(reply.headers.get("ETag"))})

    def _headers(self, values: Mapping[str, Any]) -> dict[str, str]:
        texts = any(needs_texts(self._edm(name)) for name in values)
        kind = "application/json;IEEE754Compatible=true" if texts else "application/json"
        versions = {"OData-Version": "4.0", "OData-MaxVersion": "4.0"}
        return {"Accept": JSON, "Content-Type": kind, "Prefer": "return=representation", **versions}

    def _edm(self, name: str) -> str:
        found = self.service.entity.properties.get(name)
        return self.service.edm(found.type) if found else ""

    def _form(self, found: Property | None, value: Any) -> Any:
        return to_json(value, found or Property(""), self.service.edm(found.type) if found else "")

    def _now(self, key: Key) -> Record | None:
        """The record as it is; None where there is none."""
        path = f"{self.service.path_of(self.keys, key)}?$select={','.join(self._names)}"
        reply = self.service.client.call("GET", path, accept=(200, *_MISSING), headers=READS)
        return reply.body if reply.status == 200 and isinstance(reply.body, dict) else None

    def _look_up(self, batch: Sequence[Key]) -> dict[Key, Record]:
        options = {"$select": ",".join(self._names), "$filter": self.keys.is_one_of(batch)}
        pages = self.service.pages(options, most=len(batch))
        return {self.service.key_of(self.keys, item): item for items in pages for item in items}

    @property
    def _names(self) -> Sequence[str]:
        """The properties that are read: keys and fields."""
        return list(dict.fromkeys((*self.keys.types, *self.sink.fields.values())))

    def _held(self, item: Record) -> Record:
        names = self.sink.fields.values()
        return {**self.form({name: item.get(name) for name in names}), **_version(etag(item))}


def _refused(reply: Reply, values: Mapping[str, Any]) -> Sent:
    """A refusal in the vendor's words, without the values that were sent."""
    said = scrub_message(message_of(reply.body), dict(values))
    return Sent(None, "rejected_by_destination", f"{reply.status} {said}".rstrip())


def _version(token: str | None) -> Record:
    return {VERSION: token} if token else {}
