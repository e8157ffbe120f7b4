"""What is known of every batch: a journal of its states, so that a killed sandbox goes on where it was."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from include.demo.sandbox.journal import Journal, read_journal
from include.demo.sandbox.model import shapes

Status = Literal["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_WINDOW_SECONDS = 86_400


@dataclass
class Batch:
    """One batch; `born` in epoch seconds, `tokens` those of its prompts, `looks` how often it was asked for."""

    owner: str
    input_file_id: str
    completion_window: str
    endpoint: str
    metadata: dict[str, str] | None
    id: str = field(default_factory=lambda: f"batch_{uuid.uuid4().hex[:24]}")
    born: float = field(default_factory=time.time)
    status: Status = "validating"
    model: str | None = None
    tokens: int = 0
    total: int = 0
    completed: int = 0
    failed: int = 0
    looks: int = 0
    problems: list[dict[str, Any]] = field(default_factory=list)
    output_file_id: str | None = None
    error_file_id: str | None = None
    times: dict[str, int] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Outside of the fields: what wakes the task that works on the batch."""
        self._stir = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in ENDED

    def enter(self, status: Status) -> None:
        """Go on to a status, and note when."""
        self.status = status
        self.times[f"{status}_at"] = int(time.time())

    def stir(self) -> None:
        """Wake who waits: somebody looked, or cancelled."""
        self._stir.set()

    async def stirred(self) -> None:
        """Wait until the batch is stirred the next time."""
        self._stir.clear()
        await self._stir.wait()

    def shown(self) -> dict[str, Any]:
        """The vendor's batch object."""
        stamps = dict.fromkeys(f"{name}_at" for name in ("in_progress", "finalizing", "cancelling", *sorted(ENDED)))
        same = ("id", "endpoint", "model", "input_file_id", "completion_window", "status", "output_file_id")
        return {
            **{name: getattr(self, name) for name in (*same, "error_file_id", "metadata")},
            "object": "batch",
            "errors": {"object": "list", "data": self.problems} if self.problems else None,
            "created_at": int(self.born),
            "expires_at": int(self.born) + _WINDOW_SECONDS,
            **stamps,
            **self.times,
            "request_counts": {"total": self.total, "completed": self.completed, "failed": self.failed},
            "usage": shapes.batch_usage(**self.used) if self.used else None,
        }


class Batches:
    """Every batch in the order in which it was made."""

    def __init__(self, path: Path) -> None:
        """Replay the journal at `path`, then append to it."""
        self._known: dict[str, Batch] = {}
        for entry in read_journal(path):
            self._known[entry["id"]] = Batch(**entry)
        self._journal = Journal(path)

    def keep(self, batch: Batch) -> None:
        """Put the present state of a batch on record."""
        self._journal.append(asdict(batch))
        self._known[batch.id] = batch

    def find(self, number: str, owner: str) -> Batch:
        """One batch of a key; raises ModelError 404."""
        batch = self._known.get(number)
        if batch is None or batch.owner != owner:
            raise shapes.no_such("batch", number)
        return batch

    def of(self, owner: str) -> list[Batch]:
        """The batches of a key, newest first."""
        return [batch for batch in reversed(self._known.values()) if batch.owner == owner]

    def open(self) -> list[Batch]:
        """The batches that have not ended."""
        return [batch for batch in self._known.values() if not batch.ended]

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()
