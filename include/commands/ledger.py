"""`ledger`: its schema brought to the newest revision, and its hash chain verified."""

from __future__ import annotations

import argparse
from typing import TextIO

from include.errors import ConfigurationError
from include.ledger import door
from include.systems.connections import EnvironmentConnections


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", choices=["upgrade", "verify"])
    parser.add_argument("--head", action="append", default=[], metavar="HASH", help="verify: this head must be there")
    parser.add_argument("--heads", metavar="PLACE", help="verify: so must all that NIGHTLEDGER_HEAD_FILE holds")
    parser.add_argument("--from", dest="since", metavar="HASH", help="verify: only what was recorded after this head")
    parser.set_defaults(command=run)


def run(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0; 1 when the chain does not verify."""
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
    found = verify(door.open_ledger(connections), heads=[*kept, *given.head], since=given.since)
    out.write(found.as_text() + "\n")
    return 1 if found.findings else 0
