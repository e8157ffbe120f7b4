"""The parts of the stack together, without Airflow: whose settings and connections win, and what may be repeated."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiohttp import web
from psycopg import sql

from include.database import open_database
from include.demo.stack import environment, postgres, processes, stack
from include.demo.stack.api import AirflowApi
from include.demo.stack.environment import PREFIX, SANDBOX_CONNECTIONS, children_environment, read_environment
from include.demo.stack.errors import StackError
from include.demo.stack.home import Home, free_port, open_home, open_secrets
from include.demo.stack.postgres import ROLES, Server, embedded_postgres, prepare
from include.settings import ROOT
from include.systems.connections import EnvironmentConnections
from tests.core.demo.stack.test_environment import ENDPOINTS
from tests.core.odd_server import odd_server

MINE = '{"conn_type": "http", "host": "https://crm.mine.example", "password": "mine"}'


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home({"NIGHTLEDGER_HOME": str(tmp_path / "state")})


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="nl-") as folder, embedded_postgres(Path(folder) / "data") as server:
        yield server


class NoApi:
    """Stands for Airflow's API, which these tests do not start."""

    def __init__(self, base_url: str, user: str, password: str) -> None:
        self.base_url = base_url

    def ensure_pool(self, name: str, slots: int, description: str) -> None:
        pass


