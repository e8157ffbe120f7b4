"""Budgets on the command line: seen, and put right on record."""

from __future__ import annotations

import getpass
import io
import json
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from include.cli import main
from include.database import send, transaction
from include.ledger.budget import open_budgets, reserve, settle, spent
from tests.core.conftest import Ledger

DAY = "day/crm_lead_scoring/2026-11-20"


@pytest.fixture(autouse=True)
def opened(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day on which an endpoint that lies has spent far too much."""
    db = make_url(ledger.urls.service)
    where = {"host": db.query["host"], "schema": db.database, "login": db.username}
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTLEDGER_DB", json.dumps(where))
    open_budgets(ledger.service, {DAY: Decimal(20), "run/a": Decimal(5)})
    with transaction(ledger.service) as connection:
        reserve(connection, [DAY], [Decimal("0.5")])
        send(connection, [settle([DAY], Decimal("0.25"), Decimal(12_000))])


def said(*command: str) -> tuple[int, str]:
    out = io.StringIO()
    return main(["budget", *command], out), out.getvalue()


def test_budgets_are_shown_with_what_is_left() -> None:
    code, text_ = said("show")
    assert code == 0
    assert text_.endswith("2 budgets\n")
    line = said("show", "day/")[1].splitlines()[0]
    assert line.split()[:4] == [DAY, "12000.000000", "spent", "0.250000"]
    assert "-11980.250000 left of 20 USD" in line


def test_a_correction_is_made_by_a_person_with_a_reason(ledger: Ledger) -> None:
    code, shown = said("correct", DAY, "--spent", "0.07", "--reserved", "0", "--why", "the bill of November says so")
    assert code == 0
    assert "19.930000 left of 20 USD" in shown
    assert spent(ledger.service, DAY) == (Decimal("0.07"), 0)
    with transaction(ledger.service) as connection:
        event = connection.execute(text("SELECT actor, details ->> 'why' FROM event WHERE stream = 'budget'")).one()
    assert tuple(event) == (getpass.getuser(), "the bill of November says so")


@pytest.mark.parametrize(
    "wrong",
    [["--spent", "0"], ["--why", "because"], ["--spent", "much", "--why", "x"], ["--spent", "NaN", "--why", "x"]],
)
def test_a_correction_that_says_nothing_is_refused(ledger: Ledger, wrong: list[str]) -> None:
    assert said("correct", DAY, *wrong)[0] == 2
    assert spent(ledger.service, DAY)[0] == 12_000
