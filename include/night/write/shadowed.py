"""What mode shadow would have written beside what people have put into the records themselves.

Nothing is written. A value that we wrote is not a person's word, unless a person had decided on it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import text

from include.database import transaction
from include.errors import NightledgerError
from include.ledger.comparisons import (
    Asking,
    Comparison,
    HeldBy,
    Ours,
    Proposal,
    our_writes,
    proposals,
    record_comparisons,
)
from include.ledger.record import record_event
from include.models import Mode, Record
from include.night.addressing import addressed
from include.privacy.tokens import tokens_in
from include.run import Night
from include.spec.closed_lists import has_list
from include.spec.use_case import UseCase
from include.systems.port import Destination, Sink

log = logging.getLogger(__name__)


class _Beside(NamedTuple):
    """One proposal, the record that it is about, and its values by the names of the answer's fields, in its form."""

    proposal: Proposal
    external_id: str
    values: Record


def comparable(case: UseCase) -> Sink | None:
    """The sink whose records are looked at, with the compared fields alone; None where there is nothing to compare.

    Compared are the first sink's fields with a closed list of values, or what the spec says that people keep.
    """
    schema = case.module("output").Output.model_json_schema()
    for sink in case.sinks:
        listed = {field: name for field, name in sink.fields.items() if has_list(schema, field)}
        fields = dict(case.rollout.people_keep) or listed
        if fields and sink.each is None and sink.guard != "append_once":
            return replace(sink, fields=fields)
    return None


def compare_shadowed(night: Night) -> Record | None:
    """Hold what this night and those before it would have written against what the records hold now; counts.

    None where the night is not in mode shadow, or where there is nothing to compare. A destination that cannot be read
    costs the night nothing: the event says so, and the next night looks again.
    """
    sink = comparable(night.case)
    if night.options.mode is not Mode.SHADOW or night.only is not None or night.case.model is None or sink is None:
        return None
    with transaction(night.ledger) as connection:
        asking = Asking(night.case.name, str(connection.scalar(_PROMPT, {"run": night.run_id})), night.model_name)
        given = proposals(connection, night.run_id, asking, night.case.rollout.newest)
    found, problem = list[Comparison](), None
    try:
        found = _compare(night, sink, sink.open(night), given)
    except NightledgerError as error:
        problem = type(error).__name__
        log.warning("what shadow would have written was not compared: %s", error)
    with transaction(night.ledger) as connection:
        new = record_comparisons(connection, night.run_id, asking, sink, found)
        facts: Record = {"looked_at": len(given), "problem": problem}
        for kind in ("person", "version"):
            of_kind = [one for one in new if one.held_by == kind]
            facts[kind] = {"compared": len(of_kind), "agreed": sum(not one.differs for one in of_kind)}
        record_event(connection, night.run_id, "shadow.compared", facts)
    return facts


def _compare(night: Night, sink: Sink, there: Destination, given: Sequence[Proposal]) -> list[Comparison]:
    asked = list(_beside(night, sink, there, given))
    ids = sorted({one.external_id for one in asked})
    current: dict[str, Record] = {}
    for first in range(0, len(ids), there.batch_rows):
        current |= there.read(ids[first : first + there.batch_rows]) or {}
    with transaction(night.ledger) as connection:
        ours = our_writes(connection, sink, list(current))
    return [
        found
        for one in asked
        if (held := current.get(one.external_id))
        and (found := _compared(one, sink.fields, there, held, ours.get(one.external_id, ())))
    ]


def _beside(night: Night, sink: Sink, there: Destination, given: Sequence[Proposal]) -> Iterator[_Beside]:
    for one in given:
        row = {"row_id": one.row_id, "row_key": one.row_key, "origin": one.origin, "output": json.dumps(one.output)}
        for number, values in addressed(sink, night.case.sources, row):
            if not tokens_in(list(values.values())):  # what a token stands for is not known here
                yield _Beside(one, number, there.form(values))


def _compared(
    one: _Beside, fields: Mapping[str, str], there: Destination, held: Record, ours: Sequence[Ours]
) -> Comparison | None:
    """A person's word before that of a version of ours; None where nobody has said anything."""
    by: dict[HeldBy, list[str]] = {"person": [], "version": []}
    for field, name in fields.items():
        if _is_filled(held.get(name)):
            by[_whose(name, there, held, ours)].append(field)
    whose: HeldBy = "person" if by["person"] else "version"
    filled = by[whose]
    differs = [f for f in filled if not there.holds(*_only(fields[f], held, one.values))]
    proposal = one.proposal
    known = (proposal.row_id, proposal.row_key, proposal.decision_id, one.external_id)
    return Comparison(*known, whose, filled, differs) if filled else None


def _whose(name: str, there: Destination, held: Record, ours: Sequence[Ours]) -> HeldBy:
    """Who put the value there: whoever does not write as we do, or decided on what we wrote, is a person."""
    for write in ours:
        if name in write.fields and there.holds(*_only(name, held, write.fields)):
            return "person" if write.by_person else "version"
    return "person"


def _only(name: str, *records: Record) -> list[Record]:
    """One field of each: stamps and other fields say nothing of it."""
    return [{name: record.get(name)} for record in records]


def _is_filled(value: Any) -> bool:
    """Whether somebody has said something; false is what a box says that nobody has ticked."""
    return value is not None and value is not False and bool(str(value).strip())


_PROMPT = text("SELECT prompt_hash FROM nightledger.run WHERE run_id = :run")
