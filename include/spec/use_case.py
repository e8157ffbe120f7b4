"""What a use case declares: one frozen `UseCase` per folder under `include/use_cases/`."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from include.errors import ConfigurationError
from include.models import Mode
from include.privacy.classes import DataClass
from include.settings import Settings
from include.spec.agent import Agent
from include.spec.alerting import Alerts
from include.spec.classes import hold_to_classes
from include.spec.contradictions import contradictions
from include.spec.join import Join
from include.spec.names import folder_of, package_of
from include.spec.reviewing import Review
from include.spec.rollout import Rollout
from include.spec.transforms import Transform
from include.systems.files.drop import FileDrop
from include.systems.port import Engine, Sink, Source
from include.systems.registry import read_systems
from include.systems.sql.declared import Mirror


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the work costs today, so that the return can be proved later."""

    metric: str
    value: float
    unit: str
    measured: str


@dataclass(frozen=True, slots=True)
class FailurePlan:
    """What happens to a row when the model is unavailable, answers wrongly, or refuses.

    `deferred` leaves the row open: the night, run again, asks it.
    """

    unavailable: Literal["fallback", "dead_letter", "deferred"]
    invalid: Literal["fallback", "dead_letter"]
    refused: Literal["fallback", "dead_letter"]
    in_words: str


@dataclass(frozen=True, slots=True)
class Failover:
    """A model that is asked, through a system of the registry, when the one before it is down."""

    system: str
    name: str


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which model is asked, through which system of the registry, with which pinned parameters and prompt version.

    `failover` names the models that are asked in turn for rows that the one before could not answer because it is down
    or its account's quota is used up; their answers are kept under their own name, so that the first model is asked
    again when the input comes again.
    """

    system: str
    name: str
    prompt: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    max_output_tokens: int = 400
    reasks: int = 2
    failover: tuple[Failover, ...] = ()


NOBODY = "nobody"
"""The model on record for a run that asks none."""


@dataclass(frozen=True, slots=True)
class Budgets:
    """Ceilings in US dollars beside that of the run (None: no such ceiling); days and months are UTC."""

    day: Decimal | None = None
    month: Decimal | None = None
    backfill: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrichment:
    """What is asked, of which model, and what that may cost.

    Without a `model` nobody is asked: what an engine does not decide in the process goes by `failure_plan.unavailable`.
    `model_sees` are the columns that may enter a prompt; `personal` are columns that are replaced by tokens wherever a
    row is kept outside the staged data. E-mail addresses, phone numbers, IBANs, cards and keys become tokens in the
    ledger wherever they stand, in answers too, but for the fields `answers_personal` that are there to hold them.
    `cost_ceiling_usd` is per run. `priority` is the share of a contended key relative to others that use it. Above
    `shard_rows` rows the work is split over tasks. A night that cannot be done in `window_hours` at the limits is
    refused before anything is paid. `asking` is how the model is asked: `live`, or `batch` through the provider's batch
    API at its price; a use case that may see more than 10,000 rows a run says in `why_not_batch` why it asks live.
    `data_classes` are the classes of columns of `model_sees`; a column that is not among them has that of its source in
    the registry. In the columns `tokenise` personal values become tokens before anybody is asked, and values again
    where an answer is delivered. Payment cards and keys never leave, whatever is declared.
    With an `agent` the model may read with its tools before it answers, within the agent's limits.
    """

    name: str
    model: ModelChoice | None
    model_sees: tuple[str, ...]
    personal: tuple[str, ...]
    failure_plan: FailurePlan
    cost_ceiling_usd: Decimal
    budgets: Budgets = Budgets()
    priority: float = 1.0
    shard_rows: int = 10_000
    window_hours: float = 6.0
    asking: Literal["live", "batch"] = "live"
    why_not_batch: str | None = None
    answers_personal: tuple[str, ...] = ()
    data_classes: Mapping[str, DataClass] = field(default_factory=dict)
    tokenise: tuple[str, ...] = ()
    agent: Agent | None = None

    @property
    def folder(self) -> Path:
        """The folder that holds the use case's files."""
        return folder_of(self.name)

    @property
    def asked(self) -> ModelChoice:
        """The model that is asked; raises ConfigurationError where nobody is."""
        if self.model is None:
            raise ConfigurationError("asks no model: what it answers is decided in the process", about=self.name)
        return self.model

    @property
    def model_name(self) -> str:
        """The model on record for its runs."""
        return self.model.name if self.model else NOBODY

    @property
    def prompt_file(self) -> Path:
        """The prompt version that is pinned."""
        return self.folder / self.asked.prompt

    def module(self, name: str) -> ModuleType:
        """Import one of the use case's modules (`output`, `expectations`, `fallback`) when it is needed."""
        return importlib.import_module(f"{package_of(self.name)}.{name}")

    @property
    def contract_hash(self) -> str:
        """sha256 over what the model sees and must answer; answers are only reused under the same contract."""
        from include.canonical import digest

        schema = self.module("output").Output.model_json_schema()
        contract = {"use_case": self.name, "sees": list(self.model_sees), "schema": schema}
        return digest(contract | ({"agent": self.agent.contract} if self.agent else {}))


