"""Everything personal in a text that is meant for a model."""

from __future__ import annotations

from collections.abc import Iterable

from include.personal import Found
from include.privacy.addresses import find_addresses
from include.privacy.forms import find_forms
from include.privacy.names import find_names

NAMING = frozenset(("customer_name", "contact_name", "requester_name", "person_name"))
"""Columns that hold the name of a person and nothing else: it is one whole, however little it looks like a name."""
FOR_GOOD = ("card", "key")
"""Kinds that leave in no form: nothing that they lie in may bring them back."""


def find_personal(text: str, about: str = "") -> list[Found]:
    """Personal values of every kind, in order, none over another; cards and keys count first, then the longer one.

    What is left of a shorter one beside it is a value of its own, so that nothing that was found stays. `about` is the
    name under which the text stands: one of `NAMING` says that all of it is a name.
    """
    if not text or text.isspace():
        return []
    if about in NAMING and not any(one.kind in FOR_GOOD for one in find_forms(text, about)):
        start = len(text) - len(text.lstrip())
        return [Found("person", start, start + len(text.strip()))]
    return _apart(text, [*find_forms(text, about), *find_addresses(text), *find_names(text)])


def _apart(text: str, found: Iterable[Found]) -> list[Found]:
    taken: list[Found] = []
    for one in sorted(found, key=lambda one: (one.kind not in FOR_GOOD, one.start - one.end, one.start)):
        taken += _beside(text, one, taken)
    return sorted(taken, key=lambda one: one.start)


def _beside(text: str, one: Found, taken: Iterable[Found]) -> list[Found]:
    """The parts of a value that nothing else has taken, without the marks around them."""
    parts = [(one.start, one.end)]
    for other in taken:
        cut = []
        for start, end in parts:
            if other.end <= start or end <= other.start:
                cut.append((start, end))
            else:
                cut += [(start, other.start), (other.end, end)]
        parts = [(start, end) for start, end in cut if start < end]
    left = []
    for start, end in parts:
        if (start, end) != (one.start, one.end):
            while start < end and not text[start].isalnum():
                start += 1
            while end > start and not text[end - 1].isalnum():
                end -= 1
        if start < end:
            left.append(Found(one.kind, start, end))
    return left
