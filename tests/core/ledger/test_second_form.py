"""A ledger of an earlier form, with rows in it, becomes one of today's and still proves itself."""

from __future__ import annotations

from datetime import UTC, datetime

from alembic import command
from sqlalchemy import text

from include.ledger import schema
from include.ledger.database import open_engine
from include.ledger.quarantine import UNREADABLE, Filter, count_by, dismiss, list_rows
from include.ledger.verify import verify

_RESULT = """
INSERT INTO nightledger.inference_result (inference_id, stream, batch, run_id, outcome, cost)
VALUES (gen_random_uuid(), 'r', gen_random_uuid(), 'r', 'ok', 0.25)"""


def test_rows_of_the_first_form_keep_their_digest(empty_database: str) -> None:
    engine = open_engine(empty_database)
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS nightledger"))
        config = schema._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(text(_RESULT))
    schema.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text(_RESULT))
        connection.execute(text(_RESULT.replace("cost)", "cost, cost_basis)").replace("0.25)", "0.25, 'reported')")))
    assert verify(engine).holds
    for changed in ("cost_basis IS NULL", "cost_basis = 'reported'"):
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE nightledger.inference_result DISABLE TRIGGER keep"))
            connection.execute(text(f"UPDATE nightledger.inference_result SET cost_basis = 'none' WHERE {changed}"))
            connection.execute(text("ALTER TABLE nightledger.inference_result ENABLE TRIGGER keep"))
        assert not verify(engine).holds
    engine.dispose()


_OLD = """
INSERT INTO nightledger.run (run_id, use_case, interval_start, interval_end, attempt, external_ref, mode, options,
       model, prompt_version, prompt_hash, contract_hash, code_version, git_sha)
VALUES ('n-1', 'n', '2026-11-19 02:00Z', '2026-11-20 02:00Z', 1, 'cli', 'auto', '{}', 'm', '1', 'p', 'c', '0', '');
INSERT INTO nightledger.quarantine (run_id, use_case, row_id, row_key, source, stage, reasons, record,
       counts_as_input, status)
VALUES ('n-1', 'n', 'crm/contacts/1', '1', 'page 1', 'check',
        '{"not met: The lead has (or had) an address (email_present)", "not met: Views (page_views_range)"}',
        '{}', true, 'open'),
       ('n-1', 'n', 'sftp/a.csv:4', NULL, 'sftp/a.csv:4', 'extract', '{"has 5 fields (of 8)"}', '{}', false, 'open')"""


def test_quarantined_rows_of_the_second_form_can_be_acted_on(empty_database: str) -> None:
    engine = open_engine(empty_database)
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS nightledger"))
        config = schema._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.exec_driver_sql("SET LOCAL search_path = nightledger")
        for statement in _OLD.split(";"):
            connection.exec_driver_sql(statement)
    schema.upgrade(engine)
    counts = count_by(engine, Filter(start=datetime(2026, 11, 19, tzinfo=UTC), end=datetime(2026, 11, 20, tzinfo=UTC)))
    assert counts.rows == 2
    assert counts.by_expectation == {"email_present": 1, "page_views_range": 1, UNREADABLE: 1}
    line, row = list_rows(engine, Filter(use_case="n", status="open"))
    assert (row.expectations, row.history, line.expectations) == (("email_present", "page_views_range"), (), ())
    assert dismiss(engine, [line.number], "Kim", "old") == 1
    assert count_by(engine, Filter()).by_status == {"open": 1, "dismissed": 1}
    assert verify(engine).holds
    engine.dispose()
