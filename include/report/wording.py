"""How the report says things: numbers for people, the verdict, and what deserves a look."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from include.models import OUTCOMES, Outcome
from include.report.sections import Decided, Facts, Rows, SecondCalls, Tally

_QUANTILES = re.compile(r"\{'quantiles': \[([\d., e-]+)\], 'values': \[([\d., e-]+)\]\}")
_TIMES = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d):\d\d(?:\.\d+)?\+00:00")
_NUMBERS = re.compile(r"(?<![\w.:-])\d+\.\d{3,}(?![\w.:-])")


class Ending(NamedTuple):
    """Rows of one outcome, and their share of the rows that came in."""

    key: str
    name: str
    rows: int
    share: float


def number(value: float | None) -> str:
    """A count with thousands separated, a dash for none."""
    return "-" if value is None else f"{value:,.0f}"


def plural(count: int, one: str, more: str = "") -> str:
    """A count with its noun: `1 retry`, `2 retries`."""
    return f"{number(count)} {one if count == 1 else more or one + 's'}"


def money(dollars: Decimal | None) -> str:
    """US dollars: cents, or two significant digits below ten cents."""
    if dollars is None:
        return "-"
    if dollars == 0 or abs(dollars) >= Decimal("0.1"):
        return f"${dollars:,.2f}"
    places = 1 - dollars.adjusted()
    return f"${dollars:.{places}f}"


def percent(share: float | None) -> str:
    """A share of 0 to 1 in percent, never rounded to nothing or to all."""
    if share is None:
        return "-"
    if 0 < share < 0.001:
        return "<0.1 %"
    if 0.999 < share < 1:
        return ">99.9 %"
    return f"{share * 100:.1f} %"


def observed(value: str | None) -> str:
    """What the library observed, as people write it: three digits that count, quantiles in words."""
    if not value:
        return "nothing"
    if found := _QUANTILES.fullmatch(value):
        shares, values = ([float(one) for one in part.split(",")] for part in found.groups())
        pairs = zip(shares, values, strict=False)
        return ", ".join(f"{share * 100:g} % lie below {_short(bound)}" for share, bound in pairs)
    return _NUMBERS.sub(lambda one: _short(float(one[0])), _TIMES.sub(r"\1 \2 UTC", value))


def figure(value: float | None) -> str:
    """A value of a column: whole numbers and large ones in full, others with four digits that count."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 10_000 or value == int(value) else f"{value:,.4g}"


def compact(value: float) -> str:
    """A value beside an axis, in six characters: `9.3M`."""
    for size, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if 1 <= abs(value) / size < 1e3:
            return f"{value / size:.3g}{name}"
    return f"{value:.4g}"


def _short(value: float) -> str:
    """A number with three digits that count, whole ones in full."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def milliseconds(value: float | None) -> str:
    """Milliseconds, as seconds from one second on."""
    return "-" if value is None else f"{value:,.0f} ms" if value < 1000 else f"{value / 1000:,.1f} s"


def duration(seconds: float) -> str:
    """A length of time in its two largest units."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    if hours:
        return f"{hours} h {minutes} min"
    if minutes:
        return f"{minutes} min {rest} s"
    return f"{seconds * 1000:.0f} ms" if 0 < seconds < 1 else f"{rest} s"


def change(now: float, before: float) -> str:
    """The difference to an earlier number, signed."""
    return "same" if now == before else f"{now - before:+,.0f}"


def took(facts: Facts) -> str:
    """How long the run took, from its opening to its closing."""
    header = facts.header
    return duration((header.finished_at - header.started_at).total_seconds()) if header.finished_at else "still running"


def endings(rows: Rows) -> list[Ending]:
    """Where rows ended, in the report's order, outcomes without rows left out."""
    whole = rows.rows_in or rows.out or 1
    found = [
        Ending(key.value, name, rows.counts[key], rows.counts[key] / whole)
        for key, name in OUTCOMES.items()
        if rows.counts.get(key)
    ]
    if rows.not_finished > 0:
        found.append(Ending("not_finished", "not finished", rows.not_finished, rows.not_finished / whole))
    return found


def equation(rows: Rows, plus: str = " + ") -> str:
    """Rows in = rows out, and whether that is true."""
    if rows.rows_in is None:
        return "Nothing was extracted"
    right = plus.join(f"{number(one.rows)} {one.name}" for one in endings(rows)) or "0"
    if rows.not_finished < 0:
        return f"{number(rows.rows_in)} in, but {number(rows.out)} outcomes: {right} (DOES NOT ADD UP)"
    return f"{number(rows.rows_in)} in = {right}" + (" (adds up)" if rows.add_up else "")


def verdict(facts: Facts) -> str:
    """One line: is everything all right?"""
    if facts.header.status == "running":
        return f"Not finished: step {facts.cause.stage} is to be tried again" if facts.cause else "Still running"
    if facts.header.status == "stopped":
        return "Stopped before the model: a critical expectation failed"
    if facts.header.status == "abandoned":
        return "Abandoned: nobody worked on it any more"
    if facts.header.status == "failed":
        return "Failed"
    count = len(list(attention(facts)))
    return "All right" if not count else f"Finished, {plural(count, 'thing')} to look at"


