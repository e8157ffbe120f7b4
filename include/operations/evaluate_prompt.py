"""Ask a model about labelled rows as a night does, and put on record what that was worth.

The same limits, budgets, claims, journal and inference keys: what a night has asked is not asked again, nor is what an
evaluation has. The run stands under `evals_<use case>`, where no page takes it for a night; nothing is delivered.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from include.database import transaction
from include.errors import ConfigurationError, SystemUnavailable
from include.ledger import audit, door
from include.ledger.audit import Answer, Pins
from include.ledger.closing import close_run
from include.ledger.control import read_control, with_prompt
from include.ledger.evaluations import (
    Call,
    Evaluation,
    RowVerdict,
    calls_of,
    ended_before,
    last_prompt,
    record_evaluation,
)
from include.ledger.orphans import abandon_orphans
from include.ledger.record import open_run
from include.models import Interval, Mode, Record, ReInfer, RunKey, RunOptions
from include.night.enrich.answering import Answering, prepare
from include.night.enrich.asking import Settled
from include.night.enrich.dispatch import OVER_CEILING, SWITCHED_OFF
from include.night.enrich.journal import Ended
from include.night.enrich.local import Deciding
from include.night.enrich.questions import Item, make_item, pin
from include.operations.evaluate_gate import Counted, Paired, Ruling, rule
from include.operations.evaluate_labels import Label, Labels
from include.operations.evaluate_scores import Scores, Told, score
from include.personal import tokenise_all
from include.privacy.tokens import restore
from include.run import Night
from include.settings import Settings
from include.spec.agent import refuse_agent
from include.spec.classes import hold_to_classes
from include.spec.prompt import Prompt, differences, read_prompt
from include.spec.prompt_lock import open_registry
from include.spec.use_case import UseCase
from include.systems.connections import Connections
from include.systems.registry import read_systems

log = logging.getLogger(__name__)
_LEFT = ("unavailable", "deferred")
"""Endings that say nothing about the prompt: the row was not asked to the end."""
_OF_ANOTHER_TIME = ("model", "parameters", "inputs", "output", "owner", "data")
"""What a version may state otherwise than today's spec, when it is only tried: it was written for another day's."""


@dataclass
class Trying(Answering):
    """Asks as a night does, but buries no row and lets no rule answer: what is measured is the model."""

    endings: dict[str, str] = field(default_factory=dict)

    def end(self, settled: Settled) -> Ended:
        """Keep how the question ended; on record it stays open until the evaluation is."""
        key = settled.question.item.inference_key
        self.endings[key] = settled.ending
        if settled.ending in _LEFT:
            self.why_deferred = settled.detail
        return Ended(key)


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


@dataclass(frozen=True, slots=True)
class Asked:
    """A version and model that were asked, not judged yet."""

    night: Night
    prompt: Prompt
    pins: Pins
    labels: Labels
    told: Sequence[Told]
    scores: Scores
    calls: int
    cost: Decimal

    @property
    def counted(self) -> Counted:
        """What the gate looks at."""
        found = self.scores
        return Counted(found.right.of, found.right.hits, found.schema_failures, found.must_not_broken)


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
        _ask(_open(connections, settings, ledger, case, against, labels, None), against, labels) if against else None
    )
    held = _record(before, "compared") if before else None
    asked = _ask(_open(connections, settings, ledger, case, prompt, labels, model), prompt, labels)
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


def _open(
    connections: Connections,
    settings: Settings,
    ledger: Any,
    case: UseCase,
    prompt: Prompt,
    labels: Labels,
    model: str | None,
) -> Night:
    """The run: the unfinished one of today (UTC) on these labels if there is one, else a new one."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    today = Interval(midnight, midnight + timedelta(days=1))
    asked = model or case.model_name
    options = RunOptions(mode=Mode.SHADOW, re_infer=ReInfer.FAILED, model=asked)
    versions = "/".join(one[:12] for one in (labels.sha256, prompt.hash, case.contract_hash))
    key = RunKey(f"evals_{case.name}", today, f"evaluate/{versions}/{asked}")
    run_id = open_run(ledger, key, case, options, prompt=prompt.as_mapping(), git_sha=settings.git_sha)
    abandon_orphans(ledger, key.use_case)
    return Night(case, today, run_id, options, ledger, connections, settings)


