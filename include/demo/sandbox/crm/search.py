"""Search as in https://developers.hubspot.com/docs/api/crm/search: filter groups, one sort, a cursor, 10,000 hits."""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from include.demo.sandbox.crm.errors import invalid_request
from include.demo.sandbox.crm.properties import MODIFIED, PROPERTIES, millis, number
from include.demo.sandbox.crm.store import Item, Store

MAX_PAGE = 100
MAX_HITS = 10_000
MAX_GROUPS, MAX_FILTERS_PER_GROUP, MAX_FILTERS = 5, 6, 18

Test = Callable[[Item], bool]
Key = Callable[[Item], Any]
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "EQ": lambda found, wanted: bool(found == wanted),
    "NEQ": lambda found, wanted: bool(found != wanted),
    "LT": lambda found, wanted: bool(found < wanted),
    "LTE": lambda found, wanted: bool(found <= wanted),
    "GT": lambda found, wanted: bool(found > wanted),
    "GTE": lambda found, wanted: bool(found >= wanted),
}

_BOUNDS: Mapping[str, Callable[[Sequence[int], Any], int]] = {
    "GT": bisect_right,
    "GTE": bisect_left,
    "LT": bisect_left,
    "LTE": bisect_right,
}


def search(store: Store, kind: str, body: Any) -> dict[str, Any]:
    """One page of hits; raises CrmError 400 for anything HubSpot refuses, such as paging past 10,000 hits."""
    if not isinstance(body, dict):
        raise invalid_request("Invalid input JSON")
    limit, after = _whole(body.get("limit", 10), "limit"), _whole(body.get("after") or 0, "after")
    if not 1 <= limit <= MAX_PAGE:
        raise invalid_request(f"limit must be between 1 and {MAX_PAGE}, was {limit}")
    if after + limit > MAX_HITS:
        raise invalid_request(f"There was a problem with the request. Search results are limited to {MAX_HITS} in all.")
    names = asked_properties(body)
    groups, sorts = body.get("filterGroups") or [], body.get("sorts") or []
    test, (key, descending) = _groups(kind, groups), _sort(kind, sorts)
    if key is None or (_sorts_by_id(sorts) and not descending):
        total, found = _by_id(store, kind, groups, after, limit)
    else:
        hits = sorted((item for item in store.items(kind) if test(item)), key=key, reverse=descending)
        total, found = len(hits), hits[after : after + limit]
    page: dict[str, Any] = {"total": total, "results": [item.to_json(names) for item in found]}
    if after + limit < total:
        page["paging"] = {"next": {"after": str(after + limit)}}
    return page


def _by_id(store: Store, kind: str, groups: Sequence[Any], after: int, limit: int) -> tuple[int, list[Item]]:
    """Number of hits and one page of them, by ascending id; a bound on the id of a single group is looked up."""
    bounds: list[Any] = []
    if len(groups) == 1:
        filters = groups[0].get("filters") or []
        bounds = [one for one in filters if one["propertyName"] == "hs_object_id" and one["operator"] in _BOUNDS]
        groups = [{"filters": [one for one in filters if one not in bounds]}]
    numbers = store.matching(kind, json.dumps(groups, sort_keys=True), _groups(kind, groups))
    first, last = 0, len(numbers)
    for one in bounds:
        at = _BOUNDS[one["operator"]](numbers, _value(kind, "hs_object_id", one["value"]))
        first, last = (max(first, at), last) if one["operator"].startswith("G") else (first, min(last, at))
    start = first + after
    return max(last - first, 0), store.get(kind, numbers[start : min(start + limit, last)])


def _sorts_by_id(sorts: Sequence[Any]) -> bool:
    return (sorts[0] if isinstance(sorts[0], str) else sorts[0].get("propertyName")) == "hs_object_id"


def asked_properties(body: Mapping[str, Any]) -> list[str] | None:
    """The property names of a request, None if it names none; raises CrmError 400 if they are no list of texts."""
    names = body.get("properties")
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise invalid_request("properties must be a list of names")
    return names


