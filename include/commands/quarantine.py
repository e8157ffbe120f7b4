"""`quarantine`: list, show, replay, mark as fixed, dismiss and export rows that were set aside."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from include.commands.dead_letters import actor, read_time
from include.errors import ConfigurationError
from include.ledger import door
from include.ledger.quarantine import (
    STATUSES,
    Counts,
    Filter,
    QuarantinedRow,
    count_by,
    dismiss,
    list_rows,
    mark_fixed,
    show,
)
from include.ledger.quarantine_replays import Selection
from include.operations.replay_quarantine import replay_quarantined
from include.settings import Settings
from include.spec.names import names
from include.systems.connections import Connections, EnvironmentConnections

ACTIONS = ("list", "show", "replay", "fixed", "dismiss", "export")


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("numbers", nargs="*", type=int, help="of entries, instead of or beside filters")
    parser.add_argument("--use-case", choices=names())
    parser.add_argument("--expectation", help="its id, or 'could not be read'")
    parser.add_argument("--owner", help="who can mend the rows at their source, by the registry")
    parser.add_argument("--key", dest="row_key", help="the record's id at its source")
    parser.add_argument("--run", dest="run_id", help="the run that set the rows aside")
    parser.add_argument("--from", dest="start", metavar="ISO", help="nights that start at this time or later, UTC")
    parser.add_argument("--to", dest="end", metavar="ISO", help="nights that start before this time, UTC")
    parser.add_argument(
        "--status", choices=["waiting", *STATUSES, "any"], default="waiting", help="for list and export"
    )
    parser.add_argument("--after", type=int, metavar="NUMBER", help="for list: go on below this entry")
    parser.add_argument("--limit", type=int, default=50, metavar="ROWS", help="for list: rows of one page")
    parser.add_argument("--read-anew", action="store_true", help="for replay: read all chosen rows from their source")
    parser.add_argument(
        "--release", action="append", default=[], metavar="EXPECTATION", help="for replay: let rows pass"
    )
    parser.add_argument("--reason", help="why; kept with every row it is about")
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="for export: where the files go")
    parser.set_defaults(command=run)


def run(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0; 1 if a replayed row was set aside again or not reached, or a night could not run."""
    connections = EnvironmentConnections()
    if given.action == "replay":
        return _replay(connections, read_selection(vars(given)), out)
    ledger, chosen = door.open_ledger(connections), read_filter(vars(given))
    if given.action == "show":
        if len(given.numbers) != 1:
            raise ConfigurationError("needs the number of one entry", about="quarantine show")
        out.write(json.dumps(show(ledger, given.numbers[0]), indent=1, default=str, ensure_ascii=False) + "\n")
    elif given.action == "list":
        listed = _with_status(vars(given))
        for row in list_rows(ledger, listed, given.after, given.limit):
            out.write(_line(row) + "\n")
        out.write(_sums(count_by(ledger, listed)) + "\n")
    elif given.action == "export":
        _export(ledger, given, out)
    else:
        settle, said = (dismiss, "dismissed") if given.action == "dismiss" else (mark_fixed, "marked as fixed")
        out.write(f"{settle(ledger, chosen, actor(), given.reason or '')} rows {said}\n")
    return 0


def _replay(connections: Connections, selection: Selection, out: TextIO) -> int:
    done = replay_quarantined(connections, Settings.read(), selection, actor())
    for night in done:
        out.write(json.dumps(night, default=str) + "\n")
    total = {name: sum(night[name] for night in done) for name in ("rows", "passed", "again", "left_open")}
    said = f"{total['passed']} passed, {total['again']} were set aside again, {total['left_open']} still wait"
    out.write(f"{total['rows']} rows of {len(done)} nights replayed: {said}\n")
    bad = total["again"] or total["left_open"] or any(night["status"] != "succeeded" for night in done)
    return 1 if bad else 0


def _export(ledger: Any, given: argparse.Namespace, out: TextIO) -> None:
    from include.report.cleanup import write_cleanup

    if given.into is None:
        raise ConfigurationError("needs a folder: --into", about="quarantine export")
    given.into.mkdir(parents=True, exist_ok=True)
    settings = Settings.read()
    for owner, places in write_cleanup(ledger, settings, _with_status(vars(given)), given.into).items():
        out.write(f"{owner}: {', '.join(map(str, places))}\n")


def _line(row: QuarantinedRow) -> str:
    failed = ", ".join(row.expectations) or "; ".join(row.reasons)
    where = f"{row.use_case}  {row.interval.start:%Y-%m-%d}  {row.row_key or row.row_id}"
    return f"{row.number:>9}  {row.status:9}  {where}  {row.owner or '-'}  {failed[:200]}"


def _sums(counts: Counts) -> str:
    parts = [", ".join(f"{name or '-'} {rows:,}" for name, rows in one.items()) for one in _groups(counts)]
    return "\n".join([f"{counts.rows:,} rows", *(f"  {part}" for part in parts if part)])


def _groups(counts: Counts) -> Iterator[dict[str, int]]:
    yield from (counts.by_status, counts.by_owner, counts.by_expectation)


def read_filter(given: dict[str, Any]) -> Filter:
    """A filter from named values; raises ConfigurationError for a time that is none."""
    chosen = {name: given.get(name) or None for name in ("use_case", "expectation", "owner", "row_key", "run_id")}
    start, end, numbers = read_time(given.get("start")), read_time(given.get("end")), given.get("numbers") or ()
    return Filter(**chosen, start=start, end=end, numbers=tuple(numbers))


def read_selection(given: dict[str, Any]) -> Selection:
    """What a replay is about, from named values."""
    release = tuple(given.get("release") or ())
    return Selection(read_filter(given), bool(given.get("read_anew")), release, given.get("reason") or None)


def _with_status(given: dict[str, Any]) -> Filter:
    status = None if given["status"] == "any" else given["status"]
    return replace(read_filter(given), status=status)
