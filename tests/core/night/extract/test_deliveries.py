"""Which files are meant and complete: markers, sums beside a file or of many, names that nobody has finished yet."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import paramiko
import pytest
from paramiko import sftp as sftp_kinds

from include.errors import FileNotReady
from include.night.extract.archive import archive
from include.night.extract.drops import Fetched, fetch_drop, open_drop
from include.run import Night
from include.systems.files.drop import FileDrop
from include.systems.files.transfer import PIECE, Wanted, copy_file, read_file
from tests.core import openssh
from tests.core.night.extract.conftest import FILE, INTERVAL, Drop

TEXT = "domain\nacme.com\n"


@pytest.fixture
def night(night_of: Callable[..., Night]) -> Night:
    return night_of()


@pytest.fixture
def wide(file_drop: FileDrop) -> FileDrop:
    return replace(file_drop, pattern="*")


def one(
    night: Night, file_drop: FileDrop, tmp_path: Path, sleep: Callable[[float], None] = lambda _: None
) -> Fetched | None:
    with open_drop(night, "sftp") as sftp:
        return fetch_drop(sftp, file_drop, INTERVAL, tmp_path / "file", sleep)


def manifest(drop: Drop, **texts: str) -> None:
    lines = [f"{hashlib.sha256(text.encode()).hexdigest()}  {name}.csv" for name, text in texts.items()]
    drop.put("\n".join(lines) + "\n", "MANIFEST.sha256", checksum=False)


UNFINISHED = [
    "b.csv.part",
    "b.csv.tmp",
    "b.csv.TMP",
    ".b.csv",
    "b.csv.filepart",
    "b.csv~",
    "a.csv.done",
    "x.csv.sha256",
]


@pytest.mark.parametrize("name", UNFINISHED)
def test_what_is_not_finished_is_not_taken_under_a_wide_pattern(
    night: Night, drop: Drop, wide: FileDrop, tmp_path: Path, name: str
) -> None:
    drop.put(TEXT, "a.csv")
    drop.put("half", name, checksum=False)
    (drop.root / "drop" / "folder").mkdir()
    try:
        found = one(night, wide, tmp_path)
    finally:
        (drop.root / "drop" / "folder").rmdir()
    assert found is not None
    assert found.name == "a.csv"


def test_a_pattern_may_mean_such_a_name(night: Night, drop: Drop, file_drop: FileDrop, tmp_path: Path) -> None:
    drop.put(TEXT, ".orders.tmp")
    found = one(night, replace(file_drop, pattern=".*.tmp"), tmp_path)
    assert found is not None
    assert found.name == ".orders.tmp"


@pytest.mark.parametrize(("proof", "said"), [("done", r"no \.done marker"), ("checksum", "no sum, beside it or in")])
def test_a_file_whose_writer_pauses_waits_for_its_proof(
    night: Night, drop: Drop, file_drop: FileDrop, tmp_path: Path, proof: str, said: str
) -> None:
    declared = replace(file_drop, proof=proof)  # type: ignore[arg-type]
    path = drop.put(TEXT[:5], checksum=False)
    with pytest.raises(FileNotReady, match=rf"sftp drop: {FILE} has {said}"):
        one(night, declared, tmp_path)
    path.write_text(TEXT)
    drop.put(TEXT, checksum=proof == "checksum")
    if proof == "done":
        drop.put("", f"{FILE}.done", checksum=False)
    found = one(night, declared, tmp_path, lambda _: pytest.fail("a proven file is not waited for"))
    assert found is not None
    assert (tmp_path / "file").read_text() == TEXT


def test_a_marker_goes_to_the_archive_with_its_file(
    night: Night, drop: Drop, file_drop: FileDrop, tmp_path: Path
) -> None:
    drop.put(TEXT, checksum=False)
    drop.put("", f"{FILE}.done", checksum=False)
    found = one(night, replace(file_drop, proof="done"), tmp_path)
    assert found is not None
    archive(night, [found])
    assert (drop.names("drop"), drop.names("archive")) == ([], [FILE, f"{FILE}.done"])


def test_a_marked_file_that_still_changes_is_not_ready(
    night: Night, drop: Drop, file_drop: FileDrop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drop.put(TEXT, checksum=False)
    drop.put("", f"{FILE}.done", checksum=False)

    def copy(*given: Any) -> tuple[str, bytes | None]:
        copied = copy_file(*given)
        os.utime(path, (1, 1))
        return copied

    monkeypatch.setattr("include.night.extract.drops.copy_file", copy)
    with pytest.raises(FileNotReady, match="still growing"):
        one(night, file_drop, tmp_path)


def test_a_manifest_holds_the_sums_of_many(night: Night, drop: Drop, file_drop: FileDrop, tmp_path: Path) -> None:
    for name in "ab":
        drop.put(TEXT + name, f"{name}.csv", checksum=False)
    manifest(drop, a=TEXT + "a", b=TEXT + "b")
    for name in "ab":
        declared = replace(file_drop, pattern=f"{name}.csv", proof="checksum")
        found = one(night, declared, tmp_path, lambda _: pytest.fail("a proven file is not waited for"))
        assert found is not None
        assert ((tmp_path / "file").read_text(), found.checksum) == (TEXT + name, True)
    (drop.root / "drop" / "b.csv").write_text("half")
    with pytest.raises(FileNotReady, match=r"b\.csv differs from its MANIFEST\.sha256"):
        one(night, replace(file_drop, pattern="b.*"), tmp_path)


@pytest.mark.parametrize("name", ["b", "c"])
def test_a_file_that_was_never_sent_is_named(
    night: Night, drop: Drop, wide: FileDrop, tmp_path: Path, name: str
) -> None:
    drop.put(TEXT, "a.csv")
    manifest(drop, a=TEXT, **{name: TEXT})
    for pattern in ("*", f"{name}.csv", f"{name}.*"):
        with pytest.raises(FileNotReady, match=rf"{name}\.csv is in MANIFEST\.sha256 and was never sent"):
            one(night, replace(wide, pattern=pattern, required=False), tmp_path)
    drop.put(TEXT, f"{name}.csv.0123abcd", checksum=False, folder="archive")
    assert one(night, wide, tmp_path) is not None
    assert one(night, replace(wide, pattern=f"{name}.csv"), tmp_path) is not None


def test_half_a_manifest_is_not_ready(night: Night, drop: Drop, wide: FileDrop, tmp_path: Path) -> None:
    drop.put(TEXT, "a.csv")
    drop.put("0123  a.csv\n", "MANIFEST.sha256", checksum=False)
    with pytest.raises(FileNotReady, match=r"drop/MANIFEST\.sha256: line 1 is no sha256"):
        one(night, wide, tmp_path)


def counting(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """Requests by their kind."""
    seen: Counter[int] = Counter()
    send = paramiko.SFTPClient._async_request  # type: ignore[attr-defined]

    def counted(self: paramiko.SFTPClient, fileobj: object, kind: int, *fields: object) -> int:
        seen[kind] += 1
        return int(send(self, fileobj, kind, *fields))

    monkeypatch.setattr(paramiko.SFTPClient, "_async_request", counted)
    return seen


@pytest.mark.parametrize(("pattern", "asked", "listings"), [("a.csv", 5, 0), ("a.*", 1, 1)])
def test_a_proven_file_costs_few_questions_and_no_second_listing(
    night: Night,
    drop: Drop,
    file_drop: FileDrop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pattern: str,
    asked: int,
    listings: int,
) -> None:
    drop.put(TEXT, "a.csv")
    sent = counting(monkeypatch)
    assert one(night, replace(file_drop, pattern=pattern), tmp_path) is not None
    kinds = (sftp_kinds.CMD_STAT, sftp_kinds.CMD_OPENDIR, sftp_kinds.CMD_OPEN, sftp_kinds.CMD_READ)
    assert [sent[kind] for kind in kinds] == [asked, listings, 2, 2]


def test_a_proven_file_costs_four_waits(
    night: Night, drop: Drop, file_drop: FileDrop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop.put(TEXT, "a.csv")
    sends: list[int] = []
    with open_drop(night, "sftp") as sftp:
        channel = sftp.get_channel()
        send = channel.send
        monkeypatch.setattr(channel, "send", lambda data: sends.append(len(data)) or send(data))
        assert fetch_drop(sftp, replace(file_drop, pattern="a.csv"), INTERVAL, tmp_path / "file") is not None
    assert len(sends) == 4, "what lies there; open; read; what lies there now"


def test_a_file_is_archived_over_one_connection_with_what_speaks_for_it(
    night: Night, drop: Drop, file_drop: FileDrop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop.put(TEXT)
    found = one(night, file_drop, tmp_path)
    assert found is not None
    sent = counting(monkeypatch)
    archive(night, [found])
    assert (drop.names("drop"), drop.names("archive")) == ([], [FILE, f"{FILE}.sha256"])
    assert (sent[sftp_kinds.CMD_STAT], sent[sftp_kinds.CMD_RENAME]) == (5, 2)


def test_a_link_is_as_large_as_what_it_leads_to(night: Night, drop: Drop, wide: FileDrop, tmp_path: Path) -> None:
    (drop.root / "target").write_text(TEXT * 100)
    (drop.root / "drop" / "link.csv").symlink_to("../target")
    (drop.root / "drop" / "nowhere.csv").symlink_to("../gone")
    assert one(night, wide, tmp_path) is not None
    assert (tmp_path / "file").read_text() == TEXT * 100


def test_a_file_taken_away_is_not_ready(night: Night, drop: Drop, wide: FileDrop, tmp_path: Path) -> None:
    path = drop.put(TEXT, "a.csv", checksum=False)
    with pytest.raises(FileNotReady, match=r"a\.csv was taken away while it was read"):
        one(night, wide, tmp_path, lambda _: path.unlink())


def test_a_server_that_gives_less_than_asked_is_asked_for_the_rest(
    night: Night, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncssh

    whole = asyncssh.SFTPServer.read
    monkeypatch.setattr(
        asyncssh.SFTPServer, "read", lambda self, file, at, size: whole(self, file, at, min(size, 1_000))
    )
    data = os.urandom(70_001)
    drop.put(data, "a.csv", checksum=False)
    with open_drop(night, "sftp") as sftp:
        assert read_file(sftp, Wanted("drop/a.csv", 70_001)) == data
        assert read_file(sftp, Wanted("drop/a.csv", 200_000)) == data, "and a shorter file ends"
        assert sftp.stat("drop/a.csv").st_size == 70_001, "and its session is as it was"


@pytest.mark.skipif(not openssh.SSHD or os.getuid() != 0, reason=openssh.MISSING + ", or not root")
def test_openssh_serves_files_and_their_archive(
    night_of: Callable[..., Night], file_drop: FileDrop, tmp_path: Path
) -> None:
    root = tmp_path / "files"
    for folder in ("drop", "archive"):
        (root / folder).mkdir(parents=True)
    contents = {f"{size}.csv": os.urandom(size) for size in (0, 400, PIECE, 5_000_001)}
    for name, data in contents.items():
        (root / "drop" / name).write_bytes(data)
        (root / "drop" / f"{name}.sha256").write_text(hashlib.sha256(data).hexdigest())
    with openssh.running_sshd(tmp_path) as sshd:
        extra = {"host_key": sshd.host_key, "key_file": str(sshd.client_key)}
        given = {"host": "127.0.0.1", "port": sshd.port, "login": sshd.login, "extra": extra}
        night = night_of(connections={"AIRFLOW_CONN_SFTP_DEFAULT": json.dumps(given)})
        there = replace(file_drop, folder=f"{root}/drop", archive=f"{root}/archive", proof="checksum")
        for name, data in contents.items():
            found = one(night, replace(there, pattern=name), tmp_path)
            assert found is not None
            assert (tmp_path / "file").read_bytes() == data
            archive(night, [found])
        assert len(list((root / "archive").iterdir())) == 2 * len(contents)
        assert list((root / "drop").iterdir()) == []
