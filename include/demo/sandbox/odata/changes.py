"""Insert, update and delete under the rules of conditional requests (protocol 8.2.4, 11.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.demo.sandbox.odata.edm import stored
from include.demo.sandbox.odata.errors import ODataError, bad_request, not_found
from include.demo.sandbox.odata.model import EntitySet
from include.demo.sandbox.odata.store import Entity, Key, Store


def insert(store: Store, within: EntitySet, body: Mapping[str, Any], *, texts: bool) -> Entity:
    """Make an entity; raises ODataError 409 if there is one with its key."""
    _check_writable(within)
    values = _values(within, body, texts=texts)
    lacking = [name for name in within.keys if values.get(name) is None]
    if lacking:
        raise bad_request(f"The property '{lacking[0]}' must not be null")
    if store.find(within.name, store.key_of(within.name, values)):
        raise ODataError(409, "EntityAlreadyExists", "An entity with that key exists")
    return store.put(within, values)


def change(
    store: Store, within: EntitySet, key: Key, body: Mapping[str, Any], match: str | None, *, texts: bool
) -> tuple[Entity, bool]:
    """Change an entity, and whether it was made: without `If-Match` an update of what is not there inserts it."""
    _check_writable(within)
    values = _values(within, body, texts=texts)
    held = store.find(within.name, key)
    if held is None:
        if match is not None:
            raise not_found("The entity")
        return store.put(within, {**dict(zip(within.keys, map(_text, key), strict=True)), **values}), True
    _check_match(within, held, match)
    keys = {name: held.values[name] for name in within.keys}
    if any(values.get(name, keys[name]) != keys[name] for name in keys):
        raise bad_request("A key cannot be changed")
    return store.put(within, {**values, **keys}), False


def delete(store: Store, within: EntitySet, key: Key, match: str | None) -> None:
    """Delete an entity."""
    _check_writable(within)
    held = store.find(within.name, key)
    if held is None:
        raise not_found("The entity")
    _check_match(within, held, match)
    store.remove(within, key)


def _check_writable(within: EntitySet) -> None:
    if not within.writable:
        raise ODataError(405, "MethodNotAllowed", f"{within.name} is read-only", Allow="GET")


def _check_match(within: EntitySet, held: Entity, match: str | None) -> None:
    if match is None and within.needs_etag:
        raise ODataError(428, "PreconditionRequired", "The request must have an If-Match header")
    if match == "*" and within.needs_etag:
        raise ODataError(428, "PreconditionRequired", "If-Match: * is not enough here")
    if match not in (None, "*", held.etag):
        raise ODataError(412, "PreconditionFailed", "The entity was changed by somebody else")


def _values(within: EntitySet, body: Mapping[str, Any], *, texts: bool) -> dict[str, Any]:
    """The body's values as they are stored; what the service computes is left out, as the protocol has it (11.4.3)."""
    values = {}
    for name, value in body.items():
        if name.startswith("@"):
            continue
        prop = within.props.get(name)
        if prop is None:
            raise bad_request(f"The property '{name}' does not exist on type '{within.type}'")
        if not prop.computed:
            values[name] = stored(name, prop, value, texts=texts)
    return values


def _text(value: Any) -> Any:
    return value if isinstance(value, (str, int)) else str(value)
