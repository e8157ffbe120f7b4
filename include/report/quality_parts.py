"""What the data-quality report says, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from include.night.check.drift import DriftFact
from include.night.check.signals import Signal
from include.report.sections import Rows


@dataclass(frozen=True, slots=True)
class QualityRun:
    """The run that the report is about."""

    run_id: str
    use_case: str
    interval_start: datetime
    interval_end: datetime
    attempt: int
    status: str
    detail: str | None
    code_version: str
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Brought:
    """Rows of one night, and how many of them were set aside for what they failed."""

    run_id: str
    start: datetime
    rows: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class Point:
    """One night of an expectation; `failing_share` is 0 to 1, None where it could not run."""

    run_id: str
    start: datetime
    failing: int
    failing_share: float | None
    success: bool


@dataclass(frozen=True, slots=True)
class Held:
    """One expectation of the run, with its trend over the trailing nights (this one last).

    `needed` is the share of rows that must pass, None for an expectation about the table. `examples` are row ids.
    `states` counts the rows that it set aside by what became of them.
    """

    id: str
    stage: str
    type: str
    columns: tuple[str, ...]
    severity: str
    meaning: str
    unit: str
    handling: str
    success: bool
    could_not_run: str | None
    checked: int
    failing: int
    needed: float | None
    observed: str | None
    examples: tuple[str, ...]
    states: Mapping[str, int]
    trend: tuple[Point, ...]

    @property
    def pass_share(self) -> float | None:
        """Rows that pass as a share of those checked, 0 to 1; None without any, and for a verdict on the table."""
        unknown = self.could_not_run or not self.checked or self.needed is None
        return None if unknown else 1 - self.failing / self.checked


@dataclass(frozen=True, slots=True)
class Compared:
    """Shares of rows, tonight and usually, by bin or value: what a drifted column looked like."""

    signal: Signal
    column: str
    unit: str
    labels: tuple[str, ...]
    tonight: tuple[float, ...]
    usual: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Course:
    """A drifted figure night by night, this one last; `low` and `high` bound what counts as steady tonight."""

    signal: Signal
    column: str
    unit: str
    nights: tuple[datetime, ...]
    values: tuple[float, ...]
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class WorstColumn:
    """A column by what is wrong with it tonight; a row that fails two expectations on it counts twice."""

    name: str
    failing: int
    expectations: tuple[str, ...]
    null_share: float | None
    drifted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """Rows set aside for one reason; `expectation` is empty for what could not be read."""

    reason: str
    expectation: str
    owner: str
    stage: str
    states: Mapping[str, int]

    @property
    def rows(self) -> int:
        """Rows in whatever state."""
        return sum(self.states.values())


@dataclass(frozen=True, slots=True)
class OwnerLoad:
    """Rows of the run that one owner can mend at the source, by state; `owner` is empty where none is named."""

    owner: str
    states: Mapping[str, int]

    @property
    def rows(self) -> int:
        """Rows in whatever state."""
        return sum(self.states.values())


@dataclass(frozen=True, slots=True)
class FailureSet:
    """A dataset that holds every failing row of the expectations of one stage: where it is, and its rows."""

    dataset: str
    uri: str
    rows: int


@dataclass(frozen=True, slots=True)
class QualityFacts:
    """Everything the data-quality report shows; what the run did not get to is empty."""

    run: QualityRun
    rows: Rows
    rejected_lines: int
    nights: tuple[Brought, ...]
    expectations: tuple[Held, ...]
    drift: tuple[DriftFact, ...]
    drawings: tuple[Compared | Course, ...]
    worst: tuple[WorstColumn, ...]
    reasons: tuple[Reason, ...]
    owners: tuple[OwnerLoad, ...]
    failures: tuple[FailureSet, ...]

    @property
    def drifted(self) -> tuple[DriftFact, ...]:
        """The signals that drifted."""
        return tuple(one for one in self.drift if one.verdict == "drifted")
