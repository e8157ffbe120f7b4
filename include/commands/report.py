"""`report`: the morning report of a run, as text, or what a use case has returned so far."""

from __future__ import annotations

import argparse
from typing import TextIO

from include.errors import ConfigurationError
from include.ledger import door
from include.ledger.returned import count_returned
from include.report.facts import collect
from include.report.returned import returned_in_words
from include.report.text import as_text
from include.settings import Settings, read_truth
from include.spec.names import names
from include.spec.use_case import load
from include.systems.connections import EnvironmentConnections


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("use_case", choices=names())
    parser.add_argument("--run", metavar="RUN_ID", help="default: the latest run")
    parser.add_argument("--latest", action="store_true", help="the latest run (the default)")
    parser.add_argument("--return", action="store_true", dest="returned", help="all nights, against the baseline")
    parser.set_defaults(command=run)


def run(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0; raises ConfigurationError if the use case has not run."""
    ledger = door.open_ledger(EnvironmentConnections())
    if given.returned:
        out.write(returned_in_words(load(given.use_case).baseline, count_returned(ledger, given.use_case)))
        return 0
    run_id = given.run or door.latest_run(ledger, given.use_case)
    if run_id is None:
        raise ConfigurationError("has not run yet", about=given.use_case)
    out.write(as_text(collect(ledger, run_id, read_truth(Settings.read()))) + "\n")
    return 0
