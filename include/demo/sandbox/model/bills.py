"""What the model endpoint was asked and what it would bill: its own count, kept across restarts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.demo.sandbox.journal import Journal, read_journal
from include.demo.sandbox.model.prompts import Prompt

_FIELDS = ("request_id", "key", "message", "at", "status", "billed", "fault", "prompt", "completion", "cached", "batch")


@dataclass(frozen=True, slots=True)
class Call:
    """One request after its key was accepted; sizes in tokens, `at` in epoch seconds, `key` only its last digits.

    `message` is the sha256 of the last user message. A call is billed if the vendor would have made an answer, whether
    or not the caller received it. `batch` says that it came through a batch, and costs half.
    """

    request_id: str
    key: str
    message: str
    at: float
    status: int
    billed: bool
    fault: str | None
    prompt: int
    completion: int
    cached: int
    batch: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {name: getattr(self, name) for name in _FIELDS}


def call_of(
    request_id: str,
    key: str,
    prompt: Prompt,
    status: int,
    fault: str | None = None,
    used: Mapping[str, Any] | None = None,
    *,
    batch: bool = False,
) -> Call:
    """A call as of now; billed if there is usage (the vendor's object)."""
    return Call(
        request_id=request_id,
        key=key,
        message=prompt.message,
        at=round(time.time(), 3),
        status=status,
        billed=used is not None,
        fault=fault,
        prompt=used["prompt_tokens"] if used else 0,
        completion=used["completion_tokens"] if used else 0,
        cached=used["prompt_tokens_details"]["cached_tokens"] if used else 0,
        batch=batch,
    )


class Bills:
    """Every call in order; `asked` counts per message the calls that got past the limits."""

    def __init__(self, path: Path) -> None:
        """Replay the journal at `path`, then append to it."""
        self.calls: list[Call] = []
        self.asked: Counter[str] = Counter()
        for entry in read_journal(path):
            self._count(Call(**entry))
        self._journal = Journal(path)

    def add(self, call: Call) -> None:
        """Put a call on record."""
        self._journal.append(call.to_json())
        self._count(call)

    def summary(self) -> dict[str, Any]:
        """Totals, in all and per key; `billed_again` counts billed calls whose message had been billed before."""
        billed = [call for call in self.calls if call.billed]
        messages = {call.message for call in billed}
        keys = {call.key for call in self.calls}
        return {
            **_totals(self.calls),
            "billed_again": len(billed) - len(messages),
            "keys": {key: _totals([call for call in self.calls if call.key == key]) for key in sorted(keys)},
        }

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    def _count(self, call: Call) -> None:
        self.calls.append(call)
        if call.billed or call.fault is not None:
            self.asked[call.message] += 1


def _totals(calls: list[Call]) -> dict[str, Any]:
    billed = [call for call in calls if call.billed]
    statuses = Counter(str(call.status) for call in calls)
    return {
        "calls": len(calls),
        "billed_calls": len(billed),
        "prompt_tokens": sum(call.prompt for call in billed),
        "cached_tokens": sum(call.cached for call in billed),
        "completion_tokens": sum(call.completion for call in billed),
        "total_tokens": sum(call.prompt + call.completion for call in billed),
        "statuses": dict(statuses),
    }
