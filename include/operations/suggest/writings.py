"""Values that say what others of their column say and write it in another way: units, dates, separators, case."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping

from include.quality.forms import form_of, runs_of

_USUAL, _MOSTLY, _SOME = 0.6, 0.8, 0.2
"""Shares of the values: a way of writing that is the usual one; the same where less speaks for it; one of several."""
_COVERED = 0.95
_LEAST = 0.004
_FEW_UNITS = 12
_LONGEST_CODE, _CODED, _MOST_CODES = 3, 0.9, 500
_NUMBER = r"-?[0-9](?:[0-9.,]*[0-9])?"
_DECORATED = re.compile(rf"([€$£~]?\s?)({_NUMBER})(\s?[%€$£°]|\s[A-Za-z°][\w .%°®-]*|[a-z]{{2,}}\.?|)")
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_PART = re.compile(rf"(?i){_MONTH}(?![a-z])|[0-9]+|[ap]\.?m\.?(?![a-z])|[^\W\d_]+|[^\w]|_")
_DATE = re.compile(
    rf"(?i)(?:[0-9]{{1,4}}([-/. ])[0-9]{{1,2}}\1[0-9]{{1,4}}|[0-9]{{1,2}}[-. ]{{1,2}}{_MONTH}[-., ]{{1,2}}[0-9]{{2,4}}"
    rf"|{_MONTH}[-. ]{{1,2}}[0-9]{{1,2}},? [0-9]{{2,4}})(?:[ T,].*)?"
)
_TIME = re.compile(r"(?i)[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?(?: ?[ap]\.?m\.?)?")
_TURNED = re.compile(rf"(?i){_MONTH}-[0-9]{{2}}|[0-9]{{1,2}}-{_MONTH}")
_LISTED = re.compile(r"[^,;|]{1,40}(?:[,;|][^,;|]{1,40})+")


def rewritten(counts: Mapping[str, int]) -> frozenset[str]:
    """Of a column's values and how often each occurs: those that are written in another way than is usual there."""
    total = sum(counts.values())
    if not total:
        return frozenset()
    found = _decorated(counts, total) or _dated(counts, total)
    if not found:
        found = _turned(counts, total) | _separated(counts) | _alike(counts, total) | _spelt_out(counts, total)
    return frozenset(found | _cased(counts))


def _decorated(counts: Mapping[str, int], total: int) -> set[str]:
    """Numbers with another unit beside them than is usual, or with none; where there are several, none is right."""
    by_unit: dict[str, dict[str, int]] = defaultdict(dict)
    for value, count in counts.items():
        if match := _DECORATED.fullmatch(value):
            by_unit[match[1].strip() + "#" + match[3].strip()][value] = count
    shares = {unit: sum(values.values()) / total for unit, values in by_unit.items()}
    if len(shares) < 2 or sum(shares.values()) < _COVERED or len(shares) > _FEW_UNITS:
        return set()
    usual = max(shares, key=lambda unit: shares[unit])
    several = sum(share >= _LEAST for unit, share in shares.items() if unit != "#")
    if shares.get("#", 0.0) >= _SOME and several >= 2:
        usual = "#"
    elif shares[usual] < _USUAL:
        return set()
    others = (unit for unit in shares if unit != usual and ("#" in (unit, usual) or _is_same_unit(unit, usual, shares)))
    return {value for unit in others for value in by_unit[unit]}


def _is_same_unit(unit: str, usual: str, shares: Mapping[str, float]) -> bool:
    """`oz.` and `OZ` are one unit; another one is taken for a slip where next to all have the usual one."""
    one, two = (re.sub(r"[\W_]", "", text).casefold() for text in (unit, usual))
    return one == two or (shares[unit] <= 0.06 and shares[usual] >= 0.85)


def _dated(counts: Mapping[str, int], total: int) -> set[str]:
    """Dates, or times of day, that are written in another order or with another precision than most."""
    by_order: dict[str, dict[str, int]] = defaultdict(dict)
    for value, count in counts.items():
        if _DATE.fullmatch(value) or _TIME.fullmatch(value):
            by_order[_order_of(value)][value] = count
    shares = {order: sum(values.values()) / total for order, values in by_order.items()}
    if len(shares) < 2:
        return set()
    usual = max(shares, key=lambda order: shares[order])
    if shares[usual] < _USUAL:
        return set()
    return {value for order, values in by_order.items() if order != usual for value in values}


