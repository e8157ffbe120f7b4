"""Read and write records of a CRM that speaks HubSpot's CRM v3 batch API."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from include.models import Record
from include.rest import RestClient

# A whole batch is refused when one record in it is invalid; 207 reports records one by one.
# https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/batch/post-crm-v3-objects-contacts-batch-update
_OK, _SOME, _REFUSED = 200, 207, 400
_ADDRESS = re.compile(r"\S+@\S+")


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one record: its state after the write, or the cause of its failure."""

    after: Record | None
    cause: str = ""
    detail: str = ""


def read_current(client: RestClient, kind: str, ids: Sequence[str], names: Sequence[str]) -> dict[str, Record]:
    """The present values of some properties, by id; ids that do not exist are absent."""
    body = {"inputs": [{"id": one} for one in ids], "properties": list(names)}
    reply = client.call("POST", f"/crm/v3/objects/{kind}/batch/read", body, accept=(_OK, _SOME))
    return {
        str(found["id"]): {name: found["properties"].get(name) for name in names} for found in reply.body["results"]
    }


def send(client: RestClient, kind: str, intended: Mapping[str, Mapping[str, str]]) -> dict[str, Sent]:
    """Update records (one batch at most), by id; a batch refused as a whole is halved until the culprit is alone."""
    inputs = [{"id": one, "properties": dict(values)} for one, values in intended.items()]
    reply = client.call(
        "POST", f"/crm/v3/objects/{kind}/batch/update", {"inputs": inputs}, accept=(_OK, _SOME, _REFUSED)
    )
    if reply.status == _REFUSED:
        if len(intended) == 1:
            detail = _scrub(reply.body.get("message", ""), next(iter(intended.values())))
            return {one: Sent(None, "rejected_by_destination", detail) for one in intended}
        ids = list(intended)
        half = len(ids) // 2
        parts = ({one: intended[one] for one in ids[:half]}, {one: intended[one] for one in ids[half:]})
        return send(client, kind, parts[0]) | send(client, kind, parts[1])
    return _by_record(reply.body, intended)


def _by_record(body: Any, intended: Mapping[str, Mapping[str, str]]) -> dict[str, Sent]:
    sent = {one: Sent(None, "no_result", "the answer did not name this record") for one in intended}
    for error in body.get("errors") or []:
        missing = error.get("category") == "OBJECT_NOT_FOUND"
        for one in (error.get("context") or {}).get("ids", []):
            detail = _scrub(error.get("message", ""), intended.get(str(one), {}))
            sent[str(one)] = Sent(None, "record_missing" if missing else "rejected_by_destination", detail)
    for result in body.get("results") or []:
        after = {name: result["properties"].get(name) for name in intended.get(str(result["id"]), {})}
        sent[str(result["id"])] = Sent({**after, "updatedAt": result.get("updatedAt")})
    return sent


def _scrub(message: str, values: Mapping[str, str]) -> str:
    """The vendor's message without addresses and without the values that were to be written."""
    for value in values.values():
        if len(value) > 3:
            message = message.replace(value, "[value]")
    return _ADDRESS.sub("[address]", message)[:300]
