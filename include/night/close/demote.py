"""A use case in mode auto goes back to asking people by itself, when its answers or its rows give reason to.

The cause is in the event, in words and by its name.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, text

from include.ledger.control import ITSELF, find_control, measure_agreement, set_control, with_prompt
from include.models import Mode
from include.night.gate.decide import FAULTY
from include.night.write.outbox import CHANGED
from include.run import Night
from include.spec.contradictions import parts_of
from include.spec.prompt import load_prompt
from include.spec.use_case import load

log = logging.getLogger(__name__)
CAUSES = {
    "stopped": "an expectation on its answers stopped a night",
    "overruled": "people overruled too many answers",
    "failed": "too many rows of a night got no answer that can be used",
    "drifted": "what the model sees drifted",
    "answers_drifted": "its answers drifted",
}
"""Every cause there is, in words."""
_OTHERS = ("model_unavailable", "empty_input", CHANGED)
"""Causes of dead letters that say nothing of the answers: nobody was there, nothing was given, somebody was faster."""
_NAMED = 5


class _Cause(NamedTuple):
    name: str
    words: str


def demote(connection: Connection, night: Night, answers: Sequence[str] = ()) -> str | None:
    """Set mode gated where auto is in force and does not hold any more; returns why, or None.

    `answers` says what of the night's answers drifted. Trials, and runs with another model than the use case's, say
    nothing of the use case but what people made of them; a backfill's rows are of another time.
    """
    return _take_back(connection, night, _causes(connection, night, answers))


def demote_overruled(connection: Connection, night: Night) -> str | None:
    """`demote` for what people decided alone: at once, and not when the next night ends.

    What is said of a night that asked with another prompt than the one in use says nothing of that.
    """
    used = with_prompt(load(night.case.name), find_control(connection, night.case.name).prompt)
    if connection.scalar(_PROMPT, {"run": night.run_id}) != load_prompt(used).hash:
        return None
    return _take_back(connection, night, _overruled(connection, night))


def _take_back(connection: Connection, night: Night, causes: Iterator[_Cause]) -> str | None:
    case = night.case
    if (find_control(connection, case.name).mode or case.mode) is not Mode.AUTO:
        return None
    found = next(causes, None)
    if found is None:
        return None
    why = {"cause": found.name, "run_id": night.run_id}
    set_control(connection, case.name, ITSELF, f"back to gated: {found.words}", {"mode": Mode.GATED}, **why)
    log.warning("%s goes back to mode gated: %s", case.name, found.words)
    return found.words


def _causes(connection: Connection, night: Night, answers: Sequence[str]) -> Iterator[_Cause]:
    if connection.scalar(_STOPPED, {"run": night.run_id}) == "answers.stopped":
        yield _Cause("stopped", CAUSES["stopped"])
    yield from _overruled(connection, night)
    if night.only is None and night.options.limit is None and night.model_name == night.case.model_name:
        yield from _failed(connection, night)
        if night.options.backfill is None:
            yield from _drifted(connection, night)
            if answers and not night.case.rollout.answers_may_drift:
                yield _Cause("answers_drifted", f"{CAUSES['answers_drifted']}: {'; '.join(answers)}")


def _overruled(connection: Connection, night: Night) -> Iterator[_Cause]:
    limits = night.case.rollout
    prompt = connection.scalar(_PROMPT, {"run": night.run_id})
    found = measure_agreement(connection, night.case.name, str(prompt), night.model_name, limits.newest)
    overruled = found.decided - found.agreed
    if found.decided >= limits.few and overruled > limits.overruled * found.decided:
        yield _Cause("overruled", f"people overruled {overruled} of {found.decided} answers")


def _failed(connection: Connection, night: Night) -> Iterator[_Cause]:
    limits = night.case.rollout
    rows, failed = connection.execute(
        _FAILED, {"run": night.run_id, "faulty": f"{FAULTY}%", "others": list(_OTHERS)}
    ).one()
    if rows >= limits.few and failed > limits.failed * rows:
        share = f"{failed / rows:.1%}, more than {limits.failed:.1%}"
        yield _Cause("failed", f"{failed:,} of {rows:,} rows got no answer that can be used ({share})")


def _drifted(connection: Connection, night: Night) -> Iterator[_Cause]:
    limits, found = night.case.rollout, connection.execute(_DRIFTED, {"run": night.run_id}).all()
    made_of = {name: parts for one in night.case.transforms for name, parts in one.made_of.items()}
    seen = {part for column in night.case.model_sees for part in parts_of(column, made_of)} | {*night.case.model_sees}
    watched = [one for one in found if one.column_name in limits.watched]
    of_seen = [one for one in found if one.column_name in seen]
    many = limits.drifted is not None and len(of_seen) >= limits.drifted
    if named := watched or (of_seen if many else []):
        signals = [f"{one.signal.replace('_', ' ')} of {one.column_name}" for one in named]
        more = f" and {len(signals) - _NAMED} more" if len(signals) > _NAMED else ""
        yield _Cause("drifted", f"{CAUSES['drifted']}: {', '.join(signals[:_NAMED])}{more}")


_PROMPT = text("SELECT prompt_hash FROM nightledger.run WHERE run_id = :run")
_STOPPED = text("""
SELECT type FROM nightledger.event WHERE stream = :run AND type IN ('answers.stopped', 'answers.completed')
 ORDER BY seq DESC LIMIT 1""")

# What a rule answered after answers that did not fit counts as much as a dead letter.
_FAILED = text("""
SELECT count(*) FILTER (WHERE o.outcome NOT IN ('quarantined', 'deferred')),
       count(*) FILTER (WHERE o.outcome = 'dead_letter'
                          AND split_part(coalesce(o.reason, ''), ':', 1) <> ALL (CAST(:others AS text[]))
                           OR o.outcome = 'rejected' AND o.reason LIKE :faulty
                           OR r.row_id IS NOT NULL AND o.outcome <> 'dead_letter')
  FROM nightledger.outcome o
  LEFT JOIN (SELECT DISTINCT d.row_id FROM nightledger.decision d
               JOIN nightledger.inference i ON i.run_id = d.run_id AND i.inference_key = d.inference_key
               JOIN nightledger.inference_result x ON x.inference_id = i.inference_id
              WHERE d.run_id = :run AND d.origin = 'rule' AND x.outcome IN ('invalid', 'empty', 'refused')) r
    ON r.row_id = o.row_id
 WHERE o.run_id = :run""")

_DRIFTED = text("""
SELECT signal, column_name FROM nightledger.drift_result
 WHERE run_id = :run AND verdict = 'drifted' AND column_name <> ''
   AND recorded_at = (SELECT max(recorded_at) FROM nightledger.drift_result WHERE run_id = :run)
 ORDER BY signal, column_name""")
