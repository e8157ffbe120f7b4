"""What to order follows from last night's forecasts, and goes to a planner."""

from __future__ import annotations

import io
import json
import math
import random
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from include.cli import main
from include.demo.sandbox.config import Endpoints, SandboxConfig, last_night
from include.demo.sandbox.process import running_sandbox
from include.models import Record
from include.spec.names import FOLDER
from include.spec.reshape import Underivable
from include.spec.use_case import load
from include.systems.exact.declared import Left
from include.use_cases.erp_reorder.expectations import ENOUGH
from include.use_cases.erp_reorder.fallback import answer
from include.use_cases.erp_reorder.output import Output
from include.use_cases.erp_reorder.policy import propose
from include.use_cases.erp_reorder.rows import plant_of, product_of
from tests.core.commands.test_cli import connection
from tests.core.conftest import Ledger

NAME = "erp_reorder"
PRODUCTS = 20
"""Enough that expectations on answers as a whole are held."""


def examples() -> list[Record]:
    lines = (FOLDER / NAME / "evals.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("example", examples(), ids=lambda one: one["about"])
def test_orders_are_those_that_were_worked_out_by_hand(example: Record) -> None:
    if not example["expected"]:
        with pytest.raises(Left):
            propose(example["input"])
        assert Output.model_validate(answer(example["input"])).order == 0
    else:
        assert Output.model_validate(propose(example["input"])).order == example["expected"]["order"]


def test_the_position_covers_what_is_needed_whatever_comes() -> None:
    """The definition of an order-up-to level, on ten thousand random rows."""
    chance = random.Random(7)
    for _ in range(10_000):
        weeks = [{"quantity": chance.uniform(0, 50), "low": 0.0, "high": 60.0} for _ in range(8)]
        row: dict[str, Any] = {"product": "P", "plant": "D", "horizon": json.dumps(weeks), "confidence": 0.9}
        row |= {"on_hand": chance.uniform(0, 300), "stock_safety": chance.randint(0, 40)}
        row |= {"supply_lead_days": chance.choice((0, 3, 7, 21)), "supply_pack": chance.choice((1, 5, 12.5, 25))}
        row |= {"supply_least": chance.choice((0, 1, 30)), "supply_on_order": chance.randint(0, 50)}
        made = propose(row)
        missing = made["needed"] + made["safety"] - made["at_hand"]
        assert made["order"] >= missing - 0.01
        packs = made["order"] / row["supply_pack"]
        assert math.isclose(packs, round(packs), abs_tol=1e-6)
        most = max(missing, row["supply_least"]) + row["supply_pack"] + 0.01
        assert made["order"] <= most if missing > 0.01 else made["order"] <= row["supply_pack"] + row["supply_least"]
        assert 0 <= made["weeks_left"] <= 520


def test_a_series_names_its_product_and_plant() -> None:
    assert (product_of("P / 1 / DE01"), plant_of("P / 1 / DE01")) == ("P / 1", "DE01")
    for bad in (None, "", "P-1", " / DE01", "P-1 / "):
        with pytest.raises(Underivable):
            plant_of(bad)


@pytest.fixture
def sandbox(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoints]:
    sizes: dict[str, Any] = {"days": 1, "leads_per_day": 1, "erp_products": PRODUCTS, "erp_latency_ms": 0}
    config = SandboxConfig(state=tmp_path / "sandbox", anchor=last_night(), **sizes)
    with running_sandbox(config) as endpoints:
        login = {"login": endpoints.erp_login, "password": endpoints.erp_password}
        extra = {"sqlalchemy_scheme": "sqlite"}
        variables = {
            "NIGHTLEDGER_HOME": str(tmp_path / "home"),
            "NIGHTLEDGER_TOKEN_SECRET": "test secret",
            "AIRFLOW_CONN_NIGHTLEDGER_DB": connection(ledger.urls.service),
            "AIRFLOW_CONN_ERP_DEFAULT": json.dumps({"conn_type": "http", "host": endpoints.erp_url, **login}),
            "AIRFLOW_CONN_SHOP_DEFAULT": json.dumps({"host": endpoints.shop_database, "extra": extra}),
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield endpoints


def run(use_case: str, end: datetime, *more: str) -> tuple[int, dict[str, Record]]:
    out = io.StringIO()
    start = end - timedelta(days=1)
    code = main(("run", "all", use_case, "--from", f"{start:%FT%T}", "--to", f"{end:%FT%T}", *more), out)
    return code, {name: done for line in out.getvalue().splitlines() for name, done in json.loads(line).items()}


@pytest.fixture
def proposed(sandbox: Endpoints) -> tuple[datetime, dict[str, Record]]:
    end = datetime.fromisoformat(sandbox.anchor).astimezone(UTC)
    assert run("erp_demand_forecast", end, "--mode", "auto")[0] == 0
    code, steps = run(NAME, end, "--mode", "auto")
    assert code == 0
    return end, steps


def test_every_forecast_becomes_a_proposal_for_a_planner_and_nothing_goes_out(
    proposed: tuple[datetime, dict[str, Record]], sandbox: Endpoints, ledger: Ledger
) -> None:
    end, steps = proposed
    went_out = "SELECT count(*) FROM run JOIN outcome USING (run_id) WHERE use_case <> :reorder AND outcome = 'written'"
    with ledger.owner.connect() as base:
        forecasts = base.scalar(text(went_out), {"reorder": NAME})
        waiting = base.execute(text("SELECT reason, proposed FROM review_item WHERE use_case = :n"), {"n": NAME}).all()
    assert steps["extract"]["rows"] == forecasts >= ENOUGH
    with ledger.owner.connect() as base:
        broken = base.scalars(text("SELECT expectation FROM quality_result WHERE could_not_run IS NOT NULL")).all()
    assert broken == []
    assert steps["close"]["counts"] == {"in_review": forecasts}
    assert {reason for reason, _ in waiting} <= {
        "never alone: it orders goods",
        "answered by the fallback rule",
    }
    assert sum(one["order"] > 0 for _, one in waiting) > 0
    joined = steps["extract"]["joined"]
    assert 0 < joined["stock_"]["matched"] < joined["stock_"]["asked"] == forecasts, "one plant is not in the ERP"
    assert joined["supply_"] == {"asked": forecasts, "matched": forecasts}
    with sqlite3.connect(sandbox.shop_database) as shop:
        tables = {name for (name,) in shop.execute("SELECT name FROM sqlite_master")}
    assert "reorder_proposal" not in tables
    again = run(NAME, end, "--mode", "auto")[1]
    assert again["enrich"]["reused"] == forecasts
    assert again["close"]["counts"] == {"in_review": forecasts}


def test_what_a_planner_agreed_to_would_be_a_row_of_the_table(
    sandbox: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from include.use_cases.erp_reorder import spec

    end = datetime.fromisoformat(sandbox.anchor).astimezone(UTC)
    monkeypatch.setattr(spec, "SPEC", replace(load(NAME), never_alone=None, confidence_threshold=0.0))
    assert run("erp_demand_forecast", end, "--mode", "auto")[0] == 0
    counts = run(NAME, end, "--mode", "auto")[1]["close"]["counts"]
    with sqlite3.connect(sandbox.shop_database) as shop:
        rows = shop.execute('SELECT series, product, plant, "order" FROM reorder_proposal').fetchall()
    assert len(rows) == counts["written"] > PRODUCTS
    assert all(series == f"{product} / {plant}" for series, product, plant, _ in rows)
    assert run(NAME, end, "--mode", "auto")[1]["close"]["counts"]["unchanged"] == counts["written"]


def test_without_the_night_of_the_forecasts_it_waits(sandbox: Endpoints, capsys: pytest.CaptureFixture[str]) -> None:
    end = datetime.fromisoformat(sandbox.anchor).astimezone(UTC)
    assert run(NAME, end)[0] == 2
    assert "has not succeeded" in capsys.readouterr().err


def test_an_earlier_night_is_refused(sandbox: Endpoints, capsys: pytest.CaptureFixture[str]) -> None:
    end = datetime.fromisoformat(sandbox.anchor).astimezone(UTC) - timedelta(days=3)
    assert run(NAME, end)[0] == 2
    assert "stock and orders on the way as it is now" in capsys.readouterr().err