def _ask(night: Night, prompt: Prompt, labels: Labels) -> Asked:
    """Let the engine decide and ask about the rest, as `enrich` does; returns what is on record for every row."""
    hold_to_classes(night.case, read_systems(night.settings.systems_file))
    system = night.system(night.case.asked.system)
    pins = pin(night, prompt, system)
    rows = [_row(label, labels.name) for label in labels.rows]
    decided = _decide(night, rows)
    items = {at: make_item(night, pins, row) for at, row in enumerate(rows) if at not in decided}
    ended = ended_before(night.ledger, {item.inference_key for item in items.values()})
    endpoint = night.connections.open("model", system.connection)
    trying = Trying(**vars(prepare(night, system, endpoint, prompt, pins, len(items))))
    trying.ask(item for item in items.values() if item.inference_key not in ended)
    ended |= trying.endings
    answers = audit.find_answers(night.ledger, night, {item.inference_key for item in items.values()})
    left = [
        item
        for item in items.values()
        if item.inference_key not in answers and ended.get(item.inference_key, "deferred") in _LEFT
    ]
    if left:
        _give_up(night, trying, len(left), len(rows))
    told = list(_tell(night, labels, rows, items, decided, answers, ended))
    schema = night.case.module("output").Output.model_json_schema()
    return Asked(night, prompt, pins, labels, told, score(told, schema), trying.asked["calls"], trying.spent)


def _row(label: Label, name: str) -> Record:
    """A labelled row as a night stages one; no record of the business has its key."""
    lineage = json.dumps({"source": f"{name}:{label.number}"})
    key = f"label-{label.sha256[:16]}"
    return {"row_id": f"{name}/{label.number}", "row_key": key, "lineage": lineage, **label.given}


def _decide(night: Night, rows: Sequence[Record]) -> dict[int, tuple[Item, Answer]]:
    """What the use case's engine decides in the process, if it has one, by the row's place."""
    deciding = Deciding.open(night)
    if deciding is None:
        return {}
    deciding.decide(rows)
    items = [deciding.item(row) for row in rows]
    found = audit.find_answers(night.ledger, night, {item.inference_key for item in items})
    return {at: (item, found[item.inference_key]) for at, item in enumerate(items) if item.inference_key in found}


def _tell(
    night: Night,
    labels: Labels,
    rows: Sequence[Record],
    items: dict[int, Item],
    decided: dict[int, tuple[Item, Answer]],
    answers: dict[str, Answer],
    ended: dict[str, str],
) -> Iterator[Told]:
    """Every row with what is on record for it."""
    calls: dict[str, list[Call]] = {}
    for call in calls_of(night.ledger, {item.inference_key for item in items.values()}):
        calls.setdefault(call.inference_key, []).append(call)
    for at, label in enumerate(labels.rows):
        kept = _as_kept(night, label.expected)
        if at in decided:
            item, answer = decided[at]
            yield Told(label, item.inference_key, with_values(night, rows[at], answer.output), "", kept, by_engine=True)
            continue
        key = items[at].inference_key
        found, mine = answers.get(key), calls.get(key, [])
        of_run = next((one.run_id for one in mine if found and one.inference_id == found.inference_id), None)
        of_run = of_run or (mine[-1].run_id if mine else None)
        mine = [one for one in mine if one.run_id == of_run]
        latency = next((one.latency_ms for one in mine if found and one.inference_id == found.inference_id), None)
        yield Told(
            label,
            key,
            with_values(night, rows[at], found.output) if found else None,
            "" if found else ended[key],
            kept,
            cost=sum((one.cost for one in mine), Decimal(0)),
            latency=latency,
            asked_again=any(one.kind == "re-ask" for one in mine),
        )


def with_values(night: Night, row: Record, output: Record) -> Record:
    """An answer with the row's values in the place of the tokens that the model was shown, as it would be delivered."""
    columns = night.case.tokenise
    if not columns:
        return output
    values = night.hider.values_of({name: row[name] for name in columns}, columns)
    restored: Record = restore(output, values)
    return restored


def _as_kept(night: Night, expected: Record) -> Record:
    plain, secret = night.case.answers_personal, night.settings.token_secret
    return {n: value if n in plain else tokenise_all(value, secret, n) for n, value in expected.items()}


def _give_up(night: Night, trying: Trying, left: int, rows: int) -> None:
    """Close the run without a word on the prompt, and raise what the caller is told."""
    why = trying.why_left()
    with transaction(night.ledger) as connection:
        counts = {"answered": rows - left, "deferred": left}
        close_run(connection, night.run_id, "failed", counts, rows_in=rows, detail=why)
    by_people = trying.why_deferred in (OVER_CEILING, SWITCHED_OFF)
    problem = f"{left} of {rows} labelled rows were not asked ({why}), so nothing is said of the prompt"
    action = "What was answered is on record and not paid again; evaluate once more"
    kind: Any = ConfigurationError if by_people else SystemUnavailable
    raise kind(problem, system="evaluate", about=night.case.name, action=action)


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
    rows = [RowVerdict(one.label.sha256, one.key, one.verdict) for one in asked.told]
    unanswered = sum(one.answer is None for one in asked.told)
    counts = {"answered": len(rows) - unanswered, "not_answered": unanswered}
    with transaction(night.ledger) as connection:
        record_evaluation(connection, night, asked.pins, found, rows)
        close_run(connection, night.run_id, "succeeded", counts, rows_in=len(rows))
    return found.evaluation_id
