"""What PostgreSQL and vendors say reaches a log or an error without the rows that they quote."""

from __future__ import annotations

import traceback

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, insert, text
from sqlalchemy.exc import IntegrityError

from include.database import copy_rows, transaction
from include.errors import LedgerUnavailable, SystemUnavailable
from include.refusals import without_rows
from include.systems.model.client import _scrub
from tests.core.conftest import Ledger

ADA = "Ada Lovelace, ada@leak.example"
KEPT = Table("kept", MetaData(schema="nightledger"), Column("note", Text), Column("size", Integer))
FULL_DISK = (
    "CREATE TABLE nightledger.kept (note text UNIQUE CHECK (length(note) < 99), size int)",
    "CREATE FUNCTION nightledger.full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.size = -1 THEN "
    "RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END IF; "
    "RETURN NEW; END $$",
    "CREATE TRIGGER full_disk BEFORE INSERT ON nightledger.kept FOR EACH ROW EXECUTE FUNCTION nightledger.full_disk()",
)


@pytest.fixture
def kept(ledger: Ledger) -> Ledger:
    """A ledger with a table whose disk is full for rows of size -1."""
    with transaction(ledger.owner) as connection:
        for statement in FULL_DISK:
            connection.execute(text(statement))
    return ledger


def said(error: BaseException) -> str:
    """Everything that a log would print of it."""
    return "".join(traceback.format_exception(error)) + str(error)


def test_a_full_disk_in_the_middle_of_a_copy_is_to_be_retried_and_quotes_no_row(kept: Ledger) -> None:
    with (
        pytest.raises(LedgerUnavailable, match="No space left on device") as caught,
        transaction(kept.owner) as connection,
    ):
        copy_rows(connection, KEPT, ["note", "size"], [[ADA, -1]])
    assert "Lovelace" not in said(caught.value)
    assert "leak.example" not in said(caught.value)


def test_a_value_that_does_not_fit_is_not_quoted(kept: Ledger) -> None:
    with pytest.raises(Exception, match="invalid input syntax") as caught, transaction(kept.owner) as connection:
        copy_rows(connection, KEPT, ["note", "size"], [["x", ADA]])
    assert "Lovelace" not in said(caught.value)
    assert "CONTEXT" not in said(caught.value)


@pytest.mark.parametrize(("note", "constraint"), [(ADA, "kept_note_key"), (ADA * 9, "kept_note_check")])
def test_a_constraint_is_named_and_its_row_is_not_quoted(kept: Ledger, note: str, constraint: str) -> None:
    with transaction(kept.owner) as connection:
        copy_rows(connection, KEPT, ["note"], [[ADA]])
    with pytest.raises(IntegrityError, match=constraint) as caught, transaction(kept.owner) as connection:
        connection.execute(insert(KEPT).values(note=note))
    assert "Lovelace" not in said(caught.value)


def test_an_error_without_a_server_keeps_its_first_line(ledger: Ledger) -> None:
    assert without_rows(ValueError("one\ntwo")) == "one\ntwo"
    with pytest.raises(LedgerUnavailable, match="terminating"), transaction(ledger.owner) as one:
        one.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


def test_no_error_of_ours_carries_a_personal_value_or_a_key() -> None:
    error = SystemUnavailable("500 for ada@leak.example with Bearer abcDEF123456", system="crm", about="POST /x")
    assert "leak.example" not in f"{error} {error.problem}"
    assert "abcDEF123456" not in str(error)
    assert "crm POST /x: 500 for [e-mail]" in str(error)


def test_a_vendors_message_does_not_repeat_the_row_or_the_key() -> None:
    row = '{"job_title":"Countess of Lovelace, +49 30 5551234567"}'
    body = {"messages": [{"role": "system", "content": "Answer in JSON."}, {"role": "user", "content": row}]}
    message = f"Invalid value: 'Countess of Lovelace, +49 30 5551234567' with sk-proj-abcdefghijkl1234567890. {row}"
    detail = _scrub(400, {"code": "invalid_value", "message": message}, body)
    assert detail.startswith("400 invalid_value: Invalid value: '[echo]")
    assert "Lovelace" not in detail
    assert "5551234567" not in detail
    assert "abcdefghijkl" not in detail
