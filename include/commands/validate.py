"""`validate`: a use case's labelled rows, as they are and under the conditions that the pipeline makes."""

from __future__ import annotations

import argparse
import json
from typing import TextIO

from include.errors import ConfigurationError
from include.settings import Settings
from include.spec.names import names
from include.systems.connections import EnvironmentConnections


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("use_case", choices=names())
    parser.add_argument("--model", help="default: the one pinned in the spec")
    parser.add_argument(
        "--at-least", type=float, default=0.9, metavar="SHARE", help="of rows as they are must be right (0.9)"
    )
    parser.set_defaults(command=run)


def run(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0 when enough rows are right as they are, and every one is answered under every condition."""
    from include.operations.validate import validate

    if not 0 <= given.at_least <= 1:
        raise ConfigurationError("must be a share between 0 and 1", about="--at-least")
    found = validate(EnvironmentConnections(), Settings.read(), given.use_case, given.model)
    judged = found.judged
    out.write(f"{'condition':40} {'asked':>6} {'answered':>9} {'right':>8} {'answered otherwise':>19}\n")
    for one in judged:
        out.write(f"{one.condition:40} {one.asked:>6} {one.answered:>9} {one.accuracy:>8.1%} {one.changed:>19}\n")
    kept = {"run_id": found.run_id, "calls": found.calls, "reused": found.reused, "cost_usd": str(found.cost)}
    out.write(json.dumps(kept) + "\n")
    unanswered = [one.condition for one in judged if one.answered < one.asked]
    if unanswered:
        out.write(f"NOT BORNE: rows without a usable answer: {', '.join(unanswered)}\n")
    if judged[0].accuracy < given.at_least:
        out.write(f"NOT RIGHT ENOUGH: {judged[0].accuracy:.1%} of the rows as they are, {given.at_least:.0%} needed\n")
    return 1 if unanswered or judged[0].accuracy < given.at_least else 0
