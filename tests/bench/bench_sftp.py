"""2,000 small files from a real OpenSSH server: fetched and proven, against Debian's `sftp -b` on the same server."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from include.connections import EnvironmentConnections
from include.models import Interval
from include.sources.drops import fetch_drop, fetch_files
from include.use_case import FileDrop
from tests.core.openssh import MISSING, SSHD, OpenSsh, running_sshd

FILES, BYTES = 2_000, 2_000
ROUNDS = 3


def measure(work: Callable[[Path], None], folder: Path) -> tuple[float, float]:
    """The best of a few rounds, and its CPU in this process and its children, in seconds."""
    best = (float("inf"), 0.0)
    for number in range(ROUNDS):
        into = folder / str(number)
        into.mkdir(parents=True)
        before, started = os.times(), time.monotonic()
        work(into)
        after, seconds = os.times(), time.monotonic() - started
        best = min(best, (seconds, sum(after[:4]) - sum(before[:4])))
    return best


def baseline(sshd: OpenSsh, drop: Path, into: Path) -> None:
    batch = into / ".batch"
    batch.write_text("".join(f"get {path} {into}/{path.name}\n" for path in sorted(drop.iterdir())))
    command = ["sftp", "-q", "-b", batch, "-P", str(sshd.port), "-i", sshd.client_key]
    command += ["-o", f"UserKnownHostsFile={sshd.known_hosts}", f"{sshd.login}@127.0.0.1"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    if not SSHD or os.getuid() != 0:
        print(f"skipped: {MISSING}, or not root")
        return
    start = datetime(2026, 1, 1, tzinfo=UTC)
    declared = FileDrop("sftp", "", "", "orders_*.csv", (), "", "", "", settle_seconds=0)
    with tempfile.TemporaryDirectory() as name, running_sshd(Path(name)) as sshd:
        folder = Path(name)
        drop = folder / "drop"
        drop.mkdir()
        for number in range(FILES):
            data = os.urandom(BYTES)
            path = drop / f"orders_{number:04}.csv"
            path.write_bytes(data)
            path.with_name(f"{path.name}.sha256").write_text(hashlib.sha256(data).hexdigest())
        extra = {"host_key": sshd.host_key, "key_file": str(sshd.client_key)}
        given = {"host": "127.0.0.1", "port": sshd.port, "login": sshd.login, "extra": extra}
        connections = EnvironmentConnections({"AIRFLOW_CONN_SFTP": json.dumps(given)})
        there = replace(declared, folder=str(drop))

        def files(into: Path) -> None:
            with connections.sftp("sftp") as sftp:
                found = fetch_files(sftp, there, Interval(start, start + timedelta(days=1)), into)
            if len(found) != FILES or not all(file.checksum for file, _ in found):
                sys.exit("not every file was fetched and proven")

        def one_by_one(into: Path) -> None:
            with connections.sftp("sftp") as sftp:
                for number in range(FILES):
                    exact = replace(there, pattern=f"orders_{number:04}.csv")
                    fetch_drop(sftp, exact, Interval(start, start + timedelta(days=1)), into / "file")

        theirs = measure(lambda into: baseline(sshd, drop, into), folder / "theirs")
        print(f"{FILES:,} files of {BYTES:,} bytes, a sum beside each ({2 * FILES:,} files on the server)")
        print(f"sftp -b, nothing proven         {theirs[0]:6.2f} s  {theirs[1]:6.2f} CPU s")
        for said, work in (("all at once, each proven", files), ("one by one, as nights do", one_by_one)):
            ours = measure(work, folder / said)
            print(f"{said:<30}  {ours[0]:6.2f} s  {ours[1]:6.2f} CPU s  {ours[0] / theirs[0]:.2f} x")


if __name__ == "__main__":
    main()
