"""Run any stage, read the ledger and print reports without Airflow: `python -m include.cli --help`.

Connections come from `AIRFLOW_CONN_<ID>` variables, as in .env.example.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from sqlalchemy import Engine

from include.commands import assess, budget, check_file, dead_letters, enrich_file, plan, quarantine, validate
from include.connections import EnvironmentConnections
from include.errors import ConfigurationError, NightledgerError
from include.ledger import door
from include.ledger.leases import exclusive
from include.ledger.record import find_manifest
from include.models import Interval, Manifest, Record, RunKey, RunOptions
from include.night import Night
from include.settings import Settings, read_truth
from include.use_case import load, names

log = logging.getLogger(__name__)
NEEDS = {"check": "raw", "enrich": "good", "gate": "enriched", "write": "approved"}


def main(arguments: Sequence[str] | None = None, out: TextIO = sys.stdout) -> int:
    """Run one command; returns the exit code: 0 done, 1 a finding, 2 an error that says what to do, 3 a defect."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr)
    for noisy in ("alembic", "paramiko", "great_expectations"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    given = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace, TextIO], int] = given.command
    try:
        return command(given, out)
    except NightledgerError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 2
    except Exception:
        log.exception("this is a defect, or a system failed in a way that nobody foresaw")
        return 3


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.cli", description="Nightledger without Airflow")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    ledger = commands.add_parser("ledger", help="upgrade the ledger's schema, or verify its hash chain")
    ledger.add_argument("action", choices=["upgrade", "verify"])
    ledger.add_argument("--head", action="append", default=[], metavar="HASH", help="verify: this head must be there")
    ledger.add_argument("--heads", metavar="PLACE", help="verify: so must all that NIGHTLEDGER_HEAD_FILE holds")
    ledger.add_argument("--from", dest="since", metavar="HASH", help="verify: only what was recorded after this head")
    ledger.set_defaults(command=_ledger)

    explain = commands.add_parser("explain", help="why a record has its value: write, decision, answer, input, source")
    explain.add_argument("use_case", choices=names())
    explain.add_argument("row_key", help="the record's id at the destination")
    explain.set_defaults(command=_explain)

    run = commands.add_parser("run", help="run one stage, or `all`, of a use case for an interval")
    run.add_argument("stage", choices=["extract", *NEEDS, "close", "all"])
    run.add_argument("use_case", choices=names())
    run.add_argument("--from", dest="start", required=True, metavar="ISO", help="start of the interval, UTC")
    run.add_argument("--to", dest="end", required=True, metavar="ISO", help="end of the interval (exclusive), UTC")
    run.add_argument("--mode", choices=["shadow", "gated", "auto"])
    run.add_argument("--limit", type=int, metavar="ROWS")
    run.add_argument("--re-infer", choices=["none", "failed", "all"], default="none")
    run.add_argument("--model")
    run.add_argument("--re-extract", action="store_true")
    run.add_argument("--engine", choices=["live", "batch"])
    run.set_defaults(command=_run)

    assess.add(commands)
    budget.add(commands)
    check_file.add(commands)
    enrich_file.add(commands)
    dead_letters.add(commands)
    quarantine.add(commands)
    plan.add(commands)
    validate.add(commands)

    report = commands.add_parser("report", help="print the morning report of a run")
    report.add_argument("use_case", choices=names())
    report.add_argument("--run", metavar="RUN_ID", help="default: the latest run")
    report.add_argument("--latest", action="store_true", help="the latest run (the default)")
    report.set_defaults(command=_report)
    return parser


def _ledger(given: argparse.Namespace, out: TextIO) -> int:
    connections = EnvironmentConnections()
    if given.action == "upgrade":
        revision = door.upgrade_ledger(connections)
        if revision is None:
            raise ConfigurationError(
                "no such connection", system=door.OWNER, action="Migrations need the owner's login"
            )
        out.write(f"The ledger is at revision {revision}.\n")
        return 0
    from include.ledger.heads import read_heads
    from include.ledger.verify import verify

    kept = read_heads(given.heads) if given.heads else []
    found = verify(_engine(), heads=[*kept, *given.head], since=given.since)
    out.write(found.as_text() + "\n")
    return 1 if found.findings else 0


def _explain(given: argparse.Namespace, out: TextIO) -> int:
    from include.ledger.explain import as_text, explain

    out.write(as_text(explain(_engine(), given.use_case, given.row_key)) + "\n")
    return 0


def _report(given: argparse.Namespace, out: TextIO) -> int:
    from include.report.facts import collect
    from include.report.text import as_text

    engine = _engine()
    run_id = given.run or door.latest_run(engine, given.use_case)
    if run_id is None:
        raise ConfigurationError("has not run yet", about=given.use_case)
    out.write(as_text(collect(engine, run_id, read_truth(Settings.read()))) + "\n")
    return 0


def _run(given: argparse.Namespace, out: TextIO) -> int:
    key = RunKey(given.use_case, _interval(given))
    options = RunOptions.from_params(vars(given), load(given.use_case).mode)
    connections, settings = EnvironmentConnections(), Settings.read()
    if given.stage == "all":  # two at once would be one attempt, and each would write into the other's files
        with exclusive(_engine(), f"night/{key.use_case}/{key.interval.slug}", settings.lease_seconds) as lease:
            night = door.begin_night(key, options, connections, settings)
            for stage in ("extract", *NEEDS, "close"):
                lease.require()
                _say_stage(night, stage, out)
        return 0
    if given.stage == "extract":
        night = door.begin_night(key, options, connections, settings)
    else:
        run_id = door.find_run(_engine(), key)
        if run_id is None:
            raise ConfigurationError(
                "no run for this interval", about=given.use_case, action="Run stage `extract` first"
            )
        night = door.resume_night(run_id, connections, settings)
    _say_stage(night, given.stage, out)
    return 0


def _say_stage(night: Night, stage: str, out: TextIO) -> None:
    out.write(json.dumps({stage: _summary(_stage(night, stage))}, default=str) + "\n")


def _interval(given: argparse.Namespace) -> Interval:
    try:
        return Interval.parse(given.start, given.end)
    except ValueError as error:
        raise ConfigurationError(f"needs times in ISO 8601: {error}", about="--from and --to") from error


def _stage(night: Night, stage: str) -> Manifest | Record:
    from include.enrich.enrich import enrich
    from include.gate.gate import gate
    from include.quality.answers import check_answers
    from include.quality.check import check
    from include.report.close import close
    from include.sinks.write import write
    from include.sources.extract import extract

    if stage == "extract":
        return extract(night)
    if stage == "close":
        return close(night, truth=read_truth(night.settings))
    run_stage: dict[str, Callable[[Night, Manifest], Manifest | Record]]
    run_stage = {"check": check, "enrich": enrich, "gate": gate, "write": write}
    given = find_manifest(night.ledger, night.run_id, NEEDS[stage])
    if given is None:
        raise ConfigurationError(
            f"dataset {NEEDS[stage]!r} is missing", about=night.run_id, action="Run the stage before"
        )
    if stage == "gate":
        check_answers(night, given)
    return run_stage[stage](night, given)


def _summary(result: Manifest | Record) -> Record:
    if isinstance(result, Manifest):
        return {"rows": result.rows, "uri": result.uri, **result.facts}
    return result


def _engine() -> Engine:
    return door.open_ledger(EnvironmentConnections())


if __name__ == "__main__":
    sys.exit(main())
