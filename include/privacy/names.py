"""Names of people, and addresses whose form tells nothing: by salutation and signature, and by a fitted model."""

from __future__ import annotations

import re
from collections.abc import Iterator

from include.personal import Found
from include.privacy.tagging import TOKEN, read_weights, tag

_PART = r"[A-Z\u00c0-\u00de\u0100-\u024f\u0370-\u03ff\u0400-\u042f][\w'\u2019.-]*"
_WHOLE = rf"{_PART}(?: (?:(?:van|von|der|den|de|da|di|del|la|le|al|bin|el|dos|ter|ten|y|e) )*{_PART}){{0,3}}"
_TITLED = re.compile(
    rf"(?<!\w)(?:[Mm](?:r|rs|s|x|me|lle|iss)\.?|MR\.?|MRS\.?|MS\.?|M\.|[Dd]r\.?(?: med\.?)?|DR\.?"
    rf"|Prof\.?(?: Dr\.?)?|Professor|Sir|Herrn?|Frau|Hr\.|Fr\.|Madame|Monsieur|Mademoiselle"
    rf"|Se\u00f1ora?|Sr(?:a|ta)?\.?|Don|Do\u00f1a|Signora?|Sig\.(?:ra)?|Pan[ií]?|Dhr\.|Mevr\.|Mevrouw)"
    rf"[ \u00a0](?P<name>{_WHOLE})"
)
_NOBODY = frozenset(("Sir", "Madam", "Customer", "Service", "Team", "Support", "All", "President", "Doctor", "Damen"))
_OWNED = re.compile("['\u2019]s?\\Z")
_DECIMAL = re.compile(r"\d\.\d|\A\d\Z")
_MARKS = ".'\u2019-"


def find_names(text: str) -> Iterator[Found]:
    """Names, and addresses that the fitted model tells; they may overlap."""
    for hit in _TITLED.finditer(text):
        if hit["name"].split()[0] not in _NOBODY:
            yield Found("person", hit.start("name"), hit.start("name") + len(hit["name"].rstrip(_MARKS)))
    yield from _tagged(text)


def _tagged(text: str) -> Iterator[Found]:
    tokens = list(TOKEN.finditer(text))
    labels = tag([one[0] for one in tokens], read_weights())
    at = 0
    while at < len(tokens):
        label, first = labels[at], at
        while at < len(tokens) and labels[at] == label:
            at += 1
        inside = [one for one in tokens[first:at] if one[0][0].isalnum()]
        words = [one for one in inside if one[0][0].isalpha()]
        if label == "name" and any(len(one[0]) > 1 for one in words):
            start, end = words[0].start(), words[-1].end()
            owned = _OWNED.search(text, start, end)
            yield Found("person", start, owned.start() if owned else end)
        elif label == "address" and inside and not _DECIMAL.search(text, inside[0].start(), inside[-1].end()):
            yield Found("address", inside[0].start(), inside[-1].end())
