"""Rows that nobody is asked about: where a use case has no model, what its engine leaves goes by the failure plan."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel

from include.database import send, transaction
from include.ledger import audit
from include.ledger.audit import Answer, Pins
from include.ledger.record import DeadLetter, bury
from include.models import Origin
from include.night.enrich.answering import CHUNK_ROWS, letter_of, propose, take
from include.night.enrich.questions import Item, group, is_empty
from include.run import Run

UNDECIDED = "nothing in the process could decide it, and no model is asked"
LEFT = "left_undecided"
"""Why such a row is a dead letter."""


def end_unasked(run: Run, pins: Pins, items: Iterable[Item]) -> None:
    """Let the rule propose an answer for each row, or bury it, as `failure_plan.unavailable` says.

    With `deferred` the rows stay open, for an engine that can decide them later.
    """
    planned = run.case.failure_plan.unavailable
    if planned == "deferred":
        return
    output: type[BaseModel] = run.case.module("output").Output
    left = iter(items)
    while chunk := take(left, CHUNK_ROWS):
        proposed, letters = list[Answer](), list[DeadLetter]()
        for same in group(chunk).values():
            answer = None if planned == "dead_letter" or is_empty(same[0]) else propose(run, output, same[0])
            if answer is None:
                letters.append(letter_of(same[0], LEFT, UNDECIDED, 0))
            else:
                proposed.append(Answer(same[0].inference_key, answer, Origin.RULE))
        with transaction(run.ledger) as connection:
            bury(connection, run, "enrich", letters, system="engine")
            if proposed:
                send(connection, [audit.keep_answers(run, pins, proposed)])
