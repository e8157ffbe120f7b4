"""What columns suggest together: keys, dependencies, presence under a condition, the order of times."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from include.operations.suggest.column_rules import ENOUGH, settled
from include.operations.suggest.dependencies import Dependency, tell_dependency
from include.operations.suggest.seen import MOST_COLUMNS, Column, Seen, Suggestion, written
from include.personal import find_values

_NAMED_KEY = re.compile(r"(?i)(^|[_ #])(id|key|no|nr|num|number|code|uuid|guid|sku|#)$|[a-z](ID|Id|Key|No|Nr)$|#$")
_REPEATED = 0.06


def rules_between(
    seen: Seen, dependent: Mapping[str, Sequence[Dependency]], conditional: Mapping[str, Condition]
) -> Iterator[Suggestion]:
    """All that columns suggest together, keys first."""
    yield from keys(seen)
    yield from (one.rule for one in conditional.values())
    for several in dependent.values():
        yield from (tell_dependency(one, seen) for one in several)
    yield from _orders(seen)


def keys(seen: Seen) -> Iterator[Suggestion]:
    """Columns, or pairs of columns, whose values are there once."""
    able = [one for one in seen.columns[:MOST_COLUMNS] if one.filled >= 0.9 * one.rows and _can_be_key(one)]
    found = False
    for column in able:
        repeats = _repeats(column.codes)
        share = repeats.sum() / max(column.filled, 1)
        named = bool(_NAMED_KEY.search(column.name)) or column is seen.columns[0]
        if share > (_REPEATED if named and not found else 0.01) or column.filled < 2:
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
        chance = len(one.counts) * len(two.counts) > 50 * seen.rows or one.is_time or two.is_time
        yield _key([one, two], repeats, at == 0 and not chance, seen)


@dataclass(frozen=True)
class Condition:
    """A condition under which a column has values, and the rows without one that it accounts for."""

    rule: Suggestion
    explained: np.ndarray = field(repr=False)


def conditions(seen: Seen) -> dict[str, Condition]:
    """Of columns with missing values: what says where they are missing, another column's values or its own presence."""
    if seen.rows < ENOUGH * 3:
        return {}
    others = seen.columns[:MOST_COLUMNS]
    deciding = [_Deciding(column, known) for column in others if (known := settled(column)) and 2 <= len(known) <= 12]
    found = dict[str, Condition]()
    for column in seen.columns:
        none = column.codes < 0
        if none.sum() < 3 or none.mean() > 0.95:
            continue
        tried = (_where(column, none, other, seen) for other in deciding if other.column is not column)
        best = max((one for one in tried if one), key=lambda one: int(one.explained.sum()), default=None)
        together = _together(column, none, others, seen)
        if together and (best is None or together.explained.sum() > best.explained.sum() * 1.05):
            best = together
        if best is not None and best.explained.sum() >= 0.5 * none.sum():
            found[column.name] = best
    return found


class _Deciding:
    """A column of few values, and which of them each row has: its place among them, the number of them for others."""

    def __init__(self, column: Column, known: Sequence[Any]) -> None:
        self.column, self.known = column, known
        self.at = np.full(column.rows, len(known), "int16")
        for place, value in enumerate(known):
            self.at[column.holding([value])] = place
        self.sizes = np.bincount(self.at, minlength=len(known) + 1)


def _where(column: Column, none: np.ndarray, other: _Deciding, seen: Seen) -> Condition | None:
    """That a column has values where another one is Won or Lost, and lacks them elsewhere."""
    shares = np.bincount(other.at[none], minlength=len(other.sizes)) / np.maximum(other.sizes, 1)
    named = other.column.name
    needing = [at for at, one in enumerate(other.known) if shares[at] <= 0.03 and not find_values(str(one), named)]
    lacking = np.flatnonzero(shares[:-1] >= 0.3)
    if not needing or not len(lacking) or other.sizes[needing].sum() < ENOUGH:
        return None
    wanted = sorted((other.known[at] for at in needing), key=str)
    where = f"{written(named)}: {written(wanted if len(wanted) > 1 else wanted[0])}"
    return Condition(_present(column, where, np.isin(other.at, needing), seen), none & np.isin(other.at, lacking))


def _together(column: Column, none: np.ndarray, others: Sequence[Column], seen: Seen) -> Condition | None:
    """That a column has values where another one has."""
    for other in others:
        if other is column or other.filled == other.rows:
            continue
        rows = other.codes >= 0
        both = none & ~rows
        if both.sum() < max(0.5 * none.sum(), 3, 0.3 * (~rows).sum()):
            continue
        if rows.sum() < ENOUGH or (none & rows).sum() > 0.03 * rows.sum():
            continue
        return Condition(_present(column, f"{written(other.name)}: present", rows, seen), both)
    return None


def _present(column: Column, where: str, rows: np.ndarray, seen: Seen) -> Suggestion:
    wrong = rows & (column.codes < 0)
    told = f"{1 - wrong.sum() / rows.sum():.1%} of these {int(rows.sum()):,} rows have one, of the others few"
    told += f"; not e.g. {seen.lines(wrong)}" if wrong.any() else ""
    return Suggestion(column.name, f"not_null({written(column.name)}, where={{{where}}})", told)


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
