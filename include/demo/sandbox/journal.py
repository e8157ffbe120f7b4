"""Append-only JSON lines that survive `kill -9`: each line reaches the operating system before the call returns."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Journal:
    """Appends records to one file; safe against a killed process, not against power loss, since nothing is synced."""

    def __init__(self, path: Path) -> None:
        """Open for appending; the file is made, and a last line that was cut short is dropped."""
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_torn_tail(path)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append(self, *records: dict[str, Any]) -> None:
        """Write the records in one system call, so that a group is there whole or not at all after a kill."""
        text = "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records)
        os.write(self._file, text.encode())

    def close(self) -> None:
        """Close the file; appending after that raises OSError."""
        os.close(self._file)


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """Records in the order written; nothing if the file does not exist. A torn last line is skipped."""
    if not path.exists():
        return
    with path.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield json.loads(line)


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace a file so that a reader sees the old text or the new one, never half; `mode` is its permission."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def _drop_torn_tail(path: Path) -> None:
    if not path.exists():
        return
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)
