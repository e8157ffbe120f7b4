"""What a file is, by its first bytes and not by its name; what is packed is unpacked, and text decoded."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from include.errors import ConfigurationError, ContractBroken

Format = Literal["text", "parquet", "sheet"]
_PACKED: dict[bytes, tuple[str, Callable[[Path], Any]]] = {
    b"\x1f\x8b": ("gzip", gzip.GzipFile),
    b"BZh": ("bzip2", bz2.BZ2File),
    b"\xfd7zXZ\x00": ("xz", lzma.LZMAFile),
    b"\x28\xb5\x2f\xfd": ("zstd", lambda path: pa.CompressedInputStream(str(path), "zstd")),
}
_REFUSED = {
    b"%PDF": "a PDF document",
    b"SQLite format 3": "an SQLite database",
    b"ARROW1": "an Arrow (Feather) file; save it as Parquet",
    b"Obj\x01": "an Avro file",
    b"ORC": "an ORC file",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"{\\rtf": "an RTF document",
    b"\x7fELF": "a program",
    b"7z\xbc\xaf": "a 7z archive; unpack it first",
    b"Rar!": "a RAR archive; unpack it first",
}
_OLE = b"\xd0\xcf\x11\xe0"
_MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<table", b"<svg")
_LARGEST_UNPACKED = 200
"""Times its own size that a packed file may become, above a gigabyte; more is taken for a trap."""
_GIGABYTE = 1 << 30
BLOCK = 1 << 21


@dataclass(frozen=True, slots=True)
class Opened:
    """A file as it is read: the unpacked one, what it is, and what was done to it in words."""

    path: Path
    format: Format
    notes: tuple[str, ...] = ()


def open_file(source: Path, folder: Path) -> Opened:
    """Find out what a file is; a packed one is unpacked into `folder`.

    Raises ConfigurationError for what is no table, by the name of what it is, ContractBroken for a damaged archive.
    """
    notes, path = list[str](), source
    for _ in range(2):  # a zip of a gzip is as deep as people go
        head = _head(path)
        unpack = next((how for mark, how in _PACKED.items() if head.startswith(mark)), None)
        if unpack is None and not (head.startswith(b"PK\x03\x04") and _is_archive(path, source)):
            break
        path, said = _unpack(path, source, folder / f"unpacked{len(notes)}", unpack)
        notes.append(said)
    head = _head(path)
    kind = _kind(head, source)
    wanted = {".csv": "text", ".tsv": "text", ".txt": "text", ".xlsx": "sheet", ".ods": "sheet", ".parquet": "parquet"}
    if wanted.get(source.suffix.lower(), kind) != kind:
        words = {"text": "delimited text or JSON Lines", "sheet": "a spreadsheet", "parquet": "Parquet"}
        notes.append(f"the file is {words[kind]}, whatever its name says")
    return Opened(path, kind, tuple(notes))


def decoded(path: Path, codec: str) -> Iterator[bytes]:
    """The text of a file as UTF-8, block by block; bytes that cannot be decoded become U+FFFD."""
    decoder = codecs.getincrementaldecoder(codec)("replace")
    with path.open("rb") as handle:
        while raw := handle.read(BLOCK):
            yield decoder.decode(raw).encode("utf-8", "replace")
        yield decoder.decode(b"", final=True).encode("utf-8", "replace")


def _head(path: Path) -> bytes:
    with path.open("rb") as handle:
        return handle.read(512)


def _kind(head: bytes, source: Path) -> Format:
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"PK\x03\x04", _OLE)):
        return "sheet"
    named = next((what for mark, what in _REFUSED.items() if head.startswith(mark)), None)
    text = head.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if text.startswith(_MARKUP):
        named = "a web page or XML, as some systems export under the name of a spreadsheet; save it as CSV or XLSX"
    if named:
        raise ConfigurationError(f"is no table but {named}", about=source.name)
    return "text"


def _is_archive(path: Path, source: Path) -> bool:
    """Whether a zip is one and not a workbook; a damaged one is an error."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except zipfile.BadZipFile as error:
        raise ContractBroken(f"is a damaged zip archive ({error})", about=source.name) from error
    return not names & {"[Content_Types].xml", "mimetype", "content.xml"}


def _unpack(path: Path, source: Path, into: Path, packed: tuple[str, Callable[[Path], Any]] | None) -> tuple[Path, str]:
    try:
        if packed is not None:
            with packed[1](path) as handle:
                _copy(handle, into, path.stat().st_size, source)
            return into, f"unpacked from {packed[0]}"
        with zipfile.ZipFile(path) as archive:
            names = [one for one in archive.namelist() if not one.endswith("/") and not one.startswith("__MACOSX/")]
            if len(names) != 1:
                raise ConfigurationError(
                    f"is a zip archive of {len(names)} files, one is expected: {', '.join(names[:5])}",
                    about=source.name,
                )
            with archive.open(names[0]) as handle:
                _copy(handle, into, path.stat().st_size, source)
            return into, f"unpacked from zip: {names[0]}"
    except (
        OSError,
        EOFError,
        RuntimeError,
        zipfile.BadZipFile,
        lzma.LZMAError,
        zlib.error,
        pa.ArrowException,
    ) as error:
        raise ContractBroken(f"cannot be unpacked ({error})", about=source.name) from error


def _copy(handle: Any, into: Path, packed: int, source: Path) -> None:
    written = 0
    with into.open("wb") as out:
        while block := handle.read(BLOCK):
            written += len(block)
            if (
                written > max(_GIGABYTE, _LARGEST_UNPACKED * packed)
                or shutil.disk_usage(into.parent).free < _GIGABYTE // 4
            ):
                raise ConfigurationError(
                    f"is packed, and becomes more than {written:,} bytes; unpack it yourself if that is right",
                    about=source.name,
                )
            out.write(block)
