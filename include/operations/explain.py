"""A record explained whole: who set its fields, what was asked and decided for it, where the row came from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as field_of
from typing import Any

from sqlalchemy import Connection, text

from include.errors import ConfigurationError
from include.ledger.explain import Explanation, find_explanations
from include.ledger.explain_record import (
    Link,
    Target,
    Written,
    chain,
    evidence,
    fields_of,
    find_writes,
    last_set,
    tries,
)
from include.models import Record
from include.privacy.tokens import without_people
from include.spec.names import names
from include.spec.use_case import UseCase, load
from include.systems.port import Sink

OTHERS = "a use case that is not yours to see"
MOST_ROWS, MOST_NIGHTS = 3, 5
"""Rows of a record whose nights without a write are told, the newest, and how many of each."""
_HIDDEN = "[hidden]"


@dataclass(frozen=True, slots=True)
class Explained:
    """What the ledger has on a record; `chains` are the steps of each field, oldest first, the asked one alone if any.

    `known` are fields that were ever written, also where another one was asked for. `facts` are all that is on record
    of write `number` (the one that set the value, unless another was asked for), by the columns of view
    `explained_field`, and `calls` every call for its answer. `nights` are those that met the record's rows and wrote
    nothing, with their use cases. `others` is how many writes are of use cases that the asker may not see: their values
    are hidden. `exact` has the steps with whatever a field held, to be compared and not to be shown.
    """

    target: Target
    field: str | None
    chains: Mapping[str, Sequence[Link]]
    known: Sequence[str]
    number: int | None
    facts: Record | None
    calls: Sequence[Mapping[str, Any]]
    nights: Sequence[tuple[str, Explanation]]
    others: int
    exact: Mapping[str, Sequence[Link]] = field_of(repr=False, default_factory=dict)

    @property
    def last(self) -> Link | None:
        """The step that the explained write is of the asked field, or of its first."""
        steps = [one for links in self.chains.values() for one in links]
        return next((one for one in steps if one.write.number == self.number and one.step != "changed"), None)


def explain_record(
    connection: Connection, target: Target, field: str | None, readable: Collection[str], number: int | None = None
) -> Explained:
    """Everything on record of a record's field, or of all its fields, for somebody who may see `readable` use cases.

    Raises ConfigurationError for a write that is not one of the record's, or not theirs to see.
    """
    every = find_writes(connection, target)
    known = fields_of([one for one in every if one.use_case in readable])
    writes = find_writes(connection, target, field) if field else every
    seen = [one for one in writes if one.use_case in readable]
    if not seen:
        writes = []  # what others have written there is not told to whom nothing of it belongs
    wanted = [field] if field else known
    exact = {name: _without_others(chain(writes, name), readable) for name in wanted}
    exact = {name: links for name, links in exact.items() if links}
    free = {name for name in {one.use_case for one in writes} & set(names()) if load(name).tokenise}
    chains = {name: _plain(links, free) for name, links in exact.items()}
    chosen = _choose(seen, chains, number)
    facts = evidence(connection, chosen) if chosen else None
    calls = tries(connection, facts) if facts and facts["decision_id"] else []
    nights = _nights(connection, target, [one for one in every if one.use_case in readable], readable)
    others = len(writes) - len(seen)
    return Explained(target, field, chains, known, chosen, facts, [dict(o) for o in calls], nights, others, exact)


def targets(use_cases: Collection[str]) -> list[tuple[str, str]]:
    """System and object of every destination that these use cases write to."""
    return sorted({(sink.system, sink.object) for name in use_cases for sink in load(name).sinks})


def cases_of(target: Target, readable: Collection[str]) -> list[UseCase]:
    """The use cases here that write to such records."""
    known = (load(name) for name in names() if name in readable)
    return [case for case in known if sinks_of(case, target)]


def sinks_of(case: UseCase, target: Target) -> list[Sink]:
    """The sinks of a use case that write to such records."""
    return [one for one in case.sinks if (one.system, one.object) == (target.system, target.object)]


def _choose(seen: Sequence[Written], chains: Mapping[str, Sequence[Link]], number: int | None) -> int | None:
    """The write that is told in full: the asked one, else the one that set the newest value, else the newest."""
    if number is not None:
        if number not in {one.number for one in seen}:
            raise ConfigurationError("no such write to this record", system="ledger", about=str(number))
        return number
    ours = {one.number for one in seen}
    set_by = [one for one in map(last_set, _ours_only(chains, ours)) if one]
    if set_by:
        return max(set_by, key=lambda one: (one.at, one.write.number)).write.number
    tried = [one.write for links in chains.values() for one in links if one.write.number in ours]
    return max(tried, key=lambda one: (one.at, one.number)).number if tried else None


def _ours_only(chains: Mapping[str, Sequence[Link]], ours: Collection[int]) -> list[list[Link]]:
    return [[one for one in links if one.step != "changed" and one.write.number in ours] for links in chains.values()]


def _without_others(links: Sequence[Link], readable: Collection[str]) -> list[Link]:
    """The steps, without the values that belong to use cases which are not theirs to see."""
    mixed = any(one.write.use_case not in readable for one in links)
    return [
        replace(one, before=_HIDDEN, after=_HIDDEN, by=OTHERS)
        if one.write.use_case not in readable
        else replace(one, before=_HIDDEN)
        if mixed and one.step == "changed"
        else one
        for one in links
    ]


def _plain(links: Sequence[Link], free: Collection[str]) -> list[Link]:
    """The steps, without people where a use case writes texts of theirs: what a field held before has no tokens."""
    return [
        replace(one, before=without_people(one.before), after=without_people(one.after))
        if one.write.use_case in free
        else one
        for one in links
    ]


def _nights(
    connection: Connection, target: Target, seen: Sequence[Written], readable: Collection[str]
) -> list[tuple[str, Explanation]]:
    rows = dict.fromkeys((one.use_case, one.row_key) for one in reversed(seen))
    rows |= dict.fromkeys(_rows_by_id(connection, target, readable))
    found = [
        (case, night)
        for case, key in list(rows)[:MOST_ROWS]
        for night in find_explanations(connection, case, key, writes=0, others=MOST_NIGHTS)
    ]
    return sorted(found, key=lambda one: one[1].at, reverse=True)


def _rows_by_id(connection: Connection, target: Target, readable: Collection[str]) -> list[tuple[str, str]]:
    """Rows that would write to the record, by its id: it is their key, or their id at their source."""
    rows = list[tuple[str, str]]()
    for case in cases_of(target, readable):
        own = target.id.partition("/")[0]
        for sink in sinks_of(case, target):
            wanted = own if sink.each else target.id
            if sink.target == "key":
                rows.append((case.name, wanted))
                continue
            ids = [f"{one.system}/{one.object}/{wanted}" for one in case.sources]
            rows += [(case.name, key) for key in connection.scalars(text(_KEYS), {"ids": ids, "use_case": case.name})]
    return rows


_KEYS = """
SELECT DISTINCT row_key FROM nightledger.decision WHERE row_id = ANY (:ids) AND use_case = :use_case LIMIT 5"""
