"""What the pipeline leaves on a disk is its own account's, whatever the umask; what was there before is closed too."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from upath import UPath

from include.demo.stack.home import open_home, open_secrets
from include.demo.stack.processes import start, stop
from include.private import close_folder, make_folder, open_file, write_file


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(place: Path) -> int:
    return stat.S_IMODE(place.stat().st_mode)


@pytest.mark.parametrize("form", [Path, UPath, lambda path: UPath(f"file://{path}")], ids=["path", "upath", "file://"])
def test_folders_and_files_are_made_closed(umask: int, tmp_path: Path, form: type[UPath]) -> None:
    folder = form(str(tmp_path / "staging" / "case" / "run"))
    make_folder(folder)
    write_file(folder / "report.txt", "caf\u00e9")
    with open_file(folder / "raw.parquet", "wb") as handle:
        handle.write(b"x")
    below = list(tmp_path.rglob("*"))
    assert {mode(place) for place in below if place.is_dir()} == {0o700}
    assert {mode(place) for place in below if place.is_file()} == {0o600}
    assert (tmp_path / "staging/case/run/report.txt").read_text(encoding="utf-8") == "caf\u00e9"


def test_what_an_earlier_version_left_open_is_closed(tmp_path: Path) -> None:
    old = tmp_path / "case"
    old.mkdir(mode=0o755)
    (old / "report.txt").write_text("old")
    (old / "report.txt").chmod(0o644)
    make_folder(old)
    write_file(old / "report.txt", "new")
    assert (mode(old), mode(old / "report.txt")) == (0o700, 0o600)


def test_a_folder_is_never_opened_further(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    close_folder(tmp_path, 0o711)
    assert mode(tmp_path) == 0o700


def test_an_object_store_has_no_modes() -> None:
    folder = UPath("memory://bucket/case/run")
    make_folder(folder)
    close_folder(folder)
    write_file(folder / "report.txt", "x")
    assert (folder / "report.txt").read_text(encoding="utf-8") == "x"


def test_the_state_folder_its_logs_and_what_processes_write_are_closed(umask: int, tmp_path: Path) -> None:
    home = open_home({"NIGHTLEDGER_HOME": str(tmp_path / "state")})
    open_secrets(home)
    wrote = home.airflow / "written.txt"
    code = f"import pathlib, time; print('hello'); pathlib.Path({str(wrote)!r}).write_text('x'); time.sleep(60)"
    record = start(home, "writer", [sys.executable, "-u", "-c", code], dict(os.environ))
    try:
        process = record.process()
        while process and process.is_running() and not wrote.exists():
            pass
    finally:
        stop(home, ["writer"])
    assert wrote.exists()
    open_places = [
        f"{mode(place):o} {place}"
        for place in (home.folder, *home.folder.rglob("*"))
        if mode(place) & 0o077 & (~0o011 if place == home.folder else ~0)
    ]
    assert not open_places


def test_a_state_folder_that_was_open_is_closed(tmp_path: Path) -> None:
    state = tmp_path / "state"
    for folder in (state, state / "logs", state / "airflow"):
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
    open_home({"NIGHTLEDGER_HOME": str(state)})
    assert mode(state) == (0o711 if os.getuid() == 0 else 0o700)
    assert mode(state / "logs") == mode(state / "airflow") == 0o700


def test_another_account_cannot_list_or_read(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can try as somebody else")
    place = Path("/tmp") / f"nightledger-private-{os.getpid()}"
    make_folder(place / "staging")
    write_file(place / "staging" / "report.txt", "x")
    try:
        asked = ["cat", str(place / "staging" / "report.txt")]
        found = subprocess.run(asked, user=65534, group=65534, extra_groups=[], capture_output=True, check=False)
        assert found.returncode != 0
        assert b"Permission denied" in found.stderr
    finally:
        subprocess.run(["rm", "-r", str(place)], check=True)
