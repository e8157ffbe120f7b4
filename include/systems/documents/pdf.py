"""Texts of PDFs, read by a process of its own: a hostile or damaged file ends that process and not the task."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

_PROGRAM = Path(__file__).with_name("pdf_child.py")
_DOCUMENTS = 500
"""Read by one process, so that what it may leak does not add up."""
_ANSWER = 4_096
_PER_CHARACTER = 6
"""Bytes of the longest escape in JSON."""


@dataclass(frozen=True, slots=True)
class PdfLimits:
    """What one PDF may cost: pages, characters of text, seconds, bytes of memory."""

    pages: int = 5_000
    characters: int = 10_000_000
    seconds: float = 60.0
    memory: int = 1 << 30


@dataclass(frozen=True, slots=True)
class PdfText:
    """What came of one PDF: the text of each page, how many could not be opened, the XML of a hybrid invoice.

    `problem` says why there is nothing: `encrypted`, `broken`, `too_many_pages`, `too_long`, `too_slow`, or
    `reader_died`, when the process ended over this file or its memory did.
    """

    pages: tuple[str, ...] = ()
    unread: int = 0
    xml: bytes = b""
    problem: str = ""


class PdfReader:
    """Reads PDFs one after another, in a process that is started when it is needed and again after it ended.

    The process is given none of this one's environment but where to find its library: no connection and no key.
    """

    def __init__(self, limits: PdfLimits) -> None:
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._read = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def read(self, path: Path) -> PdfText:
        """The texts of a PDF on this machine."""
        if self._read >= _DOCUMENTS or (self._process is not None and self._process.poll() is not None):
            self._end()
        with tempfile.TemporaryDirectory() as folder:
            into = Path(folder) / "found.json"
            limits = self._limits
            request = {
                "path": str(path),
                "into": str(into),
                "most_pages": limits.pages,
                "most_characters": limits.characters,
            }
            answer = self._ask(json.dumps(request).encode() + b"\n")
            if answer.get("outcome") != "read":
                return PdfText(problem=str(answer.get("outcome", "reader_died")))
            found = json.loads(into.read_bytes())
        return PdfText(tuple(found["pages"]), int(answer["unread"]), found["xml"].encode("latin-1"))

    def _ask(self, request: bytes) -> dict[str, Any]:
        """What the process answers within the time, which else is killed."""
        process = self._process or self._start()
        self._read += 1
        try:
            given = cast("IO[bytes]", process.stdin)
            given.write(request)
            given.flush()
            return dict(json.loads(self._line(cast("IO[bytes]", process.stdout))))
        except TimeoutError:
            self._end()
            return {"outcome": "too_slow"}
        except (OSError, ValueError):
            self._end()
            return {"outcome": "reader_died"}

    def _line(self, output: IO[bytes]) -> bytes:
        """One line of the process; raises TimeoutError, and OSError if it ended."""
        until, line = time.monotonic() + self._limits.seconds, b""
        with selectors.DefaultSelector() as waiting:
            waiting.register(output, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not waiting.select(max(until - time.monotonic(), 0)):
                    raise TimeoutError
                piece = os.read(output.fileno(), _ANSWER)
                line += piece
                if not piece or len(line) > _ANSWER:
                    raise OSError("the process ended")
        return line

    def _start(self) -> subprocess.Popen[bytes]:
        written = self._limits.characters * _PER_CHARACTER
        self._read = 0
        self._process = subprocess.Popen(  # noqa: S603 - this Python, a program of this package
            [sys.executable, "-P", str(_PROGRAM), str(self._limits.memory), str(written)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PYTHONPATH": os.pathsep.join(part for part in sys.path if part)},
            start_new_session=True,
        )
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
            self._read = 0
