"""How far the nights of a use case may go: stored, changed by people while nights run, each change an event."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from include.database import Database, transaction
from include.errors import ConfigurationError
from include.ledger.comparisons import Asking, Shadowed, measure_shadow
from include.ledger.record import record_event
from include.models import Mode, RunOptions
from include.spec.use_case import UseCase

_FURTHER = (Mode.SHADOW, Mode.GATED, Mode.AUTO)
"""The modes, from the one that goes least far."""
ITSELF = "nightledger"
"""Who sets a mode where no person does."""
Z_95 = 1.6449
"""One-sided 95 % of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Control:
    """What people have set for a use case.

    `mode` is the one that its nights have and may not go beyond (None: the spec's); with `off` no model is asked;
    `prompt` is the version that is used instead of the spec's.
    """

    mode: Mode | None = None
    off: bool = False
    prompt: str | None = None
    reason: str = ""
    changed_by: str = ""
    changed_at: datetime | None = None


class Agreement(NamedTuple):
    """How often people agreed with answers of one prompt and model: decided, of them approved as they were.

    `at_least` is the lower end of the share, one-sided 95 %, after Wilson.
    """

    decided: int
    agreed: int
    at_least: float


class Progress(NamedTuple):
    """What is known of a prompt and model: people's decisions on its answers, and what shadow has shown."""

    agreement: Agreement
    shadow: Shadowed


def find_control(connection: Connection, use_case: str) -> Control:
    """What is set for a use case; nothing if nobody has set anything."""
    row = connection.execute(_FIND, {"use_case": use_case}).mappings().first()
    if row is None:
        return Control()
    return Control(**{**row, "mode": Mode(row["mode"]) if row["mode"] else None})


def read_control(ledger: Database, use_case: str) -> Control:
    """`find_control` in a transaction of its own."""
    with transaction(ledger) as connection:
        return find_control(connection, use_case)


def is_off(connection: Connection, use_case: str) -> bool:
    """Whether nobody is to be asked for this use case now."""
    return bool(connection.scalar(_OFF, {"use_case": use_case}))


def change_control(ledger: Database, case: UseCase, actor: str, reason: str, changes: Mapping[str, Any]) -> Control:
    """Set some of `mode`, `off` and `prompt`, with the reason; returns what is set now.

    Raises ConfigurationError without a reason, for mode auto of a use case that may never go out alone, and for a
    prompt version that does not exist.
    """
    if not reason.strip():
        raise ConfigurationError("needs a reason, which is kept", about=case.name)
    if changes.get("mode") is Mode.AUTO and case.never_alone:
        raise ConfigurationError(f"can never be auto: {case.never_alone}", about=case.name)
    if (version := changes.get("prompt")) and not (case.folder / f"prompt.{version}.md").is_file():
        raise ConfigurationError(f"has no prompt.{version}.md", about=case.name, action="Name a version that is there")
    with transaction(ledger) as connection:
        return set_control(connection, case.name, actor, reason.strip(), changes)


def set_control(
    connection: Connection, use_case: str, actor: str, reason: str, changes: Mapping[str, Any], **why: str
) -> Control:
    """`change_control` in the caller's transaction, without its checks; `why` goes into the event."""
    connection.execute(_LOCK, {"name": f"control/{use_case}"})
    now = replace(find_control(connection, use_case), **changes)
    facts = {"mode": now.mode.value if now.mode else None, "off": now.off, "prompt": now.prompt}
    connection.execute(_SET, {**facts, "reason": reason, "use_case": use_case, "actor": actor})
    said = {**facts, "reason": reason, **why}
    record_event(connection, f"control/{use_case}", "control.changed", said, actor)
    return find_control(connection, use_case)


def as_controlled(options: RunOptions, control: Control, never_alone: str | None = None) -> RunOptions:
    """A run's options as far as people let it go: without a mode of its own the one that is set, else at most that.

    What may never go out alone is at most gated, whatever is set, declared or asked for.
    """
    most = Mode.GATED if never_alone else Mode.AUTO
    wanted = control.mode if options.follows and control.mode else options.mode
    return replace(options, mode=min(wanted, control.mode or most, most, key=_FURTHER.index))


