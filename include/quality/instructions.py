"""Text that speaks to a model instead of saying something: found by forms of words, in four languages.

This shows people which rows try. It is no defence: whoever knows the forms writes around them. What holds is elsewhere:
the output model, ids from the sealed decision, destinations from the spec. docs/security.md says what is found.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

from include.plain import visible
from include.quality.instruction_forms import ALL

_LOOKALIKES = str.maketrans("аеорсухіјѕһԁгοαεικνρτυ", "aeopcyxijshdroaeiknptu")
"""Cyrillic and Greek letters that people read as Latin ones."""
_SPEAKS = re.compile("|".join(f"(?:{form})" for form in ALL))
_PACKED = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")
_HEX = re.compile(r"(?<![0-9a-f])(?:[0-9a-f]{2}){12,}(?![0-9a-f])", re.IGNORECASE)
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
_ACCENTS = re.compile("[\u0300-\u036f]")
_JOINERS = re.compile("[\u00ad\u200b\u200c\u200d\u2060\ufeff]")
_SPELT = re.compile(r"(?<!\w)\w(?:[ .\-_*]\w){3,}(?!\w)")
_WITHIN = re.compile(r"(?<=[a-z])[-_](?=[a-z])")
_LEET = str.maketrans("0134578@$", "oieastbas")
_MIXED = re.compile(r"(?<!\w)(?=\w*[a-z])(?=\w*[013457])\w{3,}(?!\w)")
_LEAST_LEET = 3
"""Words of letters and digits below which a text is taken for one with article numbers."""
_TOLD = ("ignor", "instruct", "prompt", "system", "disregard", "forget", "anweisung", "consigne", "instruc")
_BACKWARDS = tuple(word[::-1] for word in _TOLD)
_ROTATED = tuple(codecs.encode(word, "rot13") for word in _TOLD)
"""Words without which a text is not read backwards, or as rot13."""


def speaks_to_model(text: str) -> bool:
    """Whether a text has a form of an instruction to a model, also with look-alikes, packed or turned round."""
    return any(_SPEAKS.search(one) for one in _readings(text))


def _readings(text: str) -> Iterator[str]:
    """The text as it is read, then as it is under each disguise that it may have."""
    folded = _folded(text)
    yield folded
    if "\n" in folded:
        yield folded.replace("\n", " ")
    if _SPELT.search(text):
        yield _folded(re.sub(r"[^\S\n]+", " ", _joined(text)))
    if _WITHIN.search(folded):
        yield _WITHIN.sub("", folded)
    if len(_MIXED.findall(folded)) >= _LEAST_LEET:
        yield _MIXED.sub(lambda hit: hit[0].translate(_LEET), folded)
    yield from map(_folded, _unpacked(text))
    if any(word in folded for word in _BACKWARDS):
        yield folded[::-1]
    if any(word in folded for word in _ROTATED):
        yield codecs.encode(folded, "rot13")


def _folded(text: str) -> str:
    """Lower case, no accents, nothing invisible, look-alikes as what they look like, one blank for several."""
    seen = _JOINERS.sub("", visible(text)).lower()
    if not seen.isascii():
        plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", seen)).lower()
        seen = plain.translate(_LOOKALIKES)
    return re.sub(r"[^\S\n]+", " ", seen)


def _joined(text: str) -> str:
    """Words that are spelt letter by letter, joined: two blanks or more end such a word."""
    return _SPELT.sub(lambda hit: re.sub(r"[ .\-_*]", "", hit[0]), re.sub(r"[^\S\n]{2,}", "\n", text)).replace(
        "\n", " "
    )


def _unpacked(text: str) -> Iterator[str]:
    """What base64, hexadecimal digits, percent signs and escapes in a text stand for, where that is text."""
    for packed in _PACKED.findall(text):
        body = packed.rstrip("=")
        try:
            yield base64.b64decode(body + "=" * (-len(body) % 4)).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            continue
    for digits in _HEX.findall(text):
        try:
            yield bytes.fromhex(digits).decode("utf-8")
        except ValueError:
            continue
    if text.count("%") > 1:
        yield unquote(text)
    if "&" in text:
        yield html.unescape(text)
    if "\\u" in text:
        yield _ESCAPED.sub(lambda hit: chr(int(hit[1], 16)), text)
