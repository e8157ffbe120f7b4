"""A collection as it was asked for: filtered, sorted, cut into pages, with the properties that were selected."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Any
from urllib.parse import quote

from include.demo.sandbox.odata.edm import comparable, shown
from include.demo.sandbox.odata.errors import bad_request, not_spoken
from include.demo.sandbox.odata.filters import parse_filter
from include.demo.sandbox.odata.model import EntitySet
from include.demo.sandbox.odata.store import Entity, Store

_OPTIONS = ("$filter", "$select", "$orderby", "$top", "$skip", "$skiptoken", "$expand", "$count")
_EXPANDED = re.compile(r"(\w+)(?:\(\$select=([\w,]+)\))?")
_Order = Sequence[tuple[str, bool]]


@dataclass(frozen=True, slots=True)
class View:
    """Which properties are shown, what is expanded, and whether long numbers are texts."""

    store: Store
    select: Sequence[str]
    expand: Mapping[str, Sequence[str]]
    texts: bool

    @classmethod
    def of(cls, store: Store, within: EntitySet, options: Mapping[str, str], *, texts: bool) -> View:
        """What `$select` and `$expand` ask for; raises ODataError 400 for a name that is not there."""
        expand = _expanded(options.get("$expand", ""), within, store)
        return cls(store, _selected(options.get("$select", ""), within), expand, texts)

    def show(self, within: EntitySet, entity: Entity) -> dict[str, Any]:
        """One entity as JSON with minimal metadata."""
        body: dict[str, Any] = {"@odata.etag": entity.etag}
        for name in self.select:
            body[name] = shown(entity.values.get(name), within.props[name].type, texts=self.texts)
        for name, inner in self.expand.items():
            link = within.links[name]
            other = self.store.model[link.to]
            found = [one for one in self.store.all(link.to) if _linked(entity, one, link.by)]
            listed = [View(self.store, inner, {}, self.texts).show(other, one) for one in found]
            body[name] = listed if link.many else next(iter(listed), None)
        return body


def check_options(options: Mapping[str, str]) -> None:
    """Raise ODataError 501 for a system query option that is not spoken."""
    for name in options:
        if name.startswith("$") and name not in _OPTIONS:
            raise not_spoken(f"query option {name}")


def collection(
    store: Store, within: EntitySet, options: Mapping[str, str], *, most: int, texts: bool
) -> tuple[dict[str, Any], str | None]:
    """The body of one page of at most `most` entities, and the query of the next page if there is one."""
    view = View.of(store, within, options, texts=texts)
    test = parse_filter(options["$filter"], within) if options.get("$filter") else None
    order = _ordered(options.get("$orderby", ""), within)
    hits = [one for one in store.all(within.name) if test is None or test(one.values)]
    hits.sort(key=cmp_to_key(lambda a, b: _compare(_sorted_by(a, order, within), _sorted_by(b, order, within), order)))
    body: dict[str, Any] = {}
    if options.get("$count") == "true":
        body["@odata.count"] = str(len(hits)) if texts else len(hits)
    if "$skiptoken" in options:
        after = _read_token(options["$skiptoken"], order, within)
        hits = [one for one in hits if _compare(_sorted_by(one, order, within), after, order) > 0]
    hits = hits[_number(options, "$skip", 0) :]
    top = _number(options, "$top", len(hits))
    page = hits[: min(top, most)]
    body["value"] = [view.show(within, one) for one in page]
    if len(page) == min(top, len(hits)):
        return body, None
    token = _token(_sorted_by(page[-1], order, within)) if page else ""
    later = {name: value for name, value in options.items() if name not in ("$skip", "$skiptoken", "$top")}
    later |= {"$top": str(top - len(page))} if "$top" in options else {}
    return body, "&".join(f"{name}={quote(value)}" for name, value in {**later, "$skiptoken": token}.items())


def _selected(text: str, within: EntitySet) -> Sequence[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in within.props and name != "*":
            raise bad_request(f"Could not find a property named '{name}' on type '{within.type}'")
    return list(within.props) if not names or "*" in names else names


def _expanded(text: str, within: EntitySet, store: Store) -> Mapping[str, Sequence[str]]:
    found: dict[str, Sequence[str]] = {}
    at = 0
    while at < len(text):
        match = _EXPANDED.match(text, at)
        if match is None or (match.end() < len(text) and text[match.end()] != ","):
            raise not_spoken(f"$expand={text}")
        if match[1] not in within.links:
            raise bad_request(f"Could not find a navigation property named '{match[1]}' on type '{within.type}'")
        found[match[1]] = _selected(match[2] or "", store.model[within.links[match[1]].to])
        at = match.end() + 1
    return found


def _ordered(text: str, within: EntitySet) -> _Order:
    """Properties and whether each descends; the key comes last, so that no two entities are equal."""
    order: list[tuple[str, bool]] = []
    for part in filter(None, text.split(",")):
        name, _, direction = part.strip().partition(" ")
        if name not in within.props or direction not in ("", "asc", "desc"):
            raise bad_request(f"Cannot order by '{part}'")
        order.append((name, direction == "desc"))
    return [*order, *((name, False) for name in within.keys if name not in dict(order))]


def _sorted_by(entity: Entity, order: _Order, within: EntitySet) -> list[Any]:
    return [comparable(entity.values.get(name), within.props[name].type) for name, _ in order]


def _compare(one: Sequence[Any], other: Sequence[Any], order: _Order) -> int:
    """Null comes before every value when ascending."""
    for a, b, (_, descends) in zip(one, other, order, strict=True):
        if a != b:
            less = a is None or (b is not None and a < b)
            return -1 if less != descends else 1
    return 0


def _token(values: Sequence[Any]) -> str:
    written = json.dumps([None if value is None else str(value) for value in values])
    return base64.urlsafe_b64encode(written.encode()).decode().rstrip("=")


def _read_token(text: str, order: _Order, within: EntitySet) -> Sequence[Any]:
    try:
        values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return [comparable(value, within.props[name].type) for value, (name, _) in zip(values, order, strict=True)]
    except (ValueError, TypeError) as error:
        raise bad_request("The skip token is not one of ours") from error


def _number(options: Mapping[str, str], name: str, default: int) -> int:
    text = options.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit():
        raise bad_request(f"{name} must be a whole number of at least 0")
    return int(text)


def _linked(entity: Entity, other: Entity, by: Mapping[str, str]) -> bool:
    return all(entity.values.get(own) == other.values.get(theirs) for own, theirs in by.items())
