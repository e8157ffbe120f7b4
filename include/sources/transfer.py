"""Bytes over one SFTP session with many requests on their way, so that 2,000 small files do not cost 6,000 waits."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterable, Iterator, Sequence
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
_WINDOW = 64 * PIECE
_FILES = 64


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

    def _async_response(self, kind: int, message: paramiko.Message, number: int) -> None:
        self._answers[number] = (kind, message)

    def receive(self, number: int, expected: int) -> paramiko.Message:
        """The answer to a request; raises what the server said instead, as OSError or EOFError."""
        while number not in self._answers:
            self._sftp._read_response()
        kind, message = self._answers.pop(number)
        if kind == CMD_STATUS:
            self._sftp._convert_status(message)
        if kind != expected and (kind, expected) != (CMD_STATUS, CMD_CLOSE):
            raise paramiko.SSHException(f"answer {kind} where {expected} was expected")
        return message

    def place(self, path: str) -> bytes:
        """The path as the server is told it."""
        name: bytes = self._sftp._adjust_cwd(path)
        return name


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


def read_files(sftp: paramiko.SFTPClient, wanted: Iterable[Wanted]) -> Iterator[bytes]:
    """The first `bytes` of each file, in order; a file that has become shorter gives what it has.

    Files are opened, read and closed in groups of up to 64 or 2 MiB, which is what is held in memory; a larger file is
    a group of its own. Raises FileNotFoundError with the path, PermissionError and other OSErrors.
    """
    for group in _groups(wanted):
        yield from _read_group(_Pipeline(sftp), group)


def copy_files(sftp: paramiko.SFTPClient, wanted: Sequence[tuple[Wanted, Path]]) -> list[str]:
    """Copy each file to its local path and return the sha256 of each, in order; memory stays flat."""
    digests: list[str] = []
    small = [one for one in wanted if one[0].bytes <= _WINDOW]
    contents = read_files(sftp, [one for one, _ in small])
    for one, into in wanted:
        if one.bytes > _WINDOW:
            digests.append(_copy_large(sftp, one, into))
            continue
        data = next(contents)
        into.write_bytes(data)
        digests.append(hashlib.sha256(data).hexdigest())
    return digests


def _groups(wanted: Iterable[Wanted]) -> Iterator[list[Wanted]]:
    group, size = list[Wanted](), 0
    for one in wanted:
        if group and (len(group) == _FILES or size + one.bytes > _WINDOW):
            yield group
            group, size = [], 0
        group.append(one)
        size += one.bytes
    if group:
        yield group


def _read_group(line: _Pipeline, group: Sequence[Wanted]) -> Iterator[bytes]:
    opening = [line.send(CMD_OPEN, line.place(one.path), SFTP_FLAG_READ, paramiko.SFTPAttributes()) for one in group]
    reading = []
    for one, number in zip(group, opening, strict=True):
        try:
            handle = line.receive(number, CMD_HANDLE).get_binary()
        except FileNotFoundError as error:
            raise FileNotFoundError(errno.ENOENT, "no such file", one.path) from error
        spans = [(at, min(PIECE, one.bytes - at)) for at in range(0, one.bytes, PIECE)]
        pieces = [(line.send(CMD_READ, handle, int64(at), size), at, size) for at, size in spans]
        reading.append((handle, pieces))
    contents = [_join(line, handle, pieces) for handle, pieces in reading]
    closing = [line.send(CMD_CLOSE, handle) for handle, _ in reading]
    for number in closing:
        line.receive(number, CMD_CLOSE)
    yield from contents


def _join(line: _Pipeline, handle: bytes, pieces: Sequence[tuple[int, int, int]]) -> bytes:
    """The pieces as one, up to the file's end; where the server gave less than was asked, the rest is asked for."""
    data = bytearray()
    for number, at, size in pieces:
        piece = _piece(line, number)
        if len(data) < at:
            continue  # beyond the end
        while piece and len(data) < at + size:
            data += piece
            left = at + size - len(data)
            piece = _piece(line, line.send(CMD_READ, handle, int64(len(data)), left)) if left else b""
    return bytes(data)


def _piece(line: _Pipeline, number: int) -> bytes:
    try:
        data: bytes = line.receive(number, CMD_DATA).get_binary()
    except EOFError:
        return b""
    return data


def _copy_large(sftp: paramiko.SFTPClient, wanted: Wanted, into: Path) -> str:
    """Copy one file a window at a time, with many reads on their way."""
    sha256 = hashlib.sha256()
    with sftp.open(wanted.path, "rb") as remote, into.open("wb") as local:
        for start in range(0, wanted.bytes, _WINDOW):
            end = min(start + _WINDOW, wanted.bytes)
            for piece in remote.readv([(at, min(PIECE, end - at)) for at in range(start, end, PIECE)]):
                sha256.update(piece)
                local.write(piece)
    return sha256.hexdigest()
