"""Find out how the bytes of a text file are encoded, without reading it into memory."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_FALLBACK = "cp1252"
_CANDIDATES = ["cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "shift_jis", "gb18030", "big5", "euc_kr"]
_BLOCK = 1 << 20
_SAMPLE = 64_000


@dataclass(frozen=True, slots=True)
class Encoding:
    """A Python codec, how it was found (`byte order mark`, `utf-8`, `detected`, `assumed`), and if every byte fits."""

    codec: str
    how: str
    clean: bool


def find_encoding(path: Path) -> Encoding:
    """The encoding of a file: a byte order mark, else UTF-8 if all of it is valid, else what detection says of the
    bytes outside ASCII, else cp1252.
    """
    head = _read_head(path)
    for mark, codec in _MARKS:
        if head.startswith(mark):
            return Encoding(codec, "byte order mark", _decodes(path, codec))
    wide = _utf16_without_mark(head)
    if wide and _decodes(path, wide):
        return Encoding(wide, "detected", clean=True)
    if _decodes(path, "utf-8"):
        return Encoding("utf-8", "utf-8", clean=True)
    detected = _detect(_telling_lines(path))
    if detected and _decodes(path, detected):
        return Encoding(detected, "detected", clean=True)
    return Encoding(_FALLBACK, "assumed", _decodes(path, _FALLBACK))


def _read_head(path: Path) -> bytes:
    with path.open("rb") as handle:
        return handle.read(4_096)


def _utf16_without_mark(head: bytes) -> str | None:
    """UTF-16 of mostly Latin text has a NUL in nearly every second byte, which no other encoding has."""
    pairs = len(head) // 2
    if not pairs:
        return None
    if head[1::2].count(0) > 0.8 * pairs and head[::2].count(0) < 0.1 * pairs:
        return "utf-16-le"
    return "utf-16-be" if head[::2].count(0) > 0.8 * pairs and head[1::2].count(0) < 0.1 * pairs else None


def _decodes(path: Path, codec: str) -> bool:
    decoder = codecs.getincrementaldecoder(codec)("strict")
    try:
        with path.open("rb") as handle:
            while block := handle.read(_BLOCK):
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _telling_lines(path: Path) -> bytes:
    """Lines with bytes outside ASCII: the only ones that tell encodings apart, wherever in the file they are."""
    sample = bytearray()
    with path.open("rb") as handle:
        while len(sample) < _SAMPLE and (line := handle.readline(_BLOCK)):
            if not line.isascii():
                sample += line[:_SAMPLE]
    return bytes(sample)


def _detect(sample: bytes) -> str | None:
    """What detection is sure of: None where cp1252, by far the most frequent, fits the sample just as well."""
    from charset_normalizer import from_bytes

    matches = from_bytes(sample, cp_isolation=_CANDIDATES)
    best = matches.best()
    if best is None:
        return None
    equals = [match for match in matches if (match.chaos, match.coherence) == (best.chaos, best.coherence)]
    return None if any(_FALLBACK in match.could_be_from_charset for match in equals) else best.encoding
