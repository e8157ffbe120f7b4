"""A real OpenSSH server for one test: started on a free port, its own keys, one login by key."""

from __future__ import annotations

import getpass
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.debian import find_program

SSHD = find_program("sshd", "openssh-server")
MISSING = "OpenSSH's server is not installed (apt-get install openssh-server)"


@dataclass(frozen=True)
class OpenSsh:
    """Where the server listens and what a client needs; files are named by their full path."""

    port: int
    login: str
    host_key: str
    client_key: Path
    known_hosts: Path


def _key(path: Path) -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def running_sshd(folder: Path, *options: str) -> Iterator[OpenSsh]:
    """The server with its state in `folder`; `options` are lines of its configuration."""
    assert SSHD
    host_key, client_key = _key(folder / "host"), _key(folder / "client")
    (folder / "allowed").write_text(client_key + "\n")
    port = _free_port()
    lines = [
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {folder}/host",
        f"AuthorizedKeysFile {folder}/allowed",
        "PidFile none",
        "StrictModes no",
        "PermitRootLogin yes",
        "UsePAM no",
        "PasswordAuthentication no",
        "Subsystem sftp internal-sftp",
        *options,
    ]
    (folder / "sshd_config").write_text("\n".join(lines) + "\n")
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    Path("/run/sshd").mkdir(exist_ok=True)  # where Debian's server locks itself in before a login
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "sshd_config"], stderr=log)
    try:
        _wait(port, server)
        yield OpenSsh(port, getpass.getuser(), host_key, folder / "client", folder / "known_hosts")
    finally:
        server.terminate()
        server.wait(10)


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        assert server.poll() is None, "sshd ended at once; its folder holds the log"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise TimeoutError("sshd did not listen")
