"""What somebody new does on a bare machine: the README, word by word, as a fresh user with nothing but Debian's Python.

As root the user is made for it and removed again; else it is this one with an empty home. Nothing of this environment
reaches them but the settings of pip, as the file that an administrator would leave.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from include.settings import ROOT
from tests.last_night import last_interval
from tests.readme import shown_commands, shown_rules, shown_use_case

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
PYTHON = "/usr/bin/python3"
PIP = ("global.index-url", "global.extra-index-url", "global.cert", "global.find-links", "global.trusted-host")
FOLDER = "my clone"


@dataclass
class Newcomer:
    """A user at a shell: `home` is theirs and was empty."""

    name: str | None
    home: Path

    @property
    def clone(self) -> Path:
        """Their clone, in a folder with a space in its name."""
        return self.home / FOLDER

    def start(self, line: str, folder: Path | None = None) -> subprocess.Popen[str]:
        """Begin a line in a folder, by default the clone."""
        clean = {"HOME": str(self.home), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8"}
        settings = {"cwd": folder or self.clone, "env": clean, "text": True}
        account = {"user": self.name, "group": self.name, "extra_groups": []} if self.name else {}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
        return subprocess.Popen(["/bin/bash", "-c", line], **settings, **account, **pipes)  # type: ignore[call-overload, no-any-return]

    def types(self, line: str, *, expect: int | None = 0, folder: Path | None = None) -> str:
        """What a line says, on both streams; it has to end with the code that is expected."""
        with self.start(line, folder) as running:
            said, _ = running.communicate(timeout=900)
        assert expect is None or running.returncode == expect, f"{line}\n{said}"
        return said

    def processes(self) -> list[psutil.Process]:
        """What still runs in their home."""
        return [
            one for one in psutil.process_iter(["cmdline"]) if str(self.home) in " ".join(one.info["cmdline"] or [])
        ]


@pytest.fixture(scope="module")
def newcomer() -> Iterator[Newcomer]:
    if not Path(PYTHON).exists() or _version() < (3, 11):
        pytest.skip(f"{PYTHON} is not Python 3.11 or newer")
    name = f"nl-new-{os.getpid()}" if os.getuid() == 0 else None
    home = Path(tempfile.mkdtemp(prefix="nl-new-", dir="/var/tmp"))
    if name:
        subprocess.run(["useradd", "--home-dir", str(home), "--no-create-home", name], check=True)
    them = Newcomer(name, home)
    try:
        (home / ".config" / "pip").mkdir(parents=True)
        (home / ".config" / "pip" / "pip.conf").write_text(_pip_settings(), encoding="utf-8")
        subprocess.run(["git", "clone", "-q", "--no-hardlinks", str(ROOT), str(them.clone)], check=True)
        if name:
            shutil.chown(home, name, name)
            subprocess.run(["chown", "-R", f"{name}:{name}", str(home)], check=True)
        yield them
    finally:
        if (them.clone / ".venv" / "bin" / "nightledger").exists():
            them.types("make down", expect=None)
        for left in them.processes():
            left.kill()
        if name:
            subprocess.run(["userdel", name], check=True)
        shutil.rmtree(home, ignore_errors=True)


def _version() -> tuple[int, ...]:
    done = subprocess.run([PYTHON, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True)
    return tuple(map(int, done.stdout.split()))


def _pip_settings() -> str:
    """What pip is told on this machine, as a file of its own."""
    done = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    known = {name: found[name].strip("'\"") for name in PIP if name in found}
    known |= {
        f"global.{name}": os.environ[f"PIP_{name.upper()}"] for name in ("cert",) if f"PIP_{name.upper()}" in os.environ
    }
    return "[global]\n" + "".join(f"{name.partition('.')[2]} = {value}\n" for name, value in known.items())


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_made(newcomer: Newcomer) -> None:
    sealed = newcomer.home / "sealed"
    newcomer.types(
        f"git clone -q --no-hardlinks '{newcomer.clone}' {sealed} && chmod -R a-w {sealed}", folder=newcomer.home
    )
    said = newcomer.types("make night", expect=2, folder=sealed)
    assert f"{sealed} cannot be written" in said
    assert "Traceback" not in said
    assert not (sealed / ".venv").exists()


def test_one_command_is_one_night_with_its_report(newcomer: Newcomer) -> None:
    said = newcomer.types("make night")
    assert "\nALL RIGHT - crm_lead_scoring" in said
    assert re.fullmatch(r"This run: http://127\.0\.0\.1:\d+/dags/crm_lead_scoring/runs/\S+", said.splitlines()[-1])
    again = newcomer.types("make night")
    assert re.search(r"rows +0 asked, 220 reused", again)
    assert re.search(r"calls +0\b", again)
    assert "written" not in again.partition("After the model")[2].partition("Tiers")[0].replace("0 written", "")


def test_every_line_of_the_readme_works_as_it_is_typed(newcomer: Newcomer) -> None:
    files = {
        "rules.py": shown_rules(),
        "orders.csv": "order_id,amount,status,shipped_at\n1,10,open,\n2,20.5,shipped,2026-11-01\n",
    }
    for name, content in files.items():
        newcomer.types(f"cat > {name} <<'END'\n{content}END")
    for words in shown_commands(last_interval()[0].date()):
        if words[0] == "export":
            break  # from here on with a key of their own
        if words != ["make", "test"]:
            found_something = "assess" in words  # the sandbox's data are dirty, and the README says what comes of that
            newcomer.types(shlex.join(words), expect=1 if found_something else 0)
    assert (newcomer.clone / "tickets" / "results.jsonl").stat().st_size > 0


def test_the_use_case_of_the_readme_runs_as_it_stands_there(newcomer: Newcomer) -> None:
    for name, content in shown_use_case().items():
        newcomer.types(f"mkdir -p $(dirname {name}) && cat > {name} <<'END'\n{content}END")
    said = newcomer.types("make night USE_CASE=ticket_mood")
    assert "\nALL RIGHT - ticket_mood" in said
    newcomer.types("rm -r include/use_cases/ticket_mood dags/ticket_mood.py")


def test_what_cannot_be_is_one_sentence_and_leaves_the_stack_as_it_was(newcomer: Newcomer) -> None:
    before = newcomer.types(".venv/bin/nightledger status")
    for wish, words in {
        "DATE=2020-01-01": "lies before the first night",
        "DATE=2099-01-01": "is not over yet",
        "DATE=soon": "neither a date",
        "MODE=wild": "wild",
        "DATA=/nope": "/nope",
    }.items():
        said = newcomer.types(f"make night {wish}", expect=2)
        assert words in said
        assert "Traceback" not in said
        assert len([line for line in said.splitlines() if not line.startswith("make: ")]) <= 2, said
    assert newcomer.types(".venv/bin/nightledger status") == before


def test_a_night_that_is_killed_is_put_right_by_the_next(newcomer: Newcomer) -> None:
    with newcomer.start("exec make night MODE=shadow") as night:
        assert night.stdout is not None
        while "extract" not in (line := night.stdout.readline()):
            assert line
        for one in [*psutil.Process(night.pid).children(recursive=True), psutil.Process(night.pid)]:
            one.send_signal(signal.SIGKILL)
    said = newcomer.types("make night")
    assert "ALL RIGHT" in said
    off = newcomer.types(".venv/bin/nightledger run airflow dags details crm_lead_scoring -o json")
    assert json.loads(off.splitlines()[-1])[0]["is_paused"] == "True"


def test_two_clones_run_side_by_side_and_each_says_where(newcomer: Newcomer) -> None:
    other = newcomer.home / "other"
    newcomer.types(f"git clone -q --no-hardlinks '{newcomer.clone}' {other}", folder=newcomer.home)
    said = newcomer.types("make night", folder=other)
    assert "ALL RIGHT" in said
    ports = {
        re.findall(r"http://127\.0\.0\.1:(\d+)", newcomer.types("make up", folder=one))[0]
        for one in (newcomer.clone, other)
    }
    assert len(ports) == 2
    newcomer.types("make down", folder=other)


def test_down_leaves_nothing_running(newcomer: Newcomer) -> None:
    newcomer.types("make down")
    time.sleep(1)
    assert newcomer.processes() == []
