"""How a personal value may stand in what the ledger keeps: in clear, as the ledger's token, as a model's token."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from include.errors import ConfigurationError
from include.personal import token_of
from include.privacy.tokens import NAMES, tokens_of

LEAST = 4
"""Characters; what is shorter stands in too many rows by chance."""
_PHONE_DIGITS = 7
_SMALL = {ord(letter): letter.lower() for letter in ascii_uppercase}
_WORDS = frozenset(("person", "address", "iban"))
"""Kinds that are never of digits alone."""


@dataclass(frozen=True, slots=True)
class Needle:
    """A text to look for where ASCII letters are small; of one use case, or of all (empty).

    `shown` is how it may be spoken of: a token, or `in clear`.
    """

    text: str
    use_case: str
    shown: str


def needles_of(value: str, use_cases: Sequence[str], secret: str) -> list[Needle]:
    """Every form of a value that is looked for; raises ConfigurationError where it is too short to mean anybody.

    Capitals and how much space lies between words do not count. A phone number is found in clear as it was typed, with
    its digits alone and with `+` before them; as a model's token however it was written.
    """
    clean = " ".join(value.split())
    if len(clean) < LEAST:
        raise ConfigurationError(f"needs at least {LEAST} characters", about="a value to look for")
    found = {text: Needle(text, "", "in clear") for text in _in_clear(clean)}
    for spelt in _spelt(value, clean):
        token = token_of(spelt, secret)
        found[token] = Needle(token, "", token)
    kinds = _kinds(clean)
    tokens = [
        Needle(token.lower(), name, token) for name in use_cases for token in tokens_of(secret, name, clean, kinds)
    ]
    return [*found.values(), *tokens]


def _in_clear(value: str) -> Iterator[str]:
    """The value as it is, and as JSON within JSON has it; other letters than ASCII's as they may stand."""
    for one in {value, value.lower(), value.upper(), value.title(), *_as_number(value)}:
        forms = [one]
        for ascii_only in (False, True):
            once = json.dumps(one, ensure_ascii=ascii_only)[1:-1]
            forms += [once, json.dumps(once, ensure_ascii=ascii_only)[1:-1]]
        yield from dict.fromkeys(form.translate(_SMALL) for form in forms)


def _spelt(value: str, clean: str) -> Iterator[str]:
    """Spellings whose tokens are looked for: the ledger's tokens are made of the very letters."""
    yield from dict.fromkeys((value, clean, clean.lower(), clean.upper(), clean.title(), *_as_number(clean)))


def _kinds(value: str) -> Sequence[str]:
    """The kinds that a value may be found as, by what it is made of: each costs a look at every text."""
    if "@" in value:
        return ("e-mail",)
    if "://" in value or value.lower().startswith("www."):
        return ("url",)
    letters, digits = any(map(str.isalpha, value)), any(map(str.isdigit, value))
    if letters and not digits:
        return ("person", "address")
    return tuple(kind for kind in NAMES if kind not in ("e-mail", "url", "literal") and (letters or kind not in _WORDS))


def _as_number(value: str) -> tuple[str, ...]:
    digits = "".join(filter(str.isdigit, value))
    only = not any(map(str.isalpha, value))
    return (digits, f"+{digits}") if only and len(digits) >= _PHONE_DIGITS else ()