def tone(facts: Facts) -> str:
    """`good`, `look` or `bad`: how the verdict is shown."""
    if facts.header.status in ("failed", "stopped", "abandoned"):
        return "bad"
    return "look" if facts.header.status == "running" or list(attention(facts)) else "good"


def attention(facts: Facts) -> Iterator[str]:
    """What a person should look at, most urgent first."""
    header, counts = facts.header, facts.rows.counts
    if header.status == "abandoned":
        yield header.detail or "the ledger does not say why"
    if facts.rows.not_finished > 0:
        yield f"{plural(facts.rows.not_finished, 'row')} not finished; a retry of the run finishes them"
    yield from _failed_checks(facts)
    if facts.drifted:
        yield f"Drifted against earlier nights: {drifted(facts.drifted)}"
    for one in facts.model.failovers:
        yield f"{plural(one.rows, 'row')} went from {one.first} to {one.then}: {one.why}"
    if lost := counts.get(Outcome.DEAD_LETTER, 0):
        yield f"{plural(lost, 'row')} ended as dead letter; see `nightledger dead-letters list`"
    if header.status == "succeeded":
        for rows, reason, until in ((one.rows, one.reason, one.until) for one in facts.deferred):
            yield f"{plural(rows, 'row')} deferred: {reason}; {until}"
    if failed := sum(one.counts.get("failed", 0) + one.counts.get("intended", 0) for one in facts.writes):
        yield f"{plural(failed, 'write')} failed or not confirmed"
    yield from _spending(facts)


def open_letters(facts: Facts) -> Iterator[str]:
    """The dead letters of all nights that wait, and how they are sent again; nothing if there are none."""
    rows, nights, oldest = facts.open_letters
    if oldest:
        yield f"{plural(rows, 'row')} of {plural(nights, 'night')}, the oldest since {oldest:%Y-%m-%d %H:%M} UTC"
        yield "send them again with DAG `dead_letters` or `nightledger dead-letters replay`"


def drifted(signals: tuple[str, ...], most: int = 4) -> str:
    """The signals that drifted, in one line."""
    rest = f" and {len(signals) - most} more" if len(signals) > most else ""
    return ", ".join(signals[:most]) + rest


def _failed_checks(facts: Facts) -> Iterator[str]:
    for check in facts.expectations:
        if check.could_not_run:
            yield f"Expectation could not run: {check.meaning}"
        elif not check.success and check.severity != "info":
            found = plural(check.failing, "row") if check.failing else f"observed {observed(check.observed)}"
            yield f"{check.severity.capitalize()} expectation failed: {check.meaning} ({found})"


def _spending(facts: Facts) -> Iterator[str]:
    model = facts.model
    if model.rows_by_rule:
        yield f"{plural(model.rows_by_rule, 'row')} answered by the fallback rule"
    if model.without_result:
        yield f"{plural(model.without_result, 'call')} without a result on record"
    if model.bounded:
        yield (
            f"{plural(model.bounded, 'call')} reported with more tokens than they can have taken, counted at most; "
            "see `inference_result.detail`, and hold the provider's bill against it"
        )
    if model.ceiling and model.cost >= model.ceiling * Decimal("0.8"):
        yield f"{percent(float(model.cost / model.ceiling))} of the cost ceiling is spent"


def tallies(found: tuple[Tally, ...]) -> str:
    """Names with their counts, in one line."""
    return ", ".join(f"{number(one.count)} {one.name.replace('_', ' ')}" for one in found)


_LEFT = {"doubt": "in doubt", "out_of_scope": "like nothing it has learnt", "unfit": "not valid"}


def decided(local: Decided, asks: bool = True) -> str:
    """What an engine decided, and what it left, to somebody who is asked or not."""
    if not local.decided + sum(local.left.values()):
        return f"{local.model}: nothing new, {plural(local.reused, 'row')} known before"
    left = [(_LEFT.get(why, why.replace("_", " ")), count) for why, count in sorted(local.left.items()) if count]
    on = ", ".join(f"{number(count)} {why}" for why, count in left) or "none"
    saved, sent = (", each a call saved", "sent on") if asks else ("", "left")
    here = f"{local.model} decided {number(local.decided)} ({percent(local.share)}){saved}"
    return f"{here}; {sent}: {on}; {plural(local.reused, 'row')} known before"


def second_calls(found: SecondCalls) -> str:
    """What second calls for slow questions cost and saved."""
    saved = "" if found.saved is None else f", about {found.saved:,.0f} s of waiting saved"
    first = f"{number(found.won)} came first"
    return f"{plural(found.calls, 'call')} for slow questions, {first}, {money(found.cost)} more{saved}"
