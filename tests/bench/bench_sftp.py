"""Files from a real OpenSSH server, each fetched as a night does and proven, against Debian's `sftp -b`."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from include.models import Interval
from include.night.extract.drops import fetch_drop
from include.systems.connections import EnvironmentConnections
from include.systems.files.drop import FileDrop
from tests.core.openssh import MISSING, SSHD, OpenSsh, running_sshd

DELIVERIES = ((2_000, 2_000), (3, 100_000_000))
"""Numbers of files, and bytes of each."""
ROUNDS = 5


Spent = tuple[float, float]


def measure(work: Callable[[Path], None], into: Path) -> Spent:
    """Seconds, and CPU seconds in this process and its children."""
    into.mkdir(parents=True)
    before, started = os.times(), time.monotonic()
    work(into)
    after, seconds = os.times(), time.monotonic() - started
    return seconds, sum(after[:4]) - sum(before[:4])


def compare(works: Sequence[Callable[[Path], None]], folder: Path) -> list[Spent]:
    """The best of a few rounds of each, in turns: what else the machine does meets all of them."""
    rounds = [[measure(work, folder / f"{turn}-{at}") for at, work in enumerate(works)] for turn in range(ROUNDS)]
    return [min(spent) for spent in zip(*rounds, strict=True)]


def baseline(sshd: OpenSsh, drop: Path, into: Path) -> None:
    batch = into / ".batch"
    batch.write_text("".join(f"get {path} {into}/{path.name}\n" for path in sorted(drop.iterdir())))
    command = ["sftp", "-q", "-b", batch, "-P", str(sshd.port), "-i", sshd.client_key]
    command += ["-o", f"UserKnownHostsFile={sshd.known_hosts}", f"{sshd.login}@127.0.0.1"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def deliver(drop: Path, files: int, size: int) -> list[str]:
    """The names of files of random bytes, each with its sum beside it."""
    drop.mkdir()
    names = [f"orders_{number:04}.csv" for number in range(files)]
    for name in names:
        data = os.urandom(size)
        (drop / name).write_bytes(data)
        (drop / f"{name}.sha256").write_text(hashlib.sha256(data).hexdigest())
    return names


def main() -> None:
    if not SSHD or os.getuid() != 0:
        print(f"skipped: {MISSING}, or not root")
        return
    start = datetime(2026, 1, 1, tzinfo=UTC)
    night = Interval(start, start + timedelta(days=1))
    with tempfile.TemporaryDirectory() as name, running_sshd(Path(name)) as sshd:
        extra = {"host_key": sshd.host_key, "key_file": str(sshd.client_key)}
        given = {"host": "127.0.0.1", "port": sshd.port, "login": sshd.login, "extra": extra}
        connections = EnvironmentConnections({"AIRFLOW_CONN_SFTP": json.dumps(given)})
        for files, size in DELIVERIES:
            folder = Path(name) / str(files)
            folder.mkdir()
            names = deliver(folder / "drop", files, size)
            declared = FileDrop("sftp", str(folder / "drop"), "", "", (), "", "", "", proof="checksum")

            def each(into: Path, names: list[str] = names, declared: FileDrop = declared) -> None:
                with connections.open("sftp", "sftp") as sftp:
                    for one in names:
                        if fetch_drop(sftp, replace(declared, pattern=one), night, into / "file") is None:
                            sys.exit("not every file was fetched and proven")

            theirs, ours = compare([partial(baseline, sshd, folder / "drop"), each], folder / "into")
            print(f"{files:,} files of {size:,} bytes, a sum beside each ({2 * files:,} files on the server)")
            print(f"sftp -b, nothing proven        {theirs[0]:6.2f} s  {theirs[1]:6.2f} CPU s")
            print(f"each as a night does, proven   {ours[0]:6.2f} s  {ours[1]:6.2f} CPU s  {ours[0] / theirs[0]:.2f} x")


if __name__ == "__main__":
    main()