@dataclass(frozen=True, slots=True)
class Drift:
    """How far a night may lie from those before it until the report calls it drifted; that never stops a night.

    A night is held against at most `nights` earlier ones: against those of its weekday once `same_weekday` of them
    exist, else against all once there are `min_nights`. What may change: `volume`, as a share of the usual rows;
    `null_share` and `category_share`, as shares of all rows (0.05 is five percentage points); `distribution`, as a
    population stability index (no unit); `freshness_hours`, by which the newest time may be older than in any of those
    nights, for the source's own time of change and the columns `fresh`; `far_out`, the share of a number's rows beyond
    the first night's ends; `new_values`, the share of rows with a value that was never there (20 rows always tell);
    `level`, a mean or length, and `repeated`, rows per value, as shares of what is usual; `age_days`; `lost_numbers`,
    the share of a series of numbers (of orders, of invoices) that no row has. Each must also lie further off than the
    night's own course explains: by itself it does so with the probability `course_chance`, `repeated_chance`,
    `volume_chance`; a value is gone when chance leaves it out with less than `gone_chance`. Few rows widen a threshold:
    pure chance crosses it with at most the probability `chance`, per column and night.
    """

    nights: int = 35
    min_nights: int = 7
    same_weekday: int = 3
    volume: float = 0.15
    null_share: float = 0.05
    category_share: float = 0.1
    distribution: float = 0.2
    far_out: float = 0.03
    new_values: float = 0.03
    level: float = 0.05
    age_days: float = 2.0
    repeated: float = 0.05
    lost_numbers: float = 0.05
    freshness_hours: float = 12.0
    fresh: tuple[str, ...] = ()
    chance: float = 1e-5
    gone_chance: float = 3e-4
    course_chance: float = 3e-4
    repeated_chance: float = 1e-3
    volume_chance: float = 5e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCase(Enrichment):
    """The declarations of one use case; a blank in any of them fails the test suite.

    `local` is an engine that decides rows in the process where it is certain; the rest is asked.
    `confidence_threshold` is in 0..1; an answer below it goes to a person. `never_alone` says why none of its answers
    may go out without a person ("money leaves the house"): then a person decides each row, in mode auto too.
    `review` says how people decide on what waits for them, `rollout` when the use case may go alone, `alerts` from
    where on somebody is called.
    `as_of_now` names what is read as it is when the night runs ("stock"): only the last night can then be run, and no
    backfill, unless on rows that are on record.
    `bar` is the share of labelled rows, 0 to 1, that a prompt must answer rightly to pass its evaluation. A night whose
    prompt and model failed it asks nothing; with `evaluated="required"`, nor does one whose prompt has passed none.
    """

    sentence: str
    owner: str
    credential_owner: str
    approver: str
    baseline: Baseline
    output_destination: str
    latency_class: Literal["batch", "interactive"]
    mode: Mode
    sources: tuple[Source, ...]
    joins: tuple[FileDrop, ...] = ()
    transforms: tuple[Transform, ...] = ()
    confidence_threshold: float
    sinks: tuple[Sink, ...]
    mirror: Mirror | None = None
    local: Engine | None = None
    never_alone: str | None = None
    review: Review = field(default_factory=Review)
    rollout: Rollout = field(default_factory=Rollout)
    as_of_now: str | None = None
    drift: Drift = Drift()
    alerts: Alerts = field(default_factory=Alerts)
    bar: float = 0.9
    evaluated: Literal["noted", "required"] = "noted"

    @property
    def looked_up(self) -> tuple[Join, ...]:
        """The joins of records by their ids, among the transforms."""
        return tuple(one for one in self.transforms if isinstance(one, Join))

    @property
    def keeps_versions(self) -> bool:
        """Whether a sink must know which version of a row was read."""
        return any(sink.guard == "unchanged_since_read" for sink in self.sinks)


def load(name: str) -> UseCase:
    """The use case of that name; raises ConfigurationError listing those that exist."""
    spec: UseCase = importlib.import_module(f"{package_of(name)}.spec").SPEC
    if spec.name != name:
        raise ConfigurationError(f"the spec in folder {name!r} calls itself {spec.name!r}", about="use case")
    if spec.latency_class != "batch":
        raise ConfigurationError(
            "a nightly run cannot serve an interactive workflow", about=name, action="Serve it online instead"
        )
    if not 0 <= spec.bar <= 1:
        raise ConfigurationError(f"`bar` is a share between 0 and 1, not {spec.bar}", system=name)
    if wrong := next(contradictions(spec), None):
        raise ConfigurationError(wrong, system=name, action="Correct the use case's spec")
    if spec.model is not None:
        hold_to_classes(spec, read_systems(Settings.read().systems_file))
    return spec


def blanks(value: Any, path: str = "") -> list[str]:
    """Paths of declarations left blank (empty text, empty collection, zero ceiling), for the readiness test."""
    if is_dataclass(value) and not isinstance(value, type):
        found: list[str] = []
        for item in fields(value):
            found += blanks(getattr(value, item.name), f"{path}.{item.name}".lstrip("."))
        return found
    if isinstance(value, str):
        return [] if value.strip() and value.strip().lower() not in {"todo", "tbd", "n/a", "?"} else [path]
    if isinstance(value, Decimal):
        return [] if value > 0 else [path]
    return []


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, as hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
