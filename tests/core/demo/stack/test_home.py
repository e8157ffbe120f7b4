"""The state folder and its secrets belong to one clone and one account."""

import json
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from include.demo.stack import home as home_module
from include.demo.stack.errors import StackError
from include.demo.stack.home import FORMAT, Home, free_port, open_home, open_secrets, require_room


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home({"NIGHTLEDGER_HOME": str(tmp_path / "state")})


def test_secrets_are_readable_by_their_account_only(home: Home) -> None:
    open_secrets(home)
    for path in (home.folder / "secrets.json", home.password_file):
        assert path.stat().st_mode & 0o777 == 0o600


def test_secrets_are_kept_once_made(home: Home) -> None:
    assert open_secrets(home) == open_secrets(home)


def test_a_secret_that_a_later_version_needs_is_added_and_the_others_stay(home: Home) -> None:
    before = open_secrets(home)
    (home.folder / "secrets.json").write_text(json.dumps({"jwt": before["jwt"]}))
    after = open_secrets(home)
    assert after["jwt"] == before["jwt"]
    assert after.keys() == before.keys()


def test_two_clones_share_no_secret(tmp_path: Path) -> None:
    one, other = (open_secrets(open_home({"NIGHTLEDGER_HOME": str(tmp_path / name)})) for name in ("a", "b"))
    assert not set(one.values()) & set(other.values())


def test_the_preferred_port_is_taken_when_it_is_free() -> None:
    port = free_port(0)
    assert free_port(port) == port


def test_another_port_is_found_when_the_preferred_one_is_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        taken = busy.getsockname()[1]
        assert free_port(taken) not in (0, taken)


def test_a_folder_of_a_newer_version_is_left_alone(home: Home) -> None:
    (home.folder / "format").write_text(f"{FORMAT + 1}\n")
    with pytest.raises(StackError, match="made by a newer Nightledger"):
        open_home({"NIGHTLEDGER_HOME": str(home.folder)})


def test_a_folder_of_an_earlier_version_is_taken_over(home: Home) -> None:
    (home.folder / "format").unlink()
    open_home({"NIGHTLEDGER_HOME": str(home.folder)})
    assert (home.folder / "format").read_text() == f"{FORMAT}\n"


def test_where_nothing_can_be_written_the_way_out_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match=r"nothing can be written there: Not a directory\. Set NIGHTLEDGER_HOME"):
        open_home({"NIGHTLEDGER_HOME": str(tmp_path / "file" / "state")})


def test_a_full_disk_is_told_before_anything_is_started(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    require_room(home)
    monkeypatch.setattr(home_module.shutil, "disk_usage", lambda folder: SimpleNamespace(free=12_000_000))
    with pytest.raises(StackError, match=r"12 MB are free there, 500 are needed\. Make room"):
        require_room(home)
