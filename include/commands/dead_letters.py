"""`dead-letters`: list, show, replay and dismiss rows that ran out of tries."""

from __future__ import annotations

import argparse
import getpass
import json
import os
from datetime import UTC, datetime
from typing import Any, TextIO

from include.errors import ConfigurationError
from include.ledger import door
from include.ledger.causes import CAUSES
from include.ledger.dead_letters import Selection, dismiss, list_groups, show
from include.operations.replay import replay
from include.settings import Settings
from include.spec.names import names
from include.systems.connections import Connections, EnvironmentConnections


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", choices=["list", "show", "replay", "dismiss"])
    parser.add_argument("number", nargs="?", type=int, help="of the letter to show")
    parser.add_argument("--use-case", choices=names())
    parser.add_argument("--cause", choices=list(CAUSES))
    parser.add_argument("--system", help="of the registry, e.g. model or crm")
    parser.add_argument("--stage", choices=["enrich", "write"])
    parser.add_argument("--from", dest="start", metavar="ISO", help="nights that start at this time or later, UTC")
    parser.add_argument("--to", dest="end", metavar="ISO", help="nights that start before this time, UTC")
    parser.add_argument("--status", choices=["open", "replayed", "dismissed"], default="open", help="for list")
    parser.add_argument("--reason", help="why they are dismissed")
    parser.set_defaults(command=run)


def run(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0; 1 if a replayed row died again or was not reached, or a night could not run."""
    connections, selection = EnvironmentConnections(), select(vars(given))
    if given.action == "replay":
        return _replay(connections, selection, out)
    ledger = door.open_ledger(connections)
    if given.action == "show":
        if given.number is None:
            raise ConfigurationError("needs the number of a letter", about="dead-letters show")
        out.write(json.dumps(show(ledger, given.number), indent=1, default=str, ensure_ascii=False) + "\n")
    elif given.action == "dismiss":
        if not given.reason:
            raise ConfigurationError("needs a --reason, which is kept", about="dead-letters dismiss")
        out.write(f"{dismiss(ledger, selection, actor(), given.reason)} letters dismissed\n")
    else:
        groups = list_groups(ledger, selection, given.status)
        for group in groups:
            where = f"{group.use_case}  {group.interval}  {group.stage:7} {group.system:8}"
            out.write(f"{where} {group.cause:24} {group.rows:6,} rows  since {group.oldest:%Y-%m-%d %H:%M} UTC\n")
        out.write(f"{sum(group.rows for group in groups):,} rows; causes: see docs/runbooks/dead_letters.md\n")
    return 0


def _replay(connections: Connections, selection: Selection, out: TextIO) -> int:
    done = replay(connections, Settings.read(), selection, actor())
    for night in done:
        out.write(json.dumps(night, default=str) + "\n")
    total = {name: sum(night[name] for night in done) for name in ("rows", "died_again", "left_open")}
    said = f"{total['died_again']} died again, {total['left_open']} are left open"
    out.write(f"{total['rows']} rows of {len(done)} nights replayed; {said}\n")
    bad = total["died_again"] or total["left_open"] or any(night["status"] != "succeeded" for night in done)
    return 1 if bad else 0


def actor() -> str:
    """Who is at the command line; a container may run under a number that has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def select(given: dict[str, Any]) -> Selection:
    """A selection from named values; raises ConfigurationError for a time that is none."""
    chosen = {name: given.get(name) or None for name in ("use_case", "cause", "system", "stage")}
    return Selection(**chosen, start=read_time(given.get("start")), end=read_time(given.get("end")))


def read_time(text: str | None) -> datetime | None:
    """A time in ISO 8601, UTC if it names no zone; raises ConfigurationError for what is none."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"needs times in ISO 8601: {error}", about="--from and --to") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