def _order_of(text: str) -> str:
    """`8/18/81` as `9/9/9`, `1981-08-18` as `Y-9-9`, `18 Jul 2008` as `9 M Y`."""
    return "".join(_kind_of(part) for part in _PART.findall(text))


def _kind_of(part: str) -> str:
    if part.isdigit():
        return "Y" if len(part) == 4 else "9"
    if re.fullmatch(_MONTH, part, re.IGNORECASE):
        return "M"
    return "a" if part[0].isalpha() else part


def _turned(counts: Mapping[str, int], total: int) -> set[str]:
    """Values that a spreadsheet took for dates: `Mar-40` among page numbers such as `3-40`."""
    found = {value for value in counts if _TURNED.fullmatch(value)}
    return found if sum(counts[value] for value in found) <= _SOME * total else set()


def _separated(counts: Mapping[str, int]) -> set[str]:
    """Lists with a blank after their separators, where most are without, and the other way round."""
    listed = {value: count for value, count in counts.items() if _LISTED.fullmatch(value)}
    blank = {value for value in listed if re.search(r"[,;|] ", value)}
    total, with_blank = sum(listed.values()), sum(listed[value] for value in blank)
    if with_blank >= _MOSTLY * total:
        return {value for value in listed if re.search(r"[,;|][^\s0-9]", value)}
    return blank if with_blank <= (1 - _MOSTLY) * total else set()


def _alike(counts: Mapping[str, int], total: int) -> set[str]:
    """Values of the usual form but for separators and case, or with more beside it: `5551234`, `555-1234 x`."""
    by_form = _totals(counts, runs_of)
    usual, count = max(by_form.items(), key=lambda pair: pair[1])
    if count < _MOSTLY * total or "9" not in usual:
        return set()
    exact = _totals({value: n for value, n in counts.items() if runs_of(value) == usual}, _bare)
    known = {form for form, n in exact.items() if n >= _LEAST * total}
    return {
        value
        for value in counts
        if (form := runs_of(value)) != usual and (_bare(value) in known or _within(form, usual))
    }


def _within(form: str, usual: str) -> bool:
    """Whether one form is the other with more after a blank or a sign."""
    long, short = sorted((form, usual), key=len, reverse=True)
    if len(short) < 3 or len(long) <= len(short):
        return False
    after, before = long[len(short) :], long[: -len(short)]
    return (long.startswith(short) and not after[0].isalnum()) or (long.endswith(short) and not before[-1].isalnum())


def _spelt_out(counts: Mapping[str, int], total: int) -> set[str]:
    """Words where next to all values are codes of the same few letters: `male` beside `M` and `F`."""
    lengths = Counter[int]()
    for value, count in counts.items():
        lengths[len(value) if value.isalpha() else 0] += count
    length, count = lengths.most_common(1)[0]
    if not 1 <= length <= _LONGEST_CODE or count < _CODED * total or len(counts) > _MOST_CODES:
        return set()
    return {value for value in counts if value.isalpha() and len(value) > _LONGEST_CODE}


def _cased(counts: Mapping[str, int]) -> set[str]:
    """Values that are a more frequent one but for case, blanks and separators."""
    groups: dict[str, list[str]] = defaultdict(list)
    for value in counts:
        groups[re.sub(r"[\s_.\-]+", "", value).casefold()].append(value)
    found = set[str]()
    for values in groups.values():
        if len(values) > 1:
            best = max(values, key=lambda value: counts[value])
            found |= {value for value in values if counts[best] >= max(3, 3 * counts[value])}
    return found


def _bare(text: str) -> str:
    return form_of("".join(filter(str.isalnum, text)).casefold())


def _totals(counts: Mapping[str, int], shape: Callable[[str], str]) -> Counter[str]:
    found = Counter[str]()
    for value, count in counts.items():
        found[shape(value)] += count
    return found
