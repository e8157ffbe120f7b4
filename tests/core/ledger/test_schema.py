"""The schema: migrations and tables agree, and the service's rights are what the invariants need."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import ProgrammingError

from include.database import open_database, send, transaction
from include.errors import ConfigurationError, LedgerOutdated
from include.ledger import tables
from include.ledger.audit import Answer, keep_answers
from include.ledger.comparisons import Asking, Comparison, record_comparisons
from include.ledger.evaluations import Evaluation, RowVerdict, record_evaluation
from include.ledger.schema import (
    APPEND_ONLY,
    PASSING,
    SERVICE_ROLE,
    UPDATED,
    current_revision,
    head_revision,
    require_current,
    upgrade,
)
from include.models import Origin
from include.run import Night
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import PINS, ask, decide, rows_of

DENIED = "permission denied"


@pytest.fixture
def night(make_night: MakeNight) -> Night:
    """A night with one row in each append-only table."""
    made = make_night()
    ids = ask(made, rows_of(1))
    decide(made, rows_of(1), inferences=ids)
    with transaction(made.ledger) as connection:
        send(connection, [keep_answers(made, PINS, [Answer("key", {}, Origin.RULE)])])
        found = Evaluation(
            labels_sha256="l", rows=1, correct=1, verdict="too_few", reasons=(), scores={}, cost=Decimal(0)
        )
        record_evaluation(connection, made, PINS, found, [RowVerdict("r", "key", "right")])
        beside = Comparison("crm/contacts/1", "1", uuid4(), "1", "person", ["tier"], [])
        asking = Asking(made.case.name, PINS.prompt_hash, PINS.model)
        record_comparisons(connection, made.run_id, asking, made.case.sinks[0], [beside])
    return made


def test_tables_and_migrations_agree(ledger: Ledger) -> None:
    own = "-c search_path=public"  # the other tests' would hide the schema's name
    engine = create_engine(ledger.urls.owner, connect_args={"options": own})
    with engine.connect() as connection:
        options = {
            "compare_type": True,
            "include_schemas": True,
            "include_name": lambda name, kind, _: name == "nightledger" if kind == "schema" else True,
        }
        context = MigrationContext.configure(connection, opts=options)
        differences = compare_metadata(context, tables.metadata)
    engine.dispose()
    kinds = {"add_table", "add_column", "remove_column", "modify_type"}
    found = [
        difference
        for entry in differences
        for difference in (entry if isinstance(entry, list) else [entry])
        if difference[0] in kinds
    ]
    assert found == []


def test_every_migrated_table_is_declared_with_the_same_columns_and_key(ledger: Ledger) -> None:
    reflected = inspect(ledger.owner)
    migrated = {name for name in reflected.get_table_names("nightledger") if not name.startswith("inference_2")} - {
        "alembic_version"
    }
    assert migrated == {table.name for table in tables.metadata.tables.values()}
    for table in tables.metadata.tables.values():
        columns = {column["name"] for column in reflected.get_columns(table.name, "nightledger")}
        assert columns == set(table.c.keys()), table.name
        key = reflected.get_pk_constraint(table.name, "nightledger")["constrained_columns"]
        assert set(key) == set(table.primary_key.columns.keys()), table.name


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("statement", ["UPDATE {} SET recorded_at = now()", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_service_changes_nothing_that_is_append_only(night: Night, table: str, statement: str) -> None:
    with night.ledger.connect() as connection, pytest.raises(ProgrammingError, match=DENIED):
        connection.execute(text(statement.format(table)))


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("statement", ["UPDATE {} SET recorded_at = now()", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_owner_is_stopped_by_triggers(night: Night, ledger: Ledger, table: str, statement: str) -> None:
    with ledger.owner.connect() as connection, pytest.raises(ProgrammingError, match="append-only"):
        connection.execute(text(statement.format(table)))


def test_a_partition_cannot_be_emptied_around_its_table(night: Night, ledger: Ledger) -> None:
    with ledger.owner.connect() as connection:
        query = "SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'inference'::regclass"
        names = list(connection.scalars(text(query)))
        assert names
        for name in names:
            with pytest.raises(ProgrammingError, match="append-only"), connection.begin_nested():
                connection.execute(text(f"TRUNCATE {name}"))


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        *((table, "recorded_at", "now()") for table in APPEND_ONLY),
        *(
            (table, "digest", "''")
            for table in ("inference", "inference_result", "decision", "evaluation", "evaluation_row", "comparison")
        ),
        *(("event", column, value) for column, value in (("seq", "1"), ("prev_hash", "''"), ("hash", "''"))),
    ],
)
def test_the_service_stamps_nothing_itself(ledger: Ledger, table: str, column: str, value: str) -> None:
    with ledger.service.connect() as connection, pytest.raises(ProgrammingError, match=DENIED):
        connection.execute(text(f"INSERT INTO {table} ({column}) VALUES ({value})"))


@pytest.mark.parametrize("statement", ["UPDATE chain_head SET seq = 0", "DELETE FROM run", "CREATE TABLE mine (x int)"])
def test_the_service_cannot_move_a_head_delete_or_create(ledger: Ledger, statement: str) -> None:
    with ledger.service.connect() as connection, pytest.raises(ProgrammingError, match=DENIED):
        connection.execute(text(statement))


def test_the_service_updates_only_columns_that_have_a_state(ledger: Ledger) -> None:
    allowed = "SELECT table_name, column_name FROM information_schema.column_privileges WHERE grantee = :role "
    allowed += "AND table_schema = 'nightledger' AND privilege_type = 'UPDATE' AND table_name NOT LIKE 'inference\\_2%'"
    with ledger.owner.connect() as connection:
        found = set(map(tuple, connection.execute(text(allowed), {"role": SERVICE_ROLE})))
    passing = {(name, column) for name in PASSING for column in inspect_columns(ledger, name)}
    assert found == {(name, column) for name, columns in UPDATED.items() for column in columns.split()} | passing


def inspect_columns(ledger: Ledger, table: str) -> set[str]:
    found = tables.metadata.tables.get(f"nightledger.{table}")
    return set(found.c.keys()) if found is not None else set()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE answer SET output = '{}'",
        "UPDATE prompt SET user_text = ''",
        "UPDATE run SET mode = 'auto'",
        "UPDATE outbox_intent SET external_id = '1'",
        "UPDATE review_item SET proposed = '{}'",
        "UPDATE source_file SET sha256 = ''",
        "UPDATE dead_letter SET record = '{}'",
    ],
)
def test_the_service_rewrites_no_history(ledger: Ledger, statement: str) -> None:
    with ledger.service.connect() as connection, pytest.raises(ProgrammingError, match=DENIED):
        connection.execute(text(statement))


def test_rights_that_an_earlier_version_granted_are_taken_back(ledger: Ledger) -> None:
    with ledger.owner.begin() as connection:
        connection.execute(text(f"GRANT UPDATE, DELETE ON answer, outbox_intent TO {SERVICE_ROLE}"))
    upgrade(ledger.owner)
    for statement in (
        "UPDATE answer SET output = '{}'",
        "UPDATE outbox_intent SET row_key = ''",
        "DELETE FROM outbox_intent",
    ):
        with ledger.service.connect() as connection, pytest.raises(ProgrammingError, match=DENIED):
            connection.execute(text(statement))


def test_a_ledger_of_a_newer_version_is_left_alone(ledger: Ledger) -> None:
    with ledger.owner.begin() as connection:
        connection.execute(text("UPDATE nightledger.alembic_version SET version_num = '9999'"))
    with pytest.raises(LedgerOutdated, match="made by a newer Nightledger: the schema is at revision 9999"):
        upgrade(ledger.owner)


def test_two_upgrades_at_once_migrate_once(empty_database: str) -> None:
    engines = [open_database(empty_database) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(upgrade, engines)) == [head_revision()] * 3
    assert current_revision(engines[0]) == head_revision()
    for engine in engines:
        engine.dispose()


def test_a_new_month_is_made_by_the_service_once(ledger: Ledger) -> None:
    with ledger.service.begin() as connection:
        for _ in range(2):
            connection.execute(text("SELECT ensure_inference_month('2031-05-17')"))
        assert connection.scalar(text("SELECT to_regclass('nightledger.inference_203105')"))


def test_an_empty_database_is_outdated(empty_database: str) -> None:
    engine = open_database(empty_database)
    with pytest.raises(LedgerOutdated, match=r"revision none.*ledger upgrade"):
        require_current(engine)
    engine.dispose()


def test_an_old_revision_is_outdated(ledger: Ledger) -> None:
    require_current(ledger.service)
    with ledger.owner.begin() as connection:
        connection.execute(text("UPDATE nightledger.alembic_version SET version_num = '0000'"))
    with pytest.raises(LedgerOutdated, match="revision 0000"):
        require_current(ledger.service)


def test_an_upgrade_without_the_service_role_says_how_to_make_it(empty_database: str) -> None:
    engine = open_database(empty_database)
    with pytest.raises(ConfigurationError, match="CREATE ROLE nobody_made_this"):
        upgrade(engine, "nobody_made_this")
    engine.dispose()
