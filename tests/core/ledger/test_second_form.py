"""A ledger of the first form, with rows in it, becomes one of today's and still proves itself."""

from __future__ import annotations

from alembic import command
from sqlalchemy import text

from include.ledger import schema
from include.ledger.database import open_engine
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