def with_prompt(case: UseCase, version: str | None) -> UseCase:
    """The use case with another of its prompt versions; as it is where that file does not exist."""
    if case.model is None or not version:
        return case
    file = f"prompt.v{version.removeprefix('v')}.md"
    if file == case.model.prompt or not (case.folder / file).is_file():
        return case
    return replace(case, model=replace(case.model, prompt=file))


def measure_agreement(connection: Connection, use_case: str, prompt_hash: str, model: str, most: int) -> Agreement:
    """People's newest decisions on answers of this prompt and model, at most so many.

    Time-outs are nobody's, and what the fallback rule answered is no merit of the prompt.
    """
    given = {"use_case": use_case, "prompt_hash": prompt_hash, "model": model, "most": most}
    decided, agreed = connection.execute(_AGREED, given).one()
    return Agreement(int(decided), int(agreed), lower_bound(int(agreed), int(decided)))


def measure_progress(connection: Connection, case: UseCase, prompt_hash: str) -> Progress:
    """What nights in mode shadow and people's decisions say of a prompt with the use case's model."""
    asking, most = Asking(case.name, prompt_hash, case.model_name), case.rollout.newest
    return Progress(measure_agreement(connection, *asking, most), measure_shadow(connection, asking, most))


def propose_mode(case: UseCase, mode: Mode, found: Progress) -> Mode | None:
    """The mode after this one, where people agreed often enough for it; a person sets it."""
    if mode is Mode.SHADOW and not falls_short(case, found.shadow):
        return Mode.GATED
    wanted, agreement = case.rollout, found.agreement
    ready = agreement.decided >= wanted.decided and agreement.at_least >= wanted.agreement
    return Mode.AUTO if ready and mode is Mode.GATED and not case.never_alone else None


def falls_short(case: UseCase, found: Shadowed) -> str:
    """What shadow has not shown yet for mode gated to be proposed, in words; empty where it has."""
    wanted, bound = case.rollout, lower_bound(found.people.agreed, found.people.compared)
    if found.nights < wanted.nights:
        return f"{wanted.nights - found.nights} more nights in mode shadow"
    if found.people.compared < wanted.compared:
        return f"{wanted.compared - found.people.compared:,} more records that people have filled in"
    return f"an agreement of {wanted.alike:.0%}" if bound < wanted.alike else ""


def lower_bound(good: int, of: int, z: float = Z_95) -> float:
    """The lower end of a share, one-sided; E. B. Wilson, JASA 22 (1927) 209-212. 0 for none."""
    if of == 0:
        return 0.0
    share = good / of
    middle = share + z * z / (2 * of)
    spread = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(0.0, (middle - spread) / (1 + z * z / of))


_FIND = text(
    "SELECT mode, off, prompt, reason, changed_by, changed_at FROM nightledger.control WHERE use_case = :use_case"
)
_OFF = text("SELECT off FROM nightledger.control WHERE use_case = :use_case")
_LOCK = text("SELECT pg_advisory_xact_lock(hashtext(:name))")
_SET = text("""
INSERT INTO nightledger.control (use_case, mode, off, prompt, reason, changed_by)
VALUES (:use_case, :mode, :off, :prompt, :reason, :actor)
    ON CONFLICT (use_case) DO UPDATE SET mode = excluded.mode, off = excluded.off, prompt = excluded.prompt,
       reason = excluded.reason, changed_by = excluded.changed_by, changed_at = clock_timestamp()""")
_AGREED = text("""
SELECT count(*), count(*) FILTER (WHERE status = 'approved') FROM (
    SELECT v.status FROM nightledger.review_item v JOIN nightledger.run r ON r.run_id = v.run_id
     WHERE v.use_case = :use_case AND v.status IN ('approved', 'edited', 'rejected')
       AND r.prompt_hash = :prompt_hash AND r.model = :model AND v.shown ->> 'origin' IS DISTINCT FROM 'rule'
     ORDER BY v.decided_at DESC LIMIT :most) newest""")
