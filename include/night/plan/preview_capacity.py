"""How long the limits of each system make a night take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from include.systems.registry import System, Window

BATCH_SECONDS = 86_400
"""The time in which the provider promises a batch: https://platform.openai.com/docs/guides/batch"""


@dataclass(frozen=True, slots=True)
class Load:
    """Requests and tokens that one stage (read, ask or write) sends to one system; in batches or one by one."""

    stage: str
    system: System
    requests: int
    tokens: int = 0
    batched: bool = False

    @property
    def name(self) -> str:
        """System and stage, e.g. `crm read`."""
        return f"{self.system.name} {self.stage}"


def merge(loads: Iterable[Load]) -> tuple[Load, ...]:
    """One load for each system and stage."""
    whole: dict[str, Load] = {}
    for load in loads:
        so_far = whole.setdefault(load.name, replace(load, requests=0, tokens=0))
        requests, tokens = so_far.requests + load.requests, so_far.tokens + load.tokens
        whole[load.name] = replace(load, requests=requests, tokens=tokens)
    return tuple(whole.values())


def find_minutes(loads: Sequence[Load]) -> dict[str, float]:
    """Minutes that each load takes at the least, one after the other; loads on one system share its limits.

    A batch takes as long as the provider promises, for each time that its queue is filled.
    """
    sent, minutes = dict[str, Load](), dict[str, float]()
    for load in loads:
        if load.batched:
            minutes[load.name] = _batch_seconds(load) / 60
            continue
        before = sent.get(load.system.name, replace(load, requests=0, tokens=0))
        after = replace(load, requests=before.requests + load.requests, tokens=before.tokens + load.tokens)
        minutes[load.name] = (_tightest(after)[0] - _tightest(before)[0]) / 60
        sent[load.system.name] = after
    return minutes


def name_limit(load: Load) -> str:
    """The limit that a load uses most of, in words for a person."""
    if not load.batched:
        return _tightest(load)[2]
    queue = f", {load.system.batch_queue_tokens:,} tokens at a time" if load.system.batch_queue_tokens else ""
    return f"promised within {BATCH_SECONDS // 3600} h a batch{queue}"


def _batch_seconds(load: Load) -> float:
    queue = load.system.batch_queue_tokens or max(load.tokens, 1)
    return BATCH_SECONDS * -(-load.tokens // queue)


def _tightest(load: Load) -> tuple[float, float, str]:
    """The limit that takes longest when all are used to their end: its seconds, how often it is filled, its name."""
    found = [(0.0, -1.0, "no limit")]
    for window in load.system.limits:
        for amount, most, unit in (
            (load.requests, window.requests, "requests"),
            (load.tokens, window.tokens, "tokens"),
        ):
            if most is not None:
                name = f"{most:,} {unit} in {window.per_seconds:,.0f} s"
                found.append((_seconds(amount, most, window), amount / most, name))
    return max(found, key=lambda one: one[:2])


def _seconds(amount: int, most: int, window: Window) -> float:
    if amount <= most:
        return 0.0
    spans = (amount - most) / most if window.refills else (amount - 1) // most
    return spans * window.per_seconds
