"""The sandbox as a process: starts, writes its endpoints, stops cleanly, survives a kill."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from include.demo.sandbox.__main__ import parse
from include.demo.sandbox.config import SCENARIOS, Endpoints, SandboxConfig
from include.demo.sandbox.faults import MODEL_FAULTS
from include.demo.sandbox.model.api import CONTEXT_TOKENS
from include.demo.sandbox.process import running_sandbox
from include.errors import ConfigurationError
from tests.core.demo.sandbox.conftest import ANCHOR, Crm, Start

ROOT = Path(__file__).resolve().parents[4]
Launch = Callable[..., tuple["subprocess.Popen[str]", Endpoints]]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Start the command and wait for its endpoints."""
    running: list[subprocess.Popen[str]] = []

    def begin(*more: str) -> tuple[subprocess.Popen[str], Endpoints]:
        state = tmp_path / "state"
        (state / "endpoints.json").unlink(missing_ok=True)
        command = [sys.executable, "-m", "include.demo.sandbox", "--state", str(state), "--leads-per-day", "12"]
        process = subprocess.Popen(
            [*command, "--days", "1", "--anchor", ANCHOR.isoformat(), *more], cwd=ROOT, text=True
        )
        running.append(process)
        until = time.monotonic() + 30
        while not (state / "endpoints.json").exists():
            assert process.poll() is None, "the sandbox ended early"
            assert time.monotonic() < until, "the sandbox did not start"
            time.sleep(0.05)
        return process, Endpoints.read(state)

    yield begin
    for process in running:
        process.kill()
        process.wait()


def test_it_starts_and_stops_on_sigterm(launch: Launch) -> None:
    process, endpoints = launch()
    state = Path(endpoints.state)
    assert endpoints.pid == process.pid
    for name in ("endpoints.json", "secrets.json", "keys/client_ed25519", "keys/host_ed25519"):
        assert (state / name).stat().st_mode & 0o777 == 0o600, name
    assert endpoints.sftp_host_key.startswith("ssh-ed25519 AAAA")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    assert not (state / "endpoints.json").exists()


def test_a_kill_loses_nothing_and_ports_stay(launch: Launch) -> None:
    process, endpoints = launch()
    crm = Crm(endpoints)
    number = crm.first()
    crm.call("PATCH", f"/crm/v3/objects/contacts/{number}", {"properties": {"nl_lead_score": 33}})
    headers = {"Authorization": f"Bearer {endpoints.model_key}"}
    body = {"model": "sandbox-small", "messages": [{"role": "user", "content": "hello"}]}
    requests.post(f"{endpoints.model_url}/chat/completions", json=body, headers=headers, timeout=10)
    process.kill()
    process.wait()
    _, again = launch()
    assert (again.crm_port, again.model_port, again.sftp_port) == (
        endpoints.crm_port,
        endpoints.model_port,
        endpoints.sftp_port,
    )
    assert Crm(again).read(number, "nl_lead_score")["nl_lead_score"] == "33"
    assert requests.get(f"{again.model_root}/sandbox/billed", timeout=5).json()["billed_calls"] == 1


def test_a_wrong_configuration_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "include.demo.sandbox", "--state", str(tmp_path / "s"), "--data", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "accounts.csv" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_sandboxes_on_one_folder_are_refused(start: Start, tmp_path: Path) -> None:
    start()
    config = SandboxConfig(tmp_path / "state", anchor=ANCHOR)
    with pytest.raises(ConfigurationError, match="another sandbox"), running_sandbox(config):
        pass


def test_a_taken_port_is_named(start: Start, tmp_path: Path) -> None:
    taken = start().crm_port
    config = SandboxConfig(tmp_path / "other", anchor=ANCHOR, leads_per_day=3, days=1, model_port=taken)
    with pytest.raises(ConfigurationError, match=str(taken)), running_sandbox(config):
        pass


def test_a_port_of_before_that_is_taken_is_replaced(start: Start, tmp_path: Path) -> None:
    taken = start().crm_port
    other = tmp_path / "other"
    other.mkdir()
    (other / "ports.json").write_text(f'{{"crm": {taken}}}')
    with running_sandbox(SandboxConfig(other, anchor=ANCHOR, leads_per_day=3, days=1)) as endpoints:
        assert endpoints.crm_port != taken


def test_no_secret_shows_in_a_representation(endpoints: Endpoints) -> None:
    text = repr(endpoints)
    for secret in (endpoints.crm_token, endpoints.model_key, endpoints.sftp_password):
        assert secret not in text


def test_endpoints_of_a_folder_that_nobody_serves(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no sandbox is running"):
        Endpoints.read(tmp_path)


def test_the_command_line_fills_the_configuration(tmp_path: Path) -> None:
    arguments = ["--state", str(tmp_path), "--anchor", "2026-11-20T02:00:00", "--scenario", "last=empty_file"]
    config = parse([*arguments, "--latency-ms", "5", "--rpm", "10", "--fresh"])
    expected: dict[str, Any] = {"model_latency_ms": 5.0, "rpm": 10, "fresh": True, "end": ANCHOR}
    assert {name: getattr(config, name) for name in expected} == expected
    assert config.scenarios == {"last": "empty_file"}
    with pytest.raises(SystemExit):
        parse([*arguments, "--scenario", "empty_file"])


def test_nothing_in_here_imports_airflow() -> None:
    loaded = "any(name.split('.')[0] == 'airflow' for name in sys.modules)"
    code = f"import sys, include.demo.sandbox.__main__; sys.exit({loaded})"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ, timeout=60).returncode == 0


def test_the_page_names_every_fault_scenario_and_option() -> None:
    page = (ROOT / "docs" / "sandbox.md").read_text(encoding="utf-8")
    source = (ROOT / "include" / "demo" / "sandbox" / "__main__.py").read_text(encoding="utf-8")
    options = set(re.findall(r'add_argument\(f?"(--[a-z-]+)"', source)) | {"--crm-port", "--model-port", "--sftp-port"}
    assert len(options) > 10
    for name in (*MODEL_FAULTS, *SCENARIOS, *CONTEXT_TOKENS, *options):
        assert name in page, name
