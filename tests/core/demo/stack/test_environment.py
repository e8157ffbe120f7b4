"""What the stack's processes see: the user's own systems first, nothing of another Airflow."""

import json
from pathlib import Path

import pytest

from include.demo.stack.environment import (
    airflow_settings,
    children_environment,
    fingerprint,
    ledger_connections,
    read_environment,
    sandbox_connections,
)
from include.demo.stack.home import Home, open_home, open_secrets
from include.demo.stack.postgres import Server
from include.settings import ROOT

SERVER = Server(Path("/data"), "/run/a folder")
ENDPOINTS = {
    "crm_url": "http://127.0.0.1:4001",
    "crm_token": "token",
    "model_url": "http://127.0.0.1:4002",
    "model_key": "key",
    "sftp_host": "127.0.0.1",
    "sftp_port": 4003,
    "sftp_login": "drop",
    "sftp_key_file": "/keys/client",
    "sftp_host_key": "ssh-ed25519 AAAA",
}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home({"NIGHTLEDGER_HOME": str(tmp_path)})


def test_settings_of_another_airflow_stay_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIRFLOW__CORE__DAGS_FOLDER", "AIRFLOW_HOME", "PYTHONDONTWRITEBYTECODE"):
        monkeypatch.setenv(name, "elsewhere")
    assert "elsewhere" not in read_environment(tmp_path).values()


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text('# note\nNIGHTLEDGER_CHUNK_ROWS=5\nAIRFLOW_CONN_CRM_DEFAULT=\'{"host": "a"}\'\n')
    monkeypatch.setenv("NIGHTLEDGER_CHUNK_ROWS", "7")
    found = read_environment(tmp_path)
    assert found["NIGHTLEDGER_CHUNK_ROWS"] == "7"
    assert json.loads(found["AIRFLOW_CONN_CRM_DEFAULT"]) == {"host": "a"}


def test_tasks_reach_the_api_server_where_it_listens(home: Home) -> None:
    settings = airflow_settings(home, SERVER, open_secrets(home), 18123, 2)
    assert settings["AIRFLOW__API__PORT"] == "18123"
    assert settings["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:18123/execution/"
    assert settings["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert settings["AIRFLOW__CORE__LOAD_EXAMPLES"] == "False"
    assert settings["AIRFLOW__CORE__DAGS_FOLDER"] == str(ROOT / "dags")


def test_a_socket_with_a_space_in_its_path_survives_the_url() -> None:
    assert "host=%2Frun%2Fa+folder" in SERVER.url("airflow", "airflow", "p@ss")


def test_children_find_the_code_and_no_proxy_stands_before_loopback(home: Home) -> None:
    seen = children_environment(home, {"NO_PROXY": "intranet"}, {}, open_secrets(home))
    assert str(ROOT) in seen["PYTHONPATH"].split(":")
    assert seen["NO_PROXY"] == seen["no_proxy"] == "127.0.0.1,localhost,intranet"
    assert seen["NIGHTLEDGER_HOME"] == str(home.folder)


def test_the_users_own_token_secret_is_kept(home: Home) -> None:
    seen = children_environment(home, {"NIGHTLEDGER_TOKEN_SECRET": "mine"}, {}, open_secrets(home))
    assert seen["NIGHTLEDGER_TOKEN_SECRET"] == "mine"


def test_sandbox_connections_are_airflows_json_form() -> None:
    found = {name: json.loads(value) for name, value in sandbox_connections(ENDPOINTS).items()}
    assert found["AIRFLOW_CONN_CRM_DEFAULT"]["port"] == 4001
    assert found["AIRFLOW_CONN_OPENAI_DEFAULT"]["host"] == "http://127.0.0.1:4002/v1"
    assert found["AIRFLOW_CONN_SFTP_DEFAULT"]["extra"]["host_key"] == "ssh-ed25519 AAAA"
    assert "password" not in found["AIRFLOW_CONN_SFTP_DEFAULT"]


def test_tasks_log_in_to_the_ledger_as_the_service(home: Home) -> None:
    found = ledger_connections(SERVER, open_secrets(home), "_a1")
    assert json.loads(found["AIRFLOW_CONN_NIGHTLEDGER_DB"])["login"] == "nightledger_service"
    assert json.loads(found["AIRFLOW_CONN_NIGHTLEDGER_DB_OWNER"])["login"] == "nightledger_owner"
    assert {json.loads(value)["schema"] for value in found.values()} == {"nightledger_a1", "warehouse_a1"}


def test_a_new_connection_changes_the_fingerprint_and_a_new_shell_does_not() -> None:
    before = fingerprint({"AIRFLOW_CONN_CRM_DEFAULT": "a", "TERM": "xterm"})
    assert fingerprint({"AIRFLOW_CONN_CRM_DEFAULT": "a", "TERM": "vt100"}) == before
    assert fingerprint({"AIRFLOW_CONN_CRM_DEFAULT": "b", "TERM": "xterm"}) != before
