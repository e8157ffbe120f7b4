"""Why a record has its value: every night a row was part of, newest first, for a page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from include.database import Database, transaction
from include.ledger.explain import Explanation, find_explanations, is_set, rows_of_record
from include.ledger.record import record_event
from include.models import OUTCOMES
from include.pages.reading import reading
from include.personal import scrub
from include.spec.use_case import UseCase, load

MOST = 25
"""Writes, and nights without a write, on the page."""
HIDDEN = "[hidden]"
_VALUES = ("messages", "fields", "before", "after", "output")
"""Facts that are shown as values, each hidden where it has to be."""
_WORDS = ("reason", "reasons", "review_reason", "detail")
"""Facts in words, which earlier versions kept with whatever stood in them."""
_NAMES = {str(key): name for key, name in OUTCOMES.items()} | {"set_aside": "set aside, no input of the night"}


@dataclass(frozen=True, slots=True)
class Change:
    """One field at the destination: what it held (None: it was not read), and what it holds since."""

    name: str
    before: str | None
    after: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One night of a row; `facts` are the ledger's columns by name, None for one that does not fit its outcome.

    `ended` is the outcome in words. `output` and `asked` are what the model, the rule or a person said, and the
    messages that the model was shown; `asked` is empty until somebody looks.
    """

    ended: str
    outcome: str
    at: datetime
    run_id: str
    facts: Mapping[str, Any]
    changes: tuple[Change, ...]
    output: Mapping[str, str]
    asked: tuple[tuple[str, str], ...]

    @property
    def attempt(self) -> str:
        """Which attempt of the night it was; a run's id ends with it."""
        return self.run_id.rpartition("-")[2]

    @property
    def is_set(self) -> bool:
        """Whether the record held these values once the write had ended."""
        return is_set(self.facts)

    @property
    def undo(self) -> str:
        """What would have to be written to undo the write, in a sentence; empty where nothing was written."""
        if self.facts.get("write_status") != "written":
            return ""
        if self.facts.get("undone_by"):
            return f"Nothing: write {self.facts['undone_by']} has taken it back"
        if any(one.before is None for one in self.changes):
            return "What the fields held before is not on record, so it cannot be put back"
        put_back = [f"{one.name} to {one.before}" for one in self.changes if one.before != one.after]
        return f"Set {', '.join(put_back)}" if put_back else "Nothing: every field held the same before"


@dataclass(frozen=True, slots=True)
class RowPage:
    """What is known of a row; `key` is its row key, `asked` what was searched, `target` the records' system and object.

    `others` are rows that were written to the record with the id that was searched. `more` says that older nights are
    not on the page. `clear` says that the page shows what the model was shown, and personal values.
    """

    asked: str
    key: str
    target: str
    entries: tuple[Entry, ...]
    others: tuple[str, ...]
    more: bool
    clear: bool


def explain_row(ledger: Database, use_case: str, asked: str, *, clear: bool = False) -> RowPage:
    """Every night of the row with that key, else of the row that was written to the record with that id.

    Personal values are hidden by their form, and messages left out, unless `clear`: then see `look_at_row`.
    """
    case = load(use_case)
    with reading(ledger) as connection:
        found = find_explanations(connection, use_case, asked, MOST, MOST)
        found_at = (rows_of_record(connection, use_case, sink.system, sink.object, asked) for sink in case.sinks)
        others = list(dict.fromkeys(key for keys in found_at for key in keys if key != asked))
        key = asked
        if not found and len(others) == 1:
            key = others.pop()
            found = find_explanations(connection, use_case, key, MOST, MOST)
    hidden = frozenset() if clear else hidden_fields(case)
    entries = tuple(_entry(one, hidden, clear) for one in found)
    writes = sum(one.kind == "write" for one in found)
    more = MOST in (writes, len(found) - writes)
    places = " and ".join(f"{sink.system} {sink.object}" for sink in case.sinks)
    return RowPage(
        asked,
        key,
        places,
        entries,
        tuple(others),
        more,
        clear,
    )


def look_at_row(ledger: Database, use_case: str, asked: str, actor: str) -> RowPage:
    """The same with personal values and what the model was shown; event `personal.viewed` is committed before."""
    key = explain_row(ledger, use_case, asked).key
    with transaction(ledger) as connection:
        seen = {"user": actor, "row_key": key, "seen": "explanation"}
        record_event(connection, f"personal/{use_case}", "personal.viewed", seen, actor)
    return explain_row(ledger, use_case, asked, clear=True)


def hidden_fields(case: UseCase) -> frozenset[str]:
    """Fields of an answer that may hold personal values, and those of the destination that they are written to."""
    names = case.answers_personal
    return frozenset(names) | {field for sink in case.sinks for name, field in sink.fields.items() if name in names}


def _entry(one: Explanation, hidden: Collection[str], clear: bool) -> Entry:
    facts = one.facts
    ended = str(facts.get("outcome") or facts.get("write_status") or one.kind)
    output = facts.get("output")
    said = output if isinstance(output, Mapping) else {} if output is None else {"answer": output}
    words = {} if clear else {name: scrubbed(facts.get(name)) for name in _WORDS}
    return Entry(
        ended=_NAMES.get(ended, ended.replace("_", " ")),
        outcome=ended,
        at=one.at,
        run_id=one.run_id,
        facts=defaultdict(lambda: None, {name: facts[name] for name in facts if name not in _VALUES} | words),
        changes=tuple(_changes(facts, hidden, clear)) if one.kind == "write" else (),
        output={str(name): shown(name, value, hidden, clear) for name, value in said.items()},
        asked=tuple(messages_of(facts.get("messages"))) if clear else (),
    )


def _changes(facts: Mapping[str, Any], hidden: Collection[str], clear: bool) -> list[Change]:
    before, after = facts["before"], facts["after"] or facts["fields"]
    return [
        Change(
            name,
            None if before is None else shown(name, before.get(name), hidden, clear),
            shown(name, after.get(name, value), hidden, clear),
        )
        for name, value in facts["fields"].items()
    ]


def messages_of(messages: Any) -> list[tuple[str, str]]:
    """Role and words of what a model was shown, without the instructions."""
    known = [one for one in messages if isinstance(one, Mapping)] if isinstance(messages, list) else []
    return [(str(one.get("role", "?")), str(one.get("content", ""))) for one in known if one.get("role") != "system"]


def shown(name: Any, value: Any, hidden: Collection[str], clear: bool) -> str:
    """A value for the page: hidden as a whole by its field's name, else what in it has the form of a personal value."""
    if name in hidden:
        return HIDDEN
    words = "; ".join(map(str, value)) if isinstance(value, list) else "empty" if value in (None, "") else str(value)
    return words if clear else scrub(words)


def scrubbed(value: Any) -> Any:
    """Words, one or several, with the kind in the place of what has the form of a personal value."""
    if isinstance(value, str):
        return scrub(value)
    return [scrubbed(one) for one in value] if isinstance(value, list) else value
