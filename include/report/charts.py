"""Charts as SVG that follows the page: its colours are the page's variables, its text the page's font.

Altair describes them and vl-convert draws them, without a browser and without a network: about 0.9 s for the first of a
process (imports and its engine), 30 ms for each further one. The small ones in tables are drawn here, in microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any

from include.report.quality_drawings import MOST_BARS
from include.report.quality_parts import Brought, Compared, Course, Point

MOST_DRAWN = 12
WIDE, NARROW, HEIGHT = 780, 350, 150
# Colours that occur nowhere else; each is replaced by the page's own, which differ by scheme.
_INK, _SOFT, _LINE, _USUAL, _TONIGHT, _BAD = "#010203", "#010204", "#010205", "#010206", "#010207", "#010208"
_OF_PAGE = {
    _INK: "var(--ink)",
    _SOFT: "var(--soft)",
    _LINE: "var(--line)",
    _USUAL: "var(--usual)",
    _TONIGHT: "var(--tonight)",
    _BAD: "var(--bad)",
}
_BAR, _GAP, _TALL = 4, 2, 28


def spark(
    trend: Sequence[Point],
    needed: float | None,
    *,
    what: str = "Failing share",
    unit: str = "night",
    last: str = "tonight",
) -> str:
    """Failing share (or `what` it is) per night (or other `unit`) as one bar each, the `last` one at the end.

    Nights that failed are in colour, those in which it could not run hollow. A dashed line marks the share that may
    fail, where that is within reach. The title says the same in words.
    """
    shares = [point.failing_share or 0.0 for point in trend]
    allowed = None if needed is None else 1 - needed
    most = max(shares, default=0.0)
    top = max(most, allowed if allowed and allowed <= 2 * most else 0.0, 1e-9)
    bars = []
    for at, (point, share) in enumerate(zip(trend, shares, strict=True)):
        tall = max(share / top * (_TALL - 2), 1.5)
        kind = "off" if point.failing_share is None else "fine" if point.success else "bad"
        tall = _TALL - 2 if kind == "off" or (kind == "bad" and not share) else tall
        bars.append(
            f'<rect class="{kind}" x="{at * (_BAR + _GAP) + 0.5:g}" y="{_TALL - tall:.1f}" '
            f'width="{_BAR}" height="{tall:.1f}"/>'
        )
    wide = max(len(trend) * (_BAR + _GAP), 12)
    if allowed and allowed <= 2 * most:
        y = _TALL - allowed / top * (_TALL - 2)
        bars.append(f'<line class="limit" x1="0" x2="{wide}" y1="{y:.1f}" y2="{y:.1f}"/>')
    title = escape(f"{what} of {_trend_in_words(trend, shares, unit, last)}" if trend else f"no {unit} on record")
    return (
        f'<svg class="spark" role="img" aria-label="{title}" viewBox="0 0 {wide} {_TALL + 1}" width="{wide}" '
        f'height="{_TALL + 1}"><title>{title}</title>{"".join(bars)}</svg>'
    )


def _trend_in_words(trend: Sequence[Point], shares: Sequence[float], unit: str, last: str) -> str:
    failed = sum(not point.success for point in trend)
    several = f"1 {unit}" if len(trend) == 1 else f"{len(trend)} {unit}s"
    low, high = min(shares), max(shares)
    said = f"{several}: {low:.2%} to {high:.2%}, {last} {shares[-1]:.2%}"
    return f"{said}; did not hold in {failed}" if failed else said


def nights_chart(nights: Sequence[Brought]) -> str:
    """Rows per night, those set aside on top."""
    values = [
        {"night": f"{night.start:%Y-%m-%d}", "rows": count, "what": what, "order": order}
        for night in nights
        for order, (what, count) in enumerate(
            (("kept", night.rows - night.quarantined), ("set aside", night.quarantined))
        )
    ]
    import altair as alt

    chart = (
        _chart(values, WIDE)
        .mark_bar()
        .encode(
            x=_nights_axis(alt),
            y=alt.Y("rows:Q", title="rows", axis=alt.Axis(tickCount=4)),
            color=_two_colours(alt, ("kept", "set aside"), (_USUAL, _BAD)),
            order="order:Q",
        )
    )
    most, tonight = max(night.rows for night in nights), nights[-1]
    said = f"{len(nights)} nights of at most {most:,} rows; tonight {tonight.rows:,}, {tonight.quarantined:,} set aside"
    return _svg(chart, "Rows per night", said)


def drift_chart(drawing: Compared | Course) -> str:
    """A drifted signal: tonight beside what is usual, or its course over the nights with the steady range."""
    return _compared(drawing) if isinstance(drawing, Compared) else _course(drawing)


def _compared(drawing: Compared) -> str:
    import altair as alt

    labels = _distinct(drawing.labels)
    values = [
        {"bin": label, "share": share, "when": when}
        for when, shares in (("usual", drawing.usual), ("tonight", drawing.tonight))
        for label, share in zip(labels, shares, strict=True)
    ]
    axis = alt.Axis(labelAngle=-40, labelLimit=110, labelOverlap="greedy" if len(labels) > MOST_BARS + 1 else False)
    chart = (
        _chart(values)
        .mark_bar()
        .encode(
            x=alt.X("bin:N", sort=None, title=_short(drawing.unit, 40), axis=axis),
            xOffset=alt.XOffset("when:N", sort=["usual", "tonight"]),
            y=alt.Y("share:Q", title="share of rows", axis=alt.Axis(format="%", tickCount=4)),
            color=_two_colours(alt, ("usual", "tonight"), (_USUAL, _TONIGHT)),
        )
    )
    away = max(range(len(labels)), key=lambda at: abs(drawing.tonight[at] - drawing.usual[at]))
    said = f"Furthest apart: {labels[away]}, {drawing.tonight[away]:.1%} tonight, {drawing.usual[away]:.1%} usually"
    return _svg(chart, f"{drawing.column}: {drawing.signal.replace('_', ' ')}", said)


def _course(drawing: Course) -> str:
    import altair as alt

    days = [f"{night:%Y-%m-%d}" for night in drawing.nights]
    last = len(days) - 1
    values = [
        {"night": day, "value": value, "when": "tonight" if at == last else "before"}
        for at, (day, value) in enumerate(zip(days, drawing.values, strict=True))
    ]
    axis = alt.Axis(format="%", tickCount=4) if drawing.unit.startswith("share") else alt.Axis(tickCount=4)
    layers = [
        _chart(values)
        .mark_bar()
        .encode(
            x=_nights_axis(alt),
            y=alt.Y("value:Q", title=drawing.unit, axis=axis),
            color=_two_colours(alt, ("before", "tonight"), (_USUAL, _TONIGHT)),
        )
    ]
    for bound in (drawing.low, drawing.high):
        if bound:
            rule = _chart([{"bound": bound}])
            layers.append(rule.mark_rule(color=_INK, strokeDash=[4, 3]).encode(y="bound:Q"))
    said = f"Tonight {drawing.values[-1]:,.4g} {drawing.unit}; steady is "
    said += f"up to {drawing.high:,.4g}" if drawing.low is None else f"{drawing.low:,.4g} to {drawing.high:,.4g}"
    name = f"{drawing.column}: {drawing.signal.replace('_', ' ')}" if drawing.column else drawing.signal
    return _svg(alt.layer(*layers), name, said)


def _chart(values: list[dict[str, Any]], width: int = NARROW) -> Any:
    import altair

    alt: Any = altair
    return alt.Chart(alt.Data(values=values), width=width, height=HEIGHT)


def _nights_axis(alt: Any) -> Any:
    return alt.X("night:O", title=None, axis=alt.Axis(labelAngle=-40, labelOverlap="greedy"))


def _two_colours(alt: Any, names: tuple[str, str], colours: tuple[str, str]) -> Any:
    scale = alt.Scale(domain=list(names), range=list(colours))
    name = "what:N" if names[0] == "kept" else "when:N"
    return alt.Color(name, scale=scale, legend=alt.Legend(title=None, orient="top", symbolType="square"))


def _distinct(labels: Sequence[str]) -> list[str]:
    """Labels cut to a length that fits, numbered where that made two the same; no control characters."""
    found: list[str] = []
    for label in labels:
        short = _short("".join(char if char.isprintable() else "�" for char in label) or "(empty)", 24)
        found.append(short if short not in found else f"{short[:20]} ({len(found) + 1})")
    return found


def _short(label: str, most: int) -> str:
    return label if len(label) <= most else label[: most - 1] + "…"


def _svg(chart: Any, title: str, said: str) -> str:
    """The chart drawn, its colours the page's, with a title and a description for those who hear the page."""
    import vl_convert

    text = {"labelColor": _SOFT, "titleColor": _SOFT, "labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": 400}
    config = {
        "background": "transparent",
        "font": "sans-serif",
        "view": {"stroke": None},
        "axis": {**text, "gridColor": _LINE, "domainColor": _LINE, "tickColor": _LINE},
        "legend": {**text, "labelColor": _INK, "labelFontSize": 12},
    }
    drawn = vl_convert.vegalite_to_svg(chart.to_dict(validate=False) | {"config": config})
    for sentinel, colour in _OF_PAGE.items():
        drawn = drawn.replace(f'"{sentinel}"', f'"{colour}"')
    drawn = re.sub(r' (?:aria-\w+|role|xmlns:xlink|class|version|font-family)="[^"]*"', "", drawn)
    wide, high = re.findall(r'<svg[^>]* width="([\d.]+)" height="([\d.]+)"', drawn)[0]
    body = drawn[drawn.index(">") + 1 :]
    label = escape(f"{title}. {said}")
    return (
        f'<svg class="chart" role="img" aria-label="{label}" viewBox="0 0 {wide} {high}" '
        f'style="max-width: {wide}px">'
        f"<title>{escape(title)}</title><desc>{escape(said)}</desc>{body}"
    )
