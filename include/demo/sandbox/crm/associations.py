"""The association routes without their HTTP: read in batches, labels, and one that is made.

A record that names its primary company in a property of its own is associated with it without further ado.
"""

from __future__ import annotations

from typing import Any

from include.demo.sandbox.crm.association_types import types_of
from include.demo.sandbox.crm.errors import invalid_request, no_associations, not_found
from include.demo.sandbox.crm.properties import iso
from include.demo.sandbox.crm.store import Store

_NAMES_COMPANY = {
    "contacts": "associatedcompanyid",
    "deals": "associatedcompanyid",
    "tickets": "hs_primary_company_id",
}
"""By object, the property that names a record's primary company."""
MAX_INPUTS = 1_000
"""https://developers.hubspot.com/changelog/bug-fix-batch-read-limit-for-hubspot-associations-api"""


def labels(kind: str, to: str) -> dict[str, Any]:
    """The types between two objects, as `GET .../labels` shows them."""
    return {"results": [one.to_json() for one in types_of(kind, to)]}


def associate(store: Store, kind: str, number: str, to: str, other: str, body: Any) -> tuple[int, dict[str, Any]]:
    """Associate two records by the types of the body; raises CrmError 404 for a record and 400 for a type not there."""
    known = {one.type_id for one in types_of(kind, to)}
    asked = [one.get("associationTypeId") for one in body if isinstance(one, dict)] if isinstance(body, list) else []
    wanted = [one for one in asked if isinstance(one, int) and one in known]
    if not wanted or len(wanted) < len(asked):
        raise invalid_request(f"One or more association types are invalid for {kind} to {to}")
    ends = store.find(kind, number), store.find(to, other)
    if None in ends:
        raise not_found()
    store.associate(kind, int(number), to, int(other), wanted)
    return 201, {"fromObjectId": number, "toObjectId": other, "labels": []}


def read_batch(store: Store, kind: str, to: str, body: Any, page: int, now_millis: int) -> tuple[int, dict[str, Any]]:
    """Associations of up to 1,000 records, at most `page` of each; a record without any is an error in a 207."""
    inputs = body.get("inputs") if isinstance(body, dict) else None
    if not isinstance(inputs, list) or not all(isinstance(one, dict) and "id" in one for one in inputs):
        raise invalid_request("Invalid input JSON: `inputs` must be a list of objects with `id`")
    if not 1 <= len(inputs) <= MAX_INPUTS:
        raise invalid_request(f"The number of inputs must be between 1 and {MAX_INPUTS}, was {len(inputs)}")
    types = {one.type_id: one for one in types_of(kind, to)}
    results, errors = [], []
    for one in inputs:
        number, after = str(one["id"]), str(one.get("after") or "0")
        found = _found(store, kind, number, to)
        if not found:
            errors.append(no_associations(kind, number, to))
            continue
        left = [other for other in sorted(found) if other > int(after)]
        shown = [
            {"toObjectId": other, "associationTypes": [types[each].to_json() for each in sorted(found[other])]}
            for other in left[:page]
        ]
        result: dict[str, Any] = {"from": {"id": number}, "to": shown}
        if len(left) > page:
            result["paging"] = {"next": {"after": str(shown[-1]["toObjectId"]), "link": "?"}}
        results.append(result)
    times = {"startedAt": iso(now_millis), "completedAt": iso(now_millis)}
    reply = {"status": "COMPLETE", "results": results, **times}
    return (207, {**reply, "numErrors": len(errors), "errors": errors}) if errors else (200, reply)


def _found(store: Store, kind: str, number: str, to: str) -> dict[int, set[int]]:
    """Ids of types by record: those that were made, and the company that the record names itself."""
    item = store.find(kind, number)
    if item is None:
        return {}
    made: dict[int, set[int]] = store.associations.of(kind, item.number, to)
    company = item.values.get(_NAMES_COMPANY.get(kind, "")) if to == "companies" else None
    others = [int(company)] if company and store.find(to, company) else []
    if kind == "companies" and to in _NAMES_COMPANY:
        name = _NAMES_COMPANY[to]
        others = list(store.matching(to, f"{name}={number}", lambda one: one.values.get(name) == str(item.number)))
    for other in others:
        plain, primary = types_of(kind, to)[:2]
        made.setdefault(other, set()).update((plain.type_id, primary.type_id))
    return {other: types for other, types in made.items() if store.find(to, str(other))}
