"""The SFTP server works with the client that Airflow's SFTP hook uses, and keeps callers inside its folder."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

import paramiko
import pytest

from include.demo.sandbox.config import Endpoints


@contextmanager
def connect(endpoints: Endpoints, host_key: str | None = None, **login: str) -> Iterator[paramiko.SFTPClient]:
    client = paramiko.SSHClient()
    kind, _, data = (host_key or endpoints.sftp_host_key).partition(" ")
    name = f"[{endpoints.sftp_host}]:{endpoints.sftp_port}"
    entry = paramiko.hostkeys.HostKeyEntry.from_line(f"{name} {kind} {data}")
    assert entry is not None
    assert entry.key is not None
    client.get_host_keys().add(name, kind, entry.key)
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    client.connect(
        endpoints.sftp_host,
        port=endpoints.sftp_port,
        username=login.pop("username", endpoints.sftp_login),
        allow_agent=False,
        look_for_keys=False,
        timeout=10,
        **login,  # type: ignore[arg-type]
    )
    try:
        yield client.open_sftp()
    finally:
        client.close()


def test_login_by_key(endpoints: Endpoints) -> None:
    with connect(endpoints, key_filename=endpoints.sftp_key_file) as sftp:
        assert {"archive", "drop"} <= set(sftp.listdir("/"))


def test_a_file_is_read_archived_and_brought_back_by_password(endpoints: Endpoints) -> None:
    with connect(endpoints, password=endpoints.sftp_password) as sftp:
        name = next(each for each in sftp.listdir("drop") if re.fullmatch(r"firmographics_[0-9-]+\.csv", each))
        content = sftp.open(f"drop/{name}").read()
        assert b"domain," in content
        sftp.rename(f"drop/{name}", f"archive/{name}")
        assert name in sftp.listdir("archive")
        sftp.rename(f"archive/{name}", f"drop/{name}")


@pytest.mark.parametrize("login", [{"password": "wrong"}, {"username": "root", "password": "{password}"}])
def test_a_wrong_login_is_refused(endpoints: Endpoints, login: dict[str, str]) -> None:
    filled = {name: value.format(password=endpoints.sftp_password) for name, value in login.items()}
    with pytest.raises(paramiko.AuthenticationException), connect(endpoints, **filled):
        pass


def test_another_key_is_refused(endpoints: Endpoints) -> None:
    text = io.StringIO()
    paramiko.ECDSAKey.generate().write_private_key(text)
    key = paramiko.ECDSAKey.from_private_key(io.StringIO(text.getvalue()))
    with pytest.raises(paramiko.AuthenticationException), connect(endpoints, pkey=key):  # type: ignore[arg-type]
        pass


def test_a_server_with_another_host_key_is_refused(endpoints: Endpoints) -> None:
    other = paramiko.ECDSAKey.generate()
    with (
        pytest.raises(paramiko.SSHException),
        connect(endpoints, f"{other.get_name()} {other.get_base64()}", password=endpoints.sftp_password),
    ):
        pass


@pytest.mark.parametrize("path", ["/etc/passwd", "../secrets.json", "/../../../../etc/passwd", "drop/../../seed.json"])
def test_nobody_gets_out_of_the_folder(endpoints: Endpoints, path: str) -> None:
    with connect(endpoints, password=endpoints.sftp_password) as sftp, pytest.raises(OSError, match="No such file"):
        sftp.stat(path)


def test_links_are_refused(endpoints: Endpoints) -> None:
    with connect(endpoints, password=endpoints.sftp_password) as sftp, pytest.raises(OSError):  # noqa: PT011
        sftp.symlink("/etc/passwd", "drop/link")


def test_there_is_no_shell(endpoints: Endpoints) -> None:
    with connect(endpoints, password=endpoints.sftp_password) as sftp:
        transport = sftp.get_channel().get_transport()  # type: ignore[union-attr]
        session = transport.open_session()
        with pytest.raises(paramiko.SSHException):
            session.exec_command("id")
