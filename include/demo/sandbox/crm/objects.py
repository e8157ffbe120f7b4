"""The object routes without their HTTP: what is read and written, and what is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from include.demo.sandbox.crm.errors import invalid_request, invalid_values, missing_objects, not_found
from include.demo.sandbox.crm.properties import check, iso
from include.demo.sandbox.crm.search import asked_properties
from include.demo.sandbox.crm.store import Item, Store
from include.demo.sandbox.crm.unique import as_key, find_by

MAX_BATCH = 100
MAX_PAGE = 100

Reply = tuple[int, dict[str, Any]]


def read_one(store: Store, kind: str, number: str, properties: Sequence[str] | None) -> Reply:
    """One record; raises CrmError 404 if it does not exist."""
    item = store.find(kind, number)
    if item is None:
        raise not_found()
    return 200, item.to_json(properties)


def read_page(store: Store, kind: str, after: str, limit: str, properties: Sequence[str] | None) -> Reply:
    """Records by ascending id; the cursor is the id of the next record, so that it does not shift."""
    if not (after.isdigit() and limit.isdigit() and 1 <= int(limit) <= MAX_PAGE):
        raise invalid_request(f"after must be a cursor and limit between 1 and {MAX_PAGE}")
    size = int(limit)
    found = store.page(kind, int(after), size + 1)
    page: dict[str, Any] = {"results": [item.to_json(properties) for item in found[:size]]}
    if len(found) > size:
        cursor = str(found[size].number)
        link = f"/crm/v3/objects/{kind}?limit={size}&after={cursor}"
        page["paging"] = {"next": {"after": cursor, "link": link}}
    return 200, page


def read_batch(store: Store, kind: str, body: Any, now_millis: int) -> Reply:
    """Up to 100 records by id, or by `idProperty`; 207 with `errors` if some do not exist."""
    ids = [str(each.get("id")) for each in inputs_of(body)]
    names = asked_properties(body)
    if body.get("idProperty"):
        name = str(body["idProperty"])
        known = find_by(store, kind, name, {as_key(name, each) for each in ids})
        found = {number: known.get(as_key(name, number)) for number in dict.fromkeys(ids)}
    else:
        found = {number: store.find(kind, number) for number in dict.fromkeys(ids)}
    results = [item.to_json(names) for item in found.values() if item is not None]
    return _batch_reply(kind, results, [number for number, item in found.items() if item is None], now_millis)


def update_one(store: Store, kind: str, number: str, body: Any) -> Reply:
    """Write one record; raises CrmError 404 or 400, and then nothing is written."""
    values = values_of(body)
    item = store.find(kind, number)
    if item is None:
        raise not_found()
    _refuse_invalid(kind, [values])
    store.update(kind, [(item, values)])
    return 200, item.to_json(list(values))


def update_batch(store: Store, kind: str, body: Any, now_millis: int) -> Reply:
    """Write up to 100 records: one refused value refuses the whole batch, a missing record only itself (207)."""
    inputs = inputs_of(body)
    ids = [str(each.get("id")) for each in inputs]
    if repeated := [number for number, count in Counter(ids).items() if count > 1]:
        raise invalid_request(f"Duplicate IDs found in batch input: [{', '.join(repeated)}]. IDs must be unique")
    values = [values_of(each) for each in inputs]
    _refuse_invalid(kind, values)
    found = [(store.find(kind, number), each) for number, each in zip(ids, values, strict=True)]
    present: list[tuple[Item, Mapping[str, Any]]] = [(item, each) for item, each in found if item is not None]
    store.update(kind, present)
    missing = [number for number, (item, _) in zip(ids, found, strict=True) if item is None]
    return _batch_reply(kind, [item.to_json(list(each)) for item, each in present], missing, now_millis)


def _batch_reply(kind: str, results: list[dict[str, Any]], missing: list[str], now_millis: int) -> Reply:
    body: dict[str, Any] = {
        "status": "COMPLETE",
        "results": results,
        "startedAt": iso(now_millis),
        "completedAt": iso(now_millis),
    }
    if not missing:
        return 200, body
    return 207, {**body, "numErrors": 1, "errors": [missing_objects(kind, missing)]}


def inputs_of(body: Any) -> list[dict[str, Any]]:
    """The inputs of a batch; raises CrmError 400 for what is no batch of 1 to 100 objects."""
    inputs = body.get("inputs") if isinstance(body, dict) else None
    if not isinstance(inputs, list) or not all(isinstance(each, dict) for each in inputs):
        raise invalid_request("Invalid input JSON: `inputs` must be a list of objects")
    if not 1 <= len(inputs) <= MAX_BATCH:
        raise invalid_request(f"The number of inputs must be between 1 and {MAX_BATCH}, was {len(inputs)}")
    return inputs


def values_of(body: Any) -> Mapping[str, Any]:
    """The properties of an input; raises CrmError 400 if it has none."""
    values = body.get("properties") if isinstance(body, dict) else None
    if not isinstance(values, dict):
        raise invalid_request("Invalid input JSON: `properties` must be an object")
    return values


def _refuse_invalid(kind: str, every: Sequence[Mapping[str, Any]]) -> None:
    checked = (check(kind, name, value) for values in every for name, value in values.items())
    if problems := [problem for problem in checked if problem is not None]:
        raise invalid_values(problems)
