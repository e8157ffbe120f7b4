"""A vendor's limits of one key: two buckets that refill evenly, and another tenant who draws on them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

NO_REQUEST_LIMIT, NO_TOKEN_LIMIT = 1e9, 1e12


@dataclass(slots=True)
class Bucket:
    """`limit` units a minute; `level` are in it at `at` (seconds of any clock)."""

    limit: float
    level: float
    at: float

    def refill(self, now: float) -> None:
        """Let the time since the last look flow in."""
        self.level = min(self.limit, self.level + (now - self.at) * self.limit / 60.0)
        self.at = now

    def reset(self) -> str:
        """How long until it is full, as a header says it."""
        return spell((self.limit - self.level) * 60.0 / self.limit)


@dataclass(slots=True)
class Key:
    """Requests and tokens a minute of one key; time begins with the first request.

    `others` is what a second tenant takes a minute, one request at a time and before us; `start` is the share of the
    request bucket that is full at first.
    """

    rpm: float = NO_REQUEST_LIMIT
    tpm: float = NO_TOKEN_LIMIT
    others: float = 0.0
    start: float = 1.0
    taken_by_others: int = 0
    charged: float = 0.0
    requests: Bucket = field(init=False)
    tokens: Bucket = field(init=False)
    began: float | None = None

    def take(self, charge: float, now: float) -> float:
        """Count a request of `charge` tokens and return 0, or return the seconds until it would fit."""
        if self.began is None:
            self.began = now
            self.requests = Bucket(self.rpm, self.rpm * self.start, now)
            self.tokens = Bucket(self.tpm, self.tpm, now)
        self._let_others_draw(now)
        self.requests.refill(now)
        self.tokens.refill(now)
        missing = 1.0 - self.requests.level
        heavy = min(charge, self.tpm) - self.tokens.level
        if missing <= 0 and heavy <= 0:
            self.requests.level -= 1.0
            self.tokens.level -= charge
            self.charged += charge
            return 0.0
        return max(missing * 60.0 / self.rpm, heavy * 60.0 / self.tpm)

    def headers(self) -> str:
        """The six `x-ratelimit-*` headers, as of the last look."""
        requests, tokens = self.requests, self.tokens
        return (
            f"x-ratelimit-limit-requests: {int(requests.limit)}\r\n"
            f"x-ratelimit-remaining-requests: {int(max(requests.level, 0.0))}\r\n"
            f"x-ratelimit-reset-requests: {requests.reset()}\r\n"
            f"x-ratelimit-limit-tokens: {int(tokens.limit)}\r\n"
            f"x-ratelimit-remaining-tokens: {int(max(tokens.level, 0.0))}\r\n"
            f"x-ratelimit-reset-tokens: {tokens.reset()}\r\n"
        )

    def _let_others_draw(self, now: float) -> None:
        while self.began is not None and self.others:
            due = self.began + (self.taken_by_others + 1) * 60.0 / self.others
            if due > now:
                return
            self.requests.refill(max(due, self.requests.at))
            self.requests.level -= 1.0
            self.taken_by_others += 1


def spell(seconds: float) -> str:
    """A span of time as OpenAI writes it: `120ms`, `1s`, `6m0s`."""
    if seconds < 1.0:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def best_seconds(count: float, limit: float, *, others: float = 0.0, start: float = 1.0) -> float:
    """The least time in which `count` units fit a bucket of `limit` a minute; the last answer's latency not counted."""
    return max(0.0, (count - limit * start) * 60.0 / (limit - others))
