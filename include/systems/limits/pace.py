"""Leave for every call of a REST system, taken together with everybody else who uses its key.

Calls may leave from many threads. Levels are one document a limit (`quota.py`): of this process, or in the ledger for
all processes and machines. A process takes a turn at them for all its threads at once. If a call fits soon, the turn
gives leave for then, so that nothing but the moment itself has to be waited for.

A vendor counts a call when it arrives, which nobody here sees. A call is counted at the latest moment at which its
leave may be used, and dated anew when its answer is here: as long before the answer as the quickest calls take in all.
Whatever held it up beyond that may have held it up on its way there.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from threading import Condition
from types import MappingProxyType
from typing import NamedTuple, Protocol
from uuid import uuid4

from include.errors import SystemUnavailable
from include.systems.limits.limiter import LONGEST_TURN, PATIENCE, SHORTEST_TURN
from include.systems.limits.quota import Quota
from include.systems.limits.turns import AHEAD_SECONDS, Ask, Grant
from include.systems.registry import System, Window

ALL = ""
"""The limit of all calls; others are limits of one kind of call, on top of it."""
_HEARD_SECONDS = 30.0  # an answer that is older says nothing about whether the system is there
_REMEMBERED = 20  # calls, and turns
_SLICES = 20  # a leave is good for this part of the shortest window
_SOON = 0.25
"""Seconds from now within which leave is taken for a later moment. Not longer, since what calls in the air are counted
at is not known for good before their answers, and since a refusal elsewhere is not heard by whoever has leave."""
_TURN_SECONDS = 0.15  # a turn that may give leave for later comes as much earlier
_SAME = 0.001  # seconds
_ENOUGH = 3  # calls from which on their quickest is believed
_QUICKEST = 0.8  # of it, since among few calls none may have been as quick as another process's
Limits = Mapping[str, Sequence[Window]]


class Levels(Protocol):
    """Where levels are kept."""

    def open(self, groups: Sequence[str]) -> AbstractContextManager[tuple[Mapping[str, Quota], float]]:
        """The levels of these limits and their time in seconds, for nobody else while the block runs."""
        ...


@dataclass
class ProcessLevels:
    """Levels that this process alone knows."""

    limits: Limits
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._quotas = {group: Quota(windows) for group, windows in self.limits.items()}

    @contextmanager
    def open(self, groups: Sequence[str]) -> Iterator[tuple[Mapping[str, Quota], float]]:
        """All levels; whoever calls sees to it that one thread does at a time."""
        yield self._quotas, self.clock()


class _Place(NamedTuple):
    """Leave in stock: good from `begins` until `ends` by our clock, and counted at a time of the levels."""

    begins: float
    ends: float
    counted: float


@dataclass(slots=True, eq=False)
class Leave:
    """Leave for one call; `counted` says at which time of the levels each limit counts it, `sent` is by our clock."""

    kind: str
    sent: float
    counted: dict[str, float]


def limits_of(system: System) -> Limits:
    """The windows of all calls under ALL, and those of one kind of call under its name."""
    return {**system.call_limits, ALL: system.limits}


class Pace:
    """The leave of one process, for all its threads."""

    def __init__(
        self,
        system: System,
        levels: Levels | None = None,
        *,
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Without `levels` the process keeps its own. `sleep` and `clock` (seconds) are for tests with one thread."""
        self._system, self._limits, self._clock = system, limits_of(system), clock
        self._levels = levels or ProcessLevels(self._limits, clock)
        self._lock, self._holder = Condition(), uuid4().hex[:12]
        self._sleep = sleep or self._lock.wait
        self._late = {
            group: min([AHEAD_SECONDS, *(window.per_seconds / _SLICES for window in windows)])
            for group, windows in self._limits.items()
        }
        self._waiting: Counter[str] = Counter()
        self._stock: dict[str, list[_Place]] = {group: [] for group in self._limits}
        self._moved: dict[str, list[tuple[float, float | None]]] = {group: [] for group in self._limits}
        self._next_turn = dict.fromkeys(self._limits, 0.0)
        self._taken: dict[str, deque[float]] = {group: deque(maxlen=_REMEMBERED) for group in self._limits}
        self._took: dict[str, deque[float]] = {group: deque(maxlen=_REMEMBERED) for group in self._limits}
        self._flying: set[Leave] = set()
        self._offsets: deque[float] = deque(maxlen=_REMEMBERED)
        self._least_offsets: deque[float] = deque(maxlen=_REMEMBERED)
        self._closing: dict[str, float] = {}
        self._counted: dict[float, float] = {}
        self._heard_at, self._missed = float("-inf"), False

    def take(self, kind: str = ALL) -> Leave:
        """Wait until one more call of this kind is allowed.

        Raises SystemUnavailable if that takes longer than anybody waits, and LedgerUnavailable.
        """
        groups = [kind, ALL] if kind != ALL and kind in self._limits else [ALL]
        with self._lock:
            self._waiting.update(groups)
        try:
            while True:
                with self._lock:
                    begins, turn = self._next(groups)
                    now = self._clock()
                    if begins <= now:
                        return self._leave(kind, groups)
                    if turn <= now:
                        self._turn()
                        self._lock.notify_all()
                    else:
                        self._sleep(min(begins, turn) - now)
        finally:
            with self._lock:
                self._waiting.subtract(groups)

    def end(self, leave: Leave, headers: Mapping[str, str] | None) -> None:
        """The call is over; `headers` are its answer's, None if there was none."""
        with self._lock:
            now = self._clock()
            self._flying.discard(leave)
            if headers is None:
                self._missed = True
            else:
                self._heard_at = now
                self._took[leave.kind if leave.kind in self._took else ALL].append(now - leave.sent)
                self._hear(headers)
            self._date(leave, now)

    def refuse(self, kind: str, seconds: float) -> None:
        """The vendor answered 429 for this limit: nothing leaves for so long, from no process."""
        with self._lock:
            group = kind if kind in self._limits else ALL
            self._closing[group] = max(self._closing.get(group, 0.0), seconds)
            self._give_back(group, self._stock[group])
            self._next_turn[group] = 0.0

    # The stock of leave

    def _next(self, groups: Sequence[str]) -> tuple[float, float]:
        """When leave of all these limits is good, and when the next turn for more is due; infinity for never."""
        now = self._clock()
        for group in groups:
            self._give_back(group, [place for place in self._stock[group] if place.ends < now])
        lacking = [group for group in groups if not self._stock[group]]
        begins = float("inf") if lacking else max(self._stock[group][0].begins for group in groups)
        short = lacking or [group for group in groups if self._short(group)]
        return begins, max((self._next_turn[group] for group in short), default=float("inf"))

    def _give_back(self, group: str, places: Sequence[_Place]) -> None:
        self._moved[group] += [(place.counted, None) for place in places]
        self._stock[group] = [place for place in self._stock[group] if place not in places]

    def _leave(self, kind: str, groups: Sequence[str]) -> Leave:
        now = self._clock()
        leave = Leave(kind, now, {group: self._stock[group].pop(0).counted for group in groups})
        for group in groups:
            self._taken[group].append(now)
        self._flying.add(leave)
        return leave

    def _date(self, leave: Leave, now: float) -> None:
        """Date a call by when it arrived at the latest, as far as is known by now."""
        took = self._took[leave.kind if leave.kind in self._took else ALL]
        quickest = min(took) * _QUICKEST if len(took) >= _ENOUGH else 0.0
        date = max(leave.sent, now - quickest) + min(self._offsets)
        for group, counted in leave.counted.items():
            if abs(date - counted) > _SAME:
                self._moved[group].append((counted, date))
                leave.counted[group] = date

    # A turn at the levels

    def _turn(self) -> None:
        """Ask for what all threads wait for; the limits of one kind first, since leave for all is only good with it."""
        for leave in self._flying:
            self._date(leave, self._clock())
        own = (group for group in self._limits if group != ALL)
        groups = [group for group in own if self._short(group) or self._moved[group] or group in self._closing]
        groups.append(ALL)  # a kind's leave would be old before another turn
        before, grants = self._clock(), dict[str, list[Grant]]()
        with self._levels.open(groups) as (quotas, now):
            least = now - self._clock()
            for group in groups:
                grants[group] = self._grants(quotas[group], self._ask(group, grants), now)
            windows = self._limits[ALL] if ALL in groups else ()
            counted = {w.per_seconds: quotas[ALL].counted(w, now) for w in windows if w.requests and not w.refills}
        self._counted, self._missed = counted or self._counted, False
        self._offsets.append(now - before)
        self._least_offsets.append(least)
        for group, got in grants.items():
            self._keep(group, got, now)

    def _grants(self, quota: Quota, ask: Ask, now: float) -> list[Grant]:
        """What is granted now and, if more fits soon, what is granted for then."""
        first = quota.turn(ask, now)
        lacking = len(ask.waiting) - first.granted
        if not lacking or first.wait > _SOON:
            return [first]
        return [first, quota.turn(Ask(ask.holder, waiting=[1] * lacking, late=ask.late), now + first.wait)]

    def _short(self, group: str, grants: Mapping[str, Sequence[Grant]] = MappingProxyType({})) -> int:
        """How many threads wait for leave of this limit and have none in stock, nor granted; a kind's own first."""
        got = len(self._stock[group]) + sum(grant.granted for grant in grants.get(group, ()))
        short = self._waiting[group] - got
        if group == ALL:
            short -= sum(self._short(kind, grants) for kind in self._limits if kind != ALL)
        return max(short, 0)

    def _ask(self, group: str, grants: Mapping[str, Sequence[Grant]]) -> Ask:
        now, short = self._clock(), self._short(group, grants)
        recent = sum(1 for moment in self._taken[group] if moment > now - AHEAD_SECONDS)
        return Ask(
            holder=self._holder,
            waiting=[1] * short,
            ahead=[1] * (recent if short and self._late[group] == AHEAD_SECONDS else 0),
            late=self._late[group],
            moved=self._moved[group],
            closed_for=self._closing.get(group, 0.0),
            heard=self._heard_at > now - _HEARD_SECONDS,
            missed=self._missed,
        )

    def _keep(self, group: str, grants: Sequence[Grant], now: float) -> None:
        self._moved[group] = []
        self._closing.pop(group, None)
        late, ours, at = self._late[group], self._clock(), now
        for grant in grants:
            begins = at - max(self._least_offsets)
            place = _Place(begins, max(begins, ours) + late, at + late)
            self._stock[group] = sorted([*self._stock[group], *[place] * (grant.granted + grant.ahead)])
            at += grant.wait
        wait = at - now if grants[-1].wait else 0.0
        pause = min(max(wait - _TURN_SECONDS, SHORTEST_TURN), LONGEST_TURN) if wait else 0.0
        self._next_turn[group] = ours + pause
        if wait > PATIENCE:
            problem = f"the limits of its key leave no room for {wait / 60:.0f} minutes"
            raise SystemUnavailable(problem, system=self._system.name, about=group, action="Retry later")

    def _hear(self, headers: Mapping[str, str]) -> None:
        """If strangers use the key too and little is left, spread what is left over the vendor's interval."""
        try:
            left = int(headers["X-HubSpot-RateLimit-Remaining"])
            most = int(headers["X-HubSpot-RateLimit-Max"])
            interval = int(headers["X-HubSpot-RateLimit-Interval-Milliseconds"]) / 1000
        except (KeyError, ValueError):
            return
        reserve = max(most // 10, 1)
        strangers = most - left - self._counted.get(interval, 0.0)
        if left <= reserve and strangers > reserve / 2:
            self._closing[ALL] = interval * (reserve - left + 1) / (reserve + 1)
            self._give_back(ALL, self._stock[ALL])
            self._next_turn[ALL] = 0.0
