"""Which requests fail, and how: drawn from a seed, so that the same requests fail in every run, in any order."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self, get_args

from include.errors import ConfigurationError

Only = Literal["all", "read", "write"]

TRANSPORT_FAULTS = ("http_500", "http_503", "timeout", "reset", "rate_limited")
ANSWER_FAULTS = ("prose", "fenced", "wrong_enum", "empty", "refusal", "truncated")
TOOL_FAULTS = ("unknown_tool", "wrong_arguments", "same_call", "circling", "hasty", "invented_source")
"""What goes wrong only where tools are offered; elsewhere the answer is as it would be without."""


@dataclass(frozen=True)
class FaultPlan:
    """Share of requests per kind of fault (0 to 1, at most 1 in all).

    `hold_seconds` is how long a `timeout` holds its answer back. `first_asks` spares a message that was asked this
    many times already, so that a retry gets through. `only` limits CRM faults to reads or writes.
    """

    seed: int = 1
    rates: Mapping[str, float] = field(default_factory=dict)
    hold_seconds: float = 120.0
    first_asks: int | None = None
    only: Only = "all"

    @classmethod
    def parse(cls, value: Any, kinds: tuple[str, ...]) -> Self:
        """Read a plan from JSON; raises ConfigurationError for an unknown key, kind or rate."""
        try:
            plan = cls(**value)
            rates = {name: float(rate) for name, rate in plan.rates.items()}
            plan = cls(int(plan.seed), rates, float(plan.hold_seconds), plan.first_asks, plan.only)
        except (TypeError, ValueError, AttributeError) as error:
            raise ConfigurationError(f"is no fault plan: {error}", system="sandbox", about="faults") from error
        problem = _problem(plan, kinds)
        if problem:
            raise ConfigurationError(problem, system="sandbox", about="faults")
        return plan

    def to_json(self) -> dict[str, Any]:
        """Plain values; the reverse of `parse`."""
        return asdict(self)

    def draw(self, message: str, ordinal: int) -> str | None:
        """The fault of the `ordinal`-th ask (from 1) of a message, or None; depends on nothing else but the seed."""
        if not self.rates or (self.first_asks is not None and ordinal > self.first_asks):
            return None
        drawn = hashlib.blake2b(f"{self.seed}|{message}|{ordinal}".encode(), digest_size=8).digest()
        position = int.from_bytes(drawn, "big") / 2**64
        for name, rate in self.rates.items():
            if position < rate:
                return name
            position -= rate
        return None


@dataclass
class BatchFaults:
    """How batches end badly. Shares are of items (0 to 1), drawn from the seed and the item's `custom_id`.

    `missing` items are in no file, `duplicate` ones are answered twice, `expired` ones were not reached in time, which
    ends the batch as expired; `unknown` adds an answer to an item that nobody sent. A batch stays in progress for
    `stuck` looks. The others strike once: `fail` at the next validation, `upload` with 500 at the next upload, and
    `hang_up` makes the next batch but keeps the answer for `hold_seconds`.
    """

    seed: int = 5
    missing: float = 0.0
    duplicate: float = 0.0
    expired: float = 0.0
    unknown: bool = False
    stuck: int = 0
    fail: bool = False
    upload: bool = False
    hang_up: bool = False
    hold_seconds: float = 60.0

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Read from JSON; raises ConfigurationError for an unknown name, share or number."""
        try:
            faults = cls(**value)
            shares = [float(share) for share in (faults.missing, faults.duplicate, faults.expired)]
            faults.seed, faults.stuck, faults.hold_seconds = (
                int(faults.seed),
                int(faults.stuck),
                float(faults.hold_seconds),
            )
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"are none: {error}", system="sandbox", about="batch faults") from error
        if any(not 0 <= share <= 1 for share in shares) or faults.missing + faults.expired > 1:
            problem = "shares must be between 0 and 1, and `missing` and `expired` add up to at most 1"
            raise ConfigurationError(problem, system="sandbox", about="batch faults")
        return faults

    def to_json(self) -> dict[str, Any]:
        """Plain values; the reverse of `parse`."""
        return asdict(self)

    def draw(self, item: str) -> str | None:
        """`missing`, `expired` or None for the item of this `custom_id`."""
        return FaultPlan(self.seed, {"missing": self.missing, "expired": self.expired}).draw(item, 1)

    def twice(self, item: str) -> bool:
        """Whether the item of this `custom_id` is answered twice."""
        return FaultPlan(self.seed, {"duplicate": self.duplicate}).draw(item, 2) is not None

    def strike(self, name: Literal["fail", "upload", "hang_up"]) -> bool:
        """Whether a fault that strikes once does so now."""
        struck = bool(getattr(self, name))
        setattr(self, name, False)
        return struck


NO_FAULTS = FaultPlan()
MODEL_FAULTS = TRANSPORT_FAULTS + ANSWER_FAULTS + TOOL_FAULTS
CRM_FAULTS = TRANSPORT_FAULTS
WEBHOOK_FAULTS = TRANSPORT_FAULTS
DESK_FAULTS = ("http_500", "http_503", "reset", "rate_limited")
ODATA_FAULTS = (*TRANSPORT_FAULTS, "repeated_link", "foreign_link")


class Ordinals:
    """Counts how often each message was asked."""

    def __init__(self) -> None:
        self._asked: Counter[str] = Counter()

    def next(self, message: str) -> int:
        """1 for the first ask of this message, 2 for the second, and so on."""
        self._asked[message] += 1
        return self._asked[message]


def _problem(plan: FaultPlan, kinds: tuple[str, ...]) -> str | None:
    if unknown := set(plan.rates) - set(kinds):
        return f"unknown kind {sorted(unknown)}; known: {', '.join(kinds)}"
    if any(not 0 <= rate <= 1 for rate in plan.rates.values()) or sum(plan.rates.values()) > 1.000001:
        return "rates must be between 0 and 1, and add up to at most 1"
    if plan.only not in get_args(Only):
        return f"`only` must be one of {', '.join(get_args(Only))}"
    return None