@pytest.fixture
def up(home: Home, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`stack.up` with a real server but neither a sandbox nor Airflow; the environment that Airflow would be given."""
    for name in [name for name in os.environ if name.startswith(("AIRFLOW", "NIGHTLEDGER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(home.folder))
    monkeypatch.setattr(stack, "read_environment", lambda: read_environment(tmp_path))
    monkeypatch.setattr(stack.postgres, "start", lambda folder: server)
    monkeypatch.setattr(stack, "_start_sandbox", lambda *given: lambda: ENDPOINTS)
    monkeypatch.setattr(stack, "_upgrade", lambda *given: None)
    monkeypatch.setattr(stack, "_start_airflow", lambda *given: None)
    monkeypatch.setattr(stack, "_wait_until_ready", lambda *given: None)
    monkeypatch.setattr(stack, "AirflowApi", NoApi)
    yield lambda: dict(stack.up(lambda line: None).environment)
    assert processes.recorded(home) == []


def test_the_users_connection_wins_over_the_sandboxs(up: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CRM_DEFAULT", MINE)
    seen = up()
    assert seen["AIRFLOW_CONN_CRM_DEFAULT"] == MINE
    assert json.loads(seen["AIRFLOW_CONN_OPENAI_DEFAULT"])["host"] == "http://127.0.0.1:4002/v1"
    assert EnvironmentConnections(seen).open("http", "crm_default").base_url == "https://crm.mine.example"


def test_a_connection_in_the_env_file_wins_too(up: Any, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"AIRFLOW_CONN_CRM_DEFAULT='{MINE}'\n")
    assert up()["AIRFLOW_CONN_CRM_DEFAULT"] == MINE


def test_the_users_ledger_wins_over_the_embedded_one(up: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = '{"conn_type": "postgres", "host": "db.mine.example"}'
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTLEDGER_DB", mine)
    assert up()["AIRFLOW_CONN_NIGHTLEDGER_DB"] == mine


def test_without_own_connections_every_system_is_a_stand_in(up: Any) -> None:
    seen = up()
    for name in SANDBOX_CONNECTIONS:
        EnvironmentConnections(seen).get(name)
    url = EnvironmentConnections(seen).find("database", "nightledger_db")
    assert url is not None
    engine = open_database(url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT current_user").scalar_one() == "nightledger_service"
    engine.dispose()


def test_up_again_gives_the_same_environment(up: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "free_port", lambda preferred: preferred)
    assert up() == up()


def test_no_sandbox_is_started_when_every_system_is_the_users_own(home: Home) -> None:
    own = {f"{PREFIX}{name}": MINE for name in SANDBOX_CONNECTIONS}
    assert stack._start_sandbox(home, own, None, "", print) is None
    assert processes.recorded(home) == []


def test_nothing_of_another_airflow_reaches_the_children(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = ("AIRFLOW__CORE__EXECUTOR", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW_HOME", "VIRTUAL_ENV")
    for name in foreign:
        monkeypatch.setenv(name, "of another Airflow")
    monkeypatch.setenv("AIRFLOW_CONN_CRM_DEFAULT", MINE)
    given = read_environment(tmp_path)
    assert not set(foreign) & given.keys()
    assert given["AIRFLOW_CONN_CRM_DEFAULT"] == MINE
    seen = children_environment(home, given, {"AIRFLOW__CORE__EXECUTOR": "LocalExecutor"}, open_secrets(home))
    assert seen["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert seen["AIRFLOW_HOME"] == str(home.airflow)
    assert "of another Airflow" not in seen.values()


def test_a_home_of_another_airflow_in_the_env_file_does_not_reach_the_children(home: Home, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("AIRFLOW_HOME=/elsewhere\nNIGHTLEDGER_HOME=/elsewhere\n")
    seen = children_environment(home, read_environment(tmp_path), {}, open_secrets(home))
    assert (seen["AIRFLOW_HOME"], seen["NIGHTLEDGER_HOME"]) == (str(home.airflow), str(home.folder))


def test_secret_files_stay_private_and_equal_over_calls_whatever_the_umask(home: Home) -> None:
    files = (home.folder / "secrets.json", home.password_file)
    before = os.umask(0)
    try:
        open_secrets(home)
        texts = [file.read_text() for file in files]
        open_secrets(home)
    finally:
        os.umask(before)
    assert [file.read_text() for file in files] == texts
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600, 0o600]
    assert [path.name for path in home.folder.iterdir() if path.name.startswith(".")] == []


def test_a_secret_file_that_was_opened_to_others_is_closed_again(home: Home) -> None:
    open_secrets(home)
    home.password_file.chmod(0o644)
    open_secrets(home)
    assert stat.S_IMODE(home.password_file.stat().st_mode) == 0o600


def test_a_changed_password_is_taken_over_and_the_old_one_refused(server: Server) -> None:
    old, new = ({role: f"{word} of {role}" for role in ROLES} for word in ("old", "new"))
    prepare(server, old)
    prepare(server, new)
    reach: dict[str, Any] = {"dbname": "nightledger", "user": "nightledger_service", "host": server.socket}
    psycopg.connect(**reach, password=new["nightledger_service"]).close()
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(**reach, password=old["nightledger_service"])


def test_each_data_set_has_databases_of_its_own_and_they_keep_their_rows(server: Server) -> None:
    passwords = {role: f"password of {role}" for role in ROLES}
    prepare(server, passwords, "_a1")
    reach: dict[str, Any] = {"user": "nightledger_owner", "password": passwords["nightledger_owner"]}
    place = {"dbname": "nightledger_a1", "host": server.socket}
    with psycopg.connect(**reach, **place) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA kept"))
    prepare(server, passwords, "_a1")
    with psycopg.connect(**reach, **place) as connection:
        assert connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'kept'").fetchone() == (1,)


def test_a_part_that_ends_while_starting_is_named_with_its_logs(home: Home) -> None:
    with pytest.raises(StackError, match="scheduler: ended while starting") as caught:
        stack._wait(lambda: False, lambda: False, "scheduler", home)
    assert str(home.logs) in str(caught.value)


def test_a_runtime_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"nightledger-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(StackError, match="belongs to somebody else"):
        postgres._use_private_runtime()


def test_the_commit_is_named_or_left_blank(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    assert environment.git_sha() == ""


def test_the_login_to_airflow_follows_no_redirect() -> None:
    with odd_server(lambda _: web.json_response({"access_token": "t"}, status=201)) as elsewhere:
        moved = {"Location": f"{elsewhere.url}/auth/token"}
        redirects = odd_server(lambda _: web.Response(status=307, headers=moved))
        with redirects as server, pytest.raises(StackError, match="307"):
            AirflowApi(server.url, "admin", "password").call("GET", "/pools")
        assert elsewhere.seen == []


def test_a_port_that_is_taken_is_told_and_the_new_one_kept(home: Home) -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as busy:
        taken = busy.getsockname()[1]
        port = stack._airflow_port(home, {"NIGHTLEDGER_AIRFLOW_PORT": str(taken)}, said.append)
        assert port != taken
        assert said == [f"  Port {taken} is in use by another program or clone; Airflow takes {port} and keeps it"]
    assert stack._airflow_port(home, {}, said.append) == port
    assert len(said) == 1


def test_two_clones_that_start_at_once_take_two_ports(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port(0)
    code = f"from include.demo.stack.postgres import reserve_port as r; print(r({port}), flush=True); input()"
    command = [sys.executable, "-W", "ignore", "-c", code]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert stack._airflow_port(home, {"NIGHTLEDGER_AIRFLOW_PORT": str(port)}, print) != port
        other.communicate("\n")
    assert stack._airflow_port(home, {"NIGHTLEDGER_AIRFLOW_PORT": str(port)}, print) == port


@pytest.mark.parametrize("port", ["http", "70000", "-1"])
def test_a_port_that_is_none_is_refused(home: Home, port: str) -> None:
    with pytest.raises(StackError, match="is no port"):
        stack._airflow_port(home, {"NIGHTLEDGER_AIRFLOW_PORT": port}, print)


def test_what_a_start_began_is_stopped_when_it_fails_and_what_ran_before_stays(home: Home) -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    before = processes.start(home, "before", sleep, os.environ)

    def interrupted() -> None:
        processes.start(home, "begun", sleep, os.environ)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), stack._all_or_nothing(home):
        interrupted()
    assert before.process() is not None
    assert processes.recorded(home) == ["before"]
    assert processes.stop(home, processes.recorded(home)) == ["before"]


def test_a_failed_upgrade_says_why(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "ROOT", home.folder)  # where no `include` is
    (home.folder / "include").mkdir()
    (home.folder / "include" / "cli.py").write_text("raise SystemExit('LedgerOutdated: ledger: too old. Do this')")
    monkeypatch.setattr(stack.processes, "find", lambda home, name: True)  # no migration of Airflow's
    with pytest.raises(StackError, match=r"ledger-upgrade: ledger: too old. Do this.*log"):
        stack._upgrade(home, {"PYTHONPATH": str(home.folder)}, print)


def test_a_command_reaches_the_ledger_of_the_data_set_it_names_without_airflow(
    home: Home, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith(("AIRFLOW", "NIGHTLEDGER_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(stack, "read_environment", lambda: {"NIGHTLEDGER_HOME": str(home.folder)})
    with pytest.raises(StackError, match=r"nothing has run here yet.*nightledger night"):
        stack.reach(None)
    home.postgres.mkdir()
    monkeypatch.setattr(stack.postgres, "start", lambda folder: server)
    with pytest.raises(StackError, match="no night has run on it"):
        stack.reach(tmp_path)
    stack.sandbox_state(home, tmp_path).mkdir()
    generated, own = stack.reach(None), stack.reach(tmp_path)
    names = [json.loads(found["AIRFLOW_CONN_NIGHTLEDGER_DB"])["schema"] for found in (generated, own)]
    assert names == ["nightledger", f"nightledger{stack._suffix(tmp_path)}"]
    assert generated["NIGHTLEDGER_STAGING"] != own["NIGHTLEDGER_STAGING"]
    assert "OPENAI_API_KEY" not in generated  # no sandbox runs
    assert processes.recorded(home) == []
