"""Records that cross module borders. All are plain values; none holds a connection or a secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, Self

from include.errors import ConfigurationError

Record = dict[str, Any]
Kind = Literal["text", "integer", "number", "datetime", "date", "boolean"]
"""What the values of a column are."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the staged data: the name at the source, the name here, its type."""

    source_name: str
    name: str
    kind: Kind = "text"


class Outcome(StrEnum):
    """Where an input row of a run ends; exactly one per row (invariant I1)."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    QUARANTINED = "quarantined"
    IN_REVIEW = "in_review"
    REJECTED = "rejected"
    SHADOWED = "shadowed"
    DEAD_LETTER = "dead_letter"
    DEFERRED = "deferred"


OUTCOMES = {
    Outcome.WRITTEN: "written",
    Outcome.UNCHANGED: "unchanged",
    Outcome.IN_REVIEW: "in review",
    Outcome.SHADOWED: "shadowed",
    Outcome.REJECTED: "rejected",
    Outcome.DEFERRED: "deferred",
    Outcome.DEAD_LETTER: "dead letter",
    Outcome.QUARANTINED: "quarantined",
}
"""Outcomes in the order in which they are shown, with their names."""


class Mode(StrEnum):
    """How far a night may go: record only, ask a person, or write."""

    SHADOW = "shadow"
    GATED = "gated"
    AUTO = "auto"


class ReInfer(StrEnum):
    """Which rows are asked again although an answer is on record."""

    NONE = "none"
    FAILED = "failed"
    ALL = "all"


class Origin(StrEnum):
    """Who produced an answer; `person` where somebody put another in its place."""

    MODEL = "model"
    RULE = "rule"
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class Interval:
    """Half-open range of time `[start, end)` in UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        """Refuse naive times and empty or reversed ranges."""
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ConfigurationError("an interval needs times with a time zone", about=f"{self.start}..{self.end}")
        if self.start >= self.end:
            raise ConfigurationError(
                "the interval is empty, so every query over it would read nothing",
                about=f"[{self.start.isoformat()}, {self.end.isoformat()})",
                action="Schedule with CronDataIntervalTimetable, or pass --from before --to",
            )

    @classmethod
    def parse(cls, start: str, end: str) -> Self:
        """Read two ISO 8601 times; a time without a zone is taken as UTC."""
        times = [datetime.fromisoformat(text) for text in (start, end)]
        utc = [time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC) for time in times]
        return cls(*utc)

    @property
    def slug(self) -> str:
        """The interval as part of a file name, e.g. `20261120T0200-20261121T0200`."""
        return f"{self.start:%Y%m%dT%H%M}-{self.end:%Y%m%dT%H%M}"

    def __str__(self) -> str:
        return f"[{self.start:%Y-%m-%d %H:%M}, {self.end:%Y-%m-%d %H:%M}) UTC"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What XCom carries between tasks: where a staged dataset is and how to check it; never a row."""

    run_id: str
    dataset: str
    uri: str
    rows: int
    bytes: int
    sha256: str
    columns: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> Record:
        """The manifest as JSON-compatible values, for XCom."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The reverse of `to_json`."""
        return cls(**value)


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row set aside, with every reason and where it came from; `record` is masked when it is kept.

    `expectations` are the ids of those it failed, none for a row that could not be read; `owner` is who can mend it at
    the source.
    """

    row_id: str
    row_key: str | None
    source: str
    reasons: tuple[str, ...]
    record: Record
    counts_as_input: bool = True
    expectations: tuple[str, ...] = ()
    owner: str = ""


@dataclass(frozen=True, slots=True)
class RunKey:
    """What names a run: use case, interval, and who started it (`external_ref` is the DAG run, or `cli`)."""

    use_case: str
    interval: Interval
    external_ref: str = "cli"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The choices of the trigger form; every night of a backfill carries its own.

    `follows` says that nobody named a mode, so that the run has the one that the use case is rolled out to.
    """

    mode: Mode = Mode.SHADOW
    limit: int | None = None
    re_infer: ReInfer = ReInfer.NONE
    model: str | None = None
    re_extract: bool = False
    backfill: str | None = None
    backfill_budget_usd: Decimal | None = None
    asking: Literal["live", "batch"] | None = None
    follows: bool = False

    @classmethod
    def from_params(cls, params: Mapping[str, Any], default_mode: Mode) -> Self:
        """Validate the form's values again, since a trigger by API can send anything.

        Raises ConfigurationError naming the parameter and what it accepts.
        """
        try:
            limit, budget = params.get("limit"), params.get("backfill_budget_usd")
            options = cls(
                mode=Mode(params.get("mode") or default_mode),
                limit=None if limit in (None, "") else int(limit),
                re_infer=ReInfer(params.get("re_infer") or ReInfer.NONE),
                model=params.get("model") or None,
                re_extract=bool(params.get("re_extract", False)),
                backfill=params.get("backfill") or None,
                asking=_asking(params.get("asking") or params.get("engine")),
                backfill_budget_usd=Decimal(str(budget)) if budget not in (None, "") else None,
                follows=not params.get("mode"),
            )
        except (TypeError, ValueError, ArithmeticError) as error:
            raise ConfigurationError(f"a run parameter is not valid: {error}", about="params") from error
        if options.limit is not None and options.limit < 1:
            raise ConfigurationError("`limit` must be at least 1 row, or empty for all", about="params.limit")
        ceiling = options.backfill_budget_usd
        if ceiling is not None and not (ceiling.is_finite() and ceiling > 0):
            raise ConfigurationError("must be an amount above 0, or empty", about="params.backfill_budget_usd")
        return options


def _asking(value: Any) -> Literal["live", "batch"] | None:
    if value in (None, ""):
        return None
    if value not in ("live", "batch"):
        raise ValueError(f"{value!r} is no way of asking; known: live, batch")
    return "live" if value == "live" else "batch"
