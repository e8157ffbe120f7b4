"""Tokens in the place of personal values on the way to a model, and the values in the place of tokens on the way back.

`[EMAIL_1a2b3c4d]` is the kind of a value and eight hex digits of HMAC-SHA256 over use case, kind and value, under the
deployment's secret: the same in every run of a use case, so that a question that comes again is the same question. What
a token stands for is kept nowhere: it is found anew in the row that it was made of. Payment cards and keys have no
token but `[CARD]` and `[KEY]`, and never come back.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from include.models import Record
from include.personal import Found, find_values
from include.privacy.find import FOR_GOOD, NAMING, find_personal

GONE = {kind: f"[{kind.upper()}]" for kind in FOR_GOOD}
"""What stands for a kind that leaves in no form."""
NAMES = {
    "e-mail": "EMAIL",
    "phone": "PHONE",
    "iban": "IBAN",
    "url": "URL",
    "ip": "IP",
    "licence": "LICENCE",
    "passport": "PASSPORT",
    "national id": "ID",
    "medical id": "MEDICAL",
    "vat id": "VAT",
    "birth": "BIRTH",
    "postcode": "POSTCODE",
    "address": "ADDRESS",
    "person": "PERSON",
    "literal": "LITERAL",
}
"""How tokens of each kind begin; `literal` is a text that looked like a token when it came."""
_TOKEN = re.compile(
    rf"(?i)\[?(?<![a-z0-9_])(?P<token>(?:{'|'.join(NAMES.values())})_(?:[0-9a-f]{{16}}|[0-9a-f]{{8}}))(?!\w)\]?"
)
_DIGITS, _MORE_DIGITS = 8, 16
_AS_NUMBERS = frozenset(("phone", "iban", "national id", "vat id", "licence", "passport", "medical id"))
_LEAST_REPEATED = 4
"""Characters of a value that is looked for in the row's other columns as well; shorter ones stand there by chance."""
_REMEMBERED = 50_000
"""Texts whose places are remembered; a stage looks at each row a few times."""


