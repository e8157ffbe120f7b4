"""Why does this field of this record have its value: asked by system, object and id, whichever use case wrote it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, RowMapping, text

from include.models import Record
from include.privacy.tokens import token_places

MOST_WRITES = 100
"""Writes of a record that are looked at, the newest."""
SOMEBODY = "somebody else"
Step = Literal["written", "found", "left", "not taken", "unknown", "changed"]


class Target(NamedTuple):
    """A record at a destination."""

    system: str
    object: str
    id: str

    def __str__(self) -> str:
        return f"{self.system} {self.object} {self.id}"


@dataclass(frozen=True, slots=True)
class Written:
    """One write to a record; `number` is its place in the outbox, `at` when it ended.

    `status` is the outbox's. `before` is None where nothing was there or nothing can be read, `after` where the
    destination was not heard. `undoes` is the write that it takes back, `undone_by` the one that took it back.
    """

    number: int
    use_case: str
    run_id: str
    row_id: str
    row_key: str
    at: datetime
    interval_start: datetime
    interval_end: datetime
    status: str
    error: str | None
    fields: Record
    before: Record | None
    after: Record | None
    decided_by: str | None
    rule: str | None
    undoes: int | None
    undone_by: int | None


@dataclass(frozen=True, slots=True)
class Link:
    """One step of a field's value: from `before` to `after`, by whom.

    `step` is `written`, `found` (it was so already), `left` (a later night has spoken), `not taken` (the write failed),
    `unknown` (it may have arrived) or `changed`: between two of our looks somebody else has set it, from `since` to
    `at`, and `write` is the one that noticed. `before` is known only if `before_read`.
    """

    field: str
    step: Step
    at: datetime
    before: Any
    after: Any
    before_read: bool
    by: str
    write: Written
    since: datetime | None = None


def find_writes(connection: Connection, target: Target, field: str | None = None) -> list[Written]:
    """The newest 100 writes of a record, or those of a field of it, oldest first; empty where nothing was ever sent."""
    given = {**target._asdict(), "field": field, "most": MOST_WRITES}
    found = connection.execute(text(_WRITES.format(narrow="AND o.fields ? :field" if field else "")), given)
    rows = found.mappings().all()
    undone = {row["undoes"]: row["number"] for row in rows if row["undoes"] and row["status"] == "written"}
    writes = (
        Written(**row, undone_by=undone.get(row["number"])) for row in rows
    )  # an undo is younger: it is among them
    return sorted(writes, key=lambda one: (one.at, one.number))


def fields_of(writes: Sequence[Written]) -> list[str]:
    """The fields that these writes were about, in the order that the newest names them."""
    return list(dict.fromkeys(name for one in reversed(writes) for name in one.fields))


def chain(writes: Sequence[Written], field: str) -> list[Link]:
    """What became of a field's value, oldest first; what somebody else did is told by what our writes found there."""
    links = list[Link]()
    held = _Held()
    for one in (one for one in writes if field in one.fields):
        read = one.before is not None and field in one.before
        found = (one.before or {}).get(field)
        if read and held.at is not None and not held.explains(found):
            links.append(Link(field, "changed", one.at, held.value, found, True, SOMEBODY, one, held.at))
        links.append(_link(one, field, found, read))
        held.follow(links[-1])
    return links


def last_set(links: Sequence[Link]) -> Link | None:
    """The step that set the value which the field was last known to have.

    A write that only found it so has set it where nothing else is known to have; None where nothing is known at all.
    """
    known = [one for one in links if one.step in ("written", "changed", "found")]
    return next((one for one in reversed(known) if one.step != "found"), known[0] if known else None)


