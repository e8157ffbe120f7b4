"""Hold a night against those before it: columns, rows, missing values, values, distributions, figures, freshness.

What drifted is a warning on the report; it never stops a night. docs/adr/0034 says why these statistics.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import median
from typing import Literal

from sqlalchemy import text

from include.database import merge_rows, transaction
from include.ledger import tables
from include.models import Manifest
from include.night.check.course import MOSTLY, TooFewNightsError
from include.night.check.figures import (
    MOST_PER_VALUE,
    against_course,
    comes_again,
    figures,
    level,
    missing_together,
    repeated,
    repeated_rows,
    rows_and_repeats,
)
from include.night.check.named import values
from include.night.check.numbering import is_series, lost_numbers, numbered
from include.night.check.past_nights import PastNight, keep_profiles, read_past_nights, whole_rows
from include.night.check.signals import (
    Measured,
    Signal,
    Usual,
    category_share,
    distribution,
    freshness,
    null_share,
    usual_nights,
)
from include.personal import tokenise_all
from include.quality.gathering import MOST_DISTINCT
from include.quality.profile import ColumnProfile, profile_night
from include.run import Night
from include.spec.use_case import Drift

Verdict = Literal["steady", "drifted", "no history", "could not run"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DriftFact:
    """One signal of one column (or of the whole night, column `""`), held against `nights` earlier nights.

    Units: rows for volume of the night and `values`, of a column of numbered rows the share of numbers that no row has
    or rows per number; rows per different row or value for `repeated`, shares of 0 to 1 for `null_share` and
    `category_share`, none for `distribution`, the column's own (characters of a text, days of age) for `level`, hours
    for freshness. `statistic` says which of several figures of a signal it is. It drifted when `value` lies further
    from `expected` than `threshold`.
    """

    signal: Signal
    column: str
    statistic: str
    verdict: Verdict
    value: float | None = None
    expected: float | None = None
    threshold: float | None = None
    nights: int = 0
    detail: str = ""


def watch_drift(night: Night, raw: Manifest) -> list[DriftFact]:
    """Profile what the night brought, hold it against the nights before, and keep both in the ledger.

    Safe to run again. A signal that cannot be measured says so and stops nothing.
    """
    declared = night.case.drift
    with transaction(night.ledger) as connection:
        past = read_past_nights(connection, night.run_id, declared.nights)
    personal = (*night.case.personal, *night.case.tokenise)
    whole, columns = profile_night(raw, night.interval.end, personal=personal, edges=usual_edges(past))
    columns = {n: replace(c, profile=tokenise_all(c.profile, night.settings.token_secret)) for n, c in columns.items()}
    fresh = {*(one.changed.name for one in night.case.sources if one.changed), *declared.fresh}
    tonight = PastNight(night.run_id, night.interval.start, raw.rows, columns, whole)
    findings = measure(tonight, past, declared, fresh=fresh, limited=night.options.limit is not None)
    with transaction(night.ledger) as connection:
        keep_profiles(connection, night.run_id, [*columns.values(), whole_rows(raw.rows, whole)])
        now = connection.scalar(text("SELECT clock_timestamp()"))
        names = [
            *("run_id", "signal", "column_name", "statistic", "value", "expected", "threshold", "verdict", "nights"),
            *("detail", "recorded_at"),
        ]
        values = [
            (
                *(night.run_id, f.signal, f.column, f.statistic, f.value, f.expected, f.threshold, f.verdict),
                *(f.nights, f.detail, now),
            )
            for f in findings
        ]
        merge_rows(connection, tables.drift_result, names, values, key=names[:3], update=names[3:])
    if drifted := [f"{f.signal} {f.column}".strip() for f in findings if f.verdict == "drifted"]:
        log.warning("%s drifted: %s", night.run_id, ", ".join(drifted))
    return findings


def usual_edges(past: Sequence[PastNight]) -> dict[str, list[float]]:
    """Histogram edges of the latest night that has some, by column.

    Edges are given up once half of a night's values lie beyond their ends: then they no longer tell values apart, and
    the night that finds out has already been called drifted.
    """
    found: dict[str, list[float]] = {}
    for night in past:
        for name, column in night.columns.items():
            counts = column.profile.get("counts") or [0]
            if column.kind == "number" and name not in found and column.profile["edges"]:
                beyond = counts[0] + counts[-1]
                found[name] = [] if beyond * 2 > sum(counts) else column.profile["edges"]
    return found


def measure(
    tonight: PastNight,
    past: Sequence[PastNight],
    declared: Drift,
    *,
    fresh: Iterable[str] = (),
    limited: bool = False,
) -> list[DriftFact]:
    """Every signal of a night against earlier ones, newest first; `limited` says that rows were cut on purpose."""
    findings = [*_schema(tonight, past), _volume(tonight, past, declared, limited)]
    findings += _whole(tonight, past, declared) if tonight.whole else []
    for column in tonight.columns.values():
        findings += _column(column, tonight, past, declared, fresh=column.name in set(fresh), limited=limited)
    return findings


def _schema(tonight: PastNight, past: Sequence[PastNight]) -> Iterator[DriftFact]:
    """Columns against those of the night before: new, gone, or of another type."""
    if not past:
        yield DriftFact("schema", "", "columns", "no history", len(tonight.columns))
        return
    was, now = past[0].columns, tonight.columns
    changes = [("added", name, f"is new ({now[name].type})") for name in now if name not in was]
    changes += [("removed", name, f"is gone (was {was[name].type})") for name in was if name not in now]
    changes += [
        ("retyped", name, f"is {now[name].type} (was {was[name].type})")
        for name in now
        if name in was and now[name].type != was[name].type
    ]
    words = f"{len(changes)} of them changed since the night before" if changes else ""
    yield DriftFact("schema", "", "columns", "steady", len(now), len(was), None, 1, words)
    for statistic, name, detail in changes:
        yield DriftFact("schema", name, statistic, "drifted", nights=1, detail=detail)


def _volume(tonight: PastNight, past: Sequence[PastNight], declared: Drift, limited: bool) -> DriftFact:
    """Rows against their own course; what they do from night to night, promotions among it, is no drift."""
    if limited:
        return DriftFact("volume", "", "rows", "could not run", tonight.rows, detail="the run was limited to some rows")
    usual = usual_nights(past, tonight.start, declared)
    if usual is None:
        return DriftFact("volume", "", "rows", "no history", tonight.rows, nights=len(past))

    def compute() -> Measured:
        nights = [(night.start, max(float(night.rows), 0.5)) for night in past]
        rows = max(float(tonight.rows), 0.5)
        found = against_course("rows", rows, nights, tonight.start, declared.volume, declared.volume_chance)
        if found is None:
            raise TooFewNightsError("no course of so few nights")
        if not found[1].drifted and (joint := rows_and_repeats(tonight, past)):
            name, value, known = joint
            both = against_course("rows", value, known, tonight.start, declared.volume, declared.volume_chance)
            more = rows > (found[1].expected or 0.0)
            if both and both[1].drifted and more == (value > (both[1].expected or 0.0)):
                words = f"{'more' if more else 'fewer'} rows per value of {name}, too"
                return Measured(tonight.rows, found[1].expected, None, True, words)
        nothing = not tonight.rows and all(night.rows for night in past)
        return found[1]._replace(value=tonight.rows, drifted=found[1].drifted or nothing, detail="")

    return _judge("volume", "", "rows", usual, compute)


def _whole(tonight: PastNight, past: Sequence[PastNight], declared: Drift) -> Iterator[DriftFact]:
    """Rows as a whole: those that come twice, and columns that miss their values together."""
    of_rows: list[tuple[Signal, str, Callable[[PastNight, Usual, Drift], Measured]]] = [
        ("repeated", "rows per different row", repeated_rows),
        ("null_share", "share of rows", missing_together),
    ]
    nights = [night for night in past if night.whole]
    usual = usual_nights(nights, tonight.start, declared)
    for signal, statistic, compute in of_rows:
        if not tonight.rows:
            yield DriftFact(signal, "", statistic, "could not run", detail="the night has no rows")
        elif usual is None:
            yield DriftFact(signal, "", statistic, "no history", nights=len(nights))
        else:
            yield _judge(signal, "", statistic, usual, functools.partial(compute, tonight, usual, declared))


def _column(
    column: ColumnProfile, tonight: PastNight, past: Sequence[PastNight], declared: Drift, *, fresh: bool, limited: bool
) -> Iterator[DriftFact]:
    if unread := column.profile.get("unread"):
        yield DriftFact("distribution", column.name, "", "could not run", detail=str(unread))
    signals: list[Signal] = ["null_share"]
    if _stays_category(column, past) or _was_category(column, past):
        signals += ["category_share", "values"] if column.kind == "category" else ["category_share"]
    if column.kind in ("number", "time"):
        signals.append("distribution")
    if fresh and column.kind == "time":
        signals.append("freshness")
    if figures(column):
        signals.append("level")
    if not limited and is_series(
        column, [night.columns[column.name] for night in past if column.name in night.columns]
    ):
        signals.append("volume")
    if _repeats_little(column, past):
        signals.append("repeated")
    for signal in signals:
        statistic, compute, comparable = _OF_COLUMNS[signal]
        if not tonight.rows:
            yield DriftFact(signal, column.name, statistic, "could not run", detail="the night has no rows")
            continue
        if signal != "null_share" and column.nulls == column.rows:
            yield DriftFact(signal, column.name, statistic, "could not run", detail="no row has a value")
            continue
        nights = [night for night in past if _compares(column, night, comparable)]
        usual = usual_nights(nights, tonight.start, declared)
        if usual is None:
            yield DriftFact(signal, column.name, statistic, "no history", nights=len(nights))
            continue
        yield _judge(signal, column.name, statistic, usual, functools.partial(compute, column, usual, declared))


def _repeats_little(column: ColumnProfile, past: Sequence[PastNight]) -> bool:
    """Whether the values of a text come a few times each and are others every night, as numbers of orders are."""
    before = [night.columns[column.name] for night in past if column.name in night.columns]
    known = [float(was.profile["per_value"]) for was in before if was.profile.get("per_value")]
    if column.kind not in ("text", "category") or not known or not column.profile.get("per_value"):
        return False
    return median(known) <= MOST_PER_VALUE and not comes_again(column, before)


def compared_nights(
    signal: Signal, column: ColumnProfile, start: datetime, past: Sequence[PastNight], declared: Drift
) -> Sequence[PastNight]:
    """The earlier nights that a column's signal is held against; none when there are too few."""
    comparable = _OF_COLUMNS[signal][2]
    usual = usual_nights([night for night in past if _compares(column, night, comparable)], start, declared)
    return usual.nights if usual else ()


