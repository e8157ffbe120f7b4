"""`nightledger`: the embedded stack, and every command of `include.cli` with the connections of this stack.

What is set in the environment or in `.env` wins over the stack's own.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from include.commands import COMMANDS, needs_connections
from include.errors import ConfigurationError, NightledgerError
from include.models import Interval, Mode
from include.spec.chains import chain_of, in_order
from include.spec.names import names

if TYPE_CHECKING:
    from include.demo.stack.stack import Stack

INTERRUPTED = 130
GENERATED = "generated"
FIRST = "crm_lead_scoring"
"""The use case of `night` unless another is named."""
STACK_COMMANDS = ("up", "night", "nights", "backfill", "down", "status", "run")
STAGES = ("extract", "check", "enrich", "gate", "write", "close", "all")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 a finding or a night that failed, 2 an error that says what to do, 3 a defect."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        data, rest = _take_data(arguments)
        if _is_own(rest):
            return _run_own(data, rest)
        return _run(_parser().parse_args(rest), data)
    except (NightledgerError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; what this command had begun is ended.", file=sys.stderr)
        return INTERRUPTED


def _interrupt(number: int, frame: Any) -> NoReturn:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nightledger", description=__doc__)
    meaning = f"folder of CSV files for the sandbox, or `{GENERATED}`; default: generated data for `up` and `night`, "
    parser.add_argument("--data", metavar="FOLDER", help=meaning + "else what was used last")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("up", help="start everything and say where Airflow is")
    night = commands.add_parser("night", help="one whole night through Airflow, and its morning report")
    night.add_argument("use_case", nargs="?", choices=names(), default=FIRST, help=f"default: {FIRST}")
    nights = commands.add_parser("nights", help="one whole night of every use case")
    for one in (night, nights):
        one.add_argument("--date", default="", help="day on which it begins, or `yesterday` (default: last night)")
        one.add_argument("--mode", default="auto", help=f"{', '.join(Mode)} (default: auto)")
    backfill = commands.add_parser(
        "backfill", help="the nights of a range, one after the other, on the stack that is up"
    )
    backfill.add_argument("use_case", choices=names())
    backfill.add_argument("--from", dest="first", required=True, metavar="DATE", help="the first night")
    backfill.add_argument("--to", dest="last", required=True, metavar="DATE", help="the last night, included")
    backfill.add_argument("--mode", default="", help=f"{', '.join(Mode)} (default: the use case's)")
    backfill.add_argument("--again", action="store_true", help="also nights that have run; paid answers are reused")
    commands.add_parser("down", help="stop what this clone started")
    commands.add_parser("status", help="what runs")
    program = "a STAGE of a use case (extract ... close, all), or any PROGRAM with the settings of the stack that is up"
    run = commands.add_parser("run", help=program)
    run.add_argument("program", nargs=argparse.REMAINDER, metavar="PROGRAM")
    for name, (_, does) in COMMANDS.items():
        if name != "run":
            commands.add_parser(name, help=does)
    return parser


def _take_data(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """The value of `--data`, before the command or anywhere behind one of the stack's, and what is left."""
    parser = argparse.ArgumentParser(prog="nightledger", add_help=False, allow_abbrev=False)
    parser.add_argument("--data")
    first = next((at for at, word in enumerate(arguments) if word in (*STACK_COMMANDS, *COMMANDS)), len(arguments))
    end = first
    if arguments[first : first + 1] in (["up"], ["night"], ["nights"]):
        end = len(arguments)
    elif arguments[first : first + 1] == ["run"] and "".join(arguments[first + 1 : first + 2]).startswith("--data"):
        end = first + 3
    given, rest = parser.parse_known_args(list(arguments[:end]))
    return given.data, [*rest, *arguments[end:]]


def _is_own(arguments: Sequence[str]) -> bool:
    """Whether a command is one of `include.cli`."""
    name, second = [*arguments, "", ""][:2]
    return name in COMMANDS and (name != "run" or second in STAGES or second in ("-h", "--help"))


def _run_own(data: str | None, arguments: Sequence[str]) -> int:
    """Run a command of `include.cli` where its ledger and its systems are found."""
    from include.cli import main as run_command

    if needs_connections(arguments) and not {"-h", "--help"} & set(arguments):
        from include.demo.stack import stack
        from include.demo.stack.environment import PREFIX, read_environment
        from include.demo.stack.home import open_home

        given = read_environment()
        first_ledger = arguments[0] == "enrich" and not open_home(given).postgres.exists()  # it makes one
        if f"{PREFIX}NIGHTLEDGER_DB" in given:
            os.environ.update(given)
        elif first_ledger:
            os.environ.update(given | stack.ledger_alone())
        else:
            os.environ.update(stack.reach(_data_set(data)))
    return run_command(arguments)


