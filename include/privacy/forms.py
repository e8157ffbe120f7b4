"""Personal values that a form, a checksum or a word beside them tells, beyond those that `include.personal` knows.

A text for a model may lose more than a text for the ledger: what is taken there by mistake comes back in the answer,
what is left there has left the house. So a word like "passport" before a number is enough here. Numbers with a checksum
are held to it by python-stdnum, phone numbers to the plans of their countries by phonenumbers; both are loaded when the
first number needs them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from ipaddress import ip_address
from typing import Any

from include.personal import Found, find_values

_DIGIT = re.compile(r"\d")


def find_forms(text: str, about: str = "") -> Iterator[Found]:
    """Values told by form, in no order; they may overlap. `about` is the name under which the text stands."""
    yield from find_values(text, about)
    if "://" in text or "www." in text.lower():
        yield from _urls(text)
    if not _DIGIT.search(text):
        return
    yield from _internet_addresses(text)
    yield from _named_numbers(text)
    yield from _checked_numbers(text)
    yield from _births(text)
    yield from _postcodes(text)
    yield from _phones(text)


# Addresses in a network, and pages: a page's path or query may name a person or hold a session.

_URL = re.compile(r"(?i)(?<![\w@])(?:[a-z][a-z0-9+.-]{1,12}://|www\.)[^\s<>\"'`|\\^{}]{3,2000}")
_CLOSING = ".,;:!?)]}\u2026\u201d\u2019"
_V4 = re.compile(r"(?<![\d.\w-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)")
_V6 = re.compile(r"(?i)(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}(?:[0-9a-f]{1,4}|(?:\d{1,3}\.){3}\d{1,3})?(?![\w:])")
_VERSION = re.compile(r"(?i)\b(?:version|release|build|firmware|driver|v)\W{0,3}\Z")
_NOBODYS = ("127.0.0.1", "0.0.0.0", "255.255.255.255")  # noqa: S104  nothing is bound to it


def _urls(text: str) -> Iterator[Found]:
    for hit in _URL.finditer(text):
        yield Found("url", hit.start(), hit.start() + len(hit[0].rstrip(_CLOSING)))


def _internet_addresses(text: str) -> Iterator[Found]:
    if text.count(".") >= 3:
        for hit in _V4.finditer(text):
            if hit[0] not in _NOBODYS and not _VERSION.search(text, 0, hit.start()) and _is_address(hit[0]):
                yield Found("ip", *hit.span())
    if text.count(":") >= 2:
        for hit in _V6.finditer(text):
            if len(hit[0]) > 3 and _is_address(hit[0]):
                yield Found("ip", *hit.span())


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


# Numbers after a word that says what they are.

_FILL = (
    r"(?:[\s\-]*(?:numbers?|num|no|nr|id|card|code|is|was|are|ist|lautet|est|es|nummer|num[e\u00e9]ro"
    r"|of mine)\b\.?|[\s:#=()]){0,6}"
)
_VALUE = r"(?P<value>(?=[A-Z0-9 .\-/]{0,24}\d)[A-Z0-9](?:[ .\-/]?[A-Z0-9]){3,23})(?![\w])"
_WORDS = {
    "licence": r"driv(?:er|ing|ers)(?:['\u2019]?s)?[\s-]*(?:licen[cs]e|permit)|f\u00fchrerschein(?:nummer)?"
    r"|permis de conduire"
    r"|rijbewijs(?:nummer)?|carn[e\u00e9]t? de conducir|patente di guida",
    "passport": r"passport|reisepass(?:nummer)?|pass(?:nummer|-?nr)|passeport|pasaporte|paspoort(?:nummer)?|passaporto",
    "national id": r"social[\s-]+(?:security|insurance)|ssn|sin|tax(?:payer)?[\s-]*(?:id|identification|number"
    r"|payer id)|itin"
    r"|national[\s-]+(?:id|identity|identification|insurance)|identity[\s-]+card|nino|nhs|medicare|medicaid"
    r"|steuer-?(?:id|identifikations)\w*|sozialversicherungs\w*|personalausweis\w*|ausweis(?:nummer"
    r"|-?nr)|versichertennummer"
    r"|pesel|dni|nie|nif|bsn|burgerservicenummer|cpf|personnummer|cpr|codice fiscale"
    r"|num[e\u00e9]ro de s[e\u00e9]curit[e\u00e9] sociale"
    r"|insee|aadhaar|pan|ahv|avs|hetu|rodn[e\u00e9] \u010d[i\u00ed]slo|egn|cnp|oib|jmbg",
    "medical id": r"medical[\s-]+record|mrn|patient|health[\s-]+(?:insurance|card)|krankenversicherungs\w*",
    "vat id": r"vat(?:[\s-]*(?:id|reg|registration))?|ust-?id(?:nr)?|umsatzsteuer-?id\w*|tva|btw|partita iva"
    r"|p\.? ?iva|mwst",
}
_NAMED = {kind: re.compile(rf"(?i)(?<![\w])(?:{words})(?![a-z]){_FILL}{_VALUE}") for kind, words in _WORDS.items()}
_HINTS = re.compile(
    r"(?i)driv|schein|permis|rijb|carn|patente|pass|pasap|social|sozial|ssn|\bsin\b|tax|itin|national"
    r"|ident|nino|nhs|medic"
    r"|steuer|ausweis|versich|pesel|\bdni|\bnie\b|\bnif\b|bsn|burger|cpf|personn|cpr|codice|curit"
    r"|insee|aadh|\bpan\b|ahv|avs"
    r"|hetu|rodn|\begn|\bcnp|\boib|jmbg|mrn|patient|health|kranken|\bvat|ust|tva|btw|iva\b|mwst"
)


def _named_numbers(text: str) -> Iterator[Found]:
    if not _HINTS.search(text):
        return
    for kind, pattern in _NAMED.items():
        for hit in pattern.finditer(text):
            value = hit["value"]
            end = hit.start("value") + len(_until_words(value))
            if sum(map(str.isdigit, text[hit.start("value") : end])) >= 4:
                yield Found(kind, hit.start("value"), end)


def _until_words(value: str) -> str:
    """A number without the words after it, as in "A123456 and my": words have no digit and small letters."""
    parts = re.split(r"( )", value)
    while len(parts) > 1 and not (_DIGIT.search(parts[-1]) or (parts[-1].isupper() and len(parts[-1]) <= 3)):
        parts.pop()
    return "".join(parts)


# Numbers with a form of their own and a checksum.

_CHECKED: tuple[tuple[str, re.Pattern[str], str], ...] = tuple(
    (kind, re.compile(rf"(?<![\w.-])(?:{form})(?![\w-]|\.\d)"), module)
    for kind, form, module in (
        ("national id", r"\d{3}-\d{2}-\d{4}", "us.ssn"),
        ("national id", r"9\d\d-\d{2}-\d{4}", "us.itin"),
        ("national id", r"\d{3}\.\d{3}\.\d{3}-\d{2}", "br.cpf"),
        ("national id", r"756\.\d{4}\.\d{4}\.\d{2}", "ch.ssn"),
        ("national id", r"[12] ?\d{2} ?[01]\d ?[0-9][0-9AB] ?\d{3} ?\d{3} ?\d{2}", "fr.nir"),
        ("national id", r"\d{8}-?[TRWAGMYFPDXBNJZSQVHLCKE]", "es.dni"),
        ("national id", r"[XYZ]-?\d{7}-?[A-Z]", "es.nie"),
        ("national id", r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", "it.codicefiscale"),
        ("national id", r"(?:19|20)?\d{6}[-+]\d{4}", "se.personnummer"),
        ("national id", r"\d{6}[-+A-FU-Y]\d{3}[0-9A-Z]", "fi.hetu"),
        ("national id", r"[0-3]\d[01]\d{3}-\d{4}", "dk.cpr"),
        ("national id", r"\d{6}/\d{3,4}", "cz.rc"),
        ("national id", r"\d{6}-[1-4]\d{6}", "kr.rrn"),
        ("vat id", r"(?:AT ?U|[A-Z]{2} ?)[0-9A-Z]{2}[0-9 .]{6,12}[0-9](?:B\d{2})?", "eu.vat"),
        ("vat id", r"GB ?\d{3} ?\d{4} ?\d{2}(?: ?\d{3})?", "gb.vat"),
        ("vat id", r"CHE-?\d{3}\.?\d{3}\.?\d{3}(?: ?(?:MWST|TVA|IVA))?", "ch.uid"),
    )
)
_INSURED = re.compile(r"(?<![\w-])[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D](?![\w-])")


def _checked_numbers(text: str) -> Iterator[Found]:
    for kind, pattern, module in _CHECKED:
        for hit in pattern.finditer(text):
            if _checker(module).is_valid(hit[0]):
                yield Found(kind, *hit.span())
    for hit in _INSURED.finditer(text):
        yield Found("national id", *hit.span())


@cache
def _checker(module: str) -> Any:
    return import_module(f"stdnum.{module}")


# Days of birth, and postal codes, by the word before them.

_MONTH = r"[^\W\d_]{3,10}\.?"
_DAY = (
    rf"\d{{4}}[-./]\d{{1,2}}[-./]\d{{1,2}}|\d{{1,2}}[-./ ]\d{{1,2}}[-./ ]\d{{2,4}}|\d{{1,2}}(?:st|nd|rd"
    rf"|th|\.)? (?:of |de )?{_MONTH},? (?:de )?\d{{2,4}}"
    rf"|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? \d{{2,4}}"
)
_BORN = re.compile(
    r"(?i)(?<!\w)(?:born|birth(?:day|date)?|b-?day|d\.?o\.?b\.?|geb(?:oren|\.|urtsdatum|urtstag)?|n\u00e9e?|naissance"
    r"|nacid[oa]|nacimiento|nascita|nat[oa]|geboortedatum|geboren)(?!\w)"
    rf"(?:\s*(?:of birth|date|is|was|on|in|am|le|el|il|ist|op|the|:|=|,|\()){{0,4}}\s*(?P<day>{_DAY})(?!\d)"
)
_POSTCODE = re.compile(
    r"(?i)(?<!\w)(?:zip(?:[\s-]*code)?|post(?:al)?[\s-]*code|plz|postleitzahl|code postal"
    r"|c\u00f3digo postal|codice postale|postcode|postnummer|psc)"
    r"(?:\s*(?:number|is|ist|was|:|=|#|of"
    r"|\()){0,3}\s*(?P<code>(?=[A-Z -]{0,4}\d)[A-Z0-9]{1,8}(?:[ -][A-Z0-9]{2,5}(?![a-z0-9]))?)(?!\w)"
)
_BRITISH = re.compile(r"(?<![\w-])(?:GIR 0AA|[A-PR-UWYZ][A-HK-Y]?\d[A-HJKPSTUW\d]? \d[ABD-HJLNP-UW-Z]{2})(?![\w-])")


def _births(text: str) -> Iterator[Found]:
    return (Found("birth", *hit.span("day")) for hit in _BORN.finditer(text))


def _postcodes(text: str) -> Iterator[Found]:
    yield from (Found("postcode", *hit.span("code")) for hit in _POSTCODE.finditer(text))
    yield from (Found("postcode", *hit.span()) for hit in _BRITISH.finditer(text))


# Phone numbers that no plus sign and no bracket tell: by what is said before them, or by a country's own plan.

_GROUPED = re.compile(r"(?<![\w.,/#+-])\(?\d{1,5}\)?(?:(?:[ \u00a0.\-/]|\) ?| \()\d{2,8}){1,5}(?![\w/]|[.,-]\d)")
_REACHED = re.compile(
    r"(?i)(?<!\w)(?:phones?|ph|tel|telephones?|telefon\w*|t\u00e9l\w*|tel\u00e9fono|mobile?s?|cell\w*"
    r"|handy\w*|fax|desk|line|hotline|whatsapp|sms|text(?:s|ed|ing)?"
    r"|call(?:s|ed|ing|er|back)?|dial(?:l?ed|l?ing)?|ring|rang|reach(?:ed|able)?|answer(?:s|ed|ing)?"
    r"|voicemail|messages?|contact|number(?: registered)?|registered|extension"
    r"|anrufen|erreich\w*|r\u00fcckruf\w*|rufnummer|nummer|num\u00e9ro|n\u00famero|appel\w*|llam\w*"
    r"|unter|office|home|work)"
    r"(?:\W{1,3}(?:me|us|him|her|them|you|back|number|num|no|nr|is|are|was|at|on|to|from|under|via|my"
    r"|our|his|the|new|old|now|again|today|or|registered|phone|mobile|unter|auf|an|der|au|al|el|direct"
    r"|instead|please)){0,6}\W{0,4}\Z"
)
_COUNTED = re.compile(
    r"(?i)(?<!\w)(?:orders?|invoices?|tickets?|case|reference|ref|article|item|part|serial|sku|po"
    r"|batch|lot|model|version|contract|tracking|parcel|page|line items?|amount|total|sum|usd|eur|gbp"
    r"|bestell\w*|rechnung\w*|auftrag\w*|artikel\w*|serien\w*|iso|din|rfc|port|isbn)"
    r"(?:\W{1,3}(?:number|num|no|nr|is|id|of|code))*\W{0,4}\Z"
)
_NUMBERS = re.compile(r"\d+")
_MOST_DIGITS, _FEWEST_DIGITS = 15, 7
_DATED = re.compile(
    r"(?:\d{4}[-./ ]\d{1,2}[-./ ]\d{1,2}|\d{1,2}[-./ ]\d{1,2}[-./ ]\d{4}|\d{1,2}[./]\d{1,2}[./]\d{2})(?:[ T]\d{1,2})?"
)
_THOUSANDS = re.compile(r"\d{1,3}(?:([ .\u00a0])\d{3})(?:\1\d{3})+")
_PLANS = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "BE", "AT", "CH", "PL", "SE", "DK", "NO", "FI", "CZ", "PT", "AU")


def _phones(text: str) -> Iterator[Found]:
    for hit in _GROUPED.finditer(text):
        digits = sum(map(str.isdigit, hit[0]))
        if not _FEWEST_DIGITS <= digits <= _MOST_DIGITS or _DATED.fullmatch(hit[0]):
            continue
        before = text[max(hit.start() - 60, 0) : hit.start()]
        if _COUNTED.search(before):
            continue
        if _REACHED.search(before) or (not _THOUSANDS.fullmatch(hit[0]) and _fits_a_plan(hit[0])):
            start = hit.start() - (text[max(hit.start() - 1, 0) : hit.start()] == "(")
            yield Found("phone", start, hit.end())


def _fits_a_plan(written: str) -> bool:
    """Whether a country's plan has the number, and people there write it in such groups."""
    import phonenumbers

    for region in _PLANS:
        try:
            number = phonenumbers.parse(written, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            theirs = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
            if _NUMBERS.findall(theirs) == _NUMBERS.findall(written):
                return True
    return False
