"""Which columns depend on one or two others, by how far rows that share a value agree; what most sources tell."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from include.operations.suggest.column_rules import ENOUGH
from include.operations.suggest.seen import MOST_COLUMNS, Column, Seen, Suggestion, written
from include.quality.conflicts import conflicting

_FIRST_LOOK = 5_000
_IN_CONFLICT, _MAYBE_IN_CONFLICT, _AT_FIRST = 0.04, 0.08, 0.3
"""Shares of rows in conflict: few enough; few enough to be said; of the first rows, too many to look further."""
_LARGE, _SPLIT = 8, 0.25
_MAJORITY, _TOLD_MAJORITY = 0.6, 0.3
_TOLD_CONFLICT = 0.6
_TOLD_OF = 0.2
"""A source tells of this share of the things and more."""
_DETERMINANTS = 2
_OF_CHANCE = 0.2
_LEAST_SHARED = 0.35
_MOST_IN_PAIRS = 10
_MOSTLY_FILLED = 0.7


@dataclass(frozen=True)
class Dependency:
    """That one column depends on others: on which, what share of the rows says so, and which rows are in conflict.

    With `missing`, a missing value was compared like the others. `told` is the column of sources that disagree.
    """

    on: Sequence[Column]
    of: Column
    wide: float
    judged: int
    wrong: np.ndarray = field(repr=False)
    missing: bool = False
    large: bool = False
    slips: bool = False
    told: str = ""

    @property
    def share(self) -> float:
        """Of the rows that are judged, those in conflict."""
        return float(self.wrong.sum() / self.judged)

    @property
    def strong(self) -> bool:
        """Whether the conflicts look like errors."""
        return bool(self.told) or self.slips or self.share <= _IN_CONFLICT


def tell_dependency(one: Dependency, seen: Seen) -> Suggestion:
    """The rule with its evidence."""
    names = [column.name for column in one.on]
    told = f"{1 - one.share:.1%} of {one.judged:,} rows that share their {' and '.join(names)} agree"
    told += f"; in conflict e.g. {seen.lines(one.wrong)}" if one.wrong.any() else ""
    told += f"; each {one.told} tells of each once, and what most say counts" if one.told else ""
    also = ", missing=True" if one.missing else ""
    on = written(names[0] if len(names) == 1 else names)
    majority = _TOLD_MAJORITY if one.told else _MAJORITY
    code = f"depends({written(one.of.name)}, on={on}, majority={majority}{also})"
    return Suggestion(one.of.name, code, told, one.strong)


def dependencies(seen: Seen) -> dict[str, list[Dependency]]:
    """For each column what it depends on, at most two of them: those that say it of the most rows.

    Two columns together are tried where no single one says it.
    """
    if seen.rows < ENOUGH:
        return {}
    columns = [one for one in seen.columns[:MOST_COLUMNS] if one.filled >= 0.1 * one.rows and len(one.counts) > 1]
    sources = list(_sources(columns))
    found = dict[str, list[Dependency]]()
    for of in columns:
        tried = [one for on in columns if on is not of and (one := _dependency(on, of)) is not None]
        if not any(one.strong for one in tried):
            several = (_as_told(on, of, source) for on, source in sources if of is not on and of is not source)
            tried = list({id(one.on[0]): one for one in several if one is not None}.values()) or tried
        tried.sort(key=lambda one: (-one.wide // 0.1, one.share))
        found[of.name] = tried[:_DETERMINANTS]
    for of, one in _on_pairs([one for one in columns if not found[one.name]], columns):
        found[of.name].append(one)
    return found


def _dependency(on: Column, of: Column) -> Dependency | None:
    """None where it is none, or says nothing."""
    if not _can_decide(on):
        return None
    first = slice(0, _FIRST_LOOK)
    if conflicting(on.codes[first], of.codes[first], _MAJORITY).mean() > _AT_FIRST:
        return None
    return _either([on], on.codes, of)


def _can_decide(on: Column) -> bool:
    most = 0.05 if on.is_number and not on.kind.startswith("int") else 0.5
    return 2 <= len(on.counts) <= most * on.filled


def _either(on: Sequence[Column], keys: np.ndarray, of: Column) -> Dependency | None:
    """With missing values as values if that holds, or where next to all that is there agrees; else without."""
    if of.filled < of.rows and (found := _measured(on, keys, of, missing=True)) is not None:
        return found
    found = _measured(on, keys, of, missing=False)
    if found is None or not found.strong or not _MOSTLY_FILLED * of.rows <= of.filled < of.rows:
        return found
    judged, _ = _in_groups(keys, keys >= 0)
    wrong = conflicting(keys, of.codes + 1, _MAJORITY) & judged
    return replace(found, judged=int(judged.sum()), wrong=wrong, missing=True, slips=True)


def _measured(on: Sequence[Column], keys: np.ndarray, of: Column, *, missing: bool) -> Dependency | None:
    codes = of.codes + missing
    present = (keys >= 0) & (codes >= 0)
    judged, sizes = _in_groups(keys, present)
    count = int(judged.sum())
    if count < ENOUGH or count < _LEAST_SHARED * present.sum():
        return None
    wrong = conflicting(keys, codes, _MAJORITY) & judged
    differing = conflicting(keys, codes) & judged
    unlike = float(differing.sum() / count)
    gathered = _in_few_groups(keys, wrong if len(on) == 1 else differing, sizes)
    if unlike > _OF_CHANCE * _by_chance(codes[judged]) or gathered:
        return None
    held = wrong & (of.codes >= 0)
    usual, single = _repeated(keys[held], codes[held], sizes)
    large = float(sizes[keys[judged]].mean()) >= _LARGE
    slips = single >= 0.8 and large
    if usual or (unlike > _MAYBE_IN_CONFLICT and not slips):
        return None
    return Dependency(on, of, float(count / present.sum()), count, wrong, missing, large, slips)


def _in_groups(keys: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows in groups of three and more, and the size of each group."""
    sizes = np.bincount(keys[present], minlength=int(keys.max()) + 1)
    return present & (sizes[np.clip(keys, 0, None)] >= 3), sizes


