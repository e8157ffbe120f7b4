"""Why a record has its values, from system, object and id alone, for whoever may see the use cases that write to it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from include.database import Database, transaction
from include.errors import ConfigurationError
from include.ledger.explain_record import Link, Target, last_set
from include.ledger.record import record_event
from include.operations.explain import Explained, cases_of, explain_record, targets
from include.operations.explain_outside import HeldNow, StagedRow, held_now, open_for_reading, staged_row
from include.pages.explain import hidden_fields, messages_of, scrubbed, shown
from include.pages.reading import reading
from include.settings import Settings
from include.spec.names import names
from include.spec.use_case import load
from include.systems.connections import Connections

_VALUES = ("messages", "before", "value", "wanted", "left_as", "output", "tries")
_WORDS = ("write_error", "outcome_reason", "comment", "rule")
Hidden = Mapping[str, Collection[str]]
"""By use case, the fields that are hidden as a whole."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a field's value, as `ledger.explain_record.Link` has it; `before` is None where it was not read.

    `write` is the number of the write, 0 where it is not theirs to see. `undone_by` is the write that took it back.
    """

    step: str
    at: datetime
    since: datetime | None
    before: str | None
    after: str
    by: str
    write: int
    use_case: str
    error: str
    undone_by: int | None


@dataclass(frozen=True, slots=True)
class Story:
    """How a field came to its value; `now` is what it holds at this moment (None: not read), `ours` whose that is.

    `last` is the step that set it, None where none is known to have.
    """

    field: str
    steps: tuple[Step, ...]
    last: Step | None
    now: str | None
    ours: str


@dataclass(frozen=True, slots=True)
class Call:
    """One call for an answer, by the columns of function `tries`; `asked` are its messages, once somebody looks."""

    facts: Mapping[str, Any]
    asked: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Write:
    """One write told in full; `facts` are the columns of view `explained_field` that are no values."""

    number: int
    use_case: str
    row_key: str
    facts: Mapping[str, Any]
    output: Mapping[str, str]
    calls: tuple[Call, ...]
    staged: StagedRow


@dataclass(frozen=True, slots=True)
class NightOfRow:
    """A night that met one of the record's rows and wrote nothing to it, and why."""

    at: datetime
    use_case: str
    run_id: str
    row_key: str
    ended: str
    why: str


@dataclass(frozen=True, slots=True)
class RecordPage:
    """What is known of a record; `others` is how many writes belong to use cases that are not theirs to see.

    `now` says whether the record was read, `problem` why that could not be done, `missing` that there is none. `known`
    are the fields that were ever written. `clear` says that the page shows what the model was shown.
    """

    target: Target
    field: str
    known: tuple[str, ...]
    stories: tuple[Story, ...]
    write: Write | None
    nights: tuple[NightOfRow, ...]
    others: int
    now: bool = False
    problem: str = ""
    missing: bool = False
    clear: bool = False


def places(readable: Collection[str]) -> list[tuple[str, str]]:
    """System and object of every destination that the use cases which may be seen here write to."""
    return targets([name for name in names() if name in readable])


def show_record(
    ledger: Database,
    target: Target,
    field: str,
    readable: Collection[str],
    settings: Settings,
    *,
    number: int | None = None,
    connections: Connections | None = None,
    clear: bool = False,
) -> RecordPage:
    """Who set a record's fields and why; `number` is a write to be told in full instead of the last.

    With `connections` it also reads what the record holds now. Personal values are hidden, and messages left out,
    unless `clear`: then see `look_at_write`. Raises ConfigurationError for a write that is not one of the record's.
    """
    with reading(ledger) as connection:
        found = explain_record(connection, target, field or None, readable, number)
    staged = StagedRow()
    if found.facts and found.facts["use_case"] in names():
        facts, case = found.facts, load(found.facts["use_case"])
        staged = staged_row(ledger, case, facts["run_id"], facts["row_id"], settings.token_secret)
    now = None
    if connections is not None:
        cases = cases_of(target, readable)
        now = held_now(found, {case.name: open_for_reading(case, ledger, connections, settings) for case in cases})
    return _page(found, staged, now, clear)


def look_at_write(
    ledger: Database, target: Target, field: str, readable: Collection[str], settings: Settings, number: int, actor: str
) -> RecordPage:
    """The same with what the model was shown; event `personal.viewed` is committed before."""
    use_case, row_key = whose_write(ledger, target, number, readable)
    with transaction(ledger) as connection:
        seen = {"user": actor, "row_key": row_key, "seen": "explanation"}
        record_event(connection, f"personal/{use_case}", "personal.viewed", seen, actor)
    return show_record(ledger, target, field, readable, settings, number=number, clear=True)


