"""The command line without Airflow: exit codes, and errors that say what to do."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from include.cli import main
from include.ledger.heads import export_head
from include.ledger.schema import head_revision
from include.ledger.verify import verify
from include.models import Outcome
from include.run import Night
from include.spec.prompt import load_prompt
from include.spec.use_case import load
from include.stages import close
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import ask, decide, end_rows, rows_of, stage_raw

CASE = "crm_lead_scoring"
INTERVAL = ["--from", "2026-11-20T02:00", "--to", "2026-11-21T02:00"]


def connection(url: str) -> str:
    parts = make_url(url)
    return json.dumps({"host": parts.query["host"], "schema": parts.database, "login": parts.username})


@pytest.fixture(autouse=True)
def _environment(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CRM_DEFAULT", "SFTP_DEFAULT", "OPENAI_DEFAULT", "WAREHOUSE_DEFAULT", "NIGHTLEDGER_DB_OWNER"):
        monkeypatch.delenv(f"AIRFLOW_CONN_{name}", raising=False)
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTLEDGER_DB", connection(ledger.urls.service))
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(tmp_path))
    monkeypatch.setenv("NIGHTLEDGER_TOKEN_SECRET", "test secret")


@pytest.fixture
def night(make_night: MakeNight) -> Night:
    """A closed night of three rows."""
    made = make_night(prompt=load_prompt(load(CASE)).as_mapping())
    rows = rows_of(3)
    stage_raw(made, rows)
    decide(made, rows, inferences=ask(made, rows))
    end_rows(made, dict.fromkeys(rows, Outcome.SHADOWED))
    close(made)
    return made


def run(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    return main(arguments, out), out.getvalue()


def test_a_kept_head_is_demanded_and_what_came_after_it_verified(night: Night, tmp_path: Path) -> None:
    head = verify(night.ledger).head
    kept = tmp_path / "heads.txt"
    export_head(night.ledger, night.run_id, str(kept))
    assert run("ledger", "verify", "--head", head, "--heads", str(kept))[0] == 0
    code, said = run("ledger", "verify", "--from", head)
    assert (code, f"recorded after head {head[:16]}" in said) == (0, True)
    kept.write_text(kept.read_text().replace(head, "0" * 64))
    code, said = run("ledger", "verify", "--heads", str(kept))
    assert (code, "cut or rewritten" in said) == (1, True)


def test_an_untouched_ledger_verifies_with_0(night: Night) -> None:
    code, said = run("ledger", "verify")
    assert (code, said.split(".")[0]) == (0, "The ledger holds")


def test_a_flipped_byte_is_found_with_1_and_named(night: Night, ledger: Ledger) -> None:
    flipped = "UPDATE inference_result SET raw_text = coalesce(raw_text, '') || '!' WHERE inference_id = ("
    with ledger.owner.begin() as superuser:
        superuser.execute(text("SET LOCAL session_replication_role = replica"))
        changed = text(flipped + "SELECT min(inference_id::text)::uuid FROM inference_result) RETURNING inference_id")
        inference_id = superuser.execute(changed).scalar_one()
    code, said = run("ledger", "verify")
    assert code == 1
    assert "inference_result" in said
    assert str(inference_id) in said


def test_an_upgrade_needs_the_owner(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ledger", "upgrade") == (2, "")
    assert "nightledger_db_owner" in capsys.readouterr().err


def test_an_upgrade_may_be_repeated(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTLEDGER_DB_OWNER", connection(ledger.urls.owner))
    assert [run("ledger", "upgrade") for _ in range(2)] == [(0, f"The ledger is at revision {head_revision()}.\n")] * 2


def test_a_ledger_without_schema_is_upgraded_on_the_way_in(
    empty_database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTLEDGER_DB", connection(empty_database))
    assert run("ledger", "verify")[0] == 2
    assert "LedgerOutdated" in capsys.readouterr().err
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTLEDGER_DB_OWNER", connection(empty_database))
    assert run("ledger", "verify")[0] == 0


def test_a_key_nobody_met_is_said_to_be_unknown() -> None:
    code, said = run("explain", CASE, "no-such-lead")
    assert code == 0
    assert "No run of this use case has met a row with this key" in said


def test_a_known_key_is_explained(night: Night) -> None:
    code, said = run("explain", CASE, rows_of(1)[0].rpartition("/")[2])
    assert code == 0
    assert night.run_id in said


@pytest.mark.parametrize("stage", ["check", "enrich", "gate", "write", "close"])
def test_a_later_stage_without_extract_says_what_to_do(stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("run", stage, CASE, *INTERVAL) == (2, "")
    assert "Run stage `extract` first" in capsys.readouterr().err


def test_a_stage_out_of_order_names_the_missing_dataset(
    make_night: MakeNight, capsys: pytest.CaptureFixture[str]
) -> None:
    stage_raw(make_night(), rows_of(1))
    assert run("run", "enrich", CASE, *INTERVAL) == (2, "")
    said = capsys.readouterr().err
    assert "'good' is missing" in said
    assert "Run the stage before" in said


def test_a_missing_ledger_connection_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_NIGHTLEDGER_DB")
    assert run("ledger", "verify") == (2, "")
    assert "AIRFLOW_CONN_NIGHTLEDGER_DB" in capsys.readouterr().err


def test_a_missing_source_connection_names_its_variable(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("run", "extract", CASE, *INTERVAL) == (2, "")
    assert "AIRFLOW_CONN_SFTP_DEFAULT" in capsys.readouterr().err


def test_a_ledger_that_is_down_says_so_without_the_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    down = {"host": str(tmp_path), "login": "me", "password": "open sesame"}
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTLEDGER_DB", json.dumps(down))
    assert run("ledger", "verify") == (2, "")
    said = capsys.readouterr().err
    assert "LedgerUnavailable" in said
    assert "sesame" not in said


def test_no_run_starts_without_a_token_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NIGHTLEDGER_TOKEN_SECRET")
    assert run("run", "extract", CASE, *INTERVAL) == (2, "")
    assert "NIGHTLEDGER_TOKEN_SECRET" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from", "yesterday", "--to", "2026-11-21T02:00"], "ISO 8601"),
        (["--from", "2026-11-21T02:00", "--to", "2026-11-21T02:00"], "--from before --to"),
        ([*INTERVAL, "--limit", "0"], "limit"),
    ],
)
def test_a_wrong_argument_is_an_error_in_words(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("run", "extract", CASE, *arguments) == (2, "")
    assert words in capsys.readouterr().err


def test_the_report_of_the_latest_run_is_printed(night: Night, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = run("report", CASE, "--latest")
    assert code == 0
    assert night.run_id in said


def test_a_report_before_the_first_run_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("report", CASE) == (2, "")
    assert "has not run yet" in capsys.readouterr().err