def _by_chance(codes: np.ndarray) -> float:
    """How often two rows differ that have nothing in common."""
    return 1 - float(((np.bincount(codes) / len(codes)) ** 2).sum())


def _repeated(on: np.ndarray, of: np.ndarray, sizes: np.ndarray) -> tuple[bool, float]:
    """Whether conflicts are mostly two right values of the same group, and what share of them is there once.

    Two right values are a tenth of their group, whose sizes are given, and the same ones again.
    """
    if len(on) < 6:
        return False, 1.0
    groups = np.bincount(on, minlength=len(sizes)) / np.maximum(sizes, 1)
    _, at, counts = np.unique(on * (int(of.max()) + 1) + of, return_inverse=True, return_counts=True)
    usual = bool(((counts[at] >= 3) & (groups[on] >= 0.1)).mean() > 0.4)
    return usual, float((counts[at] == 1).mean())


def _in_few_groups(keys: np.ndarray, wrong: np.ndarray, sizes: np.ndarray) -> bool:
    """Whether conflicts are mostly in large groups a quarter of which is in conflict: slips would be everywhere."""
    shares = np.bincount(keys[wrong], minlength=len(sizes)) / np.maximum(sizes, 1)
    within = keys[wrong]
    found = (sizes[within] >= _LARGE) & (shares[within] >= _SPLIT)
    return len(within) >= 6 and bool(found.mean() > _SPLIT)


def _sources(columns: Sequence[Column]) -> Iterator[tuple[Column, Column]]:
    """Columns of things that several sources tell of, with the one that names the source: each tells of each once."""
    able = [one for one in columns if _can_decide(one) and not one.is_time and not (one.values.null_count)]
    for thing, source in itertools.permutations(able, 2):
        if not source.is_text or thing.rows < _TOLD_OF * len(source.counts) * len(thing.counts):
            continue
        both = thing.codes * len(source.counts) + source.codes
        if all(len(np.unique(some)) >= 0.98 * len(some) for some in (both[:_FIRST_LOOK], both)):
            yield thing, source


def _as_told(on: Column, of: Column, source: Column) -> Dependency | None:
    """What most sources say, though many differ: none has what is right for itself, as each shop has its price."""
    missing = of.filled < of.rows and of.filled >= _MOSTLY_FILLED * of.rows
    codes = of.codes + missing
    present = codes >= 0
    judged, _ = _in_groups(on.codes, present)
    count = int(judged.sum())
    if count < ENOUGH or count < _LEAST_SHARED * of.rows:
        return None
    unlike = float((conflicting(on.codes, codes) & judged).sum() / count)
    if unlike > _TOLD_CONFLICT * _by_chance(codes[judged]) or not _ahead(on.codes[judged], codes[judged]):
        return None
    wrong = conflicting(on.codes, codes, _TOLD_MAJORITY) & judged
    return Dependency([on], of, float(count / of.rows), count, wrong, missing, told=source.name)


def _ahead(on: np.ndarray, of: np.ndarray) -> bool:
    """Whether the value that most of a group have is in all twice as frequent as the next one: else both are right."""
    pairs, counts = np.unique(on * (int(of.max()) + 1) + of, return_counts=True)
    groups = pairs // (int(of.max()) + 1)
    order = np.lexsort((-counts, groups))
    first = np.r_[True, np.diff(groups[order]) != 0]
    second = np.r_[False, first[:-1]] & ~first
    return bool(counts[order][first].sum() >= 2 * counts[order][second].sum())


def _on_pairs(several: Sequence[Column], columns: Sequence[Column]) -> Iterator[tuple[Column, Dependency]]:
    """Of columns that depend on no single one, the pair of columns on which each depends with the fewest conflicts."""
    able = sorted((one for one in columns if _can_decide(one)), key=lambda one: len(one.counts))[:_MOST_IN_PAIRS]
    best: dict[str, Dependency] = {}
    known: Mapping[str, Column] = {one.name: one for one in several}
    first = slice(0, _FIRST_LOOK)
    for one, two in itertools.combinations(able, 2):
        both = np.where((one.codes < 0) | (two.codes < 0), -1, one.codes * (int(two.codes.max()) + 1) + two.codes)
        values, keys = np.unique(both, return_inverse=True)
        keys -= int(values[0] < 0)
        for of in several:
            if of is one or of is two or conflicting(keys[first], of.codes[first]).mean() > _AT_FIRST:
                continue
            found = _either([one, two], keys, of)
            if found is not None and found.large and (of.name not in best or found.share < best[of.name].share):
                best[of.name] = found
    yield from ((known[name], one) for name, one in best.items())
