"""`privacy`: what was sent about a person, erasure on record, legal holds, and what is kept for how long."""

from __future__ import annotations

import argparse
import csv
import getpass
import json
import sys
from collections.abc import Iterator
from typing import TextIO

from include.commands.dead_letters import actor, read_time
from include.database import Database, transaction
from include.errors import ConfigurationError
from include.ledger import door, erasure
from include.ledger.erasure import Preview, Target
from include.ledger.holds import holds, lift_hold, set_hold
from include.operations import erase as erasing
from include.operations import retain as retaining
from include.operations.persons import COLUMNS, Located, locate, report, without, words_of
from include.settings import Settings
from include.spec.names import names
from include.systems.connections import EnvironmentConnections

ACTIONS = ("sent", "erase", "go-on", "hold", "lift", "holds", "retain")


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("values", nargs="*", help="e-mail, phone, name, id; `-` reads them from a prompt or stdin")
    parser.add_argument("--use-case", choices=names())
    parser.add_argument("--row-key", action="append", default=[], help="the record's id; may be given again")
    parser.add_argument("--from", dest="start", metavar="ISO", help="hold: nights that start here or later, UTC")
    parser.add_argument("--to", dest="end", metavar="ISO", help="hold: nights that start before this, UTC")
    parser.add_argument("--form", choices=("text", "csv", "json"), default="text", help="sent: how it is written")
    parser.add_argument("--reason", default="", help="why; kept on record")
    parser.add_argument("--yes", action="store_true", help="erase, retain: do it; without, only say what would be done")
    parser.set_defaults(command=run)


