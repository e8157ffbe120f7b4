"""Personal values and keys that can be told by their form, wherever they stand in a text.

E-mail addresses, phone numbers, IBANs, payment cards, keys. Names and postal addresses have no form of their own: the
columns that hold them are declared (`personal` in the spec). A number with a checksum counts only if that fits, and a
bare run of digits is a phone number only after a word that says so; identifiers, dates and hashes stay.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

_HINT = re.compile("[0-9@\uff20]")
"""Every value that is looked for holds one of these, and most texts hold none."""
_MIXED = re.compile("[0-9](?:(?=[A-Za-z])|(?<=[A-Za-z][0-9]))")
"""A letter beside a digit, without which there is neither a key nor an IBAN."""
_LEAST_ECHO = 8
"""Characters; what a message shares with a text by chance is shorter."""
_ALREADY = re.compile(r"token:[0-9a-f]{12}")


class Found(NamedTuple):
    """A value in a text: its kind, where it begins and where it ends."""

    kind: str
    start: int
    end: int


def token_of(value: Any, secret: str) -> str:
    """`token:` and 12 hex digits of HMAC-SHA256 under `secret`, without which it cannot be reversed."""
    mac = hmac.new(secret.encode(), str(value).encode("utf-8", "surrogatepass"), hashlib.sha256)
    return f"token:{mac.hexdigest()[:12]}"


def is_token(text: str) -> bool:
    """Whether a text is a token and nothing else."""
    return _ALREADY.fullmatch(text) is not None


def tokenise(text: str, secret: str, about: str = "") -> str:
    """The text with each personal value replaced by its token; `about` is the name under which the text stands.

    Equal values get equal tokens, the same that `canonical.mask` gives a declared column. Tokens are left as they are.
    """
    return _replaced(text, about, lambda one: token_of(text[one.start : one.end], secret))


def tokenise_all(value: Any, secret: str, about: str = "") -> Any:
    """`tokenise` for every text in a JSON-like value, and for keys; a key is what the text below it is about."""
    if isinstance(value, str):
        return tokenise(value, secret, about)
    if isinstance(value, Mapping):
        return {_known_key(key, secret): tokenise_all(item, secret, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [tokenise_all(item, secret, about) for item in value]
    return value


def says_all(words: str, value: Any) -> bool:
    """Whether each text and key of a JSON-like value stands in the words as it is, and none by a secret's name."""
    lowered = words.lower()
    return not any(name in lowered for name in _SECRET_NAMES) and all(text in words for text in _texts(value))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (Mapping, list, tuple)):
        for item in value:
            yield from _texts(item)
        yield from _texts(list(value.values()) if isinstance(value, Mapping) else None)


@lru_cache(maxsize=1024)
def _known_key(key: Any, secret: str) -> Any:
    return tokenise(key, secret) if isinstance(key, str) else key


def hidden_columns(record: Mapping[str, Any]) -> list[str]:
    """The columns of a stored record in which something was replaced by a token."""
    return [name for name, value in record.items() if _ALREADY.search(str(value))]


def scrub(text: str) -> str:
    """The text for a log line or an error: in the place of each value stands its kind, `[e-mail]`."""
    return _replaced(text, "", lambda one: f"[{one.kind}]")


def without_echo(message: str, sent: str) -> str:
    """A system's message without what it repeats of a text that was sent to it: eight characters and more, as words."""
    if not sent:
        return message
    parts, at = list[str](), 0
    while at < len(message):
        end = at + _LEAST_ECHO
        if (at == 0 or not message[at - 1].isalnum()) and message[at:end] in sent and end <= len(message):
            while end < len(message) and message[at : end + 1] in sent:
                end += 1
            parts.append("[echo]")
            at = end
        else:
            parts.append(message[at])
            at += 1
    return "".join(parts)


def _replaced(text: str, about: str, by: Callable[[Found], str]) -> str:
    found = find_values(text, about)
    if not found:
        return text
    parts, at = list[str](), 0
    for one in found:
        parts += [text[at : one.start], by(one)]
        at = one.end
    return "".join([*parts, text[at:]])


