"""Files that are put into somebody's folder: whole, in one step, whatever their size."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from include.errors import AccessDenied, SystemUnavailable
from include.systems.files.stores import open_store
from tests.core.systems.files.conftest import Shelf


@pytest.mark.parametrize("size", [0, 1, 32_768, 3_000_001])
def test_a_file_arrives_as_it_was_sent_and_replaces_the_one_before(shelf: Shelf, tmp_path: Path, size: int) -> None:
    local, data = tmp_path / "local", os.urandom(size)
    with open_store(shelf.standing, "shop") as store:
        for content in (b"before", data):
            local.write_bytes(content)
            store.put(local, "out/a/b.bin")
    assert (shelf.root / "out" / "a" / "b.bin").read_bytes() == data
    assert [one.name for one in (shelf.root / "out" / "a").iterdir()] == ["b.bin"]
    (shelf.root / "out" / "a" / "b.bin").unlink()


def test_what_arrives_short_is_not_given_its_name(
    sftp_shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "local").write_bytes(b"x" * 100)
    monkeypatch.setattr(
        "include.systems.files.stores.SftpStore._write", lambda _, theirs, block: theirs.write(block[:50])
    )
    with pytest.raises(SystemUnavailable, match="EIO"), open_store(sftp_shelf.standing, "shop") as store:
        store.put(tmp_path / "local", "short.bin")
    assert not (sftp_shelf.root / "short.bin").exists()


def test_a_folder_that_may_not_be_written_is_told_as_such(sftp_shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("include.systems.files.stores.SftpStore._make", refused)
    with (
        pytest.raises(AccessDenied, match="access to a folder or file was refused"),
        open_store(sftp_shelf.standing, "shop") as store,
    ):
        store.put(Path(__file__), "out/a.py")
