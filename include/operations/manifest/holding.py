"""What holds a use case: gates, limits, money, expectations, failure plan and alerts, as a manifest says it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields

from include.operations.manifest.data import limits_of, used_systems
from include.operations.manifest.layout import first_line, money, section, table
from include.quality.expectation import Expectation
from include.spec.alerting import Alerts
from include.spec.use_case import UseCase
from include.systems.registry import System

SEVERITIES = ("critical", "warning", "info")


def gates(case: UseCase) -> list[str]:
    """How far a night may go, and what people decide."""
    review, rollout = case.review, case.rollout
    default = "written as proposed" if review.at_expiry == "write" else "let go"
    expiry = "never" if review.expires is None else f"after {review.expires.days} days it is {default}"
    rows = (
        ("Mode declared", f"{case.mode.value} (the mode in force is what people last set: `nightledger control`)"),
        ("A person decides below a confidence of", case.confidence_threshold),
        ("Never alone", case.never_alone or "no"),
        ("What nobody decides", expiry),
        ("Two people", first_line(review.four_eyes) if review.four_eyes else "not asked for"),
        ("Gated is proposed", f"after {rollout.gated_when}"),
        ("Auto is proposed", "never" if case.never_alone else f"after {rollout.auto_when}"),
        ("Auto is taken back", "-" if case.never_alone else "; ".join(rollout.back_when)),
    )
    return section("Gates", table(("", ""), rows))


def limits(case: UseCase, systems: Mapping[str, System]) -> list[str]:
    """Calls, money, time and size."""
    calls = []
    for one in used_systems(case, systems):
        kinds = (f"{kind}: {limits_of(windows)}" for kind, windows in one.call_limits.items())
        day, month = money(one.budget_usd_per_day), money(one.budget_usd_per_month)
        calls.append((one.name, "; ".join((limits_of(one.limits), *kinds)), day, month))
    rows = (
        ("Cost ceiling of a run", money(case.cost_ceiling_usd)),
        ("Budget of a day (UTC)", money(case.budgets.day)),
        ("Budget of a month (UTC)", money(case.budgets.month)),
        ("Budget of a backfill", money(case.budgets.backfill)),
        ("Window", f"{case.window_hours:g} hours; a night that cannot fit is refused before anything is paid"),
        ("Rows of a shard", f"{case.shard_rows:,}"),
        ("Read as it is now", case.as_of_now or "nothing"),
    )
    heads = ("System", "Calls at most", "Budget of a day", "Budget of a month")
    return section("Limits and budgets", table(("", ""), rows), table(heads, calls))


def expectations(case: UseCase) -> list[str]:
    """How many there are by severity, and the critical ones by what they mean."""
    module = case.module("expectations")
    rows: Sequence[Expectation] = tuple(module.EXPECTATIONS)
    answers: Sequence[Expectation] = tuple(getattr(module, "ANSWER_EXPECTATIONS", ()))
    counts = [(of, *_by_severity(listed)) for of, listed in (("rows", rows), ("answers", answers))]
    critical = [f"* {one.meaning}." for one in (*rows, *answers) if one.severity == "critical"]
    lead = ["What stops a night, before the model or before anything is written:"] if critical else []
    return section("Expectations", table(("On", *SEVERITIES), counts), lead, critical)


def failure(case: UseCase) -> list[str]:
    """What happens to a row without an answer."""
    plan = case.failure_plan
    rows = (("unavailable", plan.unavailable), ("invalid", plan.invalid), ("refused", plan.refused))
    return section("If it fails", [plan.in_words], table(("The answer is", "The row goes to"), rows))


def alerts(case: UseCase) -> list[str]:
    """The thresholds that differ from the package's own."""
    usual = Alerts()
    rows = [
        (f"`{item.name}`", getattr(case.alerts, item.name), getattr(usual, item.name))
        for item in fields(Alerts)
        if getattr(case.alerts, item.name) != getattr(usual, item.name)
    ]
    if not rows:
        return section("Alerts", ["Every threshold is the default."])
    return section("Alerts", table(("Threshold", "Here", "Default"), rows))


def _by_severity(listed: Sequence[Expectation]) -> list[int]:
    found = Counter[str](one.severity for one in listed)
    return [found[severity] for severity in SEVERITIES]
