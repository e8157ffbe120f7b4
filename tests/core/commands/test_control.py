"""`nightledger control`: what shadow showed, what is proposed, what is refused, what was taken back."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from include.cli import main
from include.database import transaction
from include.ledger.control import read_control, set_control
from include.models import Mode
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.shadows import show_shadow

CASE = "crm_lead_scoring"


@pytest.fixture(autouse=True)
def _environment(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    url = make_url(ledger.urls.service)
    where = {"host": url.query["host"], "schema": url.database, "login": url.username}
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTLEDGER_DB", json.dumps(where))
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(tmp_path))


def run(*arguments: str, use_case: str = CASE) -> tuple[int, str]:
    out = io.StringIO()
    return main(["control", *arguments, "--use-case", use_case], out), out.getvalue()


def test_what_shadow_showed_is_told_with_its_bound_and_what_is_missing(make_night: MakeNight) -> None:
    assert "0 nights; people had filled in 0 records, 0 as proposed; 3 more nights in mode shadow" in run("show")[1]
    show_shadow(make_night, 3, compared=60, agreed=57, version=40)
    told = run("show")[1]
    assert "3 nights; people had filled in 60 records, 57 as proposed, at least 88% (95 %)" in told
    assert "40 of 40 as a version before wrote" in told
    assert "gated is proposed: nightledger control mode gated --use-case crm_lead_scoring" in told
    assert "gated is proposed" not in run("mode", "gated", "--reason", "shadow agreed")[1]


def test_what_may_never_go_out_alone_is_never_set_to_auto(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = run("mode", "auto", "--reason", "why not", use_case="ap_invoices")
    assert code != 0
    assert "can never be auto: an invoice is money" in capsys.readouterr().err
    assert read_control(ledger.service, "ap_invoices").mode is None


def test_auto_says_what_takes_it_back_and_what_has(ledger: Ledger) -> None:
    told = run("mode", "auto", "--reason", "a good month")[1]
    assert "back      at more than 20% overruled of 20 decisions or more; more than 5% of 20 rows" in told
    with transaction(ledger.service) as connection:
        set_control(connection, CASE, "nightledger", "back to gated: its answers drifted", {"mode": Mode.GATED})
    assert "by nightledger at" in run("show")[1]
    assert "back to gated: its answers drifted" in run("show")[1]
