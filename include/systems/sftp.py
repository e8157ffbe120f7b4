"""One SFTP connection: keys and host keys as Airflow's SFTP provider names them, every failure by its real cause."""

from __future__ import annotations

import io
import logging
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from include.errors import AccessDenied, ConfigurationError, NightledgerError, SystemUnavailable
from include.retry import MAX_ATTEMPTS, wait_seconds

if TYPE_CHECKING:
    from include.systems.connections import StoredConnection

log = logging.getLogger(__name__)
logging.getLogger("paramiko").setLevel(logging.WARNING)  # it would log lines about itself in every task

CONNECT_SECONDS = 20.0
_KEY_TYPES: tuple[type[paramiko.PKey], ...] = (paramiko.RSAKey, paramiko.ECDSAKey, paramiko.Ed25519Key)
_PORT = 22


class _UnknownHost(paramiko.SSHException):
    """The server's key is pinned nowhere."""


class _Refuse(paramiko.MissingHostKeyPolicy):
    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        raise _UnknownHost(hostname)


class _Session(paramiko.SFTPClient):
    """Requests leave together, as soon as somebody waits for an answer: one packet for many, not one for each.

    For one thread: paramiko's own prefetching, which asks from another one, must not be used on it.
    """

    _held = b""

    def _write_all(self, out: bytes) -> None:
        self._held += out

    def _read_packet(self) -> tuple[int, bytes]:
        held, self._held = self._held, b""
        super()._write_all(held)  # type: ignore[misc]
        return super()._read_packet()  # type: ignore[misc, no-any-return]


@contextmanager
def open_sftp(
    connection: StoredConnection, sleep: Callable[[float], None] = time.sleep
) -> Iterator[paramiko.SFTPClient]:
    """One SFTP session, its host key checked, closed on exit; a server that cannot take it now is asked again.

    The extra may hold `host_key`, `key_file` or `private_key` (PEM text), `private_key_passphrase` (else the password
    opens the key) and `conn_timeout` (seconds). Raises ConfigurationError for a key, passphrase or host key that is
    wrong, AccessDenied for a refused login, SystemUnavailable when the retry ladder is climbed.
    """
    arguments = _arguments(connection)
    client, session = _connect(connection, arguments, sleep)
    try:
        yield session
    finally:
        client.close()


def _arguments(connection: StoredConnection) -> dict[str, Any]:
    """What `SSHClient.connect` is given; a login without password and key is refused here."""
    key = _read_key(connection)
    if key is None and not connection.password:
        raise ConfigurationError(
            "neither a password nor a key",
            system=connection.conn_id,
            action="Set `private_key` or `key_file` in the connection's extra, or its password",
        )
    try:
        seconds = float(connection.extra.get("conn_timeout") or CONNECT_SECONDS)
    except (TypeError, ValueError) as error:
        raise ConfigurationError("extra `conn_timeout` is no number of seconds", system=connection.conn_id) from error
    return {
        "hostname": connection.host,
        "port": connection.port or _PORT,
        "username": connection.login,
        "password": connection.password or None,
        "pkey": key,
        "timeout": seconds,
        "banner_timeout": seconds,
        "auth_timeout": seconds,
        "channel_timeout": seconds,
        "allow_agent": False,
        "look_for_keys": False,
    }


def _connect(
    connection: StoredConnection, arguments: Mapping[str, Any], sleep: Callable[[float], None]
) -> tuple[paramiko.SSHClient, paramiko.SFTPClient]:
    for attempt in range(1, MAX_ATTEMPTS + 1):
        client = _client(connection)
        try:
            client.connect(**arguments)
            transport: Any = client.get_transport()
            transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else a request waits for an answer
            return client, cast("_Session", _Session.from_transport(transport))
        except (paramiko.SSHException, OSError, EOFError) as error:
            client.close()  # its thread would keep the socket, and servers count those that are not logged in
            known = _cause(connection, error)
            if known is not None:
                raise known from error
            if attempt == MAX_ATTEMPTS:
                raise _unavailable(connection, error) from error
            seconds = wait_seconds(attempt)
            log.warning("%s: cannot connect (%s), again in %.1f s", connection.conn_id, type(error).__name__, seconds)
            sleep(seconds)
        except BaseException:
            client.close()
            raise
    raise AssertionError("the last attempt returns or raises")


