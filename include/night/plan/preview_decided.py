"""Rows that would be decided in the process, counted before anything is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from include.ledger import audit
from include.night.enrich.local import Deciding
from include.night.enrich.questions import Item

SAMPLE = 2_000
"""Questions that are really put to the engine; the others are taken to be decided in the same share."""
_DIGITS = 8


@dataclass
class Expected:
    """What a night's engine would decide; nothing goes on record."""

    deciding: Deciding
    looked_at: int = 0
    certain: int = 0

    def split(self, groups: Mapping[str, list[Item]]) -> tuple[set[str], set[str]]:
        """Of questions by their key, those that the engine has answered on record, and those that it would decide."""
        own = {key: self.deciding.item(items[0].record) for key, items in groups.items()}
        night = self.deciding.night
        known = audit.find_answers(night.ledger, night, {item.inference_key for item in own.values()})
        reused = {key for key, item in own.items() if item.inference_key in known}
        fresh = [key for key in groups if key not in reused]
        sample = fresh[: max(SAMPLE - self.looked_at, 0)]
        found = self.deciding.decider.sort([own[key].record for key in sample]) if sample else None
        decided = {sample[at] for at in found.decided} if found else set[str]()
        self.looked_at += len(sample)
        self.certain += len(decided)
        return reused, decided | {key for key in fresh[len(sample) :] if self._is_like_those(key)}

    def _is_like_those(self, key: str) -> bool:
        """Whether a question is in the share decided, by chance that is the same for the same key."""
        return int(key[:_DIGITS], 16) * self.looked_at < self.certain << 4 * _DIGITS
