"""`explain`: from a record's value at its destination back to the line of its source."""

from __future__ import annotations

import argparse
from typing import TextIO

from include.ledger import door
from include.ledger.explain import as_text, explain
from include.spec.names import names
from include.systems.connections import EnvironmentConnections


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("use_case", choices=names())
    parser.add_argument("row_key", help="the record's id at the destination")
    parser.set_defaults(command=run)


def run(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0."""
    ledger = door.open_ledger(EnvironmentConnections())
    out.write(as_text(explain(ledger, given.use_case, given.row_key)) + "\n")
    return 0
