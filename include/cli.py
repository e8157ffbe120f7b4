"""Run any stage, read the ledger and print reports without Airflow: `nightledger --help`.

Connections come from `AIRFLOW_CONN_<ID>` variables, as in .env.example.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from include.commands import COMMANDS, NUMBERED
from include.errors import NightledgerError

log = logging.getLogger(__name__)
PROG = "nightledger"
_NOBODY_READS = 141
"""What a shell says of a command whose reader has gone, such as `head`: 128 and SIGPIPE."""


def main(arguments: Sequence[str] | None = None, out: TextIO = sys.stdout) -> int:
    """Run one command; returns the exit code: 0 done, 1 a finding, 2 an error that says what to do, 3 a defect."""
    gc.set_threshold(100_000, 50, 50)  # what is imported stays: to look through it again and again is wasted
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr)
    arguments = sys.argv[1:] if arguments is None else arguments
    given = _read(arguments)
    command: Callable[[argparse.Namespace, TextIO], int] = given.command
    try:
        code = command(given, out)
        out.flush()
        return code
    except BrokenPipeError:
        # As https://docs.python.org/3/library/signal.html#note-on-sigpipe: nothing is left to be flushed at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _NOBODY_READS
    except NightledgerError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 2
    except Exception:
        log.exception("this is a defect, or a system failed in a way that nobody foresaw")
        return 3


def _read(arguments: Sequence[str]) -> argparse.Namespace:
    """What was given; only the command that is named is imported, since each brings what it works with.

    The numbers of some may stand before their options, between them and behind them.
    """
    parser = argparse.ArgumentParser(prog=PROG, description="Nightledger without Airflow")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    known = {name: commands.add_parser(name, help=meaning) for name, (_, meaning) in COMMANDS.items()}
    command = known.get(next(iter(arguments), ""))
    if command is None:
        return parser.parse_args(arguments)
    importlib.import_module(f"include.commands.{COMMANDS[arguments[0]][0]}").add(command)
    return (command.parse_intermixed_args if arguments[0] in NUMBERED else command.parse_args)(arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
