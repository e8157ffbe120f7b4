"""How the data-quality report says things."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from include.night.check.drift import DriftFact
from include.night.check.signals import Signal
from include.report.quality_parts import Held, QualityFacts
from include.report.wording import number, observed, percent, plural

SIGNALS = {
    "schema": "columns",
    "volume": "volume",
    "repeated": "repeated rows",
    "null_share": "missing values",
    "category_share": "shares of values",
    "values": "new or gone values",
    "distribution": "distribution",
    "level": "level",
    "freshness": "freshness",
}
"""Signals in the order in which they are shown, with their names."""


def verdict(facts: QualityFacts) -> str:
    """One line: was the data fit?"""
    if facts.run.status == "stopped":
        critical = {one.stage for one in facts.expectations if one.severity == "critical" and not one.success}
        held_back = critical == {"answers"}
        return "Not fit: the answers were held back" if held_back else "Not fit: the night was stopped before the model"
    if facts.rows.rows_in is None:
        return "Nothing was extracted"
    if not facts.expectations:
        return "Not checked"
    failed = sum(not one.success for one in facts.expectations)
    if not failed and not facts.drifted:
        return "All expectations hold"
    drifted = f", {plural(len(facts.drifted), 'signal')} drifted" if facts.drifted else ""
    return f"{number(failed)} of {plural(len(facts.expectations), 'expectation')} failed{drifted}"


def tone(facts: QualityFacts) -> str:
    """`good`, `look` or `bad`: how the verdict is shown."""
    critical = any(not one.success and one.severity == "critical" for one in facts.expectations)
    if critical or facts.run.status == "stopped" or facts.rows.rows_in is None:
        return "bad"
    failed = any(not one.success for one in facts.expectations)
    return "look" if failed or facts.drifted or not facts.expectations else "good"


def attention(facts: QualityFacts) -> Iterator[str]:
    """What a person should look at, most urgent first."""
    for one in facts.expectations:
        if not one.success and one.severity != "info":
            found = f"could not run: {one.could_not_run}" if one.could_not_run else found_of(one)
            yield f"{one.severity.capitalize()}: {one.meaning} ({found})"
    yield from (drift_sentence(fact) for fact in facts.drifted)
    if facts.rows.not_finished:
        yield f"{plural(abs(facts.rows.not_finished), 'row')} not accounted for; the morning report says which"


def found_of(one: Held) -> str:
    """What an expectation found against what it needs."""
    if one.could_not_run:
        return f"could not run: {one.could_not_run}"
    if one.needed is None or (not one.failing and one.observed and not one.success):
        return f"found {observed(one.observed)}" if one.observed else "holds" if one.success else "does not hold"
    return f"{percent(one.pass_share)} pass, {percent(one.needed)} needed"


def handled(one: Held) -> str:
    """What was done with the failing rows."""
    if not one.failing:
        return "-"
    if one.handling == "keep":
        return "kept, not set aside"
    return f"set aside: {states(one.states)}" if one.states else "set aside"


def states(counts: Mapping[str, int]) -> str:
    """Rows by what became of them, in one line."""
    return ", ".join(f"{number(count)} {state}" for state, count in counts.items())


def drift_sentence(fact: DriftFact) -> str:
    """What drifted, and how far."""
    what = f"{fact.column}: {SIGNALS[fact.signal]}" if fact.column else SIGNALS[fact.signal].capitalize()
    if fact.signal == "schema":
        return f"Column {fact.column} {fact.detail}"
    return f"{what} drifted: {measured(fact)}"


def measured(fact: DriftFact) -> str:
    """The figure of a signal beside what is usual."""
    if fact.value is None:
        return fact.detail or "-"
    detail = f" ({fact.detail})" if fact.detail else ""
    unit = _UNITS.get(fact.statistic, fact.signal)
    if fact.expected is None:
        limit = f", steady up to {figure(unit, fact.threshold)}" if fact.threshold is not None else ""
        return f"{figure(unit, fact.value)}{limit}{detail}"
    return f"{figure(unit, fact.value)}, usually {figure(unit, fact.expected)}{detail}"


_UNITS: Mapping[str, Signal] = {
    "share of numbers": "null_share",
    "rows per number": "repeated",
    "share of rows far out": "null_share",
}
"""Statistics that are figures of another unit than their signal, and a signal of theirs."""


def figure(signal: str, value: float | None) -> str:
    """A figure in the unit of its signal."""
    if value is None:
        return "-"
    if signal in ("null_share", "category_share"):
        return percent(value)
    if signal == "distribution":
        return f"PSI {value:.2f}"
    if signal == "repeated":
        return f"{value:.2f} rows each"
    if signal == "level":
        return f"{value:,.4g}"
    return f"{value:,.1f} h" if signal == "freshness" else f"{value:,.0f}"