def find_values(text: str, about: str = "") -> list[Found]:
    """Personal values and keys in a text, in order, none within another."""
    if about and text and _SECRET_NAME.search(about):
        return [] if _ALREADY.fullmatch(text) else [Found("key", 0, len(text))]
    if not _HINT.search(text):
        return []
    found = [*_emails(text), *_named_keys(text), *_numbers(text, about)]
    if _MIXED.search(text):
        found += [*_keys(text), *_ibans(text)]
    if not found:
        return []
    taken = [hit.span() for hit in _ALREADY.finditer(text)] if "token:" in text else []
    kept = list[Found]()
    for one in sorted(found, key=lambda one: (one.start, -one.end)):
        within = any(one.start < end and start < one.end for start, end in taken)
        if not within and (not kept or one.start >= kept[-1].end):
            kept.append(one)
    return kept


# E-mail addresses: from the sign outwards, so that a text without one costs nothing.

_AT = re.compile("@|%40|\uff20")
_LOCAL = re.compile(r"[\w.!#$%*+^~-]{1,64}\Z")
_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}(?:xn--[a-z0-9-]{2,59}|[^\W\d_]{2,24})(?![\w-])")
_PIXELS = re.compile(r"[1-4]x\.(?:png|jpe?g|gif|webp|svg|avif)", re.IGNORECASE)


def _emails(text: str) -> Iterator[Found]:
    if not ("@" in text or "%40" in text or "\uff20" in text):
        return
    for sign in _AT.finditer(text):
        local = _LOCAL.search(text, max(sign.start() - 64, 0), sign.start())
        domain = _DOMAIN.match(text, sign.end())
        if local and domain and not _PIXELS.fullmatch(domain[0]):
            start = local.start() + len(local[0]) - len(local[0].lstrip(".!#$%*^~-"))
            start += _is_escape(text, start)
            if start < sign.start():
                yield Found("e-mail", start, domain.end())


def _is_escape(text: str, at: int) -> bool:
    """Whether the letter there belongs to a backslash, as in a JSON text's line breaks."""
    return at > 0 and text[at - 1] == "\\" and text[at] in "nrtbf"


# Keys: those with a form that their vendor gave them, and what stands under a name that says so.

_KEY = re.compile(
    r"(?<![\w-])(?:"
    r"sk-[\w-]{16,}|[sr]k_(?:live|test)_\w{10,}|pk_live_\w{10,}"
    r"|pat-[a-z]{2,3}\d-[0-9a-f]{8}-[0-9a-f-]{27}"
    r"|gh[posr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abeprs]-[\w-]{10,}"
    r"|A(?:KIA|SIA)[0-9A-Z]{16}|AIza[\w-]{35}|ya29\.[\w-]{20,}|hf_[A-Za-z0-9]{20,}|npm_\w{30,}|pypi-[\w-]{30,}"
    r"|SG\.[\w-]{16,}\.[\w-]{16,}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"
    r")(?![\w-])"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.+?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?<=[Bb]earer )[\w.~+/=-]{12,}|(?<=[Bb]asic )[A-Za-z0-9+/]{12,}={0,2}(?![\w-])",
    re.DOTALL,
)
_LOGIN = re.compile(r"(?<=://)[^\s/:@'\"]{1,64}:[^\s/@'\"]{1,128}(?=@)")
_NAMED = re.compile(
    r"(?i)(?:api[_-]?key|secret(?:[_-]?key)?|passw(?:or)?d|passphrase|pwd|(?:access|refresh|auth|id)[_-]?token"
    r"|client[_-]?secret)[\"']?\s{0,2}[=:]\s{0,2}[\"']?(?P<key>(?=[^\s\"',;&]{0,200}\d)[^\s\"',;&<>()]{8,200})"
)
_SECRET_NAMES = ("key", "secret", "pass", "pwd", "token")
_SECRET_NAME = re.compile(
    r"(?i)(?:api_?key|secret|passw(?:or)?d|passphrase|pwd|(?:access|refresh|auth|bearer)_?token)$"
)


