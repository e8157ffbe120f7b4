"""Read and write records of a CRM that speaks HubSpot's CRM v3 batch API."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from include.errors import ContractBroken
from include.models import Record
from include.personal import scrub as scrub_forms
from include.systems.http import RestClient
from include.systems.hubspot.forms import as_texts, same
from include.systems.port import VERSION, Outgoing, Sent, Sink

# A whole batch is refused when one record in it is invalid; 207 reports records one by one.
# https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/batch/post-crm-v3-objects-contacts-batch-update
_OK, _SOME, _REFUSED = 200, 207, 400
_CONFLICT = 409
"""Answered where a value that must be unique belongs to another record."""
# These are about the properties, which all records share: no record of the batch, or of any other, would go through.
_ABOUT_ALL = {"PROPERTY_DOESNT_EXIST": "does not exist", "READ_ONLY_VALUE": "is read-only"}
_CODE = re.compile(r"[A-Z][A-Z0-9_]{2,60}")
_ADDRESS = re.compile(r"\S+@\S+")
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class HubSpotWriter:
    """One object of one CRM, read and written in batches of at most `batch_rows` records, from any thread."""

    client: RestClient
    sink: Sink
    batch_rows: int = 100

    creates: ClassVar[bool] = False
    verb: ClassVar[str] = "update"

    @property
    def in_air(self) -> int:
        """Batches that may be on their way at once."""
        return self.client.in_air

    @property
    def calls(self) -> int:
        """Requests so far, retries included."""
        return self.client.calls

    @property
    def retries(self) -> int:
        """Requests that were sent again."""
        return self.client.retries

    def check_contract(self) -> None:
        """Nothing: the API refuses a batch with a wrong property whole, so the first one says so before a write."""

    def form(self, values: Record) -> Record:
        """Values as texts."""
        return dict(as_texts(values))

    def holds(self, current: Record, values: Record) -> bool:
        """Whether the record holds them: `7` and `7.0` are one number, absent is empty."""
        return same(current, values)

    def read(self, ids: Sequence[str]) -> dict[str, Record]:
        """The present values of the sink's properties, by id; ids that do not exist are absent.

        With guard `unchanged_since_read` they come with the time of the record's last change.
        """
        names = list(self.sink.fields.values())
        reply = self.client.call("POST", self._path("read"), self.asked(ids, names), accept=(_OK, _SOME))
        guarded = self.sink.guard == "unchanged_since_read"
        return {
            number: {name: found.get(name) for name in names} | ({VERSION: updated_at} if guarded else {})
            for number, found, updated_at in self._results(reply.body, ids)
        }

    def asked(self, ids: Sequence[str], names: Sequence[str]) -> Record:
        """The body that asks for records."""
        return {"inputs": [{"id": one} for one in ids], "properties": names}

    def inputs(self, intended: Mapping[str, Mapping[str, str]]) -> list[Record]:
        """What is sent of each record."""
        return [{"id": one, "properties": dict(values)} for one, values in intended.items()]

    def ours(self, result: Record, intended: Collection[str]) -> str:
        """By which of our ids a record of an answer is known; any other text for one that is not ours."""
        return str(result["id"])

    def told(self, error: Record, intended: Collection[str]) -> list[str]:
        """Our ids of the records that an error of a 207 is about."""
        return [str(one) for one in (error.get("context") or {}).get("ids") or []]

    def send(self, writes: Mapping[str, Outgoing]) -> dict[str, Sent]:
        """Update records, by id; a batch refused as a whole is halved until the culprit is alone.

        The API has no conditional write, so that the version is compared when the record is read, seconds before.
        Raises ContractBroken when the refusal is about a property rather than about a record's value.
        """
        return self._update({number: one.values for number, one in writes.items()})

    def _update(self, intended: Mapping[str, Mapping[str, str]]) -> dict[str, Sent]:
        accepted = (_OK, _SOME, _REFUSED, _CONFLICT)
        reply = self.client.call("POST", self._path(self.verb), {"inputs": self.inputs(intended)}, accept=accepted)
        if reply.status not in (_REFUSED, _CONFLICT):
            return self._by_record(reply.body, intended)
        faults = list(_faults(reply.body, self.sink.fields.values()))
        if reply.status == _REFUSED:
            self._raise_if_about_all(reply.body, faults)
        items, half = list(intended.items()), len(intended) // 2
        if half == 0:
            number, values = items[0]
            return {number: Sent(None, "rejected_by_destination", self._said(reply.body, number, values))}
        return self._update(dict(items[:half])) | self._update(dict(items[half:]))

    def _by_record(self, body: Any, intended: Mapping[str, Mapping[str, str]]) -> dict[str, Sent]:
        """A result for each record that was sent; the CRM may name others too (it merges records): not ours."""
        sent = {one: Sent(None, "no_result", "the answer did not name this record") for one in intended}
        for number, found, updated_at in self._results(body, intended):
            if number in intended:
                sent[number] = Sent({**{name: found.get(name) for name in intended[number]}, "updatedAt": updated_at})
        for error in body.get("errors") or []:
            missing = error.get("category") == "OBJECT_NOT_FOUND"
            cause = "record_missing" if missing else "rejected_by_destination"
            for one in self.told(error, intended):
                if one in intended:
                    sent[one] = Sent(None, cause, self._said(error, one, intended[one]))
        return sent

    def _said(self, error: Any, number: str, values: Mapping[str, str]) -> str:
        """Why one record was refused: codes and properties where they are told, else words without its values."""
        faults = _faults(error, self.sink.fields.values())
        said = "; ".join(f"{code} on {name}" for code, name in faults)
        named = {} if number.isdecimal() else {"": number}
        return said[:_LONGEST] or scrub(_message(error), {**values, **named})

    def _results(self, body: Any, intended: Collection[str]) -> Iterator[tuple[str, Record, str | None]]:
        """Our id, properties and time of last change of each record in a batch's answer."""
        try:
            for result in body["results"]:
                yield self.ours(result, intended), dict(result["properties"]), result.get("updatedAt")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problem = "the answer is no list of records with `id` and `properties`"
            raise self._broken(problem, "Check that the connection points at HubSpot's CRM API v3") from error

    def _raise_if_about_all(self, body: Any, faults: Sequence[tuple[str, str]]) -> None:
        about_all = sorted({f"property `{name}` {_ABOUT_ALL[code]}" for code, name in faults if code in _ABOUT_ALL})
        if about_all:
            action = "Create it in the CRM, or correct `fields` of the use case's sink; then clear task `write`"
            raise self._broken("; ".join(about_all), action)
        category = body.get("category")
        if category != "VALIDATION_ERROR":
            raise self._broken(f"400 of category {str(category)[:60]}", "See the CRM's own log of API calls")

    def _broken(self, problem: str, action: str) -> ContractBroken:
        return ContractBroken(problem, system=self.sink.system, about=self.sink.object, action=action)

    def _path(self, verb: str) -> str:
        return f"/crm/v3/objects/{self.sink.object}/batch/{verb}"


def _faults(body: Any, names: Collection[str]) -> Iterator[tuple[str, str]]:
    """Code and property of each refused value; HubSpot has them in `errors`, or as JSON inside the message."""
    listed = body.get("errors")
    if not listed:
        message = _message(body)
        try:
            listed = json.loads(message[message.index("[") :])
        except ValueError:
            return
    for fault in listed if isinstance(listed, list) else []:
        if not isinstance(fault, dict):
            continue
        code, named = fault.get("code") or fault.get("error"), fault.get("name")
        name = named or next(iter((fault.get("context") or {}).get("propertyName") or []), None)
        if isinstance(code, str) and _CODE.fullmatch(code) and name in names:
            yield code, str(name)


def _message(body: Any) -> str:
    return str(body.get("message") or "")


def scrub(message: str, values: Mapping[str, str]) -> str:
    """The vendor's message without addresses and without the values that were to be written, quoted or not."""
    forms = {form for value in values.values() for form in (value, json.dumps(value)[1:-1]) if form}
    for form in sorted(forms, key=len, reverse=True):
        message = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", "[value]", message)
    return scrub_forms(_ADDRESS.sub("[address]", message))[:_LONGEST]