def _judge(signal: Signal, column: str, statistic: str, usual: Usual, compute: Callable[[], Measured]) -> DriftFact:
    nights = len(usual.nights)
    try:
        found = compute()
    except TooFewNightsError:
        return DriftFact(signal, column, statistic, "no history", nights=nights)
    except (ArithmeticError, ValueError, TypeError, LookupError) as error:
        log.warning("drift of %s %s could not be measured: %s", signal, column, type(error).__name__)
        return DriftFact(signal, column, statistic, "could not run", nights=nights, detail=type(error).__name__)
    verdict: Verdict = "drifted" if found.drifted else "steady"
    said = found.statistic or statistic
    return DriftFact(signal, column, said, verdict, found.value, found.expected, found.threshold, nights, found.detail)


def _any(now: ColumnProfile, was: ColumnProfile) -> bool:
    return was.rows > 0


def _category(now: ColumnProfile, was: ColumnProfile) -> bool:
    return was.kind == "category" and bool(was.profile["values"])


def _histogram(now: ColumnProfile, was: ColumnProfile) -> bool:
    same = was.kind == now.kind and was.profile["edges"] == now.profile["edges"]
    return same and sum(was.profile["counts"]) > 0


def _time(now: ColumnProfile, was: ColumnProfile) -> bool:
    return was.kind == "time" and "newest_age_hours" in was.profile