def _client(connection: StoredConnection) -> paramiko.SSHClient:
    """A client that knows the pinned host key and nothing else, or the user's known hosts where none is pinned."""
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(_Refuse())
    pinned = str(connection.extra.get("host_key") or "").split()[:2]
    if not pinned:
        client.load_system_host_keys()
        return client
    kind, data = pinned if len(pinned) == 2 else ("ssh-rsa", pinned[0])
    port = connection.port or _PORT
    name = connection.host if port == _PORT else f"[{connection.host}]:{port}"
    try:
        entry = paramiko.hostkeys.HostKeyEntry.from_line(f"{name} {kind} {data}")
    except (paramiko.SSHException, paramiko.hostkeys.InvalidHostKey, ValueError):
        entry = None
    if entry is None or entry.key is None:
        raise ConfigurationError("extra `host_key` is no public key", system=connection.conn_id)
    client.get_host_keys().add(name, entry.key.get_name(), entry.key)
    return client


def _cause(connection: StoredConnection, error: Exception) -> NightledgerError | None:
    """The error that waiting does not help; None for a server that did not take the connection this time."""
    system = connection.conn_id
    if isinstance(error, paramiko.BadHostKeyException):
        action = "Ask the server's owner whether its key was changed; if so put the new one in extra `host_key`"
        return ConfigurationError("the server's host key is not the pinned one", system=system, action=action)
    if isinstance(error, _UnknownHost):
        action = "Pin the server's key as extra `host_key`: its type and its base64"
        return ConfigurationError("the server's host key is not known", system=system, action=action)
    if isinstance(error, IncompatiblePeer):
        action = "Ask the server's owner to allow a current algorithm"
        return ConfigurationError("no algorithm in common with the server", system=system, action=action)
    if isinstance(error, paramiko.BadAuthenticationType):
        action = f"It takes: {', '.join(error.allowed_types)}. Set a key in the extra, or the password"
        return AccessDenied("the server does not take this kind of login", system=system, action=action)
    if isinstance(error, paramiko.AuthenticationException):
        if "EOF" in str(error) or "timeout" in str(error).lower():
            return _unavailable(connection, error)  # nobody was refused; asking at once could lock the account
        return AccessDenied("login refused", system=system, action="Renew the key or password of this connection")
    return None


def _unavailable(connection: StoredConnection, error: Exception) -> SystemUnavailable:
    detail = str(error) if isinstance(error, paramiko.SSHException) else getattr(error, "strerror", None)
    said = f"{type(error).__name__}: {detail}" if detail else type(error).__name__
    return SystemUnavailable(f"cannot connect ({said})", system=connection.conn_id, action="Retry later")


def _read_key(connection: StoredConnection) -> paramiko.PKey | None:
    """The private key from the extra's text or file, or None where there is neither."""
    text, file = (str(connection.extra.get(name) or "") for name in ("private_key", "key_file"))
    if text and file:
        raise ConfigurationError("extra has both `private_key` and `key_file`", system=connection.conn_id)
    if file:
        try:
            text = Path(file).expanduser().read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            problem = f"extra `key_file` cannot be read ({type(error).__name__})"
            raise ConfigurationError(problem, system=connection.conn_id, about=file) from error
    if not text:
        return None
    try:
        return _parse_key(text, None)
    except paramiko.PasswordRequiredException:
        return _open_key(connection, text)
    except paramiko.SSHException as error:
        action = "Give an RSA, ECDSA or Ed25519 key as `ssh-keygen` writes it"
        raise ConfigurationError("the private key cannot be read", system=connection.conn_id, action=action) from error


def _open_key(connection: StoredConnection, text: str) -> paramiko.PKey:
    passphrase = str(connection.extra.get("private_key_passphrase") or connection.password)
    if not passphrase:
        action = "Set `private_key_passphrase` in the connection's extra"
        problem = "the private key has a passphrase, none is given"
        raise ConfigurationError(problem, system=connection.conn_id, action=action)
    try:
        return _parse_key(text, passphrase)
    except paramiko.SSHException as error:
        action = "Correct `private_key_passphrase` in the connection's extra"
        problem = "the passphrase does not open the private key"
        raise ConfigurationError(problem, system=connection.conn_id, action=action) from error


def _parse_key(text: str, passphrase: str | None) -> paramiko.PKey:
    """The key in the text, tried as each type; raises PasswordRequiredException where a passphrase is missing."""
    failed = paramiko.SSHException("not a private key")
    for kind in _KEY_TYPES:
        try:
            return kind.from_private_key(io.StringIO(text), passphrase)
        except paramiko.PasswordRequiredException:
            raise
        except paramiko.SSHException as error:
            failed = error
    raise failed
