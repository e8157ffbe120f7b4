"""What the data-quality report draws of its signals: tonight beside the nights before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from include.night.check.drift import DriftFact, compared_nights
from include.night.check.past_nights import PastNight, read_past_nights
from include.night.check.signals import OTHERS, aligned_counts
from include.quality.gathering import AGE_DAYS
from include.quality.profile import ColumnProfile
from include.report.quality_parts import Compared, Course, QualityRun
from include.spec.names import names
from include.spec.use_case import Drift, load

NIGHTS = 30
MOST_BARS = 12
_DRAWN = ("rows", "share of rows", "population stability index", "hours since the newest")


def draw(
    connection: Connection, run: QualityRun, columns: Mapping[str, ColumnProfile], drift: Sequence[DriftFact]
) -> list[Compared | Course]:
    """What is drawn of the signals that drifted, each beside the nights that it is held against."""
    drifted = [
        one
        for one in drift
        if one.verdict == "drifted" and one.statistic in _DRAWN and (one.column or one.signal == "volume")
    ]
    if not drifted:
        return []
    declared = load(run.use_case).drift if run.use_case in names() else Drift()
    past = read_past_nights(connection, run.run_id, declared.nights)
    found: list[Compared | Course | None] = []
    for fact in drifted:
        column = columns.get(fact.column)
        if fact.signal in ("distribution", "category_share") and column is not None:
            nights = compared_nights(fact.signal, column, run.interval_start, past, declared)
            found.append(_compared(fact, column, nights))
        else:
            found.append(_course(fact, run, past[:NIGHTS]))
    return [drawing for drawing in found if drawing is not None]


def _compared(fact: DriftFact, column: ColumnProfile, past: Sequence[PastNight]) -> Compared | None:
    """Tonight's shares beside those of the nights it was held against."""
    before = [night.columns[column.name] for night in past]
    if not before or (fact.signal == "category_share" and column.kind != "category"):
        return None
    if fact.signal == "category_share":
        now, *each = aligned_counts([column, *before])
        was = sum(each, Counter[str]())
        most = [name for name, _ in (now + was).most_common(MOST_BARS) if name != OTHERS]
        rest = {*now, *was} - set(most)
        labels = [*most, *([OTHERS] if rest else [])]
        tonight = [float(now[name]) for name in most] + ([float(sum(now[name] for name in rest))] if rest else [])
        usual = [float(was[name]) for name in most] + ([float(sum(was[name] for name in rest))] if rest else [])
        unit = "value"
    else:
        labels, unit = (_ages(), "age") if column.kind == "time" else (_bins(column), column.name)
        tonight = [float(count) for count in column.profile["counts"]]
        usual = [float(sum(counts)) for counts in zip(*(was.profile["counts"] for was in before), strict=True)]
    return Compared(fact.signal, column.name, unit, tuple(labels), _shares(tonight), _shares(usual))


def _shares(counts: Sequence[float]) -> tuple[float, ...]:
    whole = sum(counts) or 1.0
    return tuple(count / whole for count in counts)


def _bins(column: ColumnProfile) -> list[str]:
    edges = column.profile["edges"]
    return [*(f"≤ {_compact(edge)}" for edge in edges), f"> {_compact(edges[-1])}"] if edges else ["all"]


def _compact(value: float) -> str:
    """A number in four digits, with a letter from a hundred thousand on."""
    for above, unit, letter in ((1e12, 1e12, "T"), (1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e5, 1e3, "k")):
        if above <= abs(value) < 1e15:
            return f"{value / unit:.4g} {letter}"
    return f"{value:.4g}"


def _ages() -> list[str]:
    named = [f"{days} d" for days in AGE_DAYS[1:]]
    return ["in the future", *(f"≤ {name}" for name in named), f"> {named[-1]}"]


def _course(fact: DriftFact, run: QualityRun, past: Sequence[PastNight]) -> Course | None:
    """The figure of the earlier nights that have it, and tonight's."""
    if fact.value is None:
        return None
    known: list[tuple[datetime, float]] = []
    for night in reversed(past):
        column = night.columns.get(fact.column)
        value: float | None = night.rows if fact.signal == "volume" else None
        if column is not None:
            value = column.null_share if fact.signal == "null_share" else column.profile.get("newest_age_hours")
        if value is not None:
            known.append((night.start, float(value)))
    known.append((run.interval_start, fact.value))
    expected, allowed = fact.expected, fact.threshold
    low = None if expected is None or allowed is None or fact.signal == "freshness" else max(expected - allowed, 0.0)
    high = None if expected is None or allowed is None else expected + allowed
    days, values = zip(*known, strict=True)
    unit = {"volume": "rows", "null_share": "share without a value"}.get(fact.signal, "hours since the newest")
    return Course(fact.signal, fact.column, unit, days, values, low, high)
