"""The embedded server: every role with its own password, and nothing reachable for other accounts."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from include.demo.stack import postgres
from include.demo.stack.errors import StackError
from include.demo.stack.postgres import DATABASES, ROLES, Server, embedded_postgres, prepare

PASSWORDS = {role: f"password of {role}" for role in ROLES}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="nl-") as folder, embedded_postgres(Path(folder) / "data") as server:
        prepare(server, PASSWORDS)
        yield server


def connect(server: Server, database: str, role: str, password: str | None) -> psycopg.Connection:
    return psycopg.connect(dbname=database, user=role, password=password, host=server.socket, autocommit=True)


@pytest.mark.parametrize(("database", "owner"), DATABASES.items())
def test_each_database_belongs_to_its_role(server: Server, database: str, owner: str) -> None:
    with connect(server, database, owner, PASSWORDS[owner]) as connection:
        connection.execute("CREATE SCHEMA made_by_owner")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("password", [None, "wrong"])
def test_no_role_gets_in_without_its_password(server: Server, role: str, password: str | None) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        connect(server, "nightledger", role, password)


def test_the_service_role_makes_no_table_and_is_nobody_special(server: Server) -> None:
    with connect(server, "nightledger", "nightledger_service", PASSWORDS["nightledger_service"]) as connection:
        query = "SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
        assert connection.execute(query).fetchone() == (False,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE public.mine (n int)")


def test_passwords_are_kept_as_scram_and_no_port_is_open(server: Server) -> None:
    with connect(server, "postgres", "postgres", None) as connection:
        stored = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'airflow'").fetchone()
        assert stored is not None
        assert stored[0].startswith("SCRAM-SHA-256$")
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)


def test_the_servers_log_holds_neither_rows_nor_statements(server: Server) -> None:
    with psycopg.connect(dbname="postgres", user="postgres", host=server.socket, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("CREATE TEMP TABLE t (a text UNIQUE); INSERT INTO t VALUES ('Ada L.'), ('Ada L.')")
        assert connection.execute("SHOW log_error_verbosity").fetchone() == ("terse",)
    log = (server.folder / "log").read_text(encoding="utf-8", errors="replace")
    assert "duplicate key" in log
    assert "Ada L." not in log


def test_preparing_again_changes_nothing(server: Server) -> None:
    prepare(server, PASSWORDS)
    assert postgres.start(server.folder) == server


def test_a_long_path_keeps_the_socket_private_elsewhere() -> None:
    with tempfile.TemporaryDirectory(prefix="nl-") as folder:
        deep = Path(folder, *["a" * 40] * 4)
        deep.mkdir(parents=True)
        with embedded_postgres(deep / "data") as server:
            assert not server.socket.startswith(str(deep))
            assert Path(server.socket).stat().st_mode & 0o077 == 0
            connect(server, "postgres", "postgres", None).close()
        assert not postgres.is_running(server.folder)


def test_a_path_with_a_space_keeps_the_socket_elsewhere() -> None:
    with tempfile.TemporaryDirectory(prefix="nl a clone ") as folder:
        Path(folder).chmod(0o711)
        with embedded_postgres(Path(folder) / "data") as server:
            assert " " not in server.socket
            connect(server, "postgres", "postgres", None).close()


def test_a_server_that_does_not_start_is_a_sentence_with_its_log(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("7")
    with pytest.raises(StackError, match=r"postgres: did not start\. See .*log"):
        postgres.start(tmp_path / "data")


def test_stopping_what_does_not_run_is_no_error(tmp_path: Path) -> None:
    assert postgres.stop(tmp_path / "nothing") is False