def _data_set(text: str | None) -> Path | None:
    from include.demo.stack import stack
    from include.demo.stack.environment import read_environment
    from include.demo.stack.home import open_home

    if text is None:
        return stack.current_data(open_home(read_environment()))
    return None if text == GENERATED else Path(text).resolve()


def _run(given: argparse.Namespace, data: str | None) -> int:
    from include.demo.stack import stack

    if given.command == "down":
        stopped = stack.down()
        print(f"Stopped {', '.join(stopped)}." if stopped else "Nothing was running.")
        return 0
    if given.command == "status":
        for name, state, log in stack.status():
            print(f"{name:15} {state:30} {log}")
        return 0
    if given.command == "run":
        if not given.program:
            raise ConfigurationError("names no program", about="run", action="E.g. `nightledger run airflow dags list`")
        running = stack.up(lambda line: print(line, file=sys.stderr), _data_set(data), renew=False)
        environment = dict(running.environment)
        os.execvpe(given.program[0], given.program, environment)  # noqa: S606
    if given.command == "backfill":
        from include.demo.stack import backfill

        _require_mode(given.mode or Mode.SHADOW)
        start, end = backfill.read_range(given.first, given.last, datetime.now(UTC))
        api = stack.up(_say, _data_set(data)).api
        conf = {"mode": given.mode} if given.mode else {}
        _say(backfill.create(api, given.use_case, start, end, conf, again=given.again))
        _say(f"Its nights: {api.base_url}/nightledger/nights?use_case={given.use_case}")
        return 0
    return _run_night(given, _data_set(data or GENERATED))


def _require_mode(text: str) -> None:
    if text not in list(Mode):
        raise ConfigurationError(f"{text!r} is none of {', '.join(Mode)}", about="mode")


def _run_night(given: argparse.Namespace, data: Path | None) -> int:
    """`up` and `night`: everything is checked before anything is touched."""
    from include.demo.stack import night, stack
    from include.demo.stack.environment import read_environment
    from include.demo.stack.home import open_home

    chosen = night.choose_night(getattr(given, "date", ""), data, datetime.now(UTC))
    if given.command != "up":
        _require_mode(given.mode)
    cases = {"night": lambda: chain_of(given.use_case), "nights": in_order}.get(given.command, lambda: [FIRST])()
    home = open_home(read_environment())
    busy = night.followed(home)
    if busy and (given.command != "up" or data != stack.current_data(home)):
        raise ConfigurationError("is run by another command of this clone", about=busy, action="Wait for it to end")
    began = time.monotonic()
    _say("Starting what does not run yet; usually half a minute, a minute the first time:")
    running = stack.up(_say, data, cases)
    _say(f"Up after {time.monotonic() - began:.0f} s.")
    ended = night.put_right(running)
    if ended:
        _say(f"The command that followed {ended} was killed; that run is ended, and its DAG is as it was before.")
    if given.command == "up":
        _say_where(running, FIRST)
        return 0
    if given.command == "night":
        cases = [case for case in cases if case == given.use_case or not night.has_succeeded(running, case, chosen)]
        _say_before(cases[:-1], given.use_case)
    ends = [_one_night(running, case, chosen, given.mode) for case in cases]
    _say_where(running, cases[0])
    for case, (run_id, good) in zip(cases, ends, strict=True):
        _say(f"This run: {running.api.base_url}/dags/{case}/runs/{run_id}" + ("" if good else "  FAILED"))
    return 0 if all(good for _, good in ends) else 1


def _one_night(running: Stack, case: str, chosen: Interval, mode: str) -> tuple[str, bool]:
    """Run a use case's night and print its report; the DAG run's id, and whether both went well."""
    from include.demo.stack import night

    run_id, good = night.run_night(running, chosen, _say, mode, case)
    printed = night.print_report(running, run_id, chosen, case)
    return run_id, good and printed == 0


def _say_before(before: Sequence[str], case: str) -> None:
    if before:
        _say(f"{case} works with the answers of {', '.join(before)}, whose night comes first.")


def _say(line: str) -> None:
    print(line, flush=True)


def _say_where(running: Stack, case: str) -> None:
    _say(f"Airflow: {running.api.base_url}  user admin, password in {running.home.password_file}")
    switched = running.api.switched()
    on = ", ".join(sorted(name for name, is_on in switched.items() if is_on))
    off = ", ".join(sorted(name for name, is_on in switched.items() if not is_on))
    _say(f"On: {on or 'no DAG'}. Off: {off or 'no DAG'}.")
    unread = {
        file.stem for file in Path(running.environment["AIRFLOW__CORE__DAGS_FOLDER"]).glob("*.py")
    } - switched.keys()
    if unread:
        _say(f"Airflow is still reading {', '.join(sorted(unread))}.")
    if not switched.get(case, True):
        _say(f"{case} is off; switching it on starts last night's run in mode shadow, unless that night has run.")
    _say("Still running; `make down` stops everything.")


if __name__ == "__main__":
    sys.exit(main())
