"""What one column suggests: presence, values, forms, ranges, spelling; each rule with its evidence."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from include.operations.suggest.seen import MOST_COLUMNS, Column, Seen, Suggestion, written
from include.personal import find_values
from include.quality.conflicts import misspellings
from include.quality.forms import Form, escaped, find_characters, find_form
from include.systems.files.formats.values import ABSENT

ENOUGH = 30
"""Values below which nothing is more than a guess, and is written commented out."""
_RARELY_MISSING, _MAYBE_MISSING = 0.03, 0.10
_MOST_VALUES, _ROWS_PER_VALUE = 100, 15
_SLACK = 1.0
_RARE, _TIMES = 3, 8
_MOST_BEYOND = 0.025
_EXPLAINED = 0.7
_NEARLY = 0.95
_NAMES_THINGS = re.compile(
    r"(?i)(^|[_ ])(zip|plz|postal|post|phone|fax|ean|gtin|npi|licen[cs]e|code|id|no|nr|number)([_ ]|$)"
)


def rules_of(column: Column, seen: Seen, explained: np.ndarray | None = None) -> Iterator[Suggestion]:
    """All that a column suggests by itself; `seen` are its neighbours, whose values it should not hold.

    `explained` are rows that lack a value as all rows do that are like them in the column on which it depends.
    """
    yield from _type(column, seen)
    yield from presence(column, seen, explained)
    if not column.filled:
        return
    listed = False
    if column.is_text or column.kind in ("integer", "int64", "boolean", "bool"):
        known = settled(column)
        if known is not None:
            listed = True
            yield _values(column, known, seen)
    if column.is_text and not listed:
        yield from _form(column, seen)
        yield from _spelling(column, seen)
    elif column.is_number and not listed:
        yield from _range(column, seen)
    elif column.is_time:
        yield from _times(column, seen)


def _type(column: Column, seen: Seen) -> Iterator[Suggestion]:
    lines = seen.unread.get(column.name, ())
    if column.declared and lines:
        shown = f"line {', '.join(lines[:3])}"
        yield Suggestion(
            column.name, "", f"COLUMNS says {column.kind}: all but {len(lines):,} values are, others e.g. {shown}"
        )


def presence(column: Column, seen: Seen, explained: np.ndarray | None = None) -> Iterator[Suggestion]:
    """Whether every row has a value."""
    unread = len(seen.unread.get(column.name, ()))
    missing = column.rows - column.filled - seen.looked_at(seen.unread.get(column.name, ()))
    share = missing / column.rows
    code = f"not_null({written(column.name)})"
    if not missing:
        also = f", {unread:,} cannot be read" if unread else ""
        yield Suggestion(column.name, code, f"all {column.rows:,} rows have one{also}", column.rows >= ENOUGH)
        return
    none = column.codes < 0
    where = f"{missing:,} of {column.rows:,} rows have none, e.g. {seen.lines(none)}"
    if share > _MAYBE_MISSING:
        return
    if explained is not None and explained.sum() > 0.4 * none.sum():
        yield Suggestion(column.name, code, f"{where}; most of them as all rows that are like them", False)
        return
    if _at_the_end(none):
        yield Suggestion(column.name, code, f"{where}; nearly all among the last rows, so maybe not yet", False)
        return
    yield Suggestion(column.name, code, where, share <= _RARELY_MISSING and column.rows >= ENOUGH)


def _at_the_end(none: np.ndarray) -> bool:
    """Whether four of five missing values are among the last tenth of the rows."""
    return bool(none[int(len(none) * 0.9) :].sum() >= 0.8 * none.sum() and none.sum() >= 5)


def settled(column: Column) -> list[Any] | None:
    """The values of a column of few, without the rare ones that look like slips; None where there are too many.

    What is rare is left out where nothing lies between it and what is frequent, or it is spelt nearly as a common one.
    """
    if len(column.counts) > 2_000:
        return None
    counts = {
        value: count
        for value, count in column.counts.items()
        if not isinstance(value, float) and value not in column.rewritten
    }
    total = sum(counts.values())
    if not counts:
        return None
    kept = _above_gap(counts, total)
    if column.is_text:
        wrong = misspellings({str(value): count for value, count in counts.items()}, _TIMES)
        usual = {_made_of(value) for value in kept if counts[value] > _RARE}
        kept = [v for v in kept if v not in wrong and (counts[v] > _RARE or not usual or _made_of(v) in usual)]
    covered = sum(counts[value] for value in kept)
    few = len(kept) <= (_MOST_VALUES if column.is_text else 12) and total >= _ROWS_PER_VALUE * len(kept)
    return kept if few and covered >= 0.95 * total else None


def _made_of(text: str) -> tuple[bool, bool]:
    """Whether a text has letters, and digits."""
    return any(map(str.isalpha, text)), any(map(str.isdigit, text))


def _above_gap(counts: Mapping[Any, int], total: int) -> list[Any]:
    """Values above the widest gap between a rare value and the next more frequent one, four times as frequent."""
    ordered = sorted(counts, key=lambda value: counts[value])
    cut, widest, rare = 0, 4.0, 0
    for at, (one, more) in enumerate(itertools.pairwise(ordered), start=1):
        rare += counts[one]
        most = max(_RARE, total / 100_000) if isinstance(one, str) else max(_RARE, total / 200)
        if rare > 0.05 * total or counts[one] > most:
            break
        if counts[one] > _RARE and counts[more] < 50 * counts[one]:
            continue
        if counts[more] / counts[one] >= widest and counts[more] >= 5:
            cut, widest = at, counts[more] / counts[one]
    return ordered[cut:]


def _values(column: Column, known: list[Any], seen: Seen) -> Suggestion:
    foreign = _foreign(column, known, seen)
    kept = sorted((value for value in known if value not in foreign), key=str)
    within = set(kept)
    total, others = column.filled, [value for value in column.counts if value not in within]
    share = sum(column.counts[value] for value in kept) / total
    if any(find_values(str(value), column.name) for value in kept):
        form = find_form({str(value): count for value, count in column.counts.items()}, literal=False)
        pattern, shown = (form.pattern, form.shown) if form else ("[\\s\\S]+", "no common form")
        return Suggestion(
            column.name,
            f"matches({written(column.name)}, {_raw(pattern)})",
            f"few values, and personal ones; {shown}",
            bool(form),
        )
    told = f"{len(kept)} values are {share:.1%} of {total:,}"
    if others:
        wrong = column.holding(others)
        told += f"; {len(others)} rare others are left out, e.g. {seen.lines(wrong)}"
    code = f"accepted_values({written(column.name)}, {written(kept)})"
    return Suggestion(column.name, code, told, total >= ENOUGH and len(kept) > 0)


def _foreign(column: Column, known: list[Any], seen: Seen) -> set[Any]:
    """Rare values that belong to another column, in which they are twenty times as frequent."""
    found = set[Any]()
    if not column.is_text:
        return found
    for other in seen.columns[:MOST_COLUMNS]:
        if other is column or not other.is_text or len(other.counts) > 5_000:
            continue
        found |= {
            value
            for value in known
            if other.counts.get(value, 0) >= 20 * column.counts[value]
            and column.counts[value] <= max(3, 0.002 * column.filled)
            and str(value).lower() not in ABSENT
        }
    return found


def _form(column: Column, seen: Seen) -> Iterator[Suggestion]:
    counts = column.some
    personal = any(find_values(value, column.name) for value in itertools.islice(counts, 200))
    other = frozenset() if _is_told(column, seen) else column.rewritten
    usual = {value: count for value, count in counts.items() if value not in other}
    form = find_form(usual, literal=not personal) or find_characters(usual)
    if form is None:
        return
    form = _with_usual(form, usual, column.name)
    wrong = _without(column, form)
    form = replace(form, share=1 - float(wrong.sum()) / column.filled)
    what = f"{form.share:.1%} of {column.filled:,} values " + (
        form.shown if form.shown.startswith("has no") else f"have this form, {form.shown}"
    )
    what = what.replace("values has no", "values have no") + (", of personal values" if personal else "")
    told = what + (f"; others e.g. {seen.lines(wrong)}" if wrong.any() else "")
    yield Suggestion(
        column.name,
        f"matches({written(column.name)}, {_raw(form.pattern)})",
        told,
        column.filled >= ENOUGH and form.share < 2,
    )


def _is_told(column: Column, seen: Seen) -> bool:
    """Whether another column tells where values are written in another way, as a country does of phone numbers."""
    rows = column.holding(column.rewritten) if column.rewritten else np.zeros(0, bool)
    if not rows.any():
        return False
    for other in seen.columns[:MOST_COLUMNS]:
        if other is column or len(other.counts) > _MOST_VALUES:
            continue
        filled, codes = column.codes >= 0, other.codes + 1
        of_all, of_these = np.bincount(codes[filled]), np.bincount(codes[rows], minlength=int(codes.max()) + 1)
        mostly = of_these[: len(of_all)] >= _EXPLAINED * np.maximum(of_all, 1)
        if of_these[: len(of_all)][mostly].sum() >= _EXPLAINED * rows.sum():
            return True
    return False


def _with_usual(form: Form, counts: Mapping[str, int], name: str) -> Form:
    """The form, or one of the few values of another form that come again and again: `POST` among article numbers."""
    whole = re.compile(form.pattern)
    often = [value for value, count in counts.items() if count >= 4 and not whole.fullmatch(value)]
    if not often or len(often) > 8 or any(find_values(value, name) or len(value) > 40 for value in often):
        return form
    share = form.share + sum(counts[value] for value in often) / sum(counts.values())
    shown = f"{form.shown} or are one of {len(often)} values"
    return Form("|".join([form.pattern, *map(escaped, often)]), shown, share)


def _without(column: Column, form: Form) -> np.ndarray:
    whole = re.compile(form.pattern)
    return column.holding([value for value in column.counts if not whole.fullmatch(str(value))])


def _spelling(column: Column, seen: Seen) -> Iterator[Suggestion]:
    counts = {str(value): count for value, count in column.counts.items()}
    common = sum(count for count in counts.values() if count >= 20)
    if common < 0.2 * column.filled or max(map(len, counts)) > 400:
        return
    wrong = misspellings(counts)
    share = sum(counts[value] for value in wrong) / column.filled
    told = f"values that come 20 times and more are {common / column.filled:.0%} of {column.filled:,}"
    if wrong:
        rows = column.holding(wrong)
        told += f"; {int(rows.sum()):,} are one slip away from one, e.g. {seen.lines(rows)}"
    yield Suggestion(column.name, f"spelt({written(column.name)})", told, share <= 0.05)


def _range(column: Column, seen: Seen) -> Iterator[Suggestion]:
    values = column.numbers[np.isfinite(column.numbers)]
    if len(values) < 5:
        return
    least, most = bounds_of(values)
    beyond = (column.numbers < least) | (column.numbers > most)
    whole = column.kind.startswith("int") or bool((values % 1 == 0).all())
    digits = _digits(column, values) if whole else None
    if digits is not None:
        wrong = ~((column.numbers >= 10 ** (digits - 1)) & (column.numbers < 10**digits)) & ~np.isnan(column.numbers)
        told = f"{1 - wrong.sum() / len(values):.1%} of {len(values):,} numbers have {digits} digits"
        told += f"; others e.g. {seen.lines(wrong)}" if wrong.any() else ""
        yield Suggestion(
            column.name, f'matches({written(column.name)}, r"[0-9]{{{digits}}}")', told, len(values) >= ENOUGH
        )
        return
    inside = values[(values >= least) & (values <= most)]
    low, high = _rounded(float(inside.min()), least, down=True), _rounded(float(inside.max()), most, down=False)
    if whole and len(column.counts) > 0.9 * column.filled and inside.min() >= 0:  # numbers that are given out grow
        low, high = 0, 10 ** max(len(str(int(inside.max()))), 3) - 1
        beyond = (column.numbers < low) | (column.numbers > high)
    ends = f"{_number(low, whole)}, {_number(high, whole)}"
    told = f"{len(inside) / len(values):.1%} of {len(values):,} values are from {inside.min():,g} to {inside.max():,g}"
    told += f"; others e.g. {seen.lines(beyond)}" if beyond.any() else ""
    yield Suggestion(column.name, f"between({written(column.name)}, {ends})", told, len(values) >= ENOUGH)


def _digits(column: Column, values: np.ndarray) -> int | None:
    """How many digits numbers have that are names of things, as zips and licences are; None where they are amounts.

    Names have the same number of digits, are seldom round, and are not fewer just where they grow by a digit.
    """
    known = values[values > 0]
    lengths = np.floor(np.log10(known)).astype("int64") + 1 if len(known) else np.zeros(0, "int64")
    counts = np.bincount(lengths) if len(lengths) else np.zeros(1, "int64")
    digits = int(counts.argmax())
    edge = 10.0 ** (digits - 1)
    if digits < 4 or counts[digits] < _NEARLY * len(values) or len(column.counts) < ENOUGH:
        return None
    named, shorter = bool(_NAMES_THINGS.search(column.name)), known[known < edge]
    again = len(column.counts) <= 0.5 * len(values) or len(column.counts) > 0.9 * len(values)
    wide = float(np.quantile(known, 0.95)) >= 2 * float(np.quantile(known, 0.05))
    if not named and not (again and wide):
        return None
    if (known % 10 == 0).mean() > 0.25 or (len(shorter) and float(np.median(shorter)) >= 0.9 * edge):
        return None
    return digits


def bounds_of(values: np.ndarray) -> tuple[float, float]:
    """Where values can end, from the middle of them: as far beyond the first and last hundredth as these are away.

    In proportions where nearly all are above 0. A side on which more than a few lie beyond has no such end, and ends
    where the values do. What is below 0 where next to nothing is, is out of range.
    """
    positive = float((values > 0).mean())
    if positive >= 0.98:
        known = values[values > 0]
        logs = _spread(np.log(known))
        low, high = math.exp(max(logs[0], -700)), math.exp(min(logs[1], 700))
        flat = _spread(known)
        high = max(high, flat[1]) if float(np.median(known)) else high
        low = min(low, flat[0]) if flat[0] > 0 else low
    else:
        low, high = _spread(values)
    negative = float((values < 0).mean())
    if negative <= _MOST_BEYOND:
        low = max(low, 0.0)
        if positive < 0.98 and positive > 0.5:
            known = values[values > 0]
            high = max(high, math.exp(min(_spread(np.log(known))[1], 700)))
    often, counts = np.unique(values, return_counts=True)
    often = often[counts >= max(5, len(values) / 400)]
    if len(often):  # what comes again and again is no slip
        low, high = (
            min(low, float(often[0])) if negative > _MOST_BEYOND or often[0] >= 0 else low,
            max(high, float(often[-1])),
        )
    if (values < low).mean() > _MOST_BEYOND:
        low = float(values.min())
    if (values > high).mean() > _MOST_BEYOND:
        high = float(values.max())
    return low, high


def _spread(values: np.ndarray) -> tuple[float, float]:
    first, middle, last = np.quantile(values, (0.01, 0.5, 0.99)).tolist()
    wide = max(last - first, 1e-9) * 0.1
    return first - max(_SLACK * (middle - first), wide), last + max(_SLACK * (last - middle), wide)


def _rounded(value: float, limit: float, *, down: bool) -> float:
    """The value, rounded away from the middle to two digits, but not beyond the limit."""
    if not value or not math.isfinite(value):
        return value
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    found = (math.floor(value / step) if down else math.ceil(value / step)) * step
    return max(found, limit) if down else min(found, limit) if limit > value else found


def _number(value: float, whole: bool) -> str:
    if whole and abs(value) < 2**53:
        return str(math.floor(value) if value == int(value) else round(value))
    return f"{value:.12g}"


def _times(column: Column, seen: Seen) -> Iterator[Suggestion]:
    values = column.numbers[~np.isnan(column.numbers)]
    if len(values) < 5:
        return
    first, last = np.quantile(values, (0.01, 0.99)).tolist()
    wide = max(_SLACK * (last - first), 400 * 86_400e6)
    least, most = first - wide, last + wide
    beyond = (column.numbers < least) | (column.numbers > most)
    inside = values[(values >= least) & (values <= most)]
    old, new = (_day(float(one)) for one in (inside.min(), inside.max()))
    told = f"{len(inside) / len(values):.1%} of {len(values):,} are from {old:%Y-%m-%d} to {new:%Y-%m-%d}"
    told += f"; others e.g. {seen.lines(beyond)}" if beyond.any() else ""
    ends = f"date({old.year}, 1, 1), date({new.year + 1}, 12, 31)"
    yield Suggestion(column.name, f"between({written(column.name)}, {ends})", told, len(values) >= ENOUGH)
    gaps = np.diff(np.unique(inside // 86_400e6))
    days = max(int(gaps.max()) if len(gaps) else 1, 1)
    told = (
        f"the newest is of {new:%Y-%m-%d}, the longest time between two days {days:,} days; for a file that comes anew"
    )
    yield Suggestion(column.name, f"fresh({written(column.name)}, within=timedelta(days={days + 1}))", told, False)


def _day(micros: float) -> datetime:
    return datetime.fromtimestamp(min(max(micros / 1e6, -62_135_596_800), 253_402_300_799), UTC)


def _raw(pattern: str) -> str:
    """A regular expression as Python writes it."""
    plain = '"' not in pattern and not pattern.endswith("\\") and pattern.isprintable()
    return f'r"{pattern}"' if plain else repr(pattern)