def whose_write(ledger: Database, target: Target, number: int, readable: Collection[str]) -> tuple[str, str]:
    """Use case and row key of a write to a record; raises ConfigurationError where it is none, or not theirs to see."""
    with reading(ledger) as connection:
        found = explain_record(connection, target, None, readable, number)
    if found.facts is None:
        raise ConfigurationError("no such write to this record", system="ledger", about=str(number))
    return found.facts["use_case"], found.facts["row_key"]


def _page(found: Explained, staged: StagedRow, now: HeldNow | None, clear: bool) -> RecordPage:
    mine = found.facts["use_case"] if found.facts and clear else ""
    read = now or HeldNow()
    fields = list(dict.fromkeys([*found.chains, *(read.values if found.field else ())]))
    hidden = {name: hidden_fields(load(name)) for name in _cases(found) if name in names()}
    return RecordPage(
        target=found.target,
        field=found.field or "",
        known=tuple(found.known),
        stories=tuple(_story(name, found, now, mine, hidden) for name in fields),
        write=_write(found, staged, clear),
        nights=tuple(_nights(found)),
        others=found.others,
        now=now is not None and not read.problem,
        problem=read.problem,
        missing=read.missing,
        clear=clear,
    )


def _story(name: str, found: Explained, now: HeldNow | None, mine: str, hidden: Hidden) -> Story:
    chain = found.chains.get(name, ())
    exact = found.exact.get(name, ())
    links = [whole if one.write.use_case == mine else one for one, whole in zip(chain, exact, strict=True)]
    steps = tuple(_step(name, one, hidden, one.write.use_case == mine) for one in links)
    last = last_set(links)
    value = _text(name, now.values[name], hidden.values(), False) if now and name in now.values else None
    ours = now.ours.get(name, "unknown") if now else ""
    return Story(name, steps, steps[links.index(last)] if last else None, value, ours)


def _step(name: str, one: Link, hidden: Hidden, clear: bool) -> Step:
    whose, changed = [hidden.get(one.write.use_case, frozenset())], one.step == "changed"
    return Step(
        step=one.step,
        at=one.at,
        since=one.since,
        before=_text(name, one.before, whose, clear) if one.before_read else None,
        after=_text(name, one.after, whose, clear),
        by=one.by,
        write=one.write.number,
        use_case=one.write.use_case,
        error=scrubbed(one.write.error or ""),
        undone_by=None if changed else one.write.undone_by,
    )


def _cases(found: Explained) -> list[str]:
    return list({one.write.use_case for links in found.chains.values() for one in links})


def _text(name: str, value: Any, hidden: Iterable[Collection[str]], clear: bool) -> str:
    """A value for the page; hidden as a whole where one of its use cases declares it personal."""
    return shown(name, value, frozenset[str]() if clear else frozenset().union(*hidden), clear)


def _write(found: Explained, staged: StagedRow, clear: bool) -> Write | None:
    facts = found.facts
    if facts is None or found.number is None:
        return None
    case = load(facts["use_case"]) if facts["use_case"] in names() else None
    hidden = hidden_fields(case) if case and not clear else frozenset()
    kept = {name: scrubbed(v) if name in _WORDS else v for name, v in facts.items() if name not in _VALUES}
    output = facts["output"]
    said = output if isinstance(output, Mapping) else {} if output is None else {"answer": output}
    return Write(
        number=found.number,
        use_case=facts["use_case"],
        row_key=facts["row_key"],
        facts=defaultdict(lambda: None, kept),
        output={str(name): shown(name, value, hidden, clear) for name, value in said.items()},
        calls=tuple(_call(one, clear) for one in found.calls),
        staged=staged,
    )


def _call(one: Mapping[str, Any], clear: bool) -> Call:
    kept = {name: v for name, v in one.items() if name not in ("messages", "raw_text")}
    kept["detail"] = scrubbed(one["detail"])
    return Call(kept, tuple(messages_of(one["messages"])) if clear else ())


def _nights(found: Explained) -> list[NightOfRow]:
    told = []
    for case, one in found.nights:
        facts = one.facts
        why = "; ".join(facts.get("reasons") or ()) or facts.get("review_reason") or facts.get("reason") or ""
        told.append(NightOfRow(one.at, case, one.run_id, one.row_key, one.kind.replace("_", " "), scrubbed(why)))
    return told
