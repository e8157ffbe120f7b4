"""`assess`: the quality of what a source has, before a project starts or after a clean-up."""

from __future__ import annotations

import argparse
import getpass
import json
from typing import TextIO

from include.errors import ConfigurationError
from include.models import Interval
from include.operations.assess import assess
from include.settings import Settings
from include.spec.names import names
from include.systems.connections import EnvironmentConnections


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("use_case", choices=names())
    parser.add_argument("--from", dest="start", required=True, metavar="ISO", help="start of the interval, UTC")
    parser.add_argument("--to", dest="end", required=True, metavar="ISO", help="end of the interval (exclusive), UTC")
    parser.add_argument("--limit", type=int, metavar="ROWS", help="at most so many")
    parser.set_defaults(command=run)


def run(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0 when every critical and warning expectation is met, else 1."""
    try:
        interval = Interval.parse(given.start, given.end)
    except ValueError as error:
        raise ConfigurationError(f"needs times in ISO 8601: {error}", about="--from and --to") from error
    connections, settings = EnvironmentConnections(), Settings.read()
    found = assess(connections, settings, given.use_case, interval, getpass.getuser(), given.limit)
    out.write(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    return 1 if found["failed"] else 0