def _keys(text: str) -> Iterator[Found]:
    return (Found("key", *hit.span()) for hit in _KEY.finditer(text))


def _named_keys(text: str) -> list[Found]:
    found = [Found("key", *hit.span()) for hit in _LOGIN.finditer(text)] if "://" in text and "@" in text else []
    lowered = text.lower()
    for name in _SECRET_NAMES:
        if name in lowered:
            return found + [Found("key", *hit.span("key")) for hit in _NAMED.finditer(text)]
    return found


# IBANs: two letters and two digits, then as many letters and digits as fit a country's form and the checksum.

_IBAN = re.compile(r"[0-9]{2}(?<=[A-Za-z]{2}[0-9]{2})(?:[ \u00a0-]?[A-Za-z0-9]){11,30}")


def _ibans(text: str) -> Iterator[Found]:
    for hit in _IBAN.finditer(text):
        start = hit.start() - 2
        if start and text[start - 1].isalnum():
            continue
        for end in range(hit.end(), start + 14, -1):
            if not text[end : end + 1].isalnum() and text[end - 1].isalnum() and _is_iban(text[start:end]):
                yield Found("iban", start, end)
                break


def _is_iban(text: str) -> bool:
    from stdnum import iban

    return iban.is_valid(text, check_country=False)


# Numbers: whatever has seven digits or more, then what it may be.

_BEFORE = ({""}, {"+", "("}, {"(+", "+("})
_SPACES = " \u00a0\t"
_MOST_DIGITS = 15
"""Of a phone number, by ITU-T E.164."""
_RUN = re.compile(r"[0-9](?:[ \u00a0\t().\-/]{0,3}[0-9]){6,}")
_REST = re.compile(r"\(?[0-9](?:[ \u00a0\t().\-/]{0,3}[0-9]){6}")
_DATE = re.compile(
    r"(?:19|20)\d\d([-./ ]?)[01]\d\1[0-3]\d(?!\d)|[0-3]?\d([-./ ])[01]?\d\2(?:19|20)\d\d(?!\d)"
    r"|[01]?\d([-./ ])[0-3]?\d\3(?:19|20)\d\d(?!\d)"
)
_CALLED = re.compile(
    r"(?i)(?<![a-z])(?:tele)?(?:phone|ph|tel|mobile?|cell|desk|handy|fax|whatsapp|sms|hotline|telefon"
    r"|call (?:me|us|him|her|them))"
    r"(?:_?(?:number|num|no|nr|home|work|office|private|phone|\d))?\.?"
    r"(?:\W{1,4}(?:number|num|no|nr|is|at|on|to|my|now|today|or))*\W{0,4}\Z"
)
_NUMBER_IS = re.compile(r"(?i)\b(?:my|his|her|their|our|new|phone) number(?: is)?\W{0,3}\Z")
_PAID = re.compile(r"(?i)(?<![a-z])(?:card|credit|debit|visa|mastercard|amex|maestro|diners|cc)(?![a-z])")
_PHONE_NAME = re.compile(r"(?i)(?:phone|fax|whatsapp|(?<![a-z])(?:tel|mobile?|cell|handy)(?![a-z]))(?!\w*id$)")
_INTERNATIONAL = re.compile(
    r"(?:\(?\+|00(?=[1-9]\d{0,2}[ \u00a0(/]))[1-9]\d{0,2}\)?[ \u00a0./-]{0,3}(?:\(0?\d{1,5}\)[ \u00a0./-]{0,3})?"
    r"\d(?:[ \u00a0./-]{0,3}\d){5,12}(?![\d./-])"
)
_AMERICAN = re.compile(
    r"(?<!\d)(?:1[ .-]?)?(?:(?:\([2-9]\d\d\) ?|[2-9]\d\d[.-])[2-9]\d\d[.-]\d{4}|\([2-9]\d\d\) ?\d{3} \d{4})"
    r"(?![\d./-])"
)
_ANY = re.compile(r"\+?\(?\+?\d(?:[ \u00a0().\-/]{0,2}\d){6,14}(?!\d)")
_ZERO_FIRST = re.compile(
    r"\(0[1-9]\d{0,4}\)[ /-]{0,3}\d{2,8}(?:[ /-]\d{2,6}){0,4}|0[1-9]\d{1,4} ?/ ?\d{3,8}(?:[ -]\d{2,6}){0,3}"
    r"|0[1-9](?: \d\d){4}|0[1-9]\d{1,3}(?: \d{2,8}){1,3}"
)
_EXTENSION = re.compile(r" ?(?:x|ext\.?) ?\d{1,6}(?!\w)")
_CARD = re.compile(
    r"(?:\d{12,19}|(?:\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|\d{4}([ -])\d{6}\2\d{4,5})(?! \d{3}))(?![\d./-])"
)
_ISSUERS = re.compile(
    r"4(?:\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[689]\d)\d{11}|(?:6011|65\d\d|64[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14,17}|(?:2131|1800)\d{11}"
)
_ISSUERS_OF_PAID = re.compile(r"4\d{12}|(?:5[06-9]|6\d)\d{10,17}|3\d{13,15}")


