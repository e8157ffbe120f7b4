"""Play histories, some at a time, and say in a line each what happened: `python -m tests.faults --histories 200`.

Ctrl-C ends what runs, and tells what there is. The exit code is 1 if a history failed or none was played.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from include.settings import ROOT
from tests.faults.history import KINDS, Told, play
from tests.faults.world import TEMPLATE, make_template, stop_server

LONGEST_SECONDS = 900.0
Running = dict["subprocess.Popen[str]", tuple[str, int, float]]


def main() -> int:
    """Play what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--histories", type=int, default=200, metavar="NUMBER")
    parser.add_argument("--first", type=int, default=1, metavar="SEED", help="the seed also says which kind is played")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only these (default: all in turn)")
    parser.add_argument("--at-a-time", type=int, default=2, metavar="NUMBER")
    parser.add_argument("--one", nargs=2, metavar=("KIND", "SEED"), help="play it in this process")
    parser.add_argument("--keep", type=Path, default=ROOT / ".nightledger" / "faults" / "history.txt", metavar="FILE")
    given = parser.parse_args()
    given.keep.parent.mkdir(parents=True, exist_ok=True)
    if given.one:
        play(given.one[0], int(given.one[1]), given.keep)
        return 0
    for number in (signal.SIGINT, signal.SIGTERM):  # also where whoever started this ignores the first
        signal.signal(number, signal.default_int_handler)
    kinds = given.kind or list(KINDS)
    seeds = range(given.first, given.first + given.histories)
    return _play_all([(kinds[(seed - 1) % len(kinds)], seed) for seed in seeds], given.at_a_time, given.keep)


def _play_all(chosen: Sequence[tuple[str, int]], at_a_time: int, keep: Path) -> int:
    keep.unlink(missing_ok=True)
    began, ended, running = time.monotonic(), Counter[bool](), Running()
    with tempfile.TemporaryDirectory(prefix="nightledger-faults-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        try:
            if TEMPLATE not in os.environ:
                os.environ[TEMPLATE] = str(make_template(folder))
            os.environ["TMPDIR"] = name
            left = list(reversed(chosen))
            while left or running:
                while left and len(running) < at_a_time:
                    kind, seed = left.pop()
                    running[_start(kind, seed, keep, folder)] = (kind, seed, time.monotonic())
                ended.update(_end(running, keep, folder))
                _tell(keep, ended)
                time.sleep(0.2)
        except KeyboardInterrupt:
            print("stopped")
        finally:
            _stop(running, keep, folder, "stopped")
            _tell(keep, ended)
            _save_failed(folder, keep.parent)
    failed = ended[False]
    minutes = (time.monotonic() - began) / 60
    print(f"{ended.total()} of {len(chosen)} histories in {minutes:.1f} min, {failed} failed; {keep}")
    return 1 if failed or not ended.total() else 0


def _start(kind: str, seed: int, keep: Path, folder: Path) -> subprocess.Popen[str]:
    """A history in a process and session of its own, which Ctrl-C does not reach."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.faults", "--one", kind, str(seed), "--keep", str(keep)]
    with (folder / f"{kind.replace(' ', '-')}-{seed}.log").open("w") as log:
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, text=True, start_new_session=True)


def _end(running: Running, keep: Path, folder: Path) -> Iterator[bool]:
    """Whether each history that has ended passed; one that hangs is ended."""
    for process, (_, _, began) in list(running.items()):
        if process.poll() is None and time.monotonic() - began > LONGEST_SECONDS:
            _stop({process: running[process]}, keep, folder, "hung")
        if process.poll() is not None:
            del running[process]
            yield process.returncode == 0


_told: list[int] = [0]


def _tell(keep: Path, ended: Counter[bool]) -> None:
    """Print the lines that came since."""
    lines = keep.read_text().splitlines() if keep.exists() else []
    for line in lines[_told[0] :]:
        print(line, flush=True)
    _told[0] = len(lines)


def _stop(running: Running, keep: Path, folder: Path, why: str) -> None:
    """kill -9 for histories and what they started; the database servers, which have sessions of their own, too."""
    for process, (kind, seed, began) in running.items():
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for data in folder.glob(f"nightledger-history-{seed}-*/postgres"):
            stop_server(data)
        with keep.open("a") as file:
            file.write(Told(kind, seed, time.monotonic() - began, problem=why).as_text() + "\n")


def _save_failed(folder: Path, into: Path) -> None:
    """Keep the logs of histories that failed, beside the line of each."""
    for history in folder.glob("nightledger-history-*"):
        for log in (*history.glob("*.log"), *history.glob("history.txt")):
            place = into / history.name / log.name
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(log.read_bytes())


if __name__ == "__main__":
    sys.exit(main())
