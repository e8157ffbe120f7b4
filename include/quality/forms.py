"""Forms of texts: `AB-1234` has the form `AA-9999`; a column's forms become one regular expression."""

from __future__ import annotations

import re
import string
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

MOST_FORMS = 3
COVERED = 0.96
"""The share of a column's values that its forms must have to be called that."""
_CODED = 0.88
"""The same for forms with digits, where the others are not these with another number of them."""
_GAIN, _NEARLY_ALL = 0.003, 0.993
_WORDS = re.compile(r"[Aa]{4}")
_QUANTITY = re.compile(r"9+(?:\.9+| ?%| a+\.?|\.9+ ?[a%]+\.?)(?: or 9+(?:\.9+)?(?: ?[a%]+\.?)?)*")
_ODD = 0.004
"""A form or length of a smaller share of the values is an exception, not one more form."""
_RUN = re.compile(r"A+|a+|9+|X+|W+|[\s\S]")
_ASCII = str.maketrans(string.ascii_uppercase + string.ascii_lowercase + string.digits, "A" * 26 + "a" * 26 + "9" * 10)
_CLASSES = {
    "A": r"[A-Z]",
    "a": r"[a-z]",
    "9": r"[0-9]",
    "X": r"[A-Za-z0-9]",
    "U": r"[A-Z0-9]",
    "x": r"[a-z0-9]",
    "h": r"[0-9a-f]",
    "W": r"[^\W\d_]",
}
_WORD = re.compile(r"[A-Za-z]*(?:[0-9]+[A-Za-z]+|[A-Za-z]+[0-9]+)[A-Za-z0-9]*")
_LETTERS = re.compile(r"[^\W\d_]")
_CHARACTERS = {
    "letters": re.compile(r"[^\W\d_]"),
    "digits": re.compile(r"[0-9]"),
    "spaces": re.compile(r"\s"),
    "other signs": re.compile(r"[^\w\s]|_"),
}
_WRITTEN = {"letters": r"^\W\d_", "digits": "0-9", "spaces": r"\s"}


@dataclass(frozen=True, slots=True)
class Form:
    """Forms as a regular expression of the whole value, in words, and the share of the values that have them."""

    pattern: str
    shown: str
    share: float


def form_of(text: str) -> str:
    """Capitals as A, small letters as a, digits as 9, other signs as they are."""
    if text.isascii():
        return text.translate(_ASCII)
    return "".join(
        "9" if "0" <= one <= "9" else ("A" if one.isupper() else "a") if one.isalpha() else one for one in text
    )


def find_form(counts: Mapping[str, int], *, literal: bool = True) -> Form | None:
    """The few forms that nearly all values have, from how often each occurs; None where there are no such few.

    Tried from strict to loose: the exact form, runs of any length, letters and digits alike; a looser one where that
    leaves next to none without. Letters that are the same in nearly all values stand as they are if `literal`.
    """
    total = sum(counts.values())
    best: Form | None = None
    for shape in (form_of, runs_of, _alike):
        if shape is _alike and best is not None and best.share < COVERED:
            break
        found = _few(counts, shape, total, literal)
        if found is not None and shape is form_of and _WORDS.search(found.shown) and " or " in found.shown:
            continue  # words are of any length
        if found is None or (best is not None and found.share <= best.share + _GAIN):
            continue
        if best is None or found.share >= _NEARLY_ALL or (_QUANTITY.fullmatch(best.shown) and shape is runs_of):
            best = found
    return best


def find_characters(counts: Mapping[str, int]) -> Form | None:
    """Which kinds of characters next to no value has, as a form that excludes them; None where each kind is there."""
    total = sum(counts.values())
    having = {
        name: sum(count for value, count in counts.items() if kind.search(value))
        for name, kind in _CHARACTERS.items()
        if name != "other signs"
    }
    absent = [name for name, count in having.items() if count <= max(_ODD * 3 * total, 1) and name != "spaces"]
    if not absent or len(absent) == 2:
        return None
    without = "0-9" if absent == ["digits"] else "A-Za-z"
    share = 1 - having[absent[0]] / total
    return Form(f"[^{without}]+", f"has no {absent[0]}", share)


def escaped(text: str) -> str:
    """The text as a regular expression, without a backslash where none is needed."""
    return re.sub(r"[.^$*+?{}\[\]\\|()#&~]", r"\\\g<0>", text)


def runs_of(text: str) -> str:
    """The form with runs of any length: `AB-1234` as `A-9`."""
    return re.sub(r"A+|a+|9+", lambda run: run[0][0], form_of(text))


