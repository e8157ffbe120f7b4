"""What is known of a key's limits, and who may send next: plain arithmetic on one document, without clock or I/O.

Processes that share a key take turns on the document (`limiter.py` says how), so the rules are the same for one process
and for a hundred machines. Times are seconds of one clock, the store's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from include.systems.limits.levels import MARGIN, Levels, Record
from include.systems.limits.turns import AHEAD_SECONDS, KINDS, Ask, Grant, Kind, Seen
from include.systems.registry import Window

FORGET_HOLDER = 3.0  # seconds without a word after which a process that waited is taken for gone
REMEMBER_GRANTS = 10.0  # seconds; an answer that took longer says nothing about the level now
MERGE_GRANTS = 0.1
_AGREEING = 4  # observations in a row that must report more than is known before the level is raised
_MAYBE_LATER, _SURELY_LATER = 0.3, 0.05
"""Seconds around the sending of an observed request in which others' grants may or may not be counted in it."""
_STALE = 60.0  # seconds after which what was heard of the vendor is too old to begin with a burst
_PROBES = 2  # requests that leave before anything was heard


@dataclass
class Quota(Levels):
    """Levels of one key that several processes take turns on. `windows` come from the registry, the rest is learned."""

    holders: dict[str, Record] = field(default_factory=dict)
    recent: list[list[Any]] = field(default_factory=list)
    closed_until: float = 0.0
    heard: float = -_STALE
    probes: list[float] = field(default_factory=list)

    @classmethod
    def read(cls, windows: Sequence[Window], document: Mapping[str, Any] | None) -> Self:
        """From a stored document; levels are begun anew when the registry's windows have changed since."""
        if not document or document.get("windows") != _fingerprint(windows):
            return cls(windows)
        return cls(windows, **{name: document[name] for name in _KEPT})

    def document(self) -> dict[str, Any]:
        """The reverse of `read`, JSON-compatible."""
        return {"windows": _fingerprint(self.windows), **{name: getattr(self, name) for name in _KEPT}}

    def turn(self, ask: Ask, now: float) -> Grant:
        """Take in what the process says, then grant as much of what it waits for as fits and is its share.

        `now` may be up to `AHEAD_SECONDS` ahead of the store's time: leave for then, of windows that do not refill.
        """
        self._forget(now)
        if ask.heard:
            self.heard = now
        if ask.heard or ask.missed:
            self.probes = []
        self._learn(ask, now)
        mine = self._register(ask, now)
        if now < self.closed_until:
            return Grant(0, 0, self.closed_until - now, self.ratio)
        room = self._room(now)
        if now - self.heard >= _STALE:
            self.probes = [at for at in self.probes if now - at < 5.0]
            room[0] = min(room[0], _PROBES - len(self.probes))
        granted, ahead, held = self._share(ask, mine, room)
        requests = granted + ahead
        tokens = sum(ask.waiting[:granted]) + sum(ask.ahead[:ahead])
        if requests:
            self.probes += [now] * granted if now - self.heard >= _STALE else []
            self._take(granted, sum(ask.waiting[:granted]), now + ask.late, now)
            self._take(ahead, sum(ask.ahead[:ahead]), now + AHEAD_SECONDS, now)
            self._remember(ask.holder, requests, tokens, now)
        mine["waiting"] = len(ask.waiting) - granted
        if granted == len(ask.waiting):
            return Grant(granted, ahead, 0.0, self.ratio)
        wait = self._wait(held[0] + 1, held[1] + ask.waiting[granted] * self.ratio, now)
        return Grant(granted, ahead, wait, self.ratio)

    # What the process says

    def _learn(self, ask: Ask, now: float) -> None:
        ask_unused_requests, ask_unused_tokens = ask.unused
        if ask_unused_requests or ask_unused_tokens:
            self._take(-ask_unused_requests, -ask_unused_tokens, now, now)
        for counted_at, arrived in ask.moved:
            self._move(counted_at, arrived)
        estimated, real, counted = ask.settled
        if estimated and "tokens" not in self.vendor:
            self._charge(estimated, real)
            self._take(0, real - counted, now, now, scaled=True)
        for seen in ask.seen:
            self._observe(seen, ask.holder, now)
        if ask.closed_for > 0:
            self.closed_until = max(self.closed_until, now + min(ask.closed_for, 60.0))
        if ask.refused and not self.vendor:
            self.trust = max(self.trust * 0.85, 0.05)
            for window, used in zip(self.windows, self.used, strict=True):
                if window.refills:
                    used.update({kind: min(used.get(kind, 0.0), 0.0) for kind in KINDS})
        elif ask.settled[0]:
            self.trust = min(1.0, self.trust + 0.0005)

    def _charge(self, estimated: float, real: float) -> None:
        kept = 0.98
        self.charged = [self.charged[0] * kept + estimated, self.charged[1] * kept + max(real, 0.0)]

    def _observe(self, seen: Seen, holder: str, now: float) -> None:
        """Hold the vendor's own level against ours; see `Seen` for what it cannot have counted yet."""
        if not (0 < seen.limit < 1e12 and seen.remaining >= 0) or now - seen.sent > REMEMBER_GRANTS:
            return
        remaining = min(seen.remaining, seen.limit)
        known = self.vendor.get(seen.kind)
        scale = self.ratio if seen.kind == "tokens" else 1.0
        per_seconds = self._per_seconds(seen)
        now_left = min(remaining + (now - seen.sent) * seen.limit / per_seconds, seen.limit) - seen.own_after * scale
        most = now_left - self._others(seen.kind, holder, seen.sent + _SURELY_LATER, now) * scale
        maybe = self._others(seen.kind, holder, seen.sent - _MAYBE_LATER, now) + seen.own_maybe
        level = now_left - maybe * scale
        if known is None or known["limit"] != seen.limit:
            fresh = {"limit": seen.limit, "per": per_seconds, "level": min(level, seen.limit), "at": now}
            self.vendor[seen.kind] = {**fresh, "sent": seen.sent, "said": remaining, "more": [], "others": 0.0}
            return
        if seen.sent <= known["sent"]:
            return
        self._refill(known, now)
        self._learn_charge(seen, known, remaining, holder)
        gone = known["level"] - most - MARGIN
        if gone > 0:
            known["level"] -= gone
            known["more"] = []
            if seen.kind == "requests":
                known["others"] += max(gone - seen.own_after, 0.0)  # what may be our own, counted twice, is not others'
        elif level > known["level"]:
            known["more"].append(level - known["level"])
            if len(known["more"]) >= _AGREEING:
                known["level"] += min(known["more"])
                known["more"] = []
        else:
            known["more"] = []
        known.update(sent=seen.sent, said=remaining)

    def _learn_charge(self, seen: Seen, known: Record, remaining: float, holder: str) -> None:
        """Compare what the vendor took between two observations with what was estimated for it."""
        if seen.kind != "tokens" or max(remaining, known["said"]) > 0.98 * seen.limit:
            return
        between = seen.own_between + self._others("tokens", holder, known["sent"], seen.sent)
        took = known["said"] - remaining + (seen.sent - known["sent"]) * seen.limit / known["per"]
        if between > 0:
            self._charge(between, took)

    def _per_seconds(self, seen: Seen) -> float:
        for window in self.windows:
            if getattr(window, seen.kind) == seen.limit:
                return float(window.per_seconds)
        return 60.0

    def _others(self, kind: Kind, holder: str, since: float, until: float) -> float:
        column = 2 + KINDS.index(kind)
        return float(sum(entry[column] for entry in self.recent if entry[1] != holder and since < entry[0] <= until))

    def _remember(self, holder: str, requests: int, tokens: int, now: float) -> None:
        for entry in reversed(self.recent):
            if now - entry[0] >= MERGE_GRANTS:
                break
            if entry[1] == holder:
                entry[2] += requests
                entry[3] += tokens
                return
        self.recent.append([now, holder, requests, tokens])

    def _forget(self, now: float) -> None:
        self.recent = [entry for entry in self.recent if now - entry[0] < REMEMBER_GRANTS]
        self.holders = {
            name: held
            for name, held in self.holders.items()
            if now - held["at"] < (FORGET_HOLDER if held["waiting"] else 10 * FORGET_HOLDER)
        }

    def _register(self, ask: Ask, now: float) -> Record:
        waiting = [held["time"] for name, held in self.holders.items() if held["waiting"] and name != ask.holder]
        mine = self.holders.setdefault(ask.holder, {"time": 0.0, "waiting": 0})
        if not mine["waiting"] and waiting:
            mine["time"] = max(mine["time"], min(waiting))  # who was away has no claim on the past
        mean = sum(ask.waiting) / len(ask.waiting) if ask.waiting else 0.0
        mine.update(at=now, waiting=len(ask.waiting), mean=mean, group=ask.group, weight=ask.weight)
        return mine

    # Who may send

    def _share(self, ask: Ask, mine: Record, room: list[float]) -> tuple[int, int, tuple[float, float]]:
        """How many of the waiting requests are granted, how many ahead, and what is held back for others' turns.

        Whoever has had the least for its weight comes first, so nobody starves and priorities are shares.
        """
        ratio = self.ratio
        others = [dict(held, name=name) for name, held in self.holders.items() if held["waiting"] and held is not mine]
        needed = [
            len(ask.waiting) + sum(o["waiting"] for o in others),
            (sum(ask.waiting) + sum(o["waiting"] * o["mean"] for o in others)) * ratio,
        ]
        if needed[0] <= room[0] and needed[1] <= room[1]:
            mine["time"] += sum(self._cost(tokens * ratio) for tokens in ask.waiting) / self._weight(mine)
            ahead = self._ahead(ask, [room[0] - needed[0], room[1] - needed[1]])
            return len(ask.waiting), ahead, (0.0, 0.0)
        return self._take_turns(ask, mine, others, room)

    def _take_turns(
        self, ask: Ask, mine: Record, others: list[Record], room: list[float]
    ) -> tuple[int, int, tuple[float, float]]:
        ratio, granted, held = self.ratio, 0, [0.0, 0.0]
        weight = self._weight(mine)
        weights = {o["name"]: self._weight(o) for o in others}
        while granted < len(ask.waiting):
            first = min(others, key=lambda o: float(o["time"]), default=None)
            if first is None or mine["time"] <= first["time"]:
                tokens = self._fitting(ask.waiting[granted] * ratio)
                if room[0] < 1 or room[1] < tokens:
                    break
                room[0], room[1] = room[0] - 1, room[1] - tokens
                mine["time"] += self._cost(tokens) / weight
                granted += 1
                continue
            tokens = self._fitting(first["mean"] * ratio)
            held = [held[0] + 1, held[1] + tokens]
            room[0], room[1] = room[0] - 1, room[1] - tokens
            first["time"] += self._cost(tokens) / weights[first["name"]]
            first["waiting"] -= 1
            if first["waiting"] <= 0:
                others.remove(first)
            if room[0] < 1 or room[1] <= 0:
                break
        return granted, 0, (held[0], held[1])

    def _ahead(self, ask: Ask, room: Sequence[float]) -> int:
        """Ahead only where there is plenty: ten times of it must stay."""
        ahead, tokens = len(ask.ahead), sum(ask.ahead) * self.ratio
        return ahead if ahead * 10 <= room[0] and tokens * 10 <= room[1] else 0

    def _weight(self, held: Record) -> float:
        """The group's weight, shared by those of it that wait."""
        same = sum(1 for other in self.holders.values() if other["group"] == held["group"] and other["waiting"])
        return max(float(held["weight"]), 0.01) / max(same, 1)

    def _cost(self, tokens: float) -> float:
        """The part of the tightest limit that one request of so many tokens takes."""
        costs = [1.0 / window.requests for window in self.windows if window.requests]
        costs += [tokens / window.tokens for window in self.windows if window.tokens]
        return max(costs, default=1e-6)


_KEPT = ("used", "vendor", "holders", "recent", "closed_until", "trust", "heard", "probes", "charged")


def _fingerprint(windows: Sequence[Window]) -> list[list[Any]]:
    return [[w.per_seconds, w.requests, w.tokens, w.refills] for w in windows]
