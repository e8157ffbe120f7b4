"""The sections of the morning report, as values: counts and names, never a row, a prompt or a personal value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from include.ledger.cause import Cause, Deferred
from include.spec.use_case import NOBODY

DAYS_PER_MONTH = Decimal("30.4")


@dataclass(frozen=True, slots=True)
class Header:
    """The run itself, and the heads of its chain and of stream `ledger`."""

    run_id: str
    use_case: str
    interval_start: datetime
    interval_end: datetime
    attempt: int
    mode: str
    status: str
    detail: str | None
    model: str
    prompt_version: str
    prompt_hash: str
    code_version: str
    git_sha: str
    external_ref: str
    started_at: datetime
    finished_at: datetime | None
    chain_head: str
    ledger_head: str

    @property
    def asks(self) -> bool:
        """Whether the run asks a model."""
        return self.model != NOBODY


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows in, and how many ended where; `rows_in` is None when nothing was extracted."""

    rows_in: int | None
    counts: Mapping[str, int]

    @property
    def out(self) -> int:
        """Rows that have an outcome."""
        return sum(self.counts.values())

    @property
    def not_finished(self) -> int:
        """Rows that came in and have no outcome; negative if there are more outcomes than rows."""
        return (self.rows_in or 0) - self.out if self.rows_in is not None else 0

    @property
    def add_up(self) -> bool:
        """Whether as many rows ended as came in."""
        return self.rows_in == self.out


@dataclass(frozen=True, slots=True)
class Source:
    """Something that was read: rows found there, and how many of them were set aside while reading."""

    system: str
    what: str
    rows: int
    rejected: int | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation's result; `threshold` is the share of rows for which it must hold, `examples` are row ids."""

    name: str
    severity: str
    meaning: str
    success: bool
    could_not_run: str | None
    checked: int
    failing: int
    threshold: Decimal | None
    observed: str | None
    examples: tuple[str, ...]

    @property
    def share(self) -> float:
        """Failing rows as a share of those checked, 0 to 1."""
        return self.failing / self.checked if self.checked else 0.0


@dataclass(frozen=True, slots=True)
class Tally:
    """How often a thing occurred, with up to five row ids."""

    name: str
    count: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Projection:
    """Mean cost of the last nights of this use case (at most 30) x 30.4, in US dollars a month."""

    nights: int
    mean: Decimal

    @property
    def month(self) -> Decimal:
        """US dollars a month."""
        return self.mean * DAYS_PER_MONTH

    @property
    def formula(self) -> str:
        """How the projection was made, in words."""
        nights = "this night alone" if self.nights == 1 else f"the last {self.nights} nights"
        return f"mean cost of {nights} x {DAYS_PER_MONTH}"


@dataclass(frozen=True, slots=True)
class SecondCalls:
    """Second calls for questions whose first one took too long: how many, which of them came first, their cost in US
    dollars, and the seconds they saved, as estimated by slow calls that were left alone (None: there were none).
    """

    calls: int
    won: int
    cost: Decimal
    saved: float | None


class Failover(NamedTuple):
    """How many rows were asked of another model than the one before it, and why."""

    first: str
    then: str
    why: str
    rows: int


@dataclass(frozen=True, slots=True)
class Decided:
    """Questions that an engine decided in the process, and those that it left, by why."""

    model: str
    decided: int
    reused: int
    left: Mapping[str, int]

    @property
    def share(self) -> float:
        """Questions decided of those that it saw, 0 to 1."""
        return self.decided / max(self.decided + sum(self.left.values()), 1)


@dataclass(frozen=True, slots=True)
class ModelUse:
    """Calls of the run; cost in US dollars, latency in milliseconds, counts of rows where the name says rows.

    `bounded` are calls that were reported with more tokens than they can have taken.
    """

    calls: int
    without_result: int
    retries: int
    reasks: int
    second: SecondCalls
    outcomes: tuple[Tally, ...]
    rows_answered: int
    rows_reused: int
    rows_by_rule: int
    tokens_in: int
    tokens_out: int
    tokens_cached: int
    cost: Decimal
    ceiling: Decimal | None
    projection: Projection
    latency_p50: float | None
    latency_p95: float | None
    queue_p95: float | None
    calls_per_minute: float | None
    bounded: int = 0
    failovers: tuple[Failover, ...] = ()
    rows_decided: int = 0
    local: tuple[Decided, ...] = ()

    @property
    def rows_asked(self) -> int:
        """Rows that the model was asked about."""
        return self.rows_answered - self.rows_reused - self.rows_by_rule - self.rows_decided

    @property
    def cost_per_row(self) -> Decimal | None:
        """Cost over rows that have an answer, reused ones included."""
        return self.cost / self.rows_answered if self.rows_answered else None


class Verdict(NamedTuple):
    """How many rows the gate sent where, and why."""

    verdict: str
    rule: str
    rows: int


@dataclass(frozen=True, slots=True)
class Review:
    """Rows that wait for a person: of this run, of the use case, and since when the oldest waits."""

    here: int
    everywhere: int
    oldest: datetime | None
    reasons: tuple[Tally, ...] = ()


@dataclass(frozen=True, slots=True)
class Writes:
    """Writes to one destination by status: `written`, `unchanged`, `failed`, `intended`; `inserted`, `updated`."""

    destination: str
    counts: Mapping[str, int]


class DeadLetters(NamedTuple):
    """Rows that ran out of tries at a stage."""

    stage: str
    cause: str
    rows: int


class OpenLetters(NamedTuple):
    """Dead letters of the use case that nobody has replayed or dismissed, in how many nights, and since when."""

    rows: int
    nights: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """Tiers against what became of the rows: tier -> label -> rows."""

    table: Mapping[str, Mapping[str, int]]
    labels: tuple[str, ...]

    @property
    def compared(self) -> int:
        """Rows that have both a tier and a label."""
        return sum(sum(row.values()) for row in self.table.values())

    @property
    def decided(self) -> bool:
        """Whether the labels say which rows were won and which lost."""
        return not {"won", "lost"}.isdisjoint(self.labels)

    def share_won(self, tier: str) -> float | None:
        """Share won of the tier's won and lost rows, or None without such labels."""
        by_label = {label.lower(): count for label, count in self.table[tier].items()}
        decided = by_label.get("won", 0) + by_label.get("lost", 0)
        return by_label.get("won", 0) / decided if decided else None


@dataclass(frozen=True, slots=True)
class Previous:
    """The run of this use case before this one, for comparison."""

    run_id: str
    started_at: datetime
    status: str
    rows: int
    counts: Mapping[str, int]
    cost: Decimal


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the report shows; sections of stages that were never reached are empty.

    `drifted` names signals of the data that lie away from earlier nights, e.g. `distribution of annual_revenue`.
    `cause` is why the run did not finish, `deferred` the reasons of rows that wait. `new_columns` are those of sources
    that no night before had, and nobody declared; `transformed` is what transforms counted, rows left out for instance.
    """

    header: Header
    rows: Rows
    sources: tuple[Source, ...]
    expectations: tuple[Expectation, ...]
    quarantine: tuple[Tally, ...]
    rejected_lines: tuple[Tally, ...]
    model: ModelUse
    verdicts: tuple[Verdict, ...]
    review: Review
    writes: tuple[Writes, ...]
    dead_letters: tuple[DeadLetters, ...]
    open_letters: OpenLetters
    previous: Previous | None
    drifted: tuple[str, ...] = ()
    agreement: Agreement | None = None
    cause: Cause | None = None
    deferred: tuple[Deferred, ...] = ()
    new_columns: tuple[str, ...] = ()
    transformed: tuple[Tally, ...] = ()
