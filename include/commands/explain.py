"""`explain`: from a record's value at its destination back to the line of its source."""

from __future__ import annotations

import argparse
from typing import TextIO

from include.commands.explain_record import as_words
from include.database import Database, transaction
from include.errors import ConfigurationError
from include.ledger import door
from include.ledger.explain import as_text, explain
from include.ledger.explain_record import Target
from include.operations.explain import Explained, cases_of, explain_record, targets
from include.operations.explain_outside import HeldNow, held_now, open_for_reading, staged_row
from include.settings import Settings
from include.spec.names import names
from include.spec.use_case import load
from include.systems.connections import EnvironmentConnections


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.usage = (
        "nightledger explain [-h] USE_CASE ROW_KEY\n"
        "       nightledger explain [-h] [--field NAME] [--write NUMBER] [--offline] SYSTEM OBJECT ID"
    )
    about = "use case and row key (or the record's id at its destination); or system, object and id of a record there"
    parser.add_argument("of", nargs="+", metavar="WHAT", help=about)
    parser.add_argument("--field", metavar="NAME", help="only what set this field, by its name at the destination")
    parser.add_argument("--write", type=int, metavar="NUMBER", help="tell this write in full, instead of the last")
    parser.add_argument("--offline", action="store_true", help="do not read what the record holds now")
    parser.set_defaults(command=run)


def run(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0."""
    if len(given.of) == 3:
        return _record(given, Target(*given.of), out)
    if len(given.of) != 2 or given.field or given.write or given.offline:
        raise ConfigurationError(
            "needs a use case and a row key, or system, object and id of a record (and then --field, if you like)",
            about="explain",
            action=f"Use cases: {', '.join(names())}. Records: {_known()}",
        )
    use_case, row_key = given.of
    if use_case not in names():
        raise ConfigurationError(f"no such use case; known: {', '.join(names())}", about=use_case)
    ledger = door.open_ledger(EnvironmentConnections())
    out.write(as_text(explain(ledger, use_case, row_key)) + "\n")
    return 0


def _record(given: argparse.Namespace, target: Target, out: TextIO) -> int:
    if (target.system, target.object) not in targets(names()):
        raise ConfigurationError("no use case writes there", about=str(target), action=f"Records: {_known()}")
    connections, settings = EnvironmentConnections(), Settings.read()
    ledger = door.open_ledger(connections)
    with transaction(ledger) as connection:
        found = explain_record(connection, target, given.field, names(), given.write)
    facts, staged = found.facts, None
    if facts:
        staged = staged_row(ledger, load(facts["use_case"]), facts["run_id"], facts["row_id"], settings.token_secret)
    now = None if given.offline else _now(ledger, found, connections, settings)
    out.write(as_words(found, staged, now) + "\n")
    return 0


def _now(ledger: Database, found: Explained, connections: EnvironmentConnections, settings: Settings) -> HeldNow | None:
    cases = cases_of(found.target, names())
    return held_now(found, {case.name: open_for_reading(case, ledger, connections, settings) for case in cases})


def _known() -> str:
    return ", ".join(f"{system} {obj}" for system, obj in targets(names()))