def same_value(ours: Any, theirs: Any) -> bool:
    """Whether a value at the destination is the one on record; where that has tokens, whatever they stood for fits."""
    if ours == theirs or (ours in (None, "") and theirs in (None, "")):
        return True
    if not isinstance(ours, str) or not isinstance(theirs, str):
        return str(ours) == str(theirs) if isinstance(ours, int | float | str) and theirs is not None else False
    places = token_places(ours)
    if not places:
        return False
    ends = [0, *(end for _, end in places)]
    starts = [*(start for start, _ in places), len(ours)]
    pattern = ".+?".join(re.escape(ours[end:start]) for end, start in zip(ends, starts, strict=True))
    return re.fullmatch(pattern, theirs, re.DOTALL) is not None


class _Held:
    """What a field is known to hold while its writes go by; `maybe` are values of writes that may have arrived."""

    def __init__(self) -> None:
        self.at: datetime | None = None
        self.value: Any = None
        self.maybe: list[Any] = []

    def explains(self, found: Any) -> bool:
        """Whether what was found is what one of our writes has left."""
        return any(same_value(value, found) for value in (self.value, *self.maybe))

    def follow(self, link: Link) -> None:
        """Take in a step."""
        if link.step == "unknown":
            self.maybe.append(link.after)
        elif link.step in ("written", "found", "changed"):
            self.at, self.value, self.maybe = link.at, link.after, []
        elif link.before_read:
            self.at, self.value, self.maybe = link.at, link.before, []


def _link(one: Written, field: str, found: Any, read: bool) -> Link:
    step = _step(one)
    after = one.fields[field]
    if step == "written":
        after = (one.after or {}).get(field, after)
    elif step != "unknown":
        after = found if read else None
    return Link(field, step, one.at, found, after, read, who(one), one)


def _step(one: Written) -> Step:
    if one.status == "written":
        return "written"
    if one.status == "unchanged":
        return "left" if one.error else "found"
    lost = one.status == "intended" or (one.error or "").startswith("unknown_ending")
    return "unknown" if lost else "not taken"


def who(one: Written) -> str:
    """Who decided on a write, in words."""
    if one.undoes is not None:
        return f"taken back (write {one.undoes})"
    return one.decided_by or "a decision that is not on record"


def evidence(connection: Connection, number: int) -> Record | None:
    """All that is on record of one write, by the columns of view `explained_field`; None if there is no such write."""
    found = connection.execute(text(_EVIDENCE), {"number": number}).mappings().first()
    return None if found is None else dict(found)


def tries(connection: Connection, facts: Mapping[str, Any]) -> list[RowMapping]:
    """Every call for an answer, oldest first, with its messages; `facts` are those of `evidence`, or of a row's night.

    What was asked for another key of the same row, by a model that gave way, is among them.
    """
    given = {
        "key": facts.get("inference_key"),
        "runs": [one for one in (facts.get("asked_by"), facts.get("run_id")) if one],
        "rows": [one for one in (facts.get("asked_row_id"), facts.get("row_id")) if one],
        "until": facts.get("decided_at") or facts.get("at"),
    }
    return list(connection.execute(text(_TRIES), given).mappings())


_WRITES = """
SELECT o.outbox_id AS number, o.use_case, o.run_id, o.row_id, o.row_key, o.updated_at AS at, o.interval_start,
       o.interval_end, o.status, o.error, o.fields, o.before, o.after, d.decided_by, d.rule, o.undo_of AS undoes
  FROM (SELECT * FROM nightledger.outbox o WHERE destination = :system AND object = :object AND external_id = :id
           {narrow} ORDER BY outbox_id DESC LIMIT :most) o
  LEFT JOIN LATERAL (SELECT decided_by, rule FROM nightledger.decision
                      WHERE decision_id = o.decision_id OFFSET 0) d ON true"""

# Without LIMIT, for which the planner would choose to look through whole tables.
_EVIDENCE = "SELECT * FROM nightledger.explained_field WHERE outbox_id = :number"

_TRIES = "SELECT * FROM nightledger.tries(:key, CAST(:runs AS text[]), CAST(:rows AS text[]), :until)"
