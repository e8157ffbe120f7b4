"""Records made or changed by a property whose values are unique.

https://developers.hubspot.com/docs/api-reference/legacy/crm/objects/contacts/batch/upsert-contacts. One refused value
refuses the whole batch, unless every input has an `objectWriteTraceId` of its own: then the others are written, and the
answer is 207 (https://developers.hubspot.com/docs/api-reference/error-handling, "Multi-status errors": promised for
creating in batches).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from include.demo.sandbox.crm.errors import invalid_input, invalid_request, invalid_values
from include.demo.sandbox.crm.objects import Reply, inputs_of, values_of
from include.demo.sandbox.crm.properties import Invalid, check, iso
from include.demo.sandbox.crm.store import Store
from include.demo.sandbox.crm.unique import as_key, find_by, require_unique


def upsert_batch(store: Store, kind: str, body: Any, now_millis: int) -> Reply:
    """Make or change up to 100 records; each result says whether its record is `new`."""
    inputs = inputs_of(body)
    name = _id_property(kind, inputs)
    keys = [as_key(name, one.get("id")) for one in inputs]
    if repeated := [key for key, count in Counter(keys).items() if count > 1]:
        raise invalid_request(f"Duplicate IDs found in batch input: [{', '.join(repeated)}]. IDs must be unique")
    every = [{name: one["id"], **values_of(one)} for one in inputs]
    problems = [_problems(kind, values) for values in every]
    traces = [str(one.get("objectWriteTraceId") or "") for one in inputs]
    if any(problems) and not (all(traces) and len(set(traces)) == len(traces)):
        raise invalid_values([each for found in problems for each in found])
    good = [at for at, found in enumerate(problems) if not found]
    known = find_by(store, kind, name, {keys[at] for at in good})
    new = [at for at in good if keys[at] not in known]
    store.update(kind, [(known[keys[at]], every[at]) for at in good if keys[at] in known])
    made = dict(zip(new, store.create(kind, [every[at] for at in new]), strict=True)) if new else {}
    results = [
        {
            **(made.get(at) or known[keys[at]]).to_json([*every[at]]),
            "new": at in made,
            **({"objectWriteTraceId": traces[at]} if traces[at] else {}),
        }
        for at in good
    ]
    errors = [invalid_input(traces[at], found) for at, found in enumerate(problems) if found]
    times = {"startedAt": iso(now_millis), "completedAt": iso(now_millis)}
    reply: dict[str, Any] = {"status": "COMPLETE", "results": results, **times}
    return (207, {**reply, "numErrors": len(errors), "errors": errors}) if errors else (200, reply)


def _id_property(kind: str, inputs: Sequence[Mapping[str, Any]]) -> str:
    names = {one.get("idProperty") for one in inputs}
    if len(names) != 1 or not isinstance(name := names.pop(), str) or not all(one.get("id") for one in inputs):
        raise invalid_request("Every input needs `id` and the same `idProperty`")
    require_unique(kind, name)
    return name


def _problems(kind: str, values: Mapping[str, Any]) -> list[Invalid]:
    checked = (check(kind, name, value) for name, value in values.items())
    return [problem for problem in checked if problem is not None]
