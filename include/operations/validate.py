"""Ask a use case's labelled rows under the conditions that the pipeline makes: missing, cut and drifted values.

They are asked as `evaluate` asks, and each condition is an evaluation on record. It judges nothing: rows that somebody
has spoilt on purpose say how a prompt bears them, not whether a night may use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from include.database import transaction
from include.ledger import door
from include.ledger.closing import close_run
from include.ledger.evaluations import Evaluation, record_evaluation
from include.models import Record
from include.operations.evaluate_asking import Asked, ask_labels, ended_of, open_evaluation, verdicts_of
from include.operations.evaluate_labels import Label, Labels, read_labels
from include.operations.evaluate_scores import Scores, Told, score
from include.personal import tokenise_all
from include.settings import Settings
from include.spec.agent import refuse_agent
from include.spec.engines import output_of
from include.spec.prompt import load_prompt
from include.spec.use_case import UseCase, load
from include.systems.connections import Connections

AS_IT_IS = "as it is"
CUT_CHARS = 12
GROWTH = 10
"""A drifted number is so many times as large."""

Change = Callable[[Record], Record]


@dataclass(frozen=True, slots=True)
class Judged:
    """The rows under one condition: how many were asked, answered, right, and answered otherwise than usual.

    `paid` in US dollars is what they took now; `evaluation_id` is where they are on record.
    """

    condition: str
    asked: int
    answered: int
    right: int
    changed: int
    paid: Decimal
    evaluation_id: UUID

    @property
    def accuracy(self) -> float:
        """Right answers as a share of those asked, 0 to 1."""
        return self.right / self.asked if self.asked else 0.0


@dataclass(frozen=True, slots=True)
class Validated:
    """Every condition, the rows as they are first; `reused` answers were on record; `cost` in US dollars is of now."""

    judged: Sequence[Judged]
    run_id: str
    calls: int
    reused: int
    cost: Decimal


def validate(connections: Connections, settings: Settings, use_case: str, model: str | None = None) -> Validated:
    """Ask all rows of `evals.jsonl` under every condition, and put each condition on record.

    What was answered before is not asked again. Raises ConfigurationError for rows that cannot be read, a use case that
    asks no model and a budget that is used up, SystemUnavailable where the model did not answer: then nothing is said.
    """
    door.require_token_secret(settings)
    case = load(use_case)
    refuse_agent(case.agent, case.name, "reads what is there now: labelled rows have nothing to be read")
    prompt = load_prompt(case)
    fields = list(output_of(use_case).model_json_schema()["properties"])
    labels = read_labels(case.folder / "evals.jsonl", case.model_sees, fields)
    changes = list(conditions(case, labels.rows))
    rows = [replace(one, given=change(one.given)) for _, change in changes for one in labels.rows]
    under = Labels(labels.name, rows)
    night = open_evaluation(connections, settings, door.open_ledger(connections), case, prompt, under, model)
    asked = ask_labels(night, prompt, under)
    return Validated(_record(asked, [name for name, _ in changes]), night.run_id, asked.calls, asked.reused, asked.cost)


def conditions(case: UseCase, rows: Sequence[Label]) -> Iterator[tuple[str, Change]]:
    """Names of conditions with what each does to a row; columns that no row fills make none."""
    yield AS_IT_IS, dict
    for name in case.model_sees:
        if any(one.given.get(name) is not None for one in rows):
            yield f"without {name}", lambda row, name=name: {**row, name: None}  # type: ignore[misc]
    yield f"text cut to {CUT_CHARS} characters", lambda row: {k: _cut(v) for k, v in row.items()}
    yield f"numbers {GROWTH} times as large", lambda row: {k: _grown(v) for k, v in row.items()}


def _cut(value: Any) -> Any:
    return value[:CUT_CHARS] if isinstance(value, str) else value


def _grown(value: Any) -> Any:
    return value * GROWTH if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _record(asked: Asked, names: Sequence[str]) -> list[Judged]:
    """An evaluation for each condition, and the end of their run, in one transaction."""
    night, each = asked.night, len(asked.told) // len(names)
    schema, usual, charged = output_of(night.case.name).model_json_schema(), asked.told[:each], set[str]()
    judged = []
    with transaction(night.ledger) as connection:
        for at, name in enumerate(names):
            told = asked.told[at * each : (at + 1) * each]
            changed, scores = sum(map(_differs, usual, told)), score(told, schema)
            found = _evaluation(asked, name, told, scores, changed, _paid(told, charged))
            record_evaluation(connection, night, asked.pins, found, verdicts_of(told))
            answered = ended_of(told)["answered"]
            judged.append(Judged(name, each, answered, found.correct, changed, found.cost, found.evaluation_id))
        close_run(connection, night.run_id, "succeeded", ended_of(asked.told), rows_in=len(asked.told))
    return judged


def _evaluation(
    asked: Asked, condition: str, told: Sequence[Told], scores: Scores, changed: int, paid: Decimal
) -> Evaluation:
    kept = {**scores.as_json(), "answered_otherwise": changed}
    return Evaluation(
        labels_sha256=Labels(asked.labels.name, [one.label for one in told]).sha256,
        rows=len(told),
        correct=scores.right.hits,
        verdict="compared",
        reasons=(),
        scores=tokenise_all(kept, asked.night.settings.token_secret),
        cost=paid,
        condition=condition,
    )


def _paid(told: Sequence[Told], charged: set[str]) -> Decimal:
    """What this run paid for rows; the same question under a second condition is not charged to that too."""
    new = [one for one in {one.key: one for one in told}.values() if one.key not in charged]
    charged.update(one.key for one in new)
    return sum((one.paid for one in new), Decimal(0))


def _differs(usual: Told, told: Told) -> bool:
    """Whether a row is answered, and otherwise than as it is."""
    if told.answer is None:
        return False
    before, said = usual.answer, told.answer
    return before is None or any(said.get(name) != before.get(name) for name in usual.label.expected)
