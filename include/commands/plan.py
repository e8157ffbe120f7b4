"""`plan`: rows, answers reused, calls, tokens, cost and time of nights before they run."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TextIO

from include.connections import EnvironmentConnections
from include.enrich.preview import Preview, as_record, preview
from include.errors import ConfigurationError, NightledgerError
from include.ledger import door
from include.models import Interval, RunKey, RunOptions
from include.rehearse import good_rows, rehearsal
from include.settings import Settings
from include.use_case import UseCase, load, names

_HEAD = ("night", "rows", "reused", "same", "asked", "calls", "tokens in", "out", "USD", "minutes")


def add(commands: Any) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "plan", help="what nights would ask, cost and take, before they run; exit code 1 if they cannot fit"
    )
    parser.add_argument("use_case", choices=names())
    parser.add_argument("--from", dest="start", required=True, metavar="ISO", help="start of the first night, UTC")
    parser.add_argument("--to", dest="end", required=True, metavar="ISO", help="end of the last night, UTC")
    parser.add_argument("--step", type=float, default=24.0, metavar="HOURS", help="length of a night (default 24)")
    parser.add_argument("--window", type=float, metavar="HOURS", help="time there is (default: the spec's)")
    parser.add_argument("--engine", choices=["live", "batch"], help="default: the spec's")
    parser.add_argument("--re-infer", choices=["none", "failed", "all"], default="none")
    parser.add_argument("--re-extract", action="store_true")
    parser.add_argument("--model")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.set_defaults(command=run)


def run(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0 when every night fits its window and budgets, 1 when not."""
    case, connections, settings = load(given.use_case), EnvironmentConnections(), Settings.read()
    engine, options = door.open_ledger(connections), RunOptions.from_params(vars(given), load(given.use_case).mode)
    batch = (given.engine or case.engine) == "batch"
    nights = list(_nights(given))
    seen, found = set[bytes](), list[tuple[Interval, Preview]]()
    if not given.json:
        out.write("  ".join(f"{name:>10}" for name in _HEAD) + "\n")
    for interval in nights:
        key = RunKey(given.use_case, interval, "plan")
        try:
            with rehearsal(engine, key, options, connections, settings) as night:
                one = preview(night, good_rows(night), seen, batch=batch)
        except NightledgerError as error:
            one = Preview(problem=str(error))
        found.append((interval, one))
        if not given.json:
            out.write(_line(f"{interval.start:%Y-%m-%d}", one) + (f"  {one.problem}" if one.problem else "") + "\n")
    hours = given.window or case.window_hours * len(nights)
    total, problems = _total([one for _, one in found]), _problems(case, found, hours, given.window is not None, batch)
    if given.json:
        listed = [{"from": i.start.isoformat(), "to": i.end.isoformat(), **as_record(one)} for i, one in found]
        out.write(json.dumps({"nights": listed, "total": as_record(total), "problems": problems}) + "\n")
    else:
        out.write(_line("total", total) + "\n")
        out.writelines(f"DOES NOT FIT: {problem}\n" for problem in problems)
        out.write(
            "" if problems else f"Fits: {sum(total.minutes.values()):.1f} of {hours * 60:.0f} minutes at the limits\n"
        )
    return 1 if problems else 0


def _nights(given: argparse.Namespace) -> Iterator[Interval]:
    try:
        whole = Interval.parse(given.start, given.end)
    except ValueError as error:
        raise ConfigurationError(f"needs times in ISO 8601: {error}", about="--from and --to") from error
    if given.step <= 0:
        raise ConfigurationError("must be above 0", about="--step")
    start = whole.start
    while start < whole.end:
        end = min(start + timedelta(hours=given.step), whole.end)
        yield Interval(start, end)
        start = end


def _line(name: str, one: Preview) -> str:
    numbers = (one.rows, one.reused, one.identical, one.asked, one.calls, one.tokens_in, one.tokens_out)
    shown = [name, *(f"{number:,}" for number in numbers), f"{one.cost:.4f}", f"{sum(one.minutes.values()):.1f}"]
    return "  ".join(f"{column:>10}" for column in shown)


def _total(found: list[Preview]) -> Preview:
    parts = ("rows", "reused", "identical", "dead", "asked", "calls", "tokens_in", "tokens_out")
    minutes: dict[str, float] = {}
    for one in found:
        for name, spent in one.minutes.items():
            minutes[name] = minutes.get(name, 0.0) + spent
    cost = sum((one.cost for one in found), Decimal(0))
    return Preview(**{part: sum(getattr(one, part) for one in found) for part in parts}, cost=cost, minutes=minutes)


def _problems(
    case: UseCase, found: list[tuple[Interval, Preview]], hours: float, given: bool, batch: bool
) -> list[str]:
    """Every window and ceiling that would not hold, with what to do."""
    problems = [f"night of {i.start:%Y-%m-%d}: {one.problem}" for i, one in found if one.problem]
    for interval, one in found:
        minutes, name = sum(one.minutes.values()), f"night of {interval.start:%Y-%m-%d}"
        if not batch and not given and minutes > case.window_hours * 60:
            slowest = max(one.minutes, key=lambda system: one.minutes[system])
            problems.append(
                f"{name}: {minutes:.0f} minutes, mostly `{slowest}`; raise its limit, or use the batch engine"
            )
        if one.cost > case.cost_ceiling_usd:
            problems.append(f"{name}: {one.cost:.2f} USD of {case.cost_ceiling_usd} a run; raise cost_ceiling_usd")
    total = _total([one for _, one in found])
    if not batch and given and sum(total.minutes.values()) > hours * 60:
        problems.append(f"{sum(total.minutes.values()):.0f} minutes do not fit {hours:.1f} hours; widen the window")
    if len(found) > 1 and case.budgets.backfill is not None and total.cost > case.budgets.backfill:
        problems.append(f"{total.cost:.2f} USD of {case.budgets.backfill} a backfill; raise budgets.backfill")
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    if case.budgets.day is not None and total.cost > case.budgets.day:
        problems.append(f"{total.cost:.2f} USD of {case.budgets.day} a day ({today}); spread the nights over days")
    return problems