def _compares(column: ColumnProfile, night: PastNight, comparable: _Comparable) -> bool:
    was = night.columns.get(column.name)
    return was is not None and was.type == column.type and comparable(column, was)


def _stays_category(column: ColumnProfile, past: Sequence[PastNight]) -> bool:
    """Whether a column of few different values had few on the nights before, too.

    Numbers of orders are few on a night of few rows, and are others every night.
    """
    before = [night.columns[column.name] for night in past if column.name in night.columns]
    few = [was.kind == "category" for was in before if was.type == column.type and was.rows > was.nulls]
    return column.kind == "category" and sum(few) >= MOSTLY * len(few)


def _was_category(column: ColumnProfile, past: Sequence[PastNight]) -> bool:
    """Whether a text of many different values had clearly few of them on every night before."""
    before = [night.columns[column.name] for night in past if column.name in night.columns]
    few = [was.kind == "category" and was.profile["distinct"] * 2 <= MOST_DISTINCT for was in before]
    many = column.kind == "text" and not column.profile.get("personal") and "distinct" not in column.profile
    return many and bool(few) and all(few)


def _figured(now: ColumnProfile, was: ColumnProfile) -> bool:
    return was.rows > was.nulls and bool(figures(was).keys() & figures(now).keys())


def _series(now: ColumnProfile, was: ColumnProfile) -> bool:
    return numbered(was)


def _counted(now: ColumnProfile, was: ColumnProfile) -> bool:
    return was.rows > was.nulls and bool(was.profile.get("per_value"))


_Comparable = Callable[[ColumnProfile, ColumnProfile], bool]
_Compute = Callable[[ColumnProfile, Usual, Drift], Measured]
_OF_COLUMNS: dict[Signal, tuple[str, _Compute, _Comparable]] = {
    "volume": ("share of numbers", lost_numbers, _series),
    "null_share": ("share of rows", null_share, _any),
    "category_share": ("share of rows", category_share, _category),
    "values": ("new value", values, _category),
    "distribution": ("population stability index", distribution, _histogram),
    "level": ("figure", level, _figured),
    "repeated": ("rows per value", repeated, _counted),
    "freshness": ("hours since the newest", freshness, _time),
}
