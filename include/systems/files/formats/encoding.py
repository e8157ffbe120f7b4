"""Find out how the bytes of a text file are encoded, without reading it into memory."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path

from include.errors import ConfigurationError

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
_TELLING = 8  # bytes outside ASCII, below which detection finds a language in anything


@dataclass(frozen=True, slots=True)
class Encoding:
    """A Python codec, how it was found (`byte order mark`, `utf-8`, `detected`, `assumed`, `declared`), and if every
    byte fits.

    `replaced` counts what could not be decoded and reads as U+FFFD; `confidence`, 0 to 1, is how sure detection is.
    """

    codec: str
    how: str
    clean: bool
    replaced: int = 0
    confidence: float | None = None

    def in_words(self) -> str:
        """The encoding as a person reads it, with how it was found."""
        sure = f", {self.confidence:.0%} sure" if self.confidence is not None else ""
        lost = f"; {self.replaced:,} characters cannot be decoded" if self.replaced else ""
        return f"{self.codec} ({self.how}{sure}){lost}" if self.how != self.codec else f"{self.codec}{lost}"


def find_encoding(path: Path, declared: str | None = None) -> Encoding:
    """The encoding of a file: the `declared` one, else a byte order mark, else UTF-8 if all of it is valid or more of
    it than not, else what detection says of the bytes outside ASCII, else cp1252.

    Raises ConfigurationError for a declared encoding that does not exist.
    """
    head = _read_head(path)
    if declared is not None:
        return _as_declared(path, head, declared)
    for mark, codec in _MARKS:
        if head.startswith(mark):
            return _with_losses(path, codec, "byte order mark")
    wide = _utf16_without_mark(head)
    if wide and _decodes(path, wide):
        return Encoding(wide, "detected", clean=True)
    if _decodes(path, "utf-8"):
        return Encoding("utf-8", "utf-8", clean=True)
    good, bad = _count(path, "utf-8")
    if good > bad:
        return Encoding("utf-8", "utf-8", clean=False, replaced=bad)
    detected, confidence = _detect(_telling_lines(path))
    if detected and _decodes(path, detected):
        return Encoding(detected, "detected", clean=True, confidence=confidence)
    return _with_losses(path, _FALLBACK, "assumed")


def _as_declared(path: Path, head: bytes, declared: str) -> Encoding:
    try:
        codec = codecs.lookup(declared).name
        if not isinstance("".encode(codec), bytes) or not isinstance(b"".decode(codec), str):
            raise LookupError(declared)
    except (LookupError, TypeError, UnicodeError) as error:
        raise ConfigurationError("is no encoding that Python knows", about=declared) from error
    marked = next((name for mark, name in _MARKS if head.startswith(mark) and name.startswith(codec)), codec)
    return _with_losses(path, marked, "declared")


def _with_losses(path: Path, codec: str, how: str) -> Encoding:
    if _decodes(path, codec):
        return Encoding(codec, how, clean=True)
    return Encoding(codec, how, clean=False, replaced=_count(path, codec)[1])


def _count(path: Path, codec: str) -> tuple[int, int]:
    """How many characters outside ASCII a codec reads, and how many it cannot."""
    strict, lenient = (codecs.getincrementaldecoder(codec)(errors) for errors in ("ignore", "replace"))
    good = bad = 0
    with path.open("rb") as handle:
        while True:
            block = handle.read(_BLOCK)
            read = strict.decode(block, not block)
            good += len(read) - len(read.encode("ascii", "ignore"))
            bad += lenient.decode(block, not block).count("\ufffd") - read.count("\ufffd")
            if not block:
                return good, bad


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


def _detect(sample: bytes) -> tuple[str | None, float]:
    """What detection is sure of, and how sure: None where cp1252, by far the most frequent, fits the sample just as
    well.
    """
    from charset_normalizer import from_bytes

    if sum(byte > 127 for byte in sample) < _TELLING:
        return None, 0.0
    matches = from_bytes(sample, cp_isolation=_CANDIDATES)
    best = matches.best()
    if best is None:
        return None, 0.0
    equals = [match for match in matches if (match.chaos, match.coherence) == (best.chaos, best.coherence)]
    sure = round(1 - best.chaos, 2)
    return (None, 0.0) if any(_FALLBACK in match.could_be_from_charset for match in equals) else (best.encoding, sure)
