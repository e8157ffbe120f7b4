"""How records are associated: by types that have an id in each direction, some of them with a label.

Type ids and labels are HubSpot's: https://developers.hubspot.com/docs/api-reference/crm-associations-v4/guide. A record
that names a company in `associatedcompanyid` has it as its primary company without further ado.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from include.demo.sandbox.crm.errors import invalid_request, no_associations, not_found
from include.demo.sandbox.crm.properties import SITES, iso

if TYPE_CHECKING:
    from include.demo.sandbox.crm.store import Store

MAX_INPUTS = 1_000
"""https://developers.hubspot.com/changelog/bug-fix-batch-read-limit-for-hubspot-associations-api"""
PRIMARY = "Primary"


class Type(NamedTuple):
    """One type of association in one direction; `back` is the id of the same in the other."""

    type_id: int
    back: int
    label: str | None = None
    category: str = "HUBSPOT_DEFINED"

    def to_json(self) -> dict[str, Any]:
        """As the API shows it."""
        return {"category": self.category, "typeId": self.type_id, "label": self.label}


_OWN = "USER_DEFINED"
_ONE_WAY: Mapping[tuple[str, str], tuple[Type, ...]] = {
    ("contacts", "companies"): (Type(279, 280), Type(1, 2, PRIMARY), Type(36, 37, "Billing contact", _OWN)),
    ("deals", "companies"): (Type(341, 342), Type(5, 6, PRIMARY)),
    ("deals", "contacts"): (Type(3, 4),),
    (SITES, "companies"): (Type(71, 72, None, _OWN), Type(73, 74, "Landlord", _OWN), Type(75, 76, "Tenant", _OWN)),
}


def _both_ways() -> dict[tuple[str, str], tuple[Type, ...]]:
    found = dict(_ONE_WAY)
    for (kind, to), types in _ONE_WAY.items():
        found[to, kind] = tuple(Type(one.back, one.type_id, one.label, one.category) for one in types)
    return found


TYPES: Mapping[tuple[str, str], tuple[Type, ...]] = _both_ways()


class Associations:
    """Associations that were made, in both directions."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str, int], dict[int, set[int]]] = defaultdict(dict)

    def put(self, kind: str, number: int, to: str, other: int, type_ids: Sequence[int]) -> None:
        """Add types between two records; those that are there already stay."""
        for one in types_of(kind, to):
            if one.type_id in type_ids:
                self._made[kind, to, number].setdefault(other, set()).add(one.type_id)
                self._made[to, kind, other].setdefault(number, set()).add(one.back)

    def of(self, kind: str, number: int, to: str) -> dict[int, set[int]]:
        """Ids of types by the id of the other record."""
        return {other: set(types) for other, types in self._made.get((kind, to, number), {}).items()}


def types_of(kind: str, to: str) -> tuple[Type, ...]:
    """The types between two objects; raises CrmError 400 where there are none."""
    if (kind, to) not in TYPES:
        raise invalid_request(f"No association types are defined between {kind} and {to}")
    return TYPES[kind, to]


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
    company = item.values.get("associatedcompanyid") if to == "companies" else None
    if company and store.find(to, company):
        plain, primary = types_of(kind, to)[:2]
        made.setdefault(int(company), set()).update((plain.type_id, primary.type_id))
    return {other: types for other, types in made.items() if store.find(to, str(other))}
