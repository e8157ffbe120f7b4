"""Which files are meant and complete: markers, sums beside a file or of many, names that nobody has finished yet."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest

from include.errors import FileNotReady
from include.night import Night
from include.sources.archive import archive
from include.sources.drops import Fetched, fetch_drop, fetch_files, open_drop
from include.sources.transfer import Wanted, copy_files, read_files
from include.use_case import FileDrop
from tests.core import openssh
from tests.core.sources.conftest import FILE, INTERVAL, Drop

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


def many(
    night: Night, file_drop: FileDrop, into: Path, sleep: Callable[[float], None] = lambda _: None
) -> dict[str, bytes]:
    into.mkdir(exist_ok=True)
    with open_drop(night, "sftp") as sftp:
        found = fetch_files(sftp, file_drop, INTERVAL, into, sleep)
    assert all(hashlib.sha256(place.read_bytes()).hexdigest() == file.sha256 for file, place in found)
    return {file.name: place.read_bytes() for file, place in found}


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

    def copy(sftp: paramiko.SFTPClient, wanted: list[tuple[Wanted, Path]]) -> list[str]:
        digests = copy_files(sftp, wanted)
        os.utime(path, (1, 1))
        return digests

    monkeypatch.setattr("include.sources.drops.copy_files", copy)
    with pytest.raises(FileNotReady, match="still growing"):
        one(night, file_drop, tmp_path)


def test_a_manifest_holds_the_sums_of_many(night: Night, drop: Drop, wide: FileDrop, tmp_path: Path) -> None:
    for name in "ab":
        drop.put(TEXT + name, f"{name}.csv", checksum=False)
    manifest(drop, a=TEXT + "a", b=TEXT + "b")
    never = lambda _: pytest.fail("proven files are not waited for")  # noqa: E731
    found = many(night, replace(wide, proof="checksum"), tmp_path / "into", never)
    assert found == {f"{name}.csv": (TEXT + name).encode() for name in "ab"}
    (drop.root / "drop" / "b.csv").write_text("half")
    with pytest.raises(FileNotReady, match=r"b\.csv differs from its MANIFEST\.sha256"):
        many(night, wide, tmp_path / "into")


@pytest.mark.parametrize("name", ["b", "c"])
def test_a_file_that_was_never_sent_is_named(
    night: Night, drop: Drop, wide: FileDrop, tmp_path: Path, name: str
) -> None:
    drop.put(TEXT, "a.csv")
    manifest(drop, a=TEXT, **{name: TEXT})
    with pytest.raises(FileNotReady, match=rf"{name}\.csv is in MANIFEST\.sha256 and was never sent"):
        many(night, wide, tmp_path / "into")
    for pattern in (f"{name}.csv", f"{name}.*"):
        with pytest.raises(FileNotReady, match="never sent"):
            one(night, replace(wide, pattern=pattern, required=False), tmp_path)
    drop.put(TEXT, f"{name}.csv.0123abcd", checksum=False, folder="archive")
    assert many(night, wide, tmp_path / "into").keys() == {"a.csv"}
    assert one(night, replace(wide, pattern=f"{name}.csv"), tmp_path) is not None


def test_half_a_manifest_is_not_ready(night: Night, drop: Drop, wide: FileDrop, tmp_path: Path) -> None:
    drop.put(TEXT, "a.csv")
    drop.put("0123  a.csv\n", "MANIFEST.sha256", checksum=False)
    with pytest.raises(FileNotReady, match=r"drop/MANIFEST\.sha256: line 1 is no sha256"):
        many(night, wide, tmp_path / "into")


def test_all_files_that_are_not_ready_are_named_at_once(
    night: Night, drop: Drop, wide: FileDrop, tmp_path: Path
) -> None:
    paths = [drop.put(TEXT, f"{name}.csv", checksum=False) for name in "abcdefgh"]
    drop.put(TEXT, "right.csv")
    drop.put(TEXT, "wrong.csv").write_text("half")
    grow = lambda _: [path.write_text(TEXT * 2) for path in paths] and None  # noqa: E731
    with pytest.raises(FileNotReady) as caught:
        many(night, wide, tmp_path / "into", grow)
    said = str(caught.value)
    assert "a.csv, b.csv, c.csv, d.csv, e.csv and 3 more is still growing" in said
    assert "wrong.csv differs from its .sha256" in said
    assert "right.csv" not in said


def counting(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """Requests by their kind."""
    seen: Counter[int] = Counter()
    send = paramiko.SFTPClient._async_request  # type: ignore[attr-defined]

    def counted(self: paramiko.SFTPClient, fileobj: object, kind: int, *fields: object) -> int:
        seen[kind] += 1
        return int(send(self, fileobj, kind, *fields))

    monkeypatch.setattr(paramiko.SFTPClient, "_async_request", counted)
    return seen


def test_many_files_cost_two_listings_and_three_requests_each(
    night: Night, drop: Drop, wide: FileDrop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {f"{n:03}.csv": os.urandom(n * 7) for n in range(150)} | {"large.csv": os.urandom(3_000_000)}
    for name, data in contents.items():
        drop.put(data, name, checksum=False)
    sent = counting(monkeypatch)
    assert many(night, wide, tmp_path / "into") == contents
    assert sent[paramiko.sftp.CMD_OPENDIR] == 2
    assert sent[paramiko.sftp.CMD_OPEN] == len(contents)
    assert sent[paramiko.sftp.CMD_STAT] <= 1


def test_a_file_of_a_known_name_costs_no_listing(
    night: Night, drop: Drop, file_drop: FileDrop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop.put(TEXT)
    sent = counting(monkeypatch)
    assert one(night, file_drop, tmp_path) is not None
    assert sent[paramiko.sftp.CMD_OPENDIR] == 0


def test_many_files_are_archived_over_one_connection(
    night: Night, drop: Drop, wide: FileDrop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(20):
        drop.put(TEXT, f"{n}.csv")
    with open_drop(night, "sftp") as sftp:
        found = [file for file, _ in fetch_files(sftp, wide, INTERVAL, tmp_path)]
    logins: list[str] = []

    def opened(*given: object) -> object:
        logins.append("again")
        return open_drop(*given)  # type: ignore[arg-type]

    monkeypatch.setattr("include.sources.archive.open_drop", opened)
    archive(night, found)
    assert logins == ["again"]
    assert (drop.names("drop"), len(drop.names("archive"))) == ([], 40)


def test_a_link_is_as_large_as_what_it_leads_to(night: Night, drop: Drop, wide: FileDrop, tmp_path: Path) -> None:
    (drop.root / "target").write_text(TEXT * 100)
    (drop.root / "drop" / "link.csv").symlink_to("../target")
    (drop.root / "drop" / "nowhere.csv").symlink_to("../gone")
    assert many(night, wide, tmp_path / "into") == {"link.csv": (TEXT * 100).encode()}


def test_a_file_taken_away_is_not_ready(night: Night, drop: Drop, wide: FileDrop, tmp_path: Path) -> None:
    path = drop.put(TEXT, "a.csv", checksum=False)
    with pytest.raises(FileNotReady, match=r"a\.csv was taken away while it was read"):
        many(night, wide, tmp_path / "into", lambda _: path.unlink())


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
        assert list(read_files(sftp, [Wanted("drop/a.csv", 70_001)])) == [data]
        assert list(read_files(sftp, [Wanted("drop/a.csv", 200_000)])) == [data], "and a shorter file ends"


@pytest.mark.skipif(not openssh.SSHD or os.getuid() != 0, reason=openssh.MISSING + ", or not root")
def test_openssh_serves_many_files_and_their_archive(
    night_of: Callable[..., Night], wide: FileDrop, tmp_path: Path
) -> None:
    import json

    root = tmp_path / "files"
    for folder in ("drop", "archive"):
        (root / folder).mkdir(parents=True)
    contents = {f"{n:03}.csv": os.urandom(n * 400) for n in range(200)}
    for name, data in contents.items():
        (root / "drop" / name).write_bytes(data)
        (root / "drop" / f"{name}.sha256").write_text(hashlib.sha256(data).hexdigest())
    with openssh.running_sshd(tmp_path) as sshd:
        extra = {"host_key": sshd.host_key, "key_file": str(sshd.client_key)}
        given = {"host": "127.0.0.1", "port": sshd.port, "login": sshd.login, "extra": extra}
        night = night_of(connections={"AIRFLOW_CONN_SFTP_DEFAULT": json.dumps(given)})
        there = replace(wide, folder=f"{root}/drop", archive=f"{root}/archive", proof="checksum")
        assert many(night, there, tmp_path / "into") == contents
        with open_drop(night, "sftp") as sftp:
            found = [file for file, _ in fetch_files(sftp, there, INTERVAL, tmp_path / "into")]
        archive(night, found)
        assert len(list((root / "archive").iterdir())) == 400
        assert list((root / "drop").iterdir()) == []
