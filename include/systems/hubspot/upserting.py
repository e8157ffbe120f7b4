"""Make or change records that are named by a property whose values are unique, instead of by HubSpot's id.

https://developers.hubspot.com/docs/api-reference/legacy/crm/objects/contacts/batch/upsert-contacts: each input has an
`id`, the value, and `idProperty`. An `objectWriteTraceId` on each lets a 207 say which input was refused
(https://developers.hubspot.com/docs/api-reference/error-handling, "Multi-status errors"; promised there for creating in
batches only, so a batch that is refused as a whole is halved as any other). The same upsert again finds the record that
it made, so that one whose answer was lost may be repeated.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from include.models import Record
from include.systems.files.formats.values import explain_missing
from include.systems.hubspot.declared import HubSpotSink
from include.systems.hubspot.writing import HubSpotWriter
from include.systems.port import Outgoing, Sent

_ADDRESS = "email"
"""Names contacts, though its definition does not call it unique; compared in lower case."""
_TWICE = "another record of the same batch has this id but for its case, so they would be one"


@dataclass(frozen=True, slots=True)
class HubSpotUpserter(HubSpotWriter):
    """One object of one CRM, its records named by the sink's `id_property`."""

    sink: HubSpotSink

    creates: ClassVar[bool] = True
    verb: ClassVar[str] = "upsert"

    def check_contract(self) -> None:
        """Raise ContractBroken for a property that is gone or read-only, or an `id_property` that is not unique."""
        kind, name = self.sink.object, self.sink.id_property
        known, written = self._properties(), (name, *self.sink.fields.values())
        wrong = [explain_missing(one, known) for one in written if one not in known]
        wrong += [f"property `{one}` is read-only" for one in written if one in known and _is_read_only(known[one])]
        if not wrong and not (known[name].get("hasUniqueValue") or (kind, name) == ("contacts", _ADDRESS)):
            wrong = [f"property `{name}` is not unique, so that it names no record"]
        if wrong:
            action = "Correct the use case's sink, or have the CRM's administrator make the property"
            raise self._broken("; ".join(wrong), action)

    def _properties(self) -> dict[str, Record]:
        body = self.client.call("GET", f"/crm/v3/properties/{self.sink.object}").body
        try:
            return {str(item["name"]): dict(item) for item in body["results"]}
        except (KeyError, TypeError, ValueError) as error:
            action = "Check that the connection points at HubSpot's CRM API v3"
            raise self._broken("the answer is no list of properties", action) from error

    def asked(self, ids: Sequence[str], names: Sequence[str]) -> Record:
        """Also the property that names the records."""
        name = self.sink.id_property
        wanted = list(dict.fromkeys((*names, name)))
        return {"idProperty": name, "inputs": [{"id": one} for one in ids], "properties": wanted}

    def inputs(self, intended: Mapping[str, Mapping[str, str]]) -> list[Record]:
        """The value that names the record is written too, so that a new one has it; its place is its trace."""
        name = self.sink.id_property
        return [
            {"id": one, "idProperty": name, "properties": {name: one, **values}, "objectWriteTraceId": str(at)}
            for at, (one, values) in enumerate(intended.items())
        ]

    def ours(self, result: Record, intended: Collection[str]) -> str:
        """By the property that names the records."""
        held = str(result["properties"].get(self.sink.id_property) or "")
        if held in intended:
            return held
        return next((one for one in intended if self._form(one) == self._form(held)), "")

    def told(self, error: Record, intended: Collection[str]) -> list[str]:
        """By the traces that the error names."""
        traces = map(str, (error.get("context") or {}).get("objectWriteTraceId") or [])
        ids = list(intended)
        return [ids[int(one)] for one in traces if one.isdecimal() and int(one) < len(ids)]

    def send(self, writes: Mapping[str, Outgoing]) -> dict[str, Sent]:
        """Make or change records, by the value of the property; no batch names a record twice."""
        first: dict[str, str] = {}
        for one in writes:
            first.setdefault(self._form(one), one)
        again = {one: Sent(None, "rejected_by_destination", _TWICE) for one in writes if first[self._form(one)] != one}
        return self._update({one: writes[one].values for one in first.values()}) | again

    def _form(self, value: str) -> str:
        return value.lower() if self.sink.id_property == _ADDRESS else value


def _is_read_only(definition: Record) -> bool:
    return bool((definition.get("modificationMetadata") or {}).get("readOnlyValue"))
