"""Small charts of bars, drawn without a library: what lies in a column, and a number from check to check."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from include.operations.check_file.file_profile import Bin
from include.report.wording import compact, number

_WIDE, _TALL, _FOOT = 200, 40, 14
_COURSE_WIDE, _COURSE_TALL, _LEFT = 640, 110, 56


class Step(NamedTuple):
    """One bar of a course: what it is called, its value, and whether it is as it should be."""

    label: str
    value: float
    fine: bool = True


def histogram(bins: Sequence[Bin]) -> str:
    """The rows of each bin as a bar, with the ends of the scale below; pointing at a bar names it."""
    most = max(one.rows for one in bins)
    step = _WIDE / len(bins)
    bars = []
    for at, one in enumerate(bins):
        tall = max(one.rows / most * _TALL, 1.0 if one.rows else 0.0)
        kind = "open" if one.low is None or one.high is None else "fine"
        bars.append(
            f"<g><title>{escape(bin_in_words(one))}: {number(one.rows)}</title>"
            f'<rect class="hit" x="{at * step:.1f}" y="0" width="{step:.1f}" height="{_TALL}"/>'
            f'<rect class="{kind}" x="{at * step + 0.5:.1f}" y="{_TALL - tall:.1f}" width="{max(step - 1, 1):.1f}" '
            f'height="{tall:.1f}"/></g>'
        )
    first, last = bins[0], bins[-1]
    low, high = first.low or f"< {first.high}", last.high or f"> {last.low}"
    top = max(bins, key=lambda one: one.rows)
    label = escape(f"{number(sum(one.rows for one in bins))} values; most, {number(top.rows)}, {bin_in_words(top)}")
    return (
        f'<svg class="bars" role="img" aria-label="{label}" viewBox="0 0 {_WIDE} {_TALL + _FOOT}" width="{_WIDE}" '
        f'height="{_TALL + _FOOT}">{"".join(bars)}<line x1="0" x2="{_WIDE}" y1="{_TALL}" y2="{_TALL}"/>'
        f'<text x="0" y="{_TALL + _FOOT - 2}">{escape(low)}</text>'
        f'<text x="{_WIDE}" y="{_TALL + _FOOT - 2}" text-anchor="end">{escape(high)}</text></svg>'
    )


def bin_in_words(one: Bin) -> str:
    """The range of a bin: `from 10 to 20`, `below 10`, `above 90`, or the only value."""
    if one.low is None:
        return f"below {one.high}"
    if one.high is None:
        return f"above {one.low}"
    return one.low if one.low == one.high else f"from {one.low} to {one.high}"


def course(steps: Sequence[Step], unit: str) -> str:
    """A number over time, the newest last, with its axis; pointing at a bar names it."""
    top = max([one.value for one in steps] + [1e-9])
    wide = (_COURSE_WIDE - _LEFT) / max(len(steps), 12)
    bars = []
    for at, one in enumerate(steps):
        tall = max(one.value / top * _COURSE_TALL, 1.0)
        said = f"{one.label}: {number(one.value)} {unit}{'' if one.fine else ', not as expected'}"
        bars.append(
            f"<g><title>{escape(said)}</title>"
            f'<rect class="hit" x="{_LEFT + at * wide:.1f}" y="8" width="{wide:.1f}" height="{_COURSE_TALL}"/>'
            f'<rect class="{"fine" if one.fine else "bad"}" x="{_LEFT + at * wide + wide * 0.15:.1f}" '
            f'y="{8 + _COURSE_TALL - tall:.1f}" width="{wide * 0.7:.1f}" height="{tall:.1f}"/></g>'
        )
    low = 8 + _COURSE_TALL
    label = escape(f"{unit} of {len(steps)} checks, {number(steps[0].value)} first and {number(steps[-1].value)} last")
    newest = (
        f'<text x="{_LEFT + len(steps) * wide:.1f}" y="{low + 14}" text-anchor="end">{escape(steps[-1].label)}</text>'
    )
    return (
        f'<svg class="bars wide" role="img" aria-label="{label}" viewBox="0 0 {_COURSE_WIDE} {low + 18}">'
        f'{"".join(bars)}<line x1="{_LEFT}" x2="{_COURSE_WIDE}" y1="{low}" y2="{low}"/>'
        f'<line class="grid" x1="{_LEFT}" x2="{_COURSE_WIDE}" y1="8" y2="8"/>'
        f'<text x="{_LEFT - 6}" y="14" text-anchor="end">{escape(compact(top))}</text>'
        f'<text x="{_LEFT - 6}" y="{low}" text-anchor="end">0</text>'
        f'<text x="{_LEFT}" y="{low + 14}">{escape(steps[0].label)}</text>{newest if len(steps) > 3 else ""}</svg>'
    )
