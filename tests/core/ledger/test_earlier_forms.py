"""A ledger of an earlier form, with rows in it, becomes one of today's and still proves itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from alembic import command
from sqlalchemy import text

from include.database import open_database
from include.ledger import schema, seals
from include.ledger.audit import find_answers
from include.ledger.quarantine import UNREADABLE, Filter, count_by, dismiss, list_rows
from include.ledger.record import record_event
from include.ledger.verify import verify
from tests.core.conftest import MakeNight

_RESULT = """
INSERT INTO nightledger.inference_result (inference_id, stream, batch, run_id, outcome, cost)
VALUES (gen_random_uuid(), 'r', gen_random_uuid(), 'r', 'ok', 0.25)"""


def test_rows_of_the_first_form_keep_their_digest(empty_database: str) -> None:
    engine = open_database(empty_database)
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
    engine = open_database(empty_database)
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


_SIXTH = """
INSERT INTO run (run_id, use_case, interval_start, interval_end, attempt, external_ref, mode, options, model,
       prompt_version, prompt_hash, contract_hash, code_version, git_sha)
VALUES ('n-1', 'n', '2026-11-19 02:00Z', '2026-11-20 02:00Z', 1, 'cli', 'auto', '{}', 'm', '1', 'p', 'c', '0', '');
SELECT ensure_inference_month(current_date);
INSERT INTO inference (inference_id, batch, run_id, use_case, row_id, row_key, inference_key, prompt_version,
       prompt_hash, model, parameters, messages, kind, attempt, tokens_estimated, cost_reserved)
SELECT uid(n), uid(0), 'n-1', 'n', 'r' || n, 'k' || n, 'key' || n, '1', 'p', 'm', '{}', '[]', 'ask', 1, 1, 0
  FROM generate_series(1, 4) AS n;
INSERT INTO inference_result (inference_id, batch, run_id, outcome, raw_text, parsed)
SELECT uid(n), uid(0), 'n-1', 'ok', '{"a": 1}', '{"a": 1}' FROM generate_series(1, 4) AS n;
INSERT INTO answer (inference_key, input_sha256, origin, inference_id, run_id, model)
SELECT 'key' || n, 'i', 'model', uid(n), 'n-1', 'm' FROM generate_series(1, 4) AS n;
INSERT INTO decision (decision_id, batch, run_id, use_case, row_id, row_key, inference_key, verdict, rule, decided_by,
       origin, inference_id, output, shown_sha256)
SELECT uid(n), uid(0), 'n-1', 'n', 'r' || n, 'k' || n, 'key' || n, 'write', 'x', 'gate', 'model', uid(n),
       '{"a": 1}', 's'
  FROM generate_series(1, 4) AS n;
INSERT INTO outbox (run_id, use_case, interval_start, interval_end, row_id, row_key, decision_id, destination, object,
       external_id, fields, fields_sha256, before, after, status, attempts, error)
SELECT 'n-1', 'n', '2026-11-19 02:00Z', '2026-11-20 02:00Z', 'r' || n, 'k' || n, uid(n), 'crm', 'contacts', 'k' || n,
       '{"a": "1"}', 'f', '{"a": null}', (ARRAY['{"a": "1", "t": "x"}', '{"t": "x"}', NULL, NULL]::jsonb[])[n],
       (ARRAY['written', 'written', 'intended', 'failed'])[n], n, (ARRAY[NULL, NULL, NULL, 'gone'])[n]
  FROM generate_series(1, 4) AS n"""
_UID = """
CREATE FUNCTION uid(n bigint) RETURNS uuid LANGUAGE sql
    AS $$ SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$"""


def test_a_closed_night_of_the_sixth_form_proves_itself_and_is_not_paid_again(
    empty_database: str, make_night: MakeNight, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_database(empty_database)
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS nightledger"))
        config = schema._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0006")
        connection.exec_driver_sql("SET LOCAL search_path = nightledger")
        connection.exec_driver_sql(_UID)
        for statement in _SIXTH.split(";"):
            connection.exec_driver_sql(statement)
        said = {"external_ref": "cli", "mode": "auto", "model": "m", "prompt_hash": "p", "contract_hash": "c"}
        record_event(connection, "n-1", "run.opened", {**said, "options": {}})
        connection.exec_driver_sql("UPDATE run SET status = 'succeeded', finished_at = now()")
        then = {table: sealed for table, sealed in seals.SEALED.items() if not table.startswith("outbox")}
        with monkeypatch.context() as patched:
            patched.setattr(seals, "SEALED", then | seals.FORMERLY)
            patched.setattr(seals, "REFS", {})  # nothing could be erased then
            seals.seal_run(connection, "n-1")
        record_event(connection, "n-1", "run.closed", {"status": "succeeded", "counts": {}})
        before = connection.exec_driver_sql("SELECT * FROM outbox ORDER BY outbox_id").mappings().all()
    schema.upgrade(engine)
    with engine.begin() as connection:
        query = text("SELECT * FROM nightledger.outbox ORDER BY outbox_id")
        assert connection.execute(query).mappings().all() == before
    assert verify(engine).holds, verify(engine).as_text()
    again = replace(make_night(), ledger=engine)
    assert find_answers(engine, again, {"key1", "key5"})["key1"].output == {"a": 1}
    for table in ("outbox_result", "answer"):
        with engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE nightledger.{table} DISABLE TRIGGER USER")
            change = "status = 'failed'" if table == "outbox_result" else "inference_key = 'x' || inference_key"
            connection.exec_driver_sql(f"UPDATE nightledger.{table} SET {change}")
        assert table.partition("_")[0] in {finding.table for finding in verify(engine).findings}
    engine.dispose()
