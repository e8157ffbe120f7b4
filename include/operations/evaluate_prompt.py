"""A prompt and a model on labelled rows: asked as a night asks, judged, and put on record."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal
from uuid import UUID

from include.database import transaction
from include.errors import ConfigurationError
from include.ledger import door
from include.ledger.closing import close_run
from include.ledger.control import read_control, with_prompt
from include.ledger.evaluations import (
    Evaluation,
    last_prompt,
    record_evaluation,
)
from include.operations.evaluate_asking import Asked, ask_labels, ended_of, open_evaluation, verdicts_of
from include.operations.evaluate_gate import Paired, Ruling, rule
from include.operations.evaluate_labels import Labels
from include.operations.evaluate_scores import Scores, Told
from include.personal import tokenise_all
from include.settings import Settings
from include.spec.agent import refuse_agent
from include.spec.prompt import Prompt, differences, read_prompt
from include.spec.prompt_lock import open_registry
from include.spec.use_case import UseCase
from include.systems.connections import Connections

log = logging.getLogger(__name__)
_OF_ANOTHER_TIME = ("model", "parameters", "inputs", "output", "owner", "data")
"""What a version may state otherwise than today's spec, when it is only tried: it was written for another day's."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One version and model on labelled rows: the figures, what the gate says, and how it compares.

    `calls` and `cost` (US dollars) are what it took now; `evaluation_id` is where it is on record. `against` is the
    version that it was held against, if any.
    """

    prompt: Prompt
    model: str
    labels: Labels
    run_id: str
    evaluation_id: UUID
    told: Sequence[Told]
    scores: Scores
    ruling: Ruling
    calls: int
    cost: Decimal
    paired: Paired | None = None
    against: str = ""


def find_prompt(case: UseCase, version: str | None) -> Prompt:
    """A version among the use case's files, by default the one that the spec pins.

    Raises ConfigurationError listing those that there are.
    """
    if version is None:
        return read_prompt(case.prompt_file)
    files = open_registry(case.name, case.folder).files
    number = version.removeprefix("v")
    if not number.isdigit() or int(number) not in files:
        known = ", ".join(f"v{one}" for one in files) or "none"
        raise ConfigurationError(f"no version {version}; there are: {known}", system="prompts", about=case.name)
    return read_prompt(files[int(number)])


def find_in_use(connections: Connections, case: UseCase, prompt: Prompt, model: str | None) -> Prompt | None:
    """The version that another one is to be held against: the one that nights use, by the spec or by what people set.

    For that one itself it is what the last night asked with. None where that is the same, or no file has it any more.
    """
    ledger = door.open_ledger(connections)
    used = find_prompt(with_prompt(case, read_control(ledger, case.name).prompt), None)
    if (prompt.hash, model or case.model_name) != (used.hash, case.model_name):
        return used
    asked = last_prompt(ledger, case.name)
    files = (read_prompt(path) for path in open_registry(case.name, case.folder).files.values())
    return next((one for one in files if one.hash == asked != prompt.hash), None)


def evaluate_prompt(
    connections: Connections,
    settings: Settings,
    case: UseCase,
    prompt: Prompt,
    labels: Labels,
    *,
    model: str | None = None,
    against: Prompt | None = None,
    judged: bool = True,
) -> Evaluated:
    """Ask about all labelled rows, judge and record; with `against`, that version is asked too and held against it.

    `judged=False` records the figures only, and no night is held to them. Raises ConfigurationError where the prompt
    does not fit the use case or a budget is used up, SystemUnavailable where the model did not answer: then nothing is
    said of the prompt, and what was answered is not paid again.
    """
    refuse_agent(case.agent, case.name, "reads what is there now: labelled rows have nothing to be read")
    door.require_token_secret(settings)
    for one in (prompt, *([against] if against else [])):
        _check(one, case)
    ledger = door.open_ledger(connections)
    before = (
        ask_labels(open_evaluation(connections, settings, ledger, case, against, labels, None), against, labels)
        if against
        else None
    )
    held = _record(before, "compared") if before else None
    asked = ask_labels(open_evaluation(connections, settings, ledger, case, prompt, labels, model), prompt, labels)
    paired = _pair(before, asked) if before else None
    ruling = rule(asked.counted, case.bar, paired)
    kept = _record(asked, ruling.word if judged else "compared", ruling.reasons, paired, held)
    calls, cost = asked.calls + (before.calls if before else 0), asked.cost + (before.cost if before else Decimal(0))
    return Evaluated(
        prompt,
        asked.pins.model,
        labels,
        asked.night.run_id,
        kept,
        asked.told,
        asked.scores,
        ruling,
        calls,
        cost,
        paired,
        against.version if against else "",
    )


def _check(prompt: Prompt, case: UseCase) -> None:
    """Raise ConfigurationError where a prompt is another use case's or its template cannot show these rows."""
    choice = replace(case.asked, prompt=f"prompt.{prompt.version}.md")
    for where, problem in differences(prompt, case, choice):
        if where not in _OF_ANOTHER_TIME:
            raise ConfigurationError(f"{where}: {problem}", system="prompt", about=f"{case.name} {prompt.version}")
        log.info("%s %s, %s: %s", case.name, prompt.version, where, problem)


def _pair(before: Asked, now: Asked) -> Paired:
    """How the same rows fared with two versions."""
    pairs = [(a.verdict == "right", b.verdict == "right") for a, b in zip(before.told, now.told, strict=True)]
    return Paired(len(pairs), pairs.count((True, False)), pairs.count((False, True)))


def _record(
    asked: Asked,
    word: Literal["passed", "failed", "too_few", "compared"],
    reasons: Sequence[str] = (),
    paired: Paired | None = None,
    against: UUID | None = None,
) -> UUID:
    """Put the evaluation on record and close its run, in one transaction; returns its id."""
    night, scores = asked.night, asked.scores.as_json()
    if paired is not None:
        scores["against"] = {"lost": paired.lost, "won": paired.won, "p": paired.p_value, "smallest": paired.smallest}
    found = Evaluation(
        labels_sha256=asked.labels.sha256,
        rows=asked.counted.rows,
        correct=asked.counted.correct,
        verdict=word,
        reasons=reasons,
        scores=tokenise_all(scores, night.settings.token_secret),
        cost=asked.cost,
        against=against,
    )
    with transaction(night.ledger) as connection:
        record_evaluation(connection, night, asked.pins, found, verdicts_of(asked.told))
        close_run(connection, night.run_id, "succeeded", ended_of(asked.told), rows_in=len(asked.told))
    return found.evaluation_id
