"""How full the windows and buckets of a key are: plain arithmetic, without clock or I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from include.systems.limits.turns import AHEAD_SECONDS, KINDS, Kind
from include.systems.registry import Window

Record = dict[str, Any]
SLOTS = 64
"""Parts into which a sliding window is cut: uses are counted per part, so 1/64 of the limit may stay unused."""
MARGIN = 1.0
"""Requests kept in a bucket: the vendor reports whole units, so the real level may be up to one lower than known.

Of tokens 1 % is kept, since what a request is charged is only estimated.
"""
SHORTEST_WAIT = 0.005
_SLOWEST = 0.05  # share of the refill that is counted on at least, however much others seem to take
_HALF_LIFE = 10.0
"""Seconds in which half of what others took is forgotten."""


@dataclass
class Levels:
    """What is used of each window, and what the vendor says of its own buckets (`vendor`, by kind).

    `trust` is the part of each limit that is believed; `charged` are tokens as estimated, and as charged.
    """

    windows: Sequence[Window]
    used: list[Record] = field(default_factory=list)
    vendor: dict[str, Record] = field(default_factory=dict)
    trust: float = 1.0
    charged: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def __post_init__(self) -> None:
        """Begin with empty sliding windows and full buckets."""
        if len(self.used) != len(self.windows):
            self.used = [{} for _ in self.windows]

    @property
    def ratio(self) -> float:
        """What the vendor charges per token of our estimates: 1 until something is known, within 0.05 and 1.5."""
        estimated, real = self.charged
        return min(max(real / estimated, 0.05), 1.5) if estimated > 0 else 1.0

    def levels(self, now: float) -> list[tuple[Window, Kind, int, float]]:
        """Every limit with what is left of it now, by the vendor's own word where it is on that very limit."""
        found = []
        for index, window in enumerate(self.windows):
            for kind in KINDS:
                limit = getattr(window, kind)
                if limit is not None:
                    left = self._level(kind, index, now)
                    known = self.vendor.get(kind)
                    if left == float("inf") and known is not None:
                        self._refill(known, now)
                        left = known["level"]
                    found.append((window, kind, limit, min(max(left, 0.0), float(limit))))
        return found

    def _room(self, now: float) -> list[float]:
        """Requests and tokens that fit every limit now."""
        return [
            min([self._level(kind, i, now) for i in range(len(self.windows))] + self._gates(kind, now))
            if (self.windows or kind in self.vendor)
            else float("inf")
            for kind in KINDS
        ]

    def _gates(self, kind: Kind, now: float) -> list[float]:
        known = self.vendor.get(kind)
        if known is None:
            return []
        self._refill(known, now)
        return [known["level"] - self._kept(kind, known)]

    def _kept(self, kind: Kind, known: Record) -> float:
        """What is not used of the vendor's bucket: up to three times the margin while somebody else draws on it."""
        return _margin(kind, known["limit"]) * (1.0 + min(2.0, float(known["others"]) / 3.0))

    def _level(self, kind: Kind, index: int, now: float) -> float:
        window, used = self.windows[index], self.used[index]
        limit = getattr(window, kind)
        if limit is None:
            return float("inf")
        if not window.refills:
            first, column = _first_slot(window, now), KINDS.index(kind)
            for slot in [slot for slot in used if int(slot) < _first_slot(window, now - AHEAD_SECONDS)]:
                del used[slot]  # what another turn ahead of time saw leave may still be counted now
            taken = sum(counted[column] for slot, counted in used.items() if int(slot) >= first)
            return float(max(limit * self.trust, 1.0) - taken)
        known = self.vendor.get(kind)
        if known is not None and known["limit"] == limit:
            return float("inf")  # the vendor's own word on this very limit is better
        self._fill(window, used, now)
        return float(used[kind] - _margin(kind, limit))

    def _fill(self, window: Window, used: Record, now: float) -> None:
        """Refill a bucket evenly up to now."""
        passed = min(max(now - used.get("at", now), 0.0), window.per_seconds)
        for kind in KINDS:
            limit = float(getattr(window, kind) or 0)
            filled = used.get(kind, limit) + passed * limit * self.trust / window.per_seconds
            used[kind] = min(filled, limit)
        used["at"] = now

    def _refill(self, known: Record, now: float) -> None:
        passed = min(max(now - known["at"], 0.0), known["per"])
        rate = known["limit"] / known["per"]
        taken = known["others"] / (_HALF_LIFE / 0.693)
        known["level"] = min(known["level"] + passed * max(rate - taken, rate * _SLOWEST), known["limit"])
        known["others"] *= 0.5 ** (passed / _HALF_LIFE)
        known["at"] = now

    def _take(self, requests: float, tokens: float, at: float, now: float, *, scaled: bool = False) -> None:
        if not requests and not tokens:
            return
        charged = tokens if scaled else tokens * self.ratio
        for window, used in zip(self.windows, self.used, strict=True):
            if window.refills:
                self._fill(window, used, now)
                used["requests"] -= requests
                used["tokens"] -= charged
            else:
                slot = str(int(at * SLOTS / window.per_seconds))
                for column, amount in enumerate((requests, charged)):
                    _count(used, slot, column, amount)
        for kind, amount in (("requests", requests), ("tokens", charged)):
            if kind in self.vendor:
                self._refill(self.vendor[kind], now)
                self.vendor[kind]["level"] -= amount

    def _move(self, counted: float, arrived: float | None) -> None:
        """Count one request at another time, or no more."""
        for window, used in zip(self.windows, self.used, strict=True):
            if window.refills:
                used["requests"] = used.get("requests", float(window.requests or 0)) + (arrived is None)
                continue
            slot = used.get(str(int(counted * SLOTS / window.per_seconds)))
            if slot and slot[0] >= 1:
                slot[0] -= 1
            if arrived is not None:
                _count(used, str(int(arrived * SLOTS / window.per_seconds)), 0, 1)

    def counted(self, window: Window, now: float) -> float:
        """Requests in a sliding window of this key."""
        first, used = _first_slot(window, now), self.used[list(self.windows).index(window)]
        return float(sum(requests for slot, (requests, _) in used.items() if int(slot) >= first))

    def _wait(self, requests: float, tokens: float, now: float) -> float:
        """Seconds until so much has room, if nobody else takes it."""
        wants = {"requests": requests, "tokens": self._fitting(tokens)}
        waits = [0.0]
        for kind in KINDS:
            known = self.vendor.get(kind)
            if known is not None:
                missing = wants[kind] + self._kept(kind, known) - known["level"]
                waits.append(missing * known["per"] / known["limit"])
            for index, window in enumerate(self.windows):
                limit = getattr(window, kind)
                missing = wants[kind] - self._level(kind, index, now)
                if limit is None or missing <= 0:
                    continue
                if window.refills:
                    waits.append(missing * window.per_seconds / (limit * self.trust))
                else:
                    waits.append(self._leaving(window, self.used[index], KINDS.index(kind), missing, now))
        return max(*waits, SHORTEST_WAIT)

    def _fitting(self, tokens: float) -> float:
        """What a request counts at most: one that is larger than a whole window goes when the window is empty."""
        limits = [w.tokens * (1.0 if w.refills else self.trust) for w in self.windows if w.tokens]
        limits += [known["limit"] for kind, known in self.vendor.items() if kind == "tokens"]
        return float(min([tokens, *(limit * 0.98 for limit in limits)]))

    def _leaving(self, window: Window, used: Record, column: int, missing: float, now: float) -> float:
        first = _first_slot(window, now)
        for slot in sorted((slot for slot in used if int(slot) >= first), key=int):
            missing -= float(used[slot][column])
            if missing <= 0:
                return float(int(slot) + 1) * window.per_seconds / SLOTS + window.per_seconds - now
        return float(window.per_seconds)


def _margin(kind: Kind, limit: float) -> float:
    return min(MARGIN, (limit - 1) / 2) if kind == "requests" else limit / 100


def _first_slot(window: Window, now: float) -> int:
    """The oldest slot that still counts."""
    return int((now - window.per_seconds) * SLOTS / window.per_seconds)


def _count(used: Record, slot: str, column: int, amount: float) -> None:
    """Count a use in its slot; what is given back leaves the newest slots, so that it ends when its use does."""
    for name in sorted(used, key=int, reverse=True) if amount < 0 else ():
        taken = min(used[name][column], -amount)
        used[name][column] -= taken
        amount += taken
    if amount > 0:
        used.setdefault(slot, [0, 0])[column] += amount
