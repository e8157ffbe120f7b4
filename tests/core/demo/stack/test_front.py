"""`nightledger`: one command for the stack and for everything of the command line, from any folder."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from include import cli
from include.commands import COMMANDS
from include.demo.stack import __main__ as front
from include.demo.stack import stack
from include.settings import ROOT
from tests.readme import NIGHT, shown_commands


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The code as a clone in a folder with a space in its name; its launcher."""
    folder = tmp_path / "a clone"
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (folder / ".venv" / "pyvenv.cfg").write_text((Path(sys.prefix) / "pyvenv.cfg").read_text())
    (folder / ".venv" / "lib").symlink_to(Path(sys.prefix) / "lib")
    for name in ("include", "plugins"):
        (folder / name).symlink_to(ROOT / name)
    launcher = folder / ".venv" / "bin" / "nightledger"
    shutil.copy(ROOT / "include" / "demo" / "stack" / "nightledger", launcher)
    return launcher


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(command, env={**kept, **environment}, cwd=cwd, capture_output=True, text=True, check=False)


def test_every_command_is_listed_from_any_folder_and_through_a_link(clone: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "include").mkdir(parents=True)
    (elsewhere / "include" / "__init__.py").write_text("raise SystemExit('a package of the same name, not ours')")
    (elsewhere / "nl").symlink_to(clone)
    done = run(elsewhere / "nl", "--help", cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    for name in (*COMMANDS, *front.STACK_COMMANDS):
        assert f"    {name}" in done.stdout


def test_help_starts_in_half_a_cpu_second(clone: Path, tmp_path: Path) -> None:
    code = "import os, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
    code += "print(sum(os.times()[2:4]))"
    done = run(sys.executable, "-c", code, clone, "--help", cwd=tmp_path)
    assert float(done.stdout) < 0.5


def test_a_command_that_needs_a_ledger_says_that_nothing_has_run(clone: Path, tmp_path: Path) -> None:
    done = run(clone, "explain", "crm_lead_scoring", "1", cwd=tmp_path, NIGHTLEDGER_HOME=str(tmp_path / "state"))
    assert done.returncode == 2
    assert "nothing has run here yet" in done.stderr
    assert not (tmp_path / "state" / "postgres").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["night", "--date", "2020-01-01"], "lies before the first night"),
        (["night", "--date", "9999-12-31"], "is not over yet"),
        (["night", "--data", "/nope"], "lacks data: accounts.csv"),
        (["up", "--data=/nope"], "lacks data: accounts.csv"),
        (["--data", "/nope", "up"], "lacks data: accounts.csv"),
        (["night", "--mode", "all"], "none of shadow, gated, auto"),
        (["run"], "names no program"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_started(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(stack, "up", None)
    assert front.main(arguments) == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "state" / "postgres").exists()


@pytest.mark.parametrize(
    ("given", "data", "rest"),
    [
        (["--data", "d", "explain", "c", "1"], "d", ["explain", "c", "1"]),
        (["night", "--mode", "auto", "--data", "d"], "d", ["night", "--mode", "auto"]),
        (["run", "--data", "d", "airflow", "x"], "d", ["run", "airflow", "x"]),
        (["run", "--data=d", "airflow", "x"], "d", ["run", "airflow", "x"]),
        (["run", "airflow", "--data", "x"], None, ["run", "airflow", "--data", "x"]),
        (["check", "--data", "x"], None, ["check", "--data", "x"]),
    ],
)
def test_the_data_set_is_taken_and_the_commands_own_options_are_left(
    given: list[str], data: str | None, rest: list[str]
) -> None:
    assert front._take_data(given) == (data, rest)


def test_run_means_a_stage_or_a_program() -> None:
    assert front._is_own(["run", "all", "crm_lead_scoring"])
    assert not front._is_own(["run", "airflow", "dags", "list"])
    assert not front._is_own(["run"])


def test_a_command_finds_the_ledger_of_the_data_set_used_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(tmp_path))
    monkeypatch.delenv("AIRFLOW_CONN_NIGHTLEDGER_DB", raising=False)
    (tmp_path / "data.json").write_text(json.dumps("/leads"))
    asked: list[Any] = []
    monkeypatch.setattr(stack, "reach", lambda data: asked.append(data) or {})
    monkeypatch.setattr(cli, "main", lambda arguments: asked.append(arguments) or 7)
    assert front.main(["report", "crm_lead_scoring"]) == 7
    assert front.main(["--data", "generated", "report", "crm_lead_scoring"]) == 7
    assert asked == [Path("/leads"), ["report", "crm_lead_scoring"], None, ["report", "crm_lead_scoring"]]


def test_the_readme_shows_no_command_or_option_that_there_is_not() -> None:
    """That each of them works as it is typed is seen by `make newcomer`."""
    typed = [words[1:] for words in shown_commands(NIGHT) if words[0].endswith("nightledger")]
    assert len(typed) >= 15
    for words in typed:
        own = front._is_own(words)
        assert cli._read(words) if own else front._parser().parse_args(words)
    rules = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(f"\n{words[1]}:" in rules for words in shown_commands(NIGHT) if words[0] == "make")
