"""`plan`: rows, answers reused, calls, tokens, cost and time of nights before they run."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import TextIO

from include.errors import ConfigurationError
from include.ledger import door
from include.models import Interval, Record, RunKey, RunOptions
from include.night.plan.preview import Preview, as_record
from include.night.plan.preview_capacity import name_limit
from include.operations.plan_nights import Room, add_up, cut, find_problems, find_rooms, preview_interval
from include.run import Run
from include.settings import Settings
from include.spec.names import names
from include.spec.use_case import load
from include.systems.connections import EnvironmentConnections

_WIDTHS = (10, 7, 5, 7, 7, 5, 7, 6, 7, 10, 9, 8, 5, 6, 6)
_STAGES = ("read", "ask", "write")
_HEAD = (
    (
        "",
        "rows",
        "bad",
        "answers",
        "same as",
        "not",
        "decided",
        "to",
        "model",
        "tokens",
        "tokens",
        "US",
        "min",
        "min",
        "min",
    ),
    (
        *("night", "read", "rows", "reused", "another", "asked", "here", "ask", "calls"),
        *("in", "out", "dollars", "read", "ask", "write"),
    ),
)


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("use_case", choices=names())
    parser.add_argument("--from", dest="start", required=True, metavar="ISO", help="start of the first night, UTC")
    parser.add_argument("--to", dest="end", required=True, metavar="ISO", help="end of the last night, UTC")
    parser.add_argument("--step", type=float, default=24.0, metavar="HOURS", help="length of a night (default 24)")
    parser.add_argument(
        "--window", type=float, metavar="HOURS", help="time for all nights together (default: each has the spec's)"
    )
    parser.add_argument("--mode", choices=["shadow", "gated", "auto"], help="only auto writes (default: the spec's)")
    parser.add_argument("--asking", choices=["live", "batch"], help="default: the spec's")
    parser.add_argument("--re-infer", choices=["none", "failed", "all"], default="none")
    parser.add_argument("--re-extract", action="store_true")
    parser.add_argument("--model")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.set_defaults(command=run)


def run(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0 when every night fits its window and every ceiling, 1 when not."""
    nights, case = list(cut(_span(given), given.step)), load(given.use_case)
    connections, settings = EnvironmentConnections(), Settings.read()
    ledger, options = door.open_ledger(connections), RunOptions.from_params(vars(given), case.mode)
    seen, found = set[bytes](), list[Preview]()
    if not given.json:
        out.writelines(_line(head) for head in _HEAD)
    for night in nights:
        key = RunKey(given.use_case, night, "plan")
        found.append(preview_interval(ledger, key, options, connections, settings, seen))
        if not given.json:
            out.write(_row(f"{night.start:%Y-%m-%d}", found[-1]))
            out.flush()
    whole = Run(case, nights[0], "plan", options, ledger, connections, settings)
    rooms = find_rooms(whole, found)
    problems = list(find_problems(whole, nights, found, rooms, given.window))
    if given.json:
        out.write(json.dumps(_as_json(nights, found, rooms, problems)) + "\n")
    else:
        out.writelines(_tell(found, rooms, problems))
    return 1 if problems else 0


def _span(given: argparse.Namespace) -> Interval:
    for name in ("step", "window"):
        hours = getattr(given, name)
        if hours is not None and not 0 < hours < 1e6:
            raise ConfigurationError("must be a number of hours above 0", about=f"--{name}")
    try:
        return Interval.parse(given.start, given.end)
    except ValueError as error:
        raise ConfigurationError(f"needs times in ISO 8601: {error}", about="--from and --to") from error


def _line(cells: Sequence[str]) -> str:
    return " ".join(cell.rjust(width) for cell, width in zip(cells, _WIDTHS, strict=True)) + "\n"


def _row(name: str, one: Preview) -> str:
    if one.problem:
        return _line([name, *("-" for _ in _WIDTHS[1:])])
    counts = (one.rows_read, one.quarantined, one.reused, one.identical, one.dead, one.decided, one.asked, one.calls)
    numbers = [f"{number:,}" for number in (*counts, one.tokens_in, one.tokens_out)]
    return _line([name, *numbers, f"{one.cost:.4f}", *(f"{_minutes(one, stage):,.1f}" for stage in _STAGES)])


def _minutes(one: Preview, stage: str) -> float:
    return sum(spent for name, spent in one.minutes.items() if name.endswith(f" {stage}"))


def _tell(found: Sequence[Preview], rooms: Sequence[Room], problems: Sequence[str]) -> Iterator[str]:
    """The total, what it takes of each system and budget, and the verdict."""
    total = add_up(found)
    minutes = total.minutes
    if total.loads:
        yield _row("total", total)
    yield "\nAt the limits of each system, all nights together\n"
    for one in total.loads:
        amount = f"{one.requests:,} requests" + (f", {one.tokens:,} tokens" if one.tokens else "")
        yield f"  {one.name:<22} {minutes[one.name]:>9,.1f} min   {amount}; {name_limit(one)}\n"
    yield "Of each budget, US dollars\n"
    for room in rooms:
        name = "one run, the dearest" if room.scope.startswith("run/") else room.scope
        yield f"  {name:<40} {room.expected:>9.4f} of {room.ceiling:>9.2f}   {room.used:.4f} used before\n"
    yield from (f"DOES NOT FIT: {problem}\n" for problem in problems)
    if not problems:
        how = "as the batch API promises" if any(one.batched for one in total.loads) else "at the limits"
        yield f"Fits: {total.cost:.4f} USD, {sum(minutes.values()):,.1f} minutes {how}\n"


def _as_json(
    nights: Sequence[Interval], found: Sequence[Preview], rooms: Sequence[Room], problems: Sequence[str]
) -> Record:
    spans = ({"from": night.start.isoformat(), "to": night.end.isoformat()} for night in nights)
    listed = [{**span, **as_record(one)} for span, one in zip(spans, found, strict=True)]
    budgets = [
        {"scope": r.scope, "ceiling_usd": str(r.ceiling), "used_usd": str(r.used), "expected_usd": f"{r.expected:f}"}
        for r in rooms
    ]
    return {"nights": listed, "total": as_record(add_up(found)), "budgets": budgets, "problems": list(problems)}
