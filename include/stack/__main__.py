"""`python -m include.stack up | night | down | status | run`: the embedded default from the command line."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import date
from pathlib import Path

from include.errors import NightledgerError
from include.stack import night, stack


def main() -> int:
    """Run one command; 0 done, 1 the night failed, 2 the stack could not do it."""
    parser = argparse.ArgumentParser(prog="python -m include.stack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("up", "night"):
        command = commands.add_parser(name)
        command.add_argument("--data", type=Path, help="folder of CSV files for the sandbox instead of generated data")
        if name == "night":
            command.add_argument("--date", type=date.fromisoformat, help="start of the interval (default: last night)")
            command.add_argument("--mode", choices=["shadow", "gated", "auto"], default="auto")
    commands.add_parser("down", help="stop what this clone started")
    commands.add_parser("status", help="what runs")
    run = commands.add_parser("run", help="any command in the stack's environment, e.g. run airflow dags list")
    run.add_argument("--data", type=Path, help="the folder given to `up` or `night`, if one was")
    run.add_argument("argument", nargs=argparse.REMAINDER, metavar="COMMAND")
    given = parser.parse_args()
    try:
        return _run(given)
    except NightledgerError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2


def _run(given: argparse.Namespace) -> int:
    if given.command == "down":
        stopped = stack.down()
        print(f"Stopped {', '.join(stopped)}." if stopped else "Nothing was running.")
        return 0
    if given.command == "status":
        for name, state, log in stack.status():
            print(f"{name:15} {state:30} {log}")
        return 0
    if given.command == "run":
        environment = dict(stack.up(lambda line: print(line, file=sys.stderr), given.data).environment)
        os.execvpe(given.argument[0], given.argument, environment)  # noqa: S606
    print("Starting PostgreSQL, the sandbox and Airflow ...", flush=True)
    running = stack.up(_say, given.data)
    if given.command == "up":
        _say_where(running)
        print(f"{stack.DAG} is paused; switching it on starts last night's run in mode shadow.")
        return 0
    good = night.run_night(running, given.date, _say, given.mode)
    printed = night.print_report(running)
    _say_where(running)
    return 0 if good and printed == 0 else 1


def _say(line: str) -> None:
    print(line, flush=True)


def _say_where(running: stack.Stack) -> None:
    print(f"Airflow: {running.api.base_url}  user admin, password in {running.home.password_file}")
    print("Still running; `make down` stops everything.")


if __name__ == "__main__":
    sys.exit(main())