def _alike(text: str) -> str:
    """Runs in which letters and digits alternate count as one."""
    return re.sub(r"[Aa9]+", lambda run: "X" if len(set(run[0])) > 1 else run[0][0], form_of(text))


def _few(counts: Mapping[str, int], shape: Callable[[str], str], total: int, literal: bool) -> Form | None:
    by_shape: dict[str, Counter[str]] = defaultdict(Counter)
    for value, count in counts.items():
        by_shape[shape(value)][value] += count
    ordered = sorted(by_shape.items(), key=lambda item: -item[1].total())[:MOST_FORMS]
    kept = [(form, values) for form, values in ordered if values.total() >= _ODD * 5 * total]
    share = sum(values.total() for _, values in kept) / total
    coded = bool(kept) and all("9" in form for form, _ in kept) and _is_spread(by_shape, kept)
    least = _CODED if coded else COVERED
    if not kept or share < least or any(len(form) > 60 for form, _ in kept):
        return None
    patterns = [_pattern(form, values, shape is form_of, literal) for form, values in kept]
    whole = re.compile("|".join(patterns))
    having = sum(count for value, count in counts.items() if whole.fullmatch(value)) / total
    if having < least or not any(one in "".join(form for form, _ in kept) for one in "A9Xa"):
        return None
    return Form("|".join(patterns), " or ".join(form for form, _ in kept), having)


def _is_spread(by_shape: Mapping[str, Counter[str]], kept: Sequence[tuple[str, Counter[str]]]) -> bool:
    """Whether values without these forms have forms of their own, as slips have, and not the same but for lengths."""
    forms = {form for form, _ in kept}
    usual = {runs_of(next(iter(values))) for _, values in kept}
    return not any(
        runs_of(value) in usual for form, values in by_shape.items() if form not in forms for value in values
    )


def _pattern(form: str, values: Counter[str], exact: bool, literal: bool) -> str:
    """The regular expression of one form; a run of letters that is nearly always the same stands as it is."""
    runs = [run[0] for run in (_RUN.finditer(form) if exact else re.finditer(r"[\s\S]", form))]
    splitter = re.compile("".join(f"({_group(run, exact)})" for run in runs))
    parts: list[Counter[str]] = [Counter() for _ in runs]
    for value, count in values.items():
        match = splitter.fullmatch(value)
        for part, text in zip(parts, match.groups() if match else (), strict=False):
            part[text] += count
    return "".join(_part(run, part, exact, literal) for run, part in zip(runs, parts, strict=True))


def _group(run: str, exact: bool) -> str:
    if run[0] not in "Aa9X":
        return escaped(run)
    kind = {"A": r"(?:(?![a-z])[^\W\d_])", "a": r"(?:(?![A-Z])[^\W\d_])", "9": "[0-9]", "X": r"[^\W_]"}[run[0]]
    return f"{kind}{{{len(run)}}}" if exact else f"{kind}+"


def _part(run: str, part: Counter[str], exact: bool, literal: bool) -> str:
    if run[0] not in "Aa9X":
        return escaped(run)
    total = part.total()
    often, count = part.most_common(1)[0] if part else ("", 0)
    if (
        literal
        and run[0] in "Aa"
        and total
        and count >= 0.97 * total
        and len(part) < 0.03 * total + 2
        and often.isascii()
    ):
        return escaped(often)
    lengths = Counter[int]()
    for text, times in part.items():
        lengths[len(text)] += times
    usual = sorted(length for length, times in lengths.items() if times >= max(_ODD * total, 1)) or [len(run)]
    return _class(run[0], part) + _times(usual[0], usual[-1], len(usual) < 6)


def _class(kind: str, part: Counter[str]) -> str:
    if not all(text.isascii() for text in part):
        return r"[^\W_]" if kind == "X" else _CLASSES[kind] if kind == "9" else r"[^\W\d_]"
    if kind != "X":
        return _CLASSES[kind]
    total = part.total()
    for name in ("h", "U", "x"):
        pattern = re.compile(_CLASSES[name] + "+")
        if sum(count for text, count in part.items() if pattern.fullmatch(text)) >= COVERED * total:
            return _CLASSES[name]
    return _CLASSES["X"]


def _times(least: int, most: int, bounded: bool) -> str:
    if not bounded:
        return "+"
    return "" if least == most == 1 else f"{{{least}}}" if least == most else f"{{{least},{most}}}"
