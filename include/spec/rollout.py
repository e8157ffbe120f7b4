"""When a use case may go further, and when it goes back by itself, as it declares it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rollout:
    """Mode auto is proposed once people have `decided` on so many answers of the prompt and model in use.

    Of the `newest` of them they must have approved `agreement` (0 to 1) as they were, at the lower end of its 95 %
    interval. A night in mode auto that was set by people goes back to gated when, of at least `few` newest decisions,
    more than `overruled` were edited or rejected, or when an expectation on answers stopped it.
    """

    decided: int = 50
    newest: int = 500
    agreement: float = 0.9
    few: int = 20
    overruled: float = 0.2
