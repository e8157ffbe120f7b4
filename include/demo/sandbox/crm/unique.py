"""Records named by a property whose values are unique, instead of by their id."""

from __future__ import annotations

from typing import Any

from include.demo.sandbox.crm.errors import not_unique
from include.demo.sandbox.crm.properties import PROPERTIES
from include.demo.sandbox.crm.store import Item, Store

LOWERED = "email"
"""The property that is compared in lower case."""


def find_by(store: Store, kind: str, name: str, keys: set[str]) -> dict[str, Item]:
    """Records by the value of a unique property; raises CrmError 400 for one that is not unique."""
    require_unique(kind, name)
    held = ((as_key(name, item.get(name)), item) for item in store.items(kind))
    return {key: item for key, item in held if key in keys}


def require_unique(kind: str, name: str) -> None:
    """Raise CrmError 400 for a property by which no record is named."""
    found = PROPERTIES[kind].get(name)
    if found is None or not (found.unique or (kind, name) == ("contacts", LOWERED)):
        raise not_unique(kind, name)


def as_key(name: str, value: Any) -> str:
    """A value as it is compared."""
    text = "" if value is None else str(value)
    return text.lower() if name == LOWERED else text
