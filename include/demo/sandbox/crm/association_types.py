"""Types of associations between objects, and which records are associated.

Type ids and labels are HubSpot's: https://developers.hubspot.com/docs/api-reference/crm-associations-v4/guide.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from include.demo.sandbox.crm.errors import invalid_request
from include.demo.sandbox.crm.properties import SITES

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
    ("tickets", "companies"): (Type(339, 340), Type(26, 25, PRIMARY)),
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
