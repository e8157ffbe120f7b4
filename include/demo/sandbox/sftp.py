"""A real SFTP server, shut into one folder: key and password login, its own host key."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from pathlib import Path

import asyncssh

LOGIN = "nightledger"
FOLDERS = ("drop", "archive")


@dataclass(frozen=True)
class SftpKeys:
    """Who may log in and who the server says it is; the password and the private keys stay in the state folder."""

    password: str
    host_key: Path
    client_key: Path

    @property
    def public_host_key(self) -> str:
        """The host key as a client pins it: `ssh-ed25519 AAAA...`, without a name or comment."""
        text = asyncssh.read_private_key(str(self.host_key)).export_public_key().decode("ascii")
        return " ".join(text.split()[:2])


class _Door(asyncssh.SSHServer):
    """Accepts one login by password or by one key."""

    def __init__(self, keys: SftpKeys) -> None:
        self._keys = keys
        self._public = asyncssh.read_private_key(str(keys.client_key)).convert_to_public()

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        right = hmac.compare_digest(password.encode(), self._keys.password.encode())
        return right and username == LOGIN

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == LOGIN and bool(key == self._public)


class _Folder(asyncssh.SFTPServer):
    """The server's view of its folder: no links, since a link could lead out of it."""

    async def symlink(self, oldpath: bytes, newpath: bytes) -> None:
        raise asyncssh.SFTPPermissionDenied("links are not allowed")

    async def link(self, oldpath: bytes, newpath: bytes) -> None:
        raise asyncssh.SFTPPermissionDenied("links are not allowed")


async def listen(folder: Path, keys: SftpKeys, host: str, port: int) -> asyncssh.SSHAcceptor:
    """Serve `folder` with its `drop` and `archive`; port 0 takes a free one. Only SFTP: no shell, no forwarding."""
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)

    def open_folder(channel: asyncssh.SSHServerChannel[bytes]) -> _Folder:
        return _Folder(channel, chroot=str(folder).encode())

    return await asyncssh.listen(
        host,
        port,
        server_factory=lambda: _Door(keys),
        server_host_keys=[str(keys.host_key)],
        sftp_factory=open_folder,
        allow_scp=False,
        server_version="nightledger-sandbox",
    )
