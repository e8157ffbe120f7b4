"""Histories of several workers on one key and one ledger, each enriching a file of which neighbours share rows."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from functools import partial

from tests.faults.world import CONCURRENCY, HANGS_SECONDS, LEASE_SECONDS, World, wait_until

WORKERS, ROWS, OVERLAP = 3, 60, 20
SECONDS = 6.0
"""How long the nemesis acts, from the first call that arrives."""
DAY = 86_400.0
MODEL_FAULTS = {
    "storm of 429": {"rate_limited": 0.6},
    "5xx": {"http_500": 0.3, "http_503": 0.3},
    "resets": {"reset": 0.4},
    "silence": {"timeout": 0.2},
    "malformed": {"prose": 0.2, "truncated": 0.2, "wrong_enum": 0.1, "fenced": 0.1},
    "calm": {},
}

Workers = dict[int, "subprocess.Popen[str]"]


def start(here: World, number: int, *, clock: float = 0.0, disk: int | None = None) -> subprocess.Popen[str]:
    """Start worker `number` on its file."""
    source, result = here.folder / f"rows-{number}.jsonl", here.folder / f"result-{number}.jsonl"
    files = ["--input", source, "--output", result, "--prompt", here.folder / "prompt.md"]
    what = ["--output-model", "tests.faults.lead:Lead", "--model", "sandbox-small", "--rpm", 6_000]
    limits = ["--concurrency", CONCURRENCY, "--budget", 1, "--max-output-tokens", 100]
    arguments = ["enrich", "--system", "model", *files, *what, *limits]
    return here.command(f"worker-{number}", arguments, clock=clock, disk=disk)


def write_rows(here: World, rows: int = ROWS, overlap: int = OVERLAP) -> None:
    """A file for each worker; neighbours share some rows, and one line of each is no row."""
    (here.folder / "prompt.md").write_text("You score leads.")
    for number in range(WORKERS):
        with (here.folder / f"rows-{number}.jsonl").open("w") as file:
            for row in range(number * (rows - overlap), number * (rows - overlap) + rows):
                file.write(json.dumps({"company": f"Works {row}", "employees": row, "job_title": "Buyer"}) + "\n")
            file.write("this is no JSON\n")


def await_first_call(here: World, running: Workers) -> None:
    """The nemesis waits: what it did before would have hit nothing."""
    ended = lambda: all(process.poll() is not None for process in running.values())  # noqa: E731
    wait_until(lambda: here.model.first.is_set() or ended(), HANGS_SECONDS)
    assert here.model.first.is_set(), f"no call arrived: {here.said('worker-0')}"


def finish(here: World, running: Workers) -> None:
    """Let all workers come to their end."""
    for number, process in running.items():
        here.finish(f"worker-{number}", process, partial(start, here, number))


def again(here: World) -> None:
    """The same files once more, in peace."""
    finish(here, {number: start(here, number) for number in range(WORKERS)})


def storm(here: World) -> None:
    """Kills in the air, restarts of the ledger, full disks and whatever the model endpoint can do wrong."""
    write_rows(here)
    running = {number: start(here, number, clock=here.chance.choice([0, -9, 9])) for number in range(WORKERS)}
    await_first_call(here, running)
    until = time.monotonic() + SECONDS
    _strike(here, running, "kill")
    while time.monotonic() < until:
        time.sleep(here.chance.uniform(0.2, 1.0))
        _strike(here, running, here.chance.choice([*MODEL_FAULTS, "kill", "kill", "ledger", "disk"]))
    here.calm()
    finish(here, running)


def _strike(here: World, running: Workers, deed: str) -> None:
    alive = [number for number, process in running.items() if process.poll() is None]
    if not alive:
        return
    here.deeds.append(deed)
    if deed in MODEL_FAULTS:
        here.fail(MODEL_FAULTS[deed])
    elif deed == "ledger":
        here.restart_ledger()
    else:
        number = here.chance.choice(alive)
        if here.kill(running[number]):
            disk, clock = 4_096 if deed == "disk" else None, here.chance.choice([0.0, -9.0, 9.0])
            running[number] = start(here, number, clock=clock, disk=disk)


def tails(here: World) -> None:
    """One in two hundred to three in a hundred calls take twenty times as long; that ends nobody's work."""
    write_rows(here, rows=300, overlap=60)
    here.model.rates = {"slow": here.chance.choice([0.005, 0.015, 0.03])}
    running = {number: start(here, number) for number in range(WORKERS)}
    await_first_call(here, running)
    finish(here, running)
    here.calm()
    assert not here.gave_up, f"a worker gave up on slow calls: {here.gave_up[0]}"


def lies(here: World) -> None:
    """One of ten answers claims two thousand million tokens; that is neither believed nor does it end the work."""
    write_rows(here)
    here.model.rates = {"lie": 0.1}
    running = {number: start(here, number) for number in range(WORKERS)}
    await_first_call(here, running)
    finish(here, running)
    here.calm()
    assert not here.gave_up, f"a worker gave up: {here.gave_up[0]}"


def pauses(here: World) -> None:
    """A worker is stopped while its calls are in the air, for longer than every lease; it wakes after."""
    write_rows(here)
    number = here.chance.randrange(WORKERS)
    running = {number: start(here, number)}
    await_first_call(here, running)
    running[number].send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    here.effects["pause"] += 1
    try:
        others = {other: start(here, other) for other in range(WORKERS) if other != number}
        for other, process in others.items():
            here.finish(f"worker-{other}", process, partial(start, here, other), seconds=90)
        time.sleep(max(0.0, stopped + 2 * LEASE_SECONDS - time.monotonic()))
    finally:
        running[number].send_signal(signal.SIGCONT)
    finish(here, running)


def clocks(here: World) -> None:
    """Workers whose clocks are a day off share the ceilings of everybody's day."""
    write_rows(here)
    running = {number: start(here, number, clock=off) for number, off in enumerate((-DAY, 0.0, DAY))}
    await_first_call(here, running)
    finish(here, running)
    assert not here.gave_up, f"a worker gave up: {here.gave_up[0]}"
    here.effects["wrong clock"] += 2


def disks(here: World) -> None:
    """The ledger's disk is full for a while, and then a worker's own when it writes what it has paid for."""
    write_rows(here)
    with here.ledger_disk_full(here.chance.randint(48, 256) * 1024):
        running = {number: start(here, number) for number in range(WORKERS)}
    finish(here, running)
    (here.folder / "result-0.jsonl").unlink()
    full = start(here, 0, disk=4_096)
    here.effects["disk full"] += full.wait(HANGS_SECONDS) == 2
    finish(here, {0: start(here, 0)})
