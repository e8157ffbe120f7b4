"""Rows that disagree with the rest: with what their group mostly has, or by one slip with a value that is common."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

COMMON = 20
"""A value is a misspelling of one that is this many times as frequent."""
SHORTEST, LONGEST = 4, 100
"""Characters of values whose spelling is compared: shorter ones differ by one letter anyway."""
_SPACE = re.compile(r"[\s_.\-]+")


def codes_of(columns: list[Any]) -> np.ndarray:
    """A number per row, equal where the values of all columns are; -1 where one is missing."""
    import numpy as np
    import pandas as pd

    found: np.ndarray | None = None
    for column in columns:
        codes, values = pd.factorize(column)
        codes = codes.astype("int64")
        if found is None:
            found = codes
            continue
        both = np.where((found < 0) | (codes < 0), -1, found * max(len(values), 1) + codes)
        found = pd.factorize(np.where(both < 0, np.iinfo("int64").max, both), sort=True)[0].astype("int64")
        found[both < 0] = -1
    return np.zeros(0, "int64") if found is None else found


def conflicting(on: np.ndarray, of: np.ndarray, majority: float = 0.0) -> np.ndarray:
    """Rows whose value `of` is not the one that most rows with the same `on` have; a missing one (-1) conflicts with
    nothing. Where no value is ahead, all rows of the group are in conflict: nothing says which one is right.
    Groups in which it has less than the share `majority` are left out.
    """
    import numpy as np

    found = np.zeros(len(on), bool)
    present = np.flatnonzero((on >= 0) & (of >= 0))
    if not len(present):
        return found
    width = int(of.max()) + 1
    pairs, at, counts = np.unique(on[present] * width + of[present], return_inverse=True, return_counts=True)
    groups = pairs // width
    starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
    sizes = np.diff(np.r_[starts, len(groups)])
    most = np.repeat(np.maximum.reduceat(counts, starts), sizes)
    ahead = np.repeat(np.add.reduceat((counts == most).astype("int64"), starts), sizes) == 1
    clear = most >= majority * np.repeat(np.add.reduceat(counts, starts), sizes)
    found[present] = (clear & ~((counts == most) & ahead))[at]
    return found


def misspellings(counts: Mapping[str, int], times: int = COMMON) -> dict[str, str]:
    """Of values and how often each occurs: those that are one slip away from a value `times` as frequent.

    A slip is one letter too many, too few, wrong, or exchanged with its neighbour, or other case, spaces and dashes.
    Digits are never taken for slips: `P-100` and `P-101` are two things.
    """
    known = {value: count for value, count in counts.items() if SHORTEST <= len(value) <= LONGEST}
    common = {value: count for value, count in known.items() if count >= times}
    index: dict[str, list[str]] = {}
    for value in common:
        for key in {*_shortened(value), _plain(value)}:
            index.setdefault(key, []).append(value)
    found, most = dict[str, str](), max(common.values(), default=0)
    for value, count in known.items():
        if most < times * count:
            continue
        near = {one for key in {*_shortened(value), _plain(value)} for one in index.get(key, ())}
        able = (one for one in near if common[one] >= times * count and _is_slip(value, one))
        best = max(able, key=lambda one: (common[one], one), default=None)
        if best is not None:
            found[value] = best
    return found


def _shortened(text: str) -> Iterator[str]:
    yield text
    for at in range(len(text)):
        yield text[:at] + text[at + 1 :]


def _plain(text: str) -> str:
    return _SPACE.sub("", text).casefold()


def _is_slip(one: str, other: str) -> bool:
    if one == other:
        return False
    if _plain(one) == _plain(other):
        return True
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    end = 0
    while end < min(len(one), len(other)) - start and one[-1 - end] == other[-1 - end]:
        end += 1
    left, right = one[start : len(one) - end], other[start : len(other) - end]
    if any(character.isdigit() for character in left + right):
        return False
    return max(len(left), len(right)) <= 1 or (len(left) == len(right) == 2 and left == right[::-1])


def rows_misspelt(values: pd.Series[Any]) -> pd.Series[Any]:
    """Which of the values are misspellings of common ones; what is no text is none."""
    counts = values.dropna().astype(str).value_counts().to_dict()
    return values.isin(list(misspellings(counts)))
