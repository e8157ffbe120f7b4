"""Bytes over one SFTP session with many requests on their way, so that a file costs few waits, small or large."""

from __future__ import annotations

import errno
import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import paramiko
from paramiko.sftp import (
    CMD_ATTRS,
    CMD_CLOSE,
    CMD_DATA,
    CMD_HANDLE,
    CMD_OPEN,
    CMD_READ,
    CMD_STAT,
    CMD_STATUS,
    SFTP_FLAG_READ,
    int64,
)

PIECE = 32_768
_ON_THEIR_WAY = 64


class Wanted(NamedTuple):
    """A file by its place on the server, and its size in bytes as it was listed."""

    path: str
    bytes: int


class _Pipeline:
    """Requests that are sent before the answers to the earlier ones are read.

    paramiko hands an answer to whoever asked without waiting; this is the way in that its own prefetching takes.
    """

    def __init__(self, sftp: Any) -> None:
        self._sftp = sftp
        self._answers: dict[int, tuple[int, paramiko.Message]] = {}

    def send(self, kind: int, *fields: Any) -> int:
        """Send one request and return its number."""
        return int(self._sftp._async_request(self, kind, *fields))

    def forget(self, kind: int, *fields: Any) -> None:
        """Send one request whose answer does not matter."""
        self._sftp._async_request(type(None), kind, *fields)

    def _async_response(self, kind: int, message: paramiko.Message, number: int) -> None:
        self._answers[number] = (kind, message)

    def receive(self, number: int, expected: int) -> paramiko.Message:
        """The answer to a request; raises what the server said instead, as OSError or EOFError."""
        while number not in self._answers:
            self._sftp._read_response()
        kind, message = self._answers.pop(number)
        if kind == CMD_STATUS:
            self._sftp._convert_status(message)
        if kind != expected:
            raise paramiko.SSHException(f"answer {kind} where {expected} was expected")
        return message

    def place(self, path: str) -> bytes:
        """The path as the server is told it."""
        name: bytes = self._sftp._adjust_cwd(path)
        return name


class _Reading:
    """One file that is being read in order, up to 64 requests ahead; what was asked for beyond its end is nothing."""

    def __init__(self, line: _Pipeline, wanted: Wanted) -> None:
        self._line, self._wanted = line, wanted
        self._opening = line.send(CMD_OPEN, line.place(wanted.path), SFTP_FLAG_READ, paramiko.SFTPAttributes())
        self._spans = ((at, min(PIECE, wanted.bytes - at)) for at in range(0, wanted.bytes, PIECE))
        self._asked: deque[tuple[int, int, int]] = deque()

    def open(self) -> None:
        """Wait until the server has opened it; raises FileNotFoundError with the path."""
        try:
            self._handle = self._line.receive(self._opening, CMD_HANDLE).get_binary()
        except FileNotFoundError as error:
            raise FileNotFoundError(errno.ENOENT, "no such file", self._wanted.path) from error

    def ask(self) -> None:
        """Ask for more once half of what was asked has come, so that requests leave by the dozen."""
        if len(self._asked) <= _ON_THEIR_WAY // 2:
            for at, size in islice(self._spans, _ON_THEIR_WAY - len(self._asked)):
                self._asked.append((self._read(at, size), at, size))

    def _read(self, at: int, size: int) -> int:
        return self._line.send(CMD_READ, self._handle, int64(at), size)

    def pieces(self) -> Iterator[bytes]:
        """The content up to the file's end; where the server gives less than was asked, the rest is asked for."""
        ended = False
        while self._asked:
            number, at, size = self._asked.popleft()
            piece = self._piece(number)
            if ended:
                continue
            self.ask()
            while piece:
                yield piece
                at, size = at + len(piece), size - len(piece)
                piece = self._piece(self._read(at, size)) if size else b""
            ended = size > 0

    def close(self) -> None:
        """Nobody waits for the answer, as when paramiko closes a forgotten file."""
        self._line.forget(CMD_CLOSE, self._handle)

    def _piece(self, number: int) -> bytes:
        try:
            data: bytes = self._line.receive(number, CMD_DATA).get_binary()
        except EOFError:
            return b""
        return data


def stat_files(sftp: paramiko.SFTPClient, paths: Sequence[str]) -> list[paramiko.SFTPAttributes | None]:
    """What the server says of each path, None where nothing is there; one round trip for all."""
    line = _Pipeline(sftp)
    attributes: Any = paramiko.SFTPAttributes  # its reader of messages is not in the stubs
    numbers = [line.send(CMD_STAT, line.place(path)) for path in paths]
    found: list[paramiko.SFTPAttributes | None] = []
    for number in numbers:
        try:
            found.append(attributes._from_msg(line.receive(number, CMD_ATTRS)))
        except FileNotFoundError:
            found.append(None)
    return found


def read_file(sftp: paramiko.SFTPClient, wanted: Wanted) -> bytes:
    """The first `bytes` of a file, held in memory; a file that has become shorter gives what it has.

    Raises FileNotFoundError with the path, PermissionError and other OSErrors.
    """
    (reading,) = _open(sftp, wanted)
    data = b"".join(reading.pieces())
    reading.close()
    return data


def copy_file(
    sftp: paramiko.SFTPClient, wanted: Wanted, into: Path, beside: Wanted | None = None
) -> tuple[str, bytes | None]:
    """Copy a file to the local path `into`; its sha256, and the content of a small one that lies `beside` it.

    Both are opened and read in the same round trips. At most 2 MiB of each are held in memory. Raises as `read_file`.
    """
    reading, *small = _open(sftp, wanted, *((beside,) if beside else ()))
    said = b"".join(small[0].pieces()) if small else None
    sha256 = hashlib.sha256()
    with into.open("wb") as local:
        for piece in reading.pieces():
            sha256.update(piece)
            local.write(piece)
    for one in (reading, *small):
        one.close()
    return sha256.hexdigest(), said


def _open(sftp: paramiko.SFTPClient, *wanted: Wanted) -> list[_Reading]:
    """Files opened together, with their first pieces on the way: two round trips for all."""
    line = _Pipeline(sftp)
    files = [_Reading(line, one) for one in wanted]
    for one in files:
        one.open()
    for one in files:
        one.ask()
    return files
