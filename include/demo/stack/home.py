"""Where the embedded stack keeps its state, and the secrets that are made once per clone."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from include.demo.stack.errors import StackError
from include.private import close_folder, make_folder
from include.settings import ROOT


@dataclass(frozen=True, slots=True)
class Home:
    """The state folder, private to this account; nothing of it is ever committed."""

    folder: Path

    @property
    def postgres(self) -> Path:
        """Data folder of PostgreSQL."""
        return self.folder / "postgres"

    @property
    def airflow(self) -> Path:
        """AIRFLOW_HOME."""
        return self.folder / "airflow"

    @property
    def logs(self) -> Path:
        """One log per process of the stack."""
        return self.folder / "logs"

    @property
    def records(self) -> Path:
        """One record per process that was started."""
        return self.folder / "run"

    @property
    def night_file(self) -> Path:
        """What is to be put right when a night that was followed has ended; there while one is."""
        return self.folder / "night.json"

    @property
    def password_file(self) -> Path:
        """Airflow's login, as its simple auth manager reads it."""
        return self.folder / "airflow-password.json"


FORMAT = 1
"""Of the state folder; one more when an earlier version could not read what this one leaves there."""
ROOM_BYTES = 500_000_000


def open_home(environment: Mapping[str, str]) -> Home:
    """The state folder from `NIGHTLEDGER_HOME`, by default `.nightledger` beside the code; made when missing.

    Raises StackError for one that a newer version made, and where nothing can be written.
    """
    home = Home(Path(environment.get("NIGHTLEDGER_HOME") or ROOT / ".nightledger").resolve())
    elsewhere = "Set NIGHTLEDGER_HOME to another folder"
    try:
        for folder in (home.airflow, home.logs, home.records):
            make_folder(folder)
        close_home(home)
        mark = home.folder / "format"
        made_by = int(mark.read_text(encoding="utf-8")) if mark.exists() else 0
        if made_by > FORMAT:
            raise StackError(
                "made by a newer Nightledger", about=str(home.folder), action=f"Use that version. {elsewhere}"
            )
        if made_by < FORMAT:
            write_private(mark, f"{FORMAT}\n")
    except OSError as error:
        problem = f"nothing can be written there: {error.strerror}"
        raise StackError(problem, about=str(home.folder), action=elsewhere) from error
    return home


def require_room(home: Home) -> None:
    """Raise StackError if the disk is all but full: half a database is worse than none."""
    free = shutil.disk_usage(home.folder).free
    if free < ROOM_BYTES:
        raise StackError(
            f"{free // 1_000_000} MB are free there, {ROOM_BYTES // 1_000_000} are needed",
            about=str(home.folder),
            action="Make room, or set NIGHTLEDGER_HOME to a folder on another disk",
        )


def close_home(home: Home) -> None:
    """Let nobody else look into the state folder; started by root, PostgreSQL's own account has to pass through it."""
    close_folder(home.folder, 0o711 if os.getuid() == 0 else 0o700)


SECRETS = ("jwt", "api", "admin", "token", "airflow", "nightledger_owner", "nightledger_service", "warehouse_service")


def open_secrets(home: Home) -> dict[str, str]:
    """The clone's secrets by name; those that are missing are made."""
    path = home.folder / "secrets.json"
    known: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    made = {name: secrets.token_urlsafe(32) for name in SECRETS if name not in known}
    if "fernet" not in known:
        made["fernet"] = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    if made:
        known |= made
        write_private(path, json.dumps(known, indent=1))
    others = json.loads(home.password_file.read_text(encoding="utf-8")) if home.password_file.exists() else {}
    write_private(home.password_file, json.dumps({**others, "admin": known["admin"]}))
    return known


def write_private(path: Path, text: str) -> None:
    """Write a file that only this account may read, all of it or nothing."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


def free_port(preferred: int) -> int:
    """The preferred port if nobody uses it, else any free one; on loopback."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise StackError("no free port on 127.0.0.1", system="stack")
