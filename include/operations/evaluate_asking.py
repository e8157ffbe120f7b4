"""Labelled rows asked as a night asks: the same limits, budgets, claims, journal and inference keys.

What a night has asked is not asked again, nor is what an evaluation has. The run stands under `evals_<use case>`, where
no page takes it for a night; nothing is delivered.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from include.database import Database, transaction
from include.errors import ConfigurationError, SystemUnavailable
from include.ledger import audit
from include.ledger.audit import Answer, Pins
from include.ledger.closing import close_run
from include.ledger.evaluations import Call, RowVerdict, calls_of, ended_before
from include.ledger.orphans import abandon_orphans
from include.ledger.record import open_run
from include.models import Interval, Mode, Record, ReInfer, RunKey, RunOptions
from include.night.enrich.answering import Answering, prepare
from include.night.enrich.asking import Settled
from include.night.enrich.dispatch import OVER_CEILING, SWITCHED_OFF
from include.night.enrich.journal import Ended
from include.night.enrich.local import Deciding
from include.night.enrich.questions import Item, make_item, pin
from include.operations.evaluate_gate import Counted
from include.operations.evaluate_labels import Label, Labels
from include.operations.evaluate_scores import Scores, Told, score
from include.personal import tokenise_all
from include.privacy.tokens import restore
from include.run import Night
from include.settings import Settings
from include.spec.classes import hold_to_classes
from include.spec.prompt import Prompt
from include.spec.use_case import UseCase
from include.systems.connections import Connections
from include.systems.registry import read_systems

_LEFT = ("unavailable", "deferred")
"""Endings that say nothing about the prompt: the row was not asked to the end."""


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
class Asked:
    """A version and model that were asked, not judged yet."""

    night: Night
    prompt: Prompt
    pins: Pins
    labels: Labels
    told: Sequence[Told]
    scores: Scores
    calls: int
    reused: int
    cost: Decimal

    @property
    def counted(self) -> Counted:
        """What the gate looks at."""
        found = self.scores
        return Counted(found.right.of, found.right.hits, found.schema_failures, found.must_not_broken)


def open_evaluation(
    connections: Connections,
    settings: Settings,
    ledger: Database,
    case: UseCase,
    prompt: Prompt,
    labels: Labels,
    model: str | None = None,
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


def ask_labels(night: Night, prompt: Prompt, labels: Labels) -> Asked:
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
    calls, reused = trying.asked["calls"], trying.counts["planned_reused"]
    return Asked(night, prompt, pins, labels, told, score(told, schema), calls, reused, trying.spent)


def verdicts_of(told: Sequence[Told]) -> list[RowVerdict]:
    """What is kept of rows: hash, question and verdict."""
    return [RowVerdict(one.label.sha256, one.key, one.verdict) for one in told]


def ended_of(told: Sequence[Told]) -> dict[str, int]:
    """How the rows ended, for the run that asked them."""
    unanswered = sum(one.answer is None for one in told)
    return {"answered": len(told) - unanswered, "not_answered": unanswered}


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
        paid = sum((one.cost for one in mine if one.run_id == night.run_id), Decimal(0))
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
            paid=paid,
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