@dataclass
class Hider:
    """Makes the tokens of one use case; `secret` is the deployment's. It remembers places in texts, never a text."""

    use_case: str
    secret: str
    _places: dict[bytes, tuple[Found, ...]] = field(default_factory=dict, repr=False)

    def hide(self, seen: Record, columns: Collection[str]) -> tuple[Record, dict[str, str]]:
        """What is shown of a row, and what its tokens stand for; only these columns are looked through.

        A value that is found in one of them is hidden in all, where it stands word for word.
        """
        texts = [(name, text) for name in columns for text in _texts(seen.get(name))]
        found = {(name, text): self._find(name, text) for name, text in texts}
        values: dict[str, str] = {}
        tokens: dict[tuple[str, str], str] = {}
        for (_, text), places in found.items():
            for one in places:
                self._name(one.kind, text[one.start : one.end], tokens, values)
        repeated = {value: token for token, value in values.items() if len(value) >= _LEAST_REPEATED}

        def shown(name: str) -> Callable[[str], str]:
            def replaced(text: str) -> str:
                places = found[name, text]
                parts = [text[start:end] if at % 2 == 0 else "" for at, (start, end) in enumerate(_cuts(text, places))]
                for at, one in enumerate(places):
                    parts[2 * at + 1] = self._name(one.kind, text[one.start : one.end], tokens, values)
                for at in range(0, len(parts), 2):
                    parts[at] = _replace_all(parts[at], repeated)
                return "".join(parts)

            return replaced

        hidden = set(columns)
        return {name: _mapped(value, shown(name)) if name in hidden else value for name, value in seen.items()}, values

    def values_of(self, seen: Record, columns: Collection[str]) -> dict[str, str]:
        """What the tokens of a row stand for."""
        return self.hide(seen, columns)[1]

    def _find(self, name: str, text: str) -> tuple[Found, ...]:
        about = name if name in _TELLING else ""
        key = hashlib.blake2b(f"{about}\0{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if key not in self._places:
            if len(self._places) >= _REMEMBERED:
                self._places.clear()
            self._places[key] = tuple(_with_literals(text, find_personal(text, about)))
        return self._places[key]

    def _name(self, kind: str, text: str, tokens: dict[tuple[str, str], str], values: dict[str, str]) -> str:
        """The token of a value; a longer one where another value of the row has it already."""
        if kind in GONE:
            return GONE[kind]
        known = kind, _normal(kind, text)
        if known not in tokens:
            mac = _mac(self.secret, self.use_case, *known)
            token = f"[{NAMES[kind]}_{mac[:_DIGITS]}]"
            if token in values:
                token = f"[{NAMES[kind]}_{mac[:_MORE_DIGITS]}]"
            tokens[known] = token
            values[token] = text
        return tokens[known]


_TELLING = frozenset(("phone", "mobile", "fax", "tel", "telephone")) | NAMING
"""Columns whose name says what a bare number in them is, or that they hold a person's name."""


def without_payment(seen: Record) -> Record:
    """What is shown of any row: payment cards and keys are gone from each text and each long number."""
    return {name: _mapped(value, _without) for name, value in seen.items()}


def _without(text: str) -> str:
    if not any(map(str.isdigit, text)) and "-----" not in text:
        return text
    gone = [one for one in find_values(text) if one.kind in GONE]
    for one in reversed(gone):
        text = f"{text[: one.start]}{GONE[one.kind]}{text[one.end :]}"
    return text


def restore(value: Any, values: Mapping[str, str]) -> Any:
    """A JSON-like value with each known token replaced by what it stands for; brackets and case do not count."""
    if not values:
        return value
    known = {_bare(token): text for token, text in values.items()}
    return _mapped(value, lambda text: _TOKEN.sub(lambda hit: known.get(_bare(hit[0]), hit[0]), text))


def tokens_in(value: Any) -> set[str]:
    """Everything in a JSON-like value that is a token by its form, without brackets, in small letters."""
    return {hit["token"].lower() for text in _texts(value) for hit in _TOKEN.finditer(text)}


def token_places(text: str) -> list[tuple[int, int]]:
    """Where tokens begin and end in a text, in order."""
    return [hit.span() for hit in _TOKEN.finditer(text)]


def without_people(value: Any) -> Any:
    """Texts in a JSON-like value with the kind in the place of each personal value, `[person]`; tokens stay."""
    return _mapped(value, _kinds)


def _kinds(text: str) -> str:
    parts, at = list[str](), 0
    for start, end in [*token_places(text), (len(text), len(text))]:
        plain = text[at:start]
        for one in reversed(find_personal(plain)):
            plain = f"{plain[: one.start]}[{one.kind}]{plain[one.end :]}"
        parts += [plain, text[start:end]]
        at = end
    return "".join(parts)


def tokens_of(secret: str, use_case: str, value: str, kinds: Iterable[str]) -> list[str]:
    """Every token that a value may have in a use case, short and long, as each of these kinds."""
    macs = {kind: _mac(secret, use_case, kind, _normal(kind, value)) for kind in kinds}
    return [f"[{NAMES[kind]}_{mac[:length]}]" for kind, mac in macs.items() for length in (_DIGITS, _MORE_DIGITS)]


def _bare(token: str) -> str:
    return token.strip("[]").lower()


def _with_literals(text: str, found: list[Found]) -> list[Found]:
    """What looks like a token in a text that comes from outside becomes one of its own, and comes back as it was."""
    literals = [Found("literal", *hit.span()) for hit in _TOKEN.finditer(text)] if "_" in text else []
    if not literals:
        return found
    apart = [one for one in found if not any(one.start < end and start < one.end for _, start, end in literals)]
    return sorted([*apart, *literals], key=lambda one: one.start)


def _cuts(text: str, places: Iterable[Found]) -> Iterator[tuple[int, int]]:
    """What lies between values, and the values, in turn."""
    at = 0
    for one in places:
        yield at, one.start
        yield one.start, one.end
        at = one.end
    yield at, len(text)


def _replace_all(text: str, tokens: Mapping[str, str]) -> str:
    found = {value: token for value, token in tokens.items() if value in text}
    if not found:
        return text
    longest = sorted(found, key=len, reverse=True)
    pattern = "|".join(rf"(?<!\w){re.escape(value)}(?!\w)" for value in longest)
    return re.sub(pattern, lambda hit: found[hit[0]], text)


def _normal(kind: str, text: str) -> str:
    """A value in the one form that its writings share."""
    if kind == "literal":
        return text
    folded = " ".join(text.split()).casefold()
    return "".join(filter(str.isalnum, folded)) if kind in _AS_NUMBERS else folded


@lru_cache(maxsize=4096)
def _key(secret: str, use_case: str) -> bytes:
    return hmac.new(secret.encode(), f"nightledger/token/{use_case}".encode(), hashlib.sha256).digest()


def _mac(secret: str, use_case: str, kind: str, value: str) -> str:
    said = f"{kind}\0{value}".encode("utf-8", "surrogatepass")
    return hmac.new(_key(secret, use_case), said, hashlib.sha256).hexdigest()


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _mapped(item, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mapped(item, change) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and value >= _LEAST_CARD:
        said = _without(str(value))
        return value if said == str(value) else said
    return value


_LEAST_CARD = 10**11
"""A number of twelve digits may be a card."""