def _groups(kind: str, groups: Any) -> Test:
    """True for a record that passes every filter of at least one group."""
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        raise invalid_request("filterGroups must be a list of objects")
    filters = [group.get("filters") or [] for group in groups]
    if not all(isinstance(each, list) for each in filters):
        raise invalid_request("filters must be a list of objects")
    sizes = [len(each) for each in filters]
    if len(groups) > MAX_GROUPS or sum(sizes) > MAX_FILTERS or max(sizes, default=0) > MAX_FILTERS_PER_GROUP:
        raise invalid_request(
            f"Too many filters: at most {MAX_GROUPS} groups of {MAX_FILTERS_PER_GROUP}, {MAX_FILTERS} in all"
        )
    compiled = [[_filter(kind, one) for one in each] for each in filters]
    if not compiled:
        return lambda item: True
    if len(compiled) == 1:
        only = compiled[0]
        return lambda item: all(test(item) for test in only)
    return lambda item: any(all(test(item) for test in tests) for tests in compiled)


def _filter(kind: str, wanted: Any) -> Test:
    name, operator = _named(kind, wanted), str(wanted.get("operator"))
    key = _key(kind, name)
    if operator == "HAS_PROPERTY":
        return lambda item: key(item) is not None
    if operator == "NOT_HAS_PROPERTY":
        return lambda item: key(item) is None
    if operator in ("IN", "NOT_IN"):
        values = wanted.get("values")
        if not isinstance(values, list) or not values:
            raise invalid_request(f"operator {operator} requires a list of values")
        options, inside = {_value(kind, name, value) for value in values}, operator == "IN"
        return lambda item: (found := key(item)) is not None and (found in options) == inside
    if operator == "BETWEEN":
        low, high = _value(kind, name, wanted.get("value")), _value(kind, name, wanted.get("highValue"))
        return lambda item: (found := key(item)) is not None and low <= found <= high
    if operator not in _COMPARE:
        raise invalid_request(f"Invalid operator for {name}: {operator}")
    compare, value = _COMPARE[operator], _value(kind, name, wanted.get("value"))
    return lambda item: (found := key(item)) is not None and compare(found, value)


def _named(kind: str, wanted: Any) -> str:
    name = wanted.get("propertyName") if isinstance(wanted, dict) else None
    if not isinstance(name, str) or name not in PROPERTIES[kind]:
        raise invalid_request(f"There was a problem with the request: no property named {name} on {kind}")
    return name


def _sort(kind: str, sorts: Any) -> tuple[Key | None, bool]:
    """Key and direction; records without a value come last either way."""
    if not isinstance(sorts, list) or len(sorts) > 1:
        raise invalid_request("Only one sort is allowed")
    if not sorts:
        return None, False
    wanted = {"propertyName": sorts[0]} if isinstance(sorts[0], str) else sorts[0]
    key, descending = _key(kind, _named(kind, wanted)), str(wanted.get("direction", "ASCENDING")) == "DESCENDING"
    present, absent = (1, 0) if descending else (0, 1)
    return (lambda item: (absent,) if (found := key(item)) is None else (present, found)), descending


def _key(kind: str, name: str) -> Key:
    """A record's value in comparable form, or None if it has none that can be compared."""
    if name == MODIFIED[kind]:
        return lambda item: item.modified
    if name == "createdate":
        return lambda item: item.created
    if name == "hs_object_id":
        return lambda item: item.number
    convert = _converter(kind, name)
    return lambda item: None if (text := item.values.get(name)) is None else convert(text)


def _converter(kind: str, name: str) -> Callable[[str], Any]:
    converters: Mapping[str, Callable[[str], Any]] = {"number": number, "datetime": millis}
    return converters.get(PROPERTIES[kind][name].kind, str.lower)


def _value(kind: str, name: str, value: Any) -> Any:
    """A filter's value in the same comparable form; raises CrmError 400 if it has the wrong type."""
    text = "" if value is None else str(value)
    found = _converter(kind, name)(text)
    if found is None or not text:
        raise invalid_request(f"There was a problem with the request: {value!r} is no valid value for {name}")
    return found


def _whole(value: Any, name: str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise invalid_request(f"{name} must be a whole number") from error
