"""Which calls take so long that a second one for the same question is worth its price."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

SAMPLES, ENOUGH = 256, 50
"""Answers that are looked back on, and how many of them must be known before anything is called slow."""
SHORTEST = 1.0
"""Seconds; below that a second call costs more than it saves."""
SHARE = 0.01
"""Second calls per call, at most: a slow provider must not be paid twice."""
_SLOWER = 1.5  # times what 95 % of the calls stay under
_FEWEST, _WORTH = 8, 0.25  # second calls after which it is known whether they help, and the share that must come first
_START_TOKENS = 16  # an answer's fixed part, as tokens: even an empty one takes a while


@dataclass
class Tail:
    """The latencies of the last answers, by what they are long: an answer of many tokens is not slow.

    How long an answer will be is known only when it is here. So a call is slow when it takes longer than the longest
    usual answer takes at the speed that 95 % of the answers have. Seconds and tokens.
    """

    sent: int = 0
    won: int = 0
    _answers: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=SAMPLES))

    def learn(self, latency: float, tokens: int) -> None:
        """An answer of so many tokens came after `latency` seconds, and no second call was sent for it."""
        self._answers.append((latency, tokens))

    def slow_after(self) -> float | None:
        """Seconds after which a call is slow; None while that is not known, or if second calls have not helped."""
        if len(self._answers) < ENOUGH or (self.sent >= _FEWEST and self.won < _WORTH * self.sent):
            return None
        speeds = sorted(latency / (tokens + _START_TOKENS) for latency, tokens in self._answers)
        lengths = sorted(tokens for _, tokens in self._answers)
        speed, length = (ordered[int(0.95 * (len(ordered) - 1))] for ordered in (speeds, lengths))
        return max(_SLOWER * speed * (length + _START_TOKENS), SHORTEST)

    def may_send(self, calls: int) -> bool:
        """Whether one more second call stays within its share of so many calls."""
        return self.sent < SHARE * calls