def run(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0; 1 where part of an erasure or a removal could not be done."""
    ledger = door.open_ledger(EnvironmentConnections())
    if given.action in ("sent", "erase"):
        values = list(_read(given.values))
        found = locate(ledger, Settings.read(), values, _named(given), actor())
        return _tell(ledger, given, found, out) if given.action == "sent" else _erase(ledger, given, found, out)
    if given.action == "go-on":
        return _say_erased(erasing.go_on(ledger, EnvironmentConnections(), Settings.read()), out)
    if given.action == "retain":
        return _retain(ledger, given, out)
    if given.action == "hold":
        start, end = read_time(given.start), read_time(given.end)
        keys = given.row_key or [""]
        for key in keys:
            one = set_hold(
                ledger, actor(), given.reason, use_case=given.use_case or "", row_key=key, starts_at=start, ends_at=end
            )
            out.write(f"{one}\n")
    elif given.action == "lift":
        if len(given.values) != 1 or not given.values[0].isdigit():
            raise ConfigurationError("needs the number of one hold", about="privacy lift")
        out.write(f"{lift_hold(ledger, int(given.values[0]), actor(), given.reason)}\n")
    else:
        found_holds = holds(ledger, lifted=True)
        out.write("\n".join(map(str, found_holds)) + "\n" if found_holds else "Nothing is held.\n")
    return 0


def _read(values: list[str]) -> Iterator[str]:
    """The values; `-` asks for one without showing it, or reads a line each, so that no shell keeps them."""
    for value in values:
        if value != "-":
            yield value
        elif sys.stdin.isatty():
            yield getpass.getpass("Value (not shown): ")
        else:
            yield from (line.strip() for line in sys.stdin if line.strip())


def _named(given: argparse.Namespace) -> Target:
    """Rows by key; with a value as well, the keys narrow down what is found."""
    if given.row_key and not given.use_case:
        raise ConfigurationError("a row key is one of a use case: give --use-case", about=f"privacy {given.action}")
    if given.values or not given.row_key:
        return Target()
    return Target({given.use_case: sorted(set(given.row_key))})


def _tell(ledger: Database, given: argparse.Namespace, found: Located, out: TextIO) -> int:
    lines = report(ledger, Settings.read(), _narrowed(given, found))
    if given.form == "json":
        out.write(json.dumps(lines, indent=1, ensure_ascii=False) + "\n")
    elif given.form == "csv":
        writer = csv.DictWriter(out, COLUMNS, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    else:
        sent = sum(line["what"] == "sent" for line in lines)
        out.write("".join(f"{line}\n" for line in words_of(lines)))
        out.write(f"{found.target.rows:,} rows, {sent:,} calls\n")
        out.write("".join(f"{line}\n" for line in _not_looked(found)))
    return 0


def _not_looked(found: Located) -> Iterator[str]:
    if found.gone:
        runs = ", ".join(found.gone[:5]) + (" ..." if len(found.gone) > 5 else "")
        yield f"Not looked through: the staged rows of {len(found.gone):,} runs are not there any more ({runs})"


def _narrowed(given: argparse.Namespace, found: Located) -> Located:
    """Of what was found, the rows of the use case and with the keys that are given."""
    target = without(found.target, given.row_key)
    if given.use_case:
        target = Target({name: keys for name, keys in target.keys.items() if name == given.use_case}, target.loose)
    return Located(target, found.shown, found.gone)


def _erase(ledger: Database, given: argparse.Namespace, found: Located, out: TextIO) -> int:
    target = _narrowed(given, found).target
    with transaction(ledger) as connection:
        before = erasure.preview(connection, target)
    out.write("".join(f"{line}\n" for line in _preview(target, before)))
    out.write("".join(f"{line}\n" for line in _not_looked(found)))
    if not given.yes:
        out.write("Nothing was done. To erase it: the same with --reason and --yes\n")
        return 0
    done = erasing.erase(ledger, EnvironmentConnections(), Settings.read(), target, actor(), given.reason)
    return _say_erased(done, out)


def _preview(target: Target, before: Preview) -> Iterator[str]:
    for name, keys in sorted(target.keys.items()):
        listed = ", ".join(sorted(keys)[:10]) + (" ..." if len(keys) > 10 else "")
        yield f"{name}: {len(keys):,} rows ({listed})"
    for table, refs in sorted(target.loose.items()):
        yield f"{table}: {len(refs):,} entries of rows without a key"
    rows = ", ".join(f"{name} {count:,}" for name, count in sorted(before.rows.items()))
    yield f"to be erased: {rows or 'nothing'}; erased before: {before.already:,}"
    if before.holds:
        yield f"UNDER LEGAL HOLD {', '.join(map(str, before.holds))}: it will be refused"
    if before.going_on:
        yield f"GOING ON: {', '.join(before.going_on)}: it will be refused until they are closed"


def _say_erased(done: list[erasing.Erased], out: TextIO) -> int:
    for one in done:
        rows = ", ".join(f"{name} {count:,}" for name, count in sorted(one.rows.items()))
        files = f"{one.staged.rewritten:,} staged files written anew, {one.staged.removed:,} lists removed"
        out.write(f"request {one.request.request_id}: {rows or 'no rows'}; {files}\n")
        out.write("".join(f"  {place}: {problem}\n" for place, problem in one.staged.problems.items()))
    if not done:
        out.write("Nothing is left to go on with.\n")
    unfinished = [one for one in done if not one.complete]
    if unfinished:
        out.write("Not all is done: mend what is named, then `nightledger privacy go-on`\n")
    return 1 if unfinished else 0


def _retain(ledger: Database, given: argparse.Namespace, out: TextIO) -> int:
    settings = Settings.read()
    found = retaining.find_due(ledger, settings)
    for due in found:
        held = f", {len(due.held):,} more under legal hold stay" if due.held else ""
        out.write(f"{due.use_case}: {due.policy}; {len(due.runs):,} runs are older{held}\n")
    if not found:
        out.write(f"Nothing is older than {settings.retention_file} lets it be.\n")
    if not given.yes:
        out.write("Nothing was done. To remove it: the same with --yes\n" if found else "")
        return 0
    done = retaining.retain(ledger, EnvironmentConnections(), settings, actor())
    rows = ", ".join(f"{name} {count:,}" for name, count in sorted(done.rows.items()))
    out.write(f"removed: {rows or 'no rows'}; {done.files:,} files; {len(done.months):,} empty months\n")
    out.write("".join(f"  {run}: {problem}\n" for run, problem in done.problems.items()))
    return 1 if done.problems else 0
