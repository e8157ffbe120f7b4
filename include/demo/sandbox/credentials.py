"""Secrets of one state folder: made once, readable by their owner only, and never the same in two folders."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

import asyncssh

from include.demo.sandbox.journal import write_atomically
from include.demo.sandbox.sftp import SftpKeys

_OWNER_ONLY = 0o600


@dataclass(frozen=True)
class Credentials:
    """Tokens, keys and password of the stand-ins."""

    crm_token: str
    expired_token: str
    readonly_token: str
    model_key: str
    sftp_password: str
    erp_password: str
    webhook_secret: str
    desk_token: str


def credentials_of(state: Path) -> Credentials:
    """Read `secrets.json`, or make it; what an older one lacks is added."""
    path = state / "secrets.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    made = Credentials(
        crm_token=f"pat-sandbox-{secrets.token_hex(16)}",
        expired_token=f"pat-sandbox-expired-{secrets.token_hex(16)}",
        readonly_token=f"pat-sandbox-readonly-{secrets.token_hex(16)}",
        model_key=f"sk-sandbox-{secrets.token_hex(20)}",
        sftp_password=secrets.token_urlsafe(18),
        erp_password=secrets.token_urlsafe(18),
        webhook_secret=f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}",
        desk_token=secrets.token_hex(20),
    )
    whole = {**asdict(made), **known}
    if whole.keys() != known.keys():
        write_atomically(path, json.dumps(whole, indent=1), _OWNER_ONLY)
    return Credentials(**whole)


def sftp_keys_of(state: Path, password: str) -> SftpKeys:
    """Host and client key under `keys/`, made if absent (Ed25519, OpenSSH format, no passphrase)."""
    return SftpKeys(password, _key(state / "keys" / "host_ed25519"), _key(state / "keys" / "client_ed25519"))


def _key(path: Path) -> Path:
    if not path.exists():
        key = asyncssh.generate_private_key("ssh-ed25519", comment="nightledger-sandbox")
        write_atomically(path, key.export_private_key().decode("ascii"), _OWNER_ONLY)
        write_atomically(path.with_name(f"{path.name}.pub"), key.export_public_key().decode("ascii"))
    return path
