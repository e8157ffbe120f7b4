"""What columns suggest together: keys, dependencies, presence under a condition, the order of times."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from include.personal import find_values
from include.quality.column_rules import ENOUGH, settled
from include.quality.conflicts import conflicting
from include.quality.seen import Column, Seen, Suggestion, written

_NAMED_KEY = re.compile(r"(?i)(^|[_ #])(id|key|no|nr|num|number|code|uuid|guid|sku|#)$|[a-z](ID|Id|Key|No|Nr)$|#$")
_MOST_COLUMNS = 40
_FIRST_LOOK = 5_000
_IN_CONFLICT, _MAYBE_IN_CONFLICT = 0.04, 0.08
_MAJORITY = 0.6
_DETERMINANTS = 2
_REPEATED = 0.06


def rules_between(seen: Seen, dependent: Mapping[str, Sequence[Dependency]]) -> Iterator[Suggestion]:
    """All that columns suggest together, keys first."""
    yield from keys(seen)
    yield from _conditions(seen)
    for several in dependent.values():
        yield from (_tell_dependency(one, seen) for one in several)
    yield from _orders(seen)


def keys(seen: Seen) -> Iterator[Suggestion]:
    """Columns, or pairs of columns, whose values are there once."""
    able = [one for one in seen.columns[:_MOST_COLUMNS] if one.filled >= 0.98 * one.rows and _can_be_key(one)]
    found = False
    for column in able:
        repeats = _repeats(column.codes)
        share = repeats.sum() / max(column.filled, 1)
        named = bool(_NAMED_KEY.search(column.name)) or column is seen.columns[0]
        if share > (_REPEATED if named else 0.02) or column.filled < 2:
            continue
        strong = column.rows >= ENOUGH and named
        found = found or strong
        yield _key([column], repeats, strong, seen)
    if found or seen.rows < ENOUGH:
        return
    yield from _pairs(able, seen)


def _can_be_key(column: Column) -> bool:
    if column.is_text:
        return sum(len(str(value)) for value in itertools.islice(column.counts, 200)) <= 60 * min(
            200, max(len(column.counts), 1)
        )
    return column.kind.startswith("int") or column.is_time


def _repeats(codes: np.ndarray) -> np.ndarray:
    _, at, counts = np.unique(codes, return_inverse=True, return_counts=True)
    found: np.ndarray = (counts[at] > 1) & (codes >= 0)
    return found


def _key(columns: Sequence[Column], repeats: np.ndarray, strong: bool, seen: Seen) -> Suggestion:
    names = ", ".join(written(column.name) for column in columns)
    count = int(repeats.sum())
    severity = "" if count or not strong else ', severity="critical"'
    told = f"no two of {seen.rows:,} rows are equal" if not count else f"{count:,} rows are equal to another"
    told += f", e.g. {seen.lines(repeats)}" if count else ""
    if not strong:
        told += "; maybe by chance"
    return Suggestion(columns[0].name, f"unique({names}{severity})", told, strong)


def _pairs(able: Sequence[Column], seen: Seen) -> Iterator[Suggestion]:
    """The pair with the fewest repeats, those first that are named as keys; the next ones commented out."""
    tried = []
    for one, two in itertools.combinations(able[:15], 2):
        width = int(two.codes.max()) + 1
        if len(one.counts) * len(two.counts) < seen.rows or max(len(one.counts), len(two.counts)) > 0.97 * seen.rows:
            continue
        both = np.where((one.codes < 0) | (two.codes < 0), -1, one.codes * width + two.codes)
        repeats = _repeats(both)
        if repeats.sum() <= 0.03 * seen.rows:
            named = sum(bool(_NAMED_KEY.search(column.name)) for column in (one, two))
            tried.append((int(repeats.sum()) - named * 0.01 * seen.rows, one, two, repeats))
    tried.sort(key=lambda pair: pair[0])
    for at, (_, one, two, repeats) in enumerate(tried[:3]):
        chance = len(one.counts) * len(two.counts) > 50 * seen.rows
        yield _key([one, two], repeats, at == 0 and not chance, seen)


def _conditions(seen: Seen) -> Iterator[Suggestion]:
    """Columns that have a value where another one says so: a closing date where the stage is Won or Lost."""
    deciding = [(column, known) for column in seen.columns if (known := settled(column)) and 2 <= len(known) <= 12]
    for column in seen.columns:
        share = 1 - column.filled / column.rows
        if share <= 0.03 or share > 0.95 or seen.rows < ENOUGH * 3:
            continue
        for other, known in deciding:
            if other is column:
                continue
            needing = [value for value in known if _missing_where(column, other, value) <= 0.02]
            lacking = [value for value in known if _missing_where(column, other, value) >= 0.5]
            needing = [value for value in needing if not find_values(str(value), other.name)]
            if needing and lacking and sum(other.counts[value] for value in needing) >= ENOUGH:
                none = other.holding(needing) & (column.codes < 0)
                told = f"{1 - none.sum() / other.holding(needing).sum():.1%} of these rows have one, of the others few"
                told += f"; not e.g. {seen.lines(none)}" if none.any() else ""
                wanted = written(sorted(needing, key=str) if len(needing) > 1 else needing[0])
                yield Suggestion(
                    column.name, f"not_null({written(column.name)}, where={{{written(other.name)}: {wanted}}})", told
                )
                break


def _missing_where(column: Column, other: Column, value: Any) -> float:
    rows = other.holding([value])
    return float((column.codes[rows] < 0).mean()) if rows.any() else 0.0


@dataclass(frozen=True)
class Dependency:
    """That one column depends on another: on which, what share of the rows says so, and which rows are in conflict.

    With `missing`, a missing value was compared like the others.
    """

    on: Column
    of: Column
    wide: float
    judged: int
    wrong: np.ndarray = field(repr=False)
    missing: bool = False

    @property
    def share(self) -> float:
        """Of the rows that are judged, those in conflict."""
        return float(self.wrong.sum() / self.judged)


def dependencies(seen: Seen) -> dict[str, list[Dependency]]:
    """For each column what it depends on, at most two columns each: those that say it of the most rows."""
    if seen.rows < ENOUGH:
        return {}
    columns = [one for one in seen.columns if one.filled >= 0.1 * one.rows and len(one.counts) > 1][:_MOST_COLUMNS]
    found = dict[str, list[Dependency]]()
    for of in columns:
        tried = [one for on in columns if on is not of and (one := _dependency(on, of)) is not None]
        tried.sort(key=lambda one: (-one.wide // 0.1, one.share))
        found[of.name] = tried[:_DETERMINANTS]
    return found


def _tell_dependency(one: Dependency, seen: Seen) -> Suggestion:
    told = f"{1 - one.share:.1%} of {one.judged:,} rows that share their {one.on.name} agree"
    told += f"; in conflict e.g. {seen.lines(one.wrong)}" if one.wrong.any() else ""
    also = ", missing=True" if one.missing else ""
    code = f"depends({written(one.of.name)}, on={written(one.on.name)}, majority={_MAJORITY}{also})"
    return Suggestion(one.of.name, code, told, one.share <= _IN_CONFLICT)


def _dependency(on: Column, of: Column) -> Dependency | None:
    """None where it is none, or says nothing."""
    if (on.is_number and not on.kind.startswith("int")) or len(on.counts) > 0.5 * on.filled or len(on.counts) < 2:
        return None
    if len(of.counts) > len(on.counts) * 1.5 + 20:
        return None
    first = slice(0, _FIRST_LOOK)
    if conflicting(on.codes[first], of.codes[first], _MAJORITY).mean() > 2 * _MAYBE_IN_CONFLICT:
        return None
    if of.filled < of.rows and (found := _measured(on, of, of.codes + 1, missing=True)) is not None:
        return found
    return _measured(on, of, of.codes, missing=False)


def _measured(on: Column, of: Column, codes: np.ndarray, *, missing: bool) -> Dependency | None:
    present = (on.codes >= 0) & (codes >= 0)
    sizes = np.bincount(on.codes[present], minlength=int(on.codes.max()) + 1)
    judged = present & (sizes[np.clip(on.codes, 0, None)] >= 3)
    count = int(judged.sum())
    if count < ENOUGH or count < 0.2 * present.sum():
        return None
    wrong = conflicting(on.codes, codes, _MAJORITY) & judged
    unlike = float((conflicting(on.codes, codes) & judged).sum() / count)
    chance = 1 - float(((np.bincount(codes[judged]) / count) ** 2).sum())
    if unlike > _MAYBE_IN_CONFLICT or unlike > 0.2 * chance:
        return None
    return Dependency(on, of, float(count / present.sum()), count, wrong, missing)


def _orders(seen: Seen) -> Iterator[Suggestion]:
    """Times that are nearly always one after the other."""
    times = [column for column in seen.columns if column.is_time][:10]
    for one, two in itertools.permutations(times, 2):
        both = ~np.isnan(one.numbers) & ~np.isnan(two.numbers)
        if both.sum() < ENOUGH or one.values.type != two.values.type:
            continue
        wrong = both & (one.numbers > two.numbers)
        earlier = (both & (one.numbers < two.numbers)).sum() / both.sum()
        share = wrong.sum() / both.sum()
        if share <= 0.02 and earlier >= 0.5:
            told = f"{1 - share:.1%} of {int(both.sum()):,} rows with both"
            told += f"; others e.g. {seen.lines(wrong)}" if wrong.any() else ""
            yield Suggestion(one.name, f"not_after({written(one.name)}, {written(two.name)})", told)
