"""`suggest`: first expectations of a use case, from the rows that a night of it staged."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TextIO

from include.errors import ConfigurationError
from include.ledger import door
from include.ledger.record import find_manifest
from include.operations.suggest.suggest import write_suggestions_for
from include.spec.names import names
from include.systems.connections import EnvironmentConnections


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("use_case", choices=names())
    parser.add_argument("into", type=Path, metavar="FILE", help="a new .py file")
    parser.add_argument("--run", metavar="RUN_ID", help="default: the latest run")
    parser.set_defaults(command=run)


def run(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0; raises ConfigurationError if the use case has not run, or what it staged is not on record."""
    ledger = door.open_ledger(EnvironmentConnections())
    run_id = given.run or door.latest_run(ledger, given.use_case)
    raw = find_manifest(ledger, run_id, "raw") if run_id else None
    if raw is None:
        raise ConfigurationError("has not staged rows yet", about=given.use_case, action="Run stage `extract` first")
    made = write_suggestions_for(raw, f"{given.use_case}, run {raw.run_id}", given.into)
    out.write(f"{given.into}: {made.rules} rules from {made.rows:,} rows; {made.weak} commented out\n")
    out.write(f"Edit it, then move what is meant into include/use_cases/{given.use_case}/expectations.py\n")
    return 0
