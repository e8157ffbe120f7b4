"""How good prompts and models are on labelled rows: what counts now, side by side, under conditions, over time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from include.database import Database
from include.errors import ConfigurationError
from include.ledger.control import Control, find_control, with_prompt
from include.ledger.evaluations import Standing, newest
from include.ledger.evaluations_found import (
    Found,
    compare_evaluations,
    count_verdicts,
    find_conditions,
    find_evaluation,
    list_evaluations,
)
from include.night.enrich.evaluated import find_refusal
from include.operations.evaluate_scores import Share
from include.pages.reading import PAGE_ROWS, reading, rows
from include.spec.classes import hold_to_classes
from include.spec.prompt import load_prompt
from include.spec.use_case import UseCase, load
from include.systems.registry import read_systems

COURSE = 40
"""Evaluations that are drawn over time."""


@dataclass(frozen=True, slots=True)
class Part:
    """A field or a slice: its share of right rows, and the macro F1 of a field with a closed list."""

    name: str
    share: Share
    f1: float | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """An evaluation as a page shows it; a figure that its record does not have is None."""

    found: Found

    @property
    def right(self) -> Share:
        """Right rows, with bounds."""
        return Share(self.found.correct, self.found.rows)

    @property
    def f1(self) -> float | None:
        """The mean of macro F1 over fields with a closed list."""
        known = [value for value in self._mapping("macro_f1").values() if isinstance(value, int | float)]
        return sum(known) / len(known) if known else None

    @property
    def fields(self) -> list[Part]:
        """Exact matches by field."""
        f1 = self._mapping("macro_f1")
        return [Part(name, share, f1.get(name)) for name, share in self._shares("fields")]

    @property
    def slices(self) -> list[Part]:
        """Right rows by slice."""
        return [Part(name, share) for name, share in self._shares("slices")]

    @property
    def paired(self) -> Mapping[str, Any]:
        """The test against another version: `lost` and `won` rows, `p`, the `smallest` loss; empty without one."""
        return self._mapping("against")

    @property
    def latency(self) -> Mapping[str, Any]:
        """`p50` and `p95` in milliseconds; empty where nobody was asked."""
        return self._mapping("latency_ms")

    def figure(self, name: str) -> Any:
        """A figure that stands by itself: `calibration_error`, `schema_failures`, `row_cost_usd`, ..."""
        return self.found.scores.get(name)

    def _mapping(self, name: str) -> Mapping[str, Any]:
        found = self.found.scores.get(name)
        return found if isinstance(found, Mapping) else {}

    def _shares(self, name: str) -> Iterator[tuple[str, Share]]:
        for part, said in self._mapping(name).items():
            if isinstance(said, Mapping):
                yield part, Share(int(said.get("hits", 0)), int(said.get("of", 0)))


@dataclass(frozen=True, slots=True)
class Now:
    """What a night that began now would ask with; `refused` says why it would not, and what to do.

    `version` is None where the use case asks no model, or its prompt cannot be read.
    """

    version: str | None
    model: str
    control: Control
    standing: Standing | None
    refused: tuple[ConfigurationError, ...]


@dataclass(frozen=True, slots=True)
class EvaluationsPage:
    """A use case's evaluations; `labels` are the rows that versions and models are held side by side on.

    `course` is oldest first; `older` is where the next page begins.
    """

    use_case: str
    asks: bool
    bar: float
    versions: Sequence[str]
    now: Now
    evaluations: Sequence[Shown]
    course: Sequence[Shown]
    side_by_side: Sequence[Shown]
    labels: str | None
    conditions: Sequence[Shown]
    older: UUID | None


@dataclass(frozen=True, slots=True)
class EvaluationPage:
    """One evaluation, the verdicts of its rows, and whether it is the one that counts for its prompt and model."""

    shown: Shown
    verdicts: Mapping[str, int]
    counts: bool


def show_evaluations(
    ledger: Database, systems_file: Path, use_case: str, before: UUID | None = None, labels: str | None = None
) -> EvaluationsPage:
    """The page of a use case; `before` is the last evaluation of the page before, `labels` a hash of labelled rows."""
    case = load(use_case)
    with reading(ledger) as connection:
        found = list_evaluations(connection, use_case, PAGE_ROWS + 1, before)
        latest = list_evaluations(connection, use_case, COURSE) if before else found[:COURSE]
        now = _now(connection, case, systems_file)
        labels = labels or _usual(connection, now, latest)
        side = compare_evaluations(connection, use_case, labels) if labels else []
        return EvaluationsPage(
            use_case=use_case,
            asks=case.model is not None,
            bar=case.bar,
            versions=sorted(file.name.split(".")[1] for file in case.folder.glob("prompt.v*.md")),
            now=now,
            evaluations=[Shown(one) for one in found[:PAGE_ROWS]],
            course=[Shown(one) for one in reversed(latest)],
            side_by_side=[Shown(one) for one in side],
            labels=labels,
            conditions=[Shown(one) for one in find_conditions(connection, use_case)],
            older=found[PAGE_ROWS - 1].evaluation_id if len(found) > PAGE_ROWS else None,
        )


def _usual(connection: Connection, now: Now, latest: Sequence[Found]) -> str | None:
    """The labelled rows of the evaluation that counts, else of the newest: a few that were tried are no measure."""
    counting = latest and now.standing and find_evaluation(connection, latest[0].use_case, now.standing.evaluation_id)
    if counting:
        return counting.labels_sha256
    return latest[0].labels_sha256 if latest else None


def find_use_case(ledger: Database, evaluation_id: UUID) -> str | None:
    """Whose evaluation it is, or None if there is no such one."""
    with reading(ledger) as connection:
        query = "SELECT use_case FROM nightledger.evaluation WHERE evaluation_id = :id"
        found = rows(connection, query, id=evaluation_id)
    return found[0]["use_case"] if found else None


def show_evaluation(ledger: Database, use_case: str, evaluation_id: UUID) -> EvaluationPage:
    """One evaluation of a use case; raises ConfigurationError if there is none."""
    with reading(ledger) as connection:
        found = find_evaluation(connection, use_case, evaluation_id)
        if found is None:
            raise ConfigurationError("no such evaluation", system="ledger", about=str(evaluation_id))
        standing = newest_of(connection, found)
        counts = standing is not None and standing.evaluation_id == evaluation_id
        return EvaluationPage(Shown(found), count_verdicts(connection, evaluation_id), counts)


def newest_of(connection: Connection, found: Found) -> Standing | None:
    """The evaluation that counts for the prompt and model of this one."""
    return newest(connection, found.use_case, found.prompt_hash, found.model)


def _now(connection: Connection, case: UseCase, systems_file: Path) -> Now:
    control = find_control(connection, case.name)
    if case.model is None:
        return Now(None, case.model_name, control, None, ())
    refused = list[ConfigurationError]()
    try:
        prompt = load_prompt(with_prompt(case, control.prompt))
    except ConfigurationError as error:
        return Now(None, case.model_name, control, None, (error,))
    try:
        hold_to_classes(case, read_systems(systems_file))
    except ConfigurationError as error:
        refused.append(error)
    standing, refusal = find_refusal(connection, case, prompt, case.model_name)
    refused += [refusal] if refusal else []
    return Now(prompt.version, case.model_name, control, standing, tuple(refused))
