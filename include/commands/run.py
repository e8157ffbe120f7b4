"""`run`: one stage of a use case for an interval, or all of them."""

from __future__ import annotations

import argparse
import json
from typing import Any, TextIO

from include import stages
from include.errors import ConfigurationError, NightledgerError
from include.ledger import door
from include.ledger.failures import failures_on_record
from include.ledger.leases import exclusive
from include.models import Interval, Manifest, Record, RunKey, RunOptions
from include.run import Night
from include.settings import Settings
from include.spec.names import names
from include.spec.use_case import load
from include.systems.connections import EnvironmentConnections

STEPS = tuple(step for step in stages.STEPS if step != "plan")
"""`plan` only announces, and splits for tasks; the command of that name shows more."""


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("stage", choices=[*STEPS, "all"])
    parser.add_argument("use_case", choices=names())
    parser.add_argument("--from", dest="start", required=True, metavar="ISO", help="start of the interval, UTC")
    parser.add_argument("--to", dest="end", required=True, metavar="ISO", help="end of the interval (exclusive), UTC")
    parser.add_argument("--mode", choices=["shadow", "gated", "auto"])
    parser.add_argument("--limit", type=int, metavar="ROWS")
    parser.add_argument("--re-infer", choices=["none", "failed", "all"], default="none")
    parser.add_argument("--model")
    parser.add_argument("--re-extract", action="store_true")
    parser.add_argument("--asking", choices=["live", "batch"])
    parser.set_defaults(command=run)


def run(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0; prints one line of JSON for each stage. A run of all that cannot go on is closed with a report."""
    key = RunKey(given.use_case, _interval(given))
    options = RunOptions.from_params(vars(given), load(given.use_case).mode)
    connections, settings = EnvironmentConnections(), Settings.read()
    if given.stage == "all":  # two at once would be one attempt, and each would write into the other's files
        name = f"night/{key.use_case}/{key.interval.slug}"
        with exclusive(door.open_ledger(connections), name, settings.lease_seconds) as lease:
            night = door.begin_night(key, options, connections, settings)
            for stage in STEPS:
                lease.require()
                try:
                    _say_stage(night, stage, out)
                except NightledgerError as error:
                    _close_failed(night, stage, error)
                    raise
        return 0
    if given.stage == "extract":
        night = door.begin_night(key, options, connections, settings)
    else:
        run_id = door.find_run(door.open_ledger(connections), key)
        if run_id is None:
            raise ConfigurationError(
                "no run for this interval", about=given.use_case, action="Run stage `extract` first"
            )
        night = door.resume_night(run_id, connections, settings)
    _say_stage(night, given.stage, out)
    return 0


def _close_failed(night: Night, step: str, error: NightledgerError) -> None:
    """Close a run that a step ended for good, with its report; one that may go on later stays open."""
    if error.verdict != "retry" and step != "close":
        stages.close(night, failed={step: type(error).__name__})


def _say_stage(night: Night, stage: str, out: TextIO) -> None:
    with failures_on_record(night, stage):
        done = stages.run_step(night, stage)
    out.write(json.dumps({stage: _summary(done)}, default=str) + "\n")


def _interval(given: argparse.Namespace) -> Interval:
    try:
        return Interval.parse(given.start, given.end)
    except ValueError as error:
        raise ConfigurationError(f"needs times in ISO 8601: {error}", about="--from and --to") from error


def _summary(result: Manifest | list[Manifest] | Record) -> Any:
    if isinstance(result, Manifest):
        return {"rows": result.rows, "uri": result.uri, **result.facts}
    return result