def _numbers(text: str, about: str) -> Iterator[Found]:
    for run in _RUN.finditer(text):
        start, end = run.span()
        start -= next(n for n in (2, 1, 0) if text[start - n : start] in _BEFORE[n] and n <= start)
        if _is_part(text, start, end) or _DATE.match(text, start):
            continue
        yield from _judge(text, start, end, about)


def _is_part(text: str, start: int, end: int) -> bool:
    """Whether the digits are part of a longer identifier, path or decimal."""
    before, after = text[max(start - 2, 0) : start], text[end : end + 2]
    if len(before) == 2 and _is_escape(text, start - 1):
        return False
    if before and (before[-1].isalnum() or before[-1] in "_/.#"):
        return True
    if before[-1:] == "-" and before[:1].isalnum():
        return True
    if after[:1].isalnum() or after[:1] == "_":
        return not _EXTENSION.match(text, end)
    return after[:1] in "-/." and after[1:].isalnum() if after else False


def _judge(text: str, start: int, end: int, about: str) -> Iterator[Found]:
    """What a run of digits is, and what the rest of it is where only its beginning is known."""
    before = text[max(start - 40, 0) : start]
    called = bool(_CALLED.search(before) or _NUMBER_IS.search(before) or (about and _PHONE_NAME.search(about)))
    while found := _card(text, start, end) or _phone(text, start, end, called):
        yield found
        rest = _REST.search(text, found.end, end)
        if rest is None:
            return
        start = rest.start()


def _card(text: str, start: int, end: int) -> Found | None:
    hit = _CARD.match(text, start, end)
    if hit is None:
        return None
    digits = re.sub(r"\D", "", hit[0])
    if not _ISSUERS.fullmatch(digits):
        paid = _PAID.search(text, max(start - 40, 0), start)
        if not (paid and _ISSUERS_OF_PAID.fullmatch(digits)):
            return None
    return Found("card", start, hit.end()) if _fits_luhn(digits) else None


def _fits_luhn(digits: str) -> bool:
    from stdnum import luhn

    return luhn.is_valid(digits)


def _phone(text: str, start: int, end: int, called: bool) -> Found | None:
    hit = _INTERNATIONAL.match(text, start, end) or _ZERO_FIRST.fullmatch(text, start, end)
    hit = hit or (_ANY.match(text, start, end) if called else _AMERICAN.search(text, start, end))
    if hit is None or not _has_few_digits(hit[0]) or (hit.start() > start and text[hit.start() - 1] not in _SPACES):
        return None
    return Found("phone", hit.start(), _with_extension(text, hit.end()))


def _has_few_digits(text: str) -> bool:
    return sum(map(str.isdigit, text)) <= _MOST_DIGITS


def _with_extension(text: str, end: int) -> int:
    more = _EXTENSION.match(text, end)
    return more.end() if more else end
