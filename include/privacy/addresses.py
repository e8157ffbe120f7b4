"""Streets, post boxes and the lines of a postal address, where their form tells."""

from __future__ import annotations

import re
from collections.abc import Iterator

from include.personal import Found

_NAME = r"[^\W\d_][\w.'\u2019-]*"
_ENDS = (
    r"streets?|st|str|avenues?|ave|av|roads?|rd|lanes?|ln|drives?|dr|boulevards?|blvd|courts?|ct"
    r"|places?|pl|squares?|sq|terraces?|ter|way|parkway|pkwy|circle"
    r"|cir|crescent|close|highway|hwy|alley|trail|row|walk|mews|gardens?|grove|park|plaza|loop|ridge"
    r"|hill|quay|esplanade|parade"
)
_FRENCH = (
    r"rue|avenue|av\.|boulevard|bd|chemin|impasse|all\u00e9e|quai|place|route|cours|via|viale|corso"
    r"|piazza|strada|largo|vicolo|calle|c/|avenida|avda\.?|paseo|plaza"
    r"|carrera|rua|travessa|pra\u00e7a|ul\.|ulica|ulice|aleja|al\.|os\.|trg|str\.|strada|bulevardul"
)
_GERMAN = (
    r"(?:stra\u00dfe|strasse|str\.|weg|platz|gasse|allee|ring|damm|ufer|chaussee|gatan|v\u00e4gen|vegen"
    r"|veien|gata|vej|gade|katu|tie|straat|laan|plein|kade|dijk|utca|\u00fat|t\u00e9r)"
)
_STREETS = [
    re.compile(form)
    for form in (
        rf"(?i:\b\d{{1,6}}[a-z]?(?:[-/]\d{{1,4}}[a-z]?)?,? (?:(?:{_NAME}|\d{{1,3}}(?:st|nd|rd"
        rf"|th)?)[ ]){{1,5}}?(?:{_ENDS})\b\.?)"
        r"(?: (?i:north|south|east|west|n|s|e|w|ne|nw|se|sw)\b\.?)?",
        rf"(?i:\b(?:(?-i:[A-Z\u00c0-\u00de])[^\W\d_]*[ -]){{0,3}}[^\W\d_]*{_GERMAN} ?\d{{1,5}}"
        r"(?: ?[a-z]\b)?(?: ?[-/] ?\d{1,4})?)",
        rf"(?i:(?<!\w)(?:\d{{1,4}}(?: bis| ter)?,? )?(?:{_FRENCH})(?: {_NAME}){{1,5}}?,? ?"
        rf"(?:n[\u00ba\u00b0o]?\.? ?)?\d{{1,5}}(?:/\d{{1,4}})?[a-z]?\b)",
        rf"(?i:\b\d{{1,4}}(?: bis| ter)?,? (?:rue|avenue|boulevard|chemin|impasse|all\u00e9e|quai|place"
        rf"|route|cours)(?: {_NAME}){{1,5}})",
        r"(?i:\b(?:p\.? ?o\.? ?box|post(?:al)? box|postfach|bo\u00eete postale|b\.?p\.|apartado"
        r"|postbus|psc|unit|cmr)[ #.]*\d{2,6}(?:,? ?(?:box|apo|fpo|dpo)(?: \w+)?){0,2})"
        r"(?:,?\s+(?:APO|FPO|DPO) A[AEP] \d{5})?",
        r"\b(?:APO|FPO|DPO) A[AEP] \d{5}\b",
        r"(?i:\b(?:suite|apt|apartment|flat|room|appt|wohnung|whg|piso|lok\.)\.? ?#?\d{1,5}[a-z]?\b)",
    )
]
_STATES = (
    "A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY]"
)
_TOWN = [
    re.compile(rf"\b(?:{_STATES}),? \d{{5}}(?:-\d{{4}})?\b"),
    re.compile(
        r"(?m)(?:^"
        r"|(?<=, ))(?:[A-Z]{1,2}-)?\d{4,5} [A-Z\u00c0-\u00de][^\W\d_]{2,}(?:[ -][A-Z\u00c0-\u00de][^\W\d_]+)*(?=\s*(?:$"
        r"|[,.;\n]))"
    ),
]
_CAPITAL = r"A-Z\u00c0-\u00de\u0370-\u03ff\u0400-\u04ff"
_MORE = re.compile(
    rf"(?:[ ]?,[ ]?|,?[ ]?\n{{1,2}}[ ]{{0,4}})(?P<line>(?:[{_CAPITAL}#\d][\w.'\u2019#-]*)"
    rf"(?:[ ](?:[{_CAPITAL}#\d(][\w.'\u2019#()-]*|of|de|la|del|am|an|der|\u010d)){{0,4}})(?=[ ]*(?:[,.;?!\n]|$))"
)
_POSTED = re.compile(r"\d{4,6}|\d{3} \d{2}|[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}|^(?i:suite|apt|flat|unit)")
_MOST_LINES = 5


def find_addresses(text: str) -> Iterator[Found]:
    """Streets with what follows them up to the postal code; they may overlap."""
    if not any(map(str.isdigit, text)):
        return
    for pattern in _STREETS:
        for hit in pattern.finditer(text):
            end = _through_town(text, hit.end())
            yield Found("address", hit.start(), hit.start() + len(text[hit.start() : end].rstrip(" .,;?!\n")))
    for pattern in _TOWN:
        for hit in pattern.finditer(text):
            yield Found("address", *hit.span())


def _through_town(text: str, end: int) -> int:
    """Where an address ends that began with a street: after the last line of it that has a postal code."""
    at = reached = end
    for _ in range(_MOST_LINES):
        more = _MORE.match(text, at)
        if more is None:
            break
        at = more.end()
        if _POSTED.search(more["line"]):
            reached = at
    return reached
