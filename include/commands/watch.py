"""`watch`: look for what calls for somebody, every few minutes or once, and tell it."""

from __future__ import annotations

import argparse
import os
import time
from typing import TextIO

from include.commands.dead_letters import actor
from include.errors import NightledgerError
from include.ledger import door
from include.operations.alerts.watch import Look, Watcher, look, rehearse
from include.settings import Settings
from include.systems.connections import EnvironmentConnections
from include.systems.registry import read_systems

EVERY_SECONDS = 300


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--once", action="store_true", help="look once and end")
    parser.add_argument("--dry-run", action="store_true", help="say what would be told, once; write and tell nothing")
    parser.add_argument("--every", type=int, default=EVERY_SECONDS, metavar="SECONDS", help="between two looks")
    parser.add_argument("--site", default="", metavar="URL", help="where Airflow is, for the links in messages")
    parser.set_defaults(command=run)


def run(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0; 1 when something severe stands."""
    connections, settings = EnvironmentConnections(), Settings.read()
    ledger = door.open_ledger(connections)
    site = given.site or os.environ.get("AIRFLOW__API__BASE_URL", "")
    watcher = Watcher.of(ledger, connections, read_systems(settings.systems_file), by=actor(), site=site)
    if given.dry_run or given.once:
        done = rehearse(watcher) if given.dry_run else look(watcher)
        _print(done, watcher, out, dry_run=given.dry_run)
        return 1 if done.severe else 0
    while True:
        _look_again(watcher, out)
        time.sleep(max(given.every, 1))


def _look_again(watcher: Watcher, out: TextIO) -> None:
    """One look of many: what passes by itself, such as a ledger that restarts, does not end the watch."""
    try:
        _print(look(watcher), watcher, out, dry_run=False)
    except NightledgerError as error:
        if error.verdict != "retry":
            raise
        out.write(f"{type(error).__name__}: {error}\n")
    out.flush()


def _print(done: Look, watcher: Watcher, out: TextIO, *, dry_run: bool) -> None:
    for one in done.standing:
        out.write(f"{one.severity:8} {one.use_case or 'all':24} {one.sentence}\n{'':33} {one.page}\n")
    for due in done.due if dry_run else ():
        alert = due.standing.alert
        out.write(f"would tell {due.channel}: {due.kind} {alert.severity} {alert.key}\n")
    told = "another watcher tells" if done.skipped else f"{done.told} messages sent"
    over = ", ".join(watcher.channel_names) or "none is stored"
    out.write(f"{len(done.standing)} alerts stand, {done.severe} severe, {done.silenced} silenced; channels: {over}; ")
    out.write("nothing written or sent\n" if dry_run else f"{told}\n")
    for name, why in done.failed:
        out.write(f"channel {name} {why}; told again at the next look\n")
