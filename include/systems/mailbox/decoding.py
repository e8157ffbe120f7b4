"""Text of headers and parts, whatever charset they claim; nothing here raises."""

from __future__ import annotations

import binascii
import codecs
import re
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime

from include.plain import visible

LONGEST_HEADER = 10_000
"""Characters of one that are read."""
_TEXT_CODECS = re.compile(
    r"ascii|utf_?(?:7|8|8_sig|16|16_le|16_be|32|32_le|32_be)|iso8859.*|iso2022.*|latin.*|cp\d+.*|koi8.*|gb.*|big5.*"
    r"|shift_jis.*|euc_.*|johab|hz|mac.*|tis_620|ptcp154|kz1048|windows.*"
)
"""What a message may be written in; Python's other codecs are no charsets, and some cost the square of a length."""
_VAGUE = frozenset((None, "ascii", "iso8859-1", "cp1252"))
_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]{0,2000})\?=")
_WORDS = re.compile(rf"(?:{_WORD.pattern.replace('(', '(?:')}\s?)+(?<!\s)")
"""RFC 2047; the blank after the last encoded word is the text's own."""
_ID = re.compile(r"<[^<>\s]{1,990}>")


def decode_text(data: bytes, charset: str | None) -> str:
    """The bytes in the charset that is claimed if it is one and fits, else as UTF-8 if they mostly are, else cp1252.

    ASCII and Latin-1 are claimed by programs that do not know: as in browsers they are cp1252, unless it is UTF-8.
    """
    claimed = _codec(charset) if charset else None
    known = claimed if claimed not in _VAGUE else None
    for codec in (known, "utf-8"):
        try:
            if codec is not None:
                return data.decode(codec)
        except ValueError:
            continue
    text = data.decode(known or "cp1252", "replace")
    wrong = text.count("\ufffd") > sum(sign > "\x7f" for sign in text) // 2
    return data.decode("cp1252", "replace") if known == "utf-8" and wrong else text


def _codec(charset: str) -> str | None:
    try:
        name = codecs.lookup(charset.strip().strip("'\"")[:40]).name
    except (LookupError, ValueError):
        return None
    return name if _TEXT_CODECS.fullmatch(name.replace("-", "_")) else None


def header(message: Message, name: str) -> str | None:
    """A header in one line as a person reads it; its first one, without control and invisible characters."""
    value = next((str(value) for known, value in message.raw_items() if known.lower() == name.lower()), None)
    return None if value is None else readable(value)


def readable(value: str) -> str | None:
    """What a header's value says; bytes beyond ASCII may stand in it as they came."""
    if _has_bytes(value):
        value = decode_text(value.encode("ascii", "surrogateescape"), None)
    value = " ".join(value[:LONGEST_HEADER].split())
    return visible(" ".join(_WORDS.sub(_decoded, value).split())) or None


def _decoded(words: re.Match[str]) -> str:
    """Encoded words that follow each other: blanks between them are none, and a character may begin in one of them."""
    text, held, last = "", b"", ""
    for charset, form, encoded in _WORD.findall(words[0]):
        if charset.lower() != last:
            text, held, last = text + decode_text(held, last), b"", charset.lower()
        data = encoded.encode("ascii", "replace")
        try:
            held += binascii.a2b_base64(data + b"==") if form in "bB" else binascii.a2b_qp(data, header=True)
        except binascii.Error:
            held += data
    return text + decode_text(held, last)


def _has_bytes(text: str) -> bool:
    return not text.isascii() and all(sign < "\x80" or "\udc80" <= sign <= "\udcff" for sign in text)


def identifier(message: Message, name: str) -> str | None:
    """The first message id of a header, or its words where it holds none."""
    text = header(message, name)
    found = _ID.search(text) if text else None
    return found[0] if found else text


def sent(message: Message) -> datetime | None:
    """The time of the header `Date` in UTC, None where there is none that can be read."""
    text = header(message, "Date")
    try:
        moment = parsedate_to_datetime(text[:200]) if text else None
        return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)) if moment else None
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
