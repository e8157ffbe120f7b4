"""Demand is forecast from the sandbox's ERP and a plant's own table, proposed to the ERP, and left alone afterwards."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests
from sqlalchemy import text

from include.cli import main
from include.demo.sandbox.config import Endpoints, SandboxConfig
from include.demo.sandbox.odata.erp import PLANTS, Erp
from include.demo.sandbox.process import running_sandbox
from include.demo.sandbox.seed.demand import PLANT, TABLE, demand
from include.demo.stack.environment import sandbox_connections
from include.models import Interval, Record
from include.spec.names import FOLDER
from include.use_cases.erp_demand_forecast.expectations import ANSWER_EXPECTATIONS, EXPECTATIONS
from include.use_cases.erp_demand_forecast.fallback import answer
from include.use_cases.erp_demand_forecast.local import LOCAL
from include.use_cases.erp_demand_forecast.output import Output
from tests.core.commands.test_cli import connection
from tests.core.conftest import Ledger

NAME = "erp_demand_forecast"
END = datetime(2026, 11, 20, 2, tzinfo=UTC)
PRODUCTS = 8
EXAMPLES = [json.loads(line) for line in (FOLDER / NAME / "evals.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def sandbox(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoints]:
    config = SandboxConfig(
        state=tmp_path / "sandbox", days=1, leads_per_day=1, erp_products=PRODUCTS, anchor=END, erp_latency_ms=0
    )
    with running_sandbox(config) as endpoints:
        made = sandbox_connections({name: getattr(endpoints, name) for name in Endpoints.__dataclass_fields__})
        for name, value in made.items():
            if "ERP" in name or "SHOP" in name:
                monkeypatch.setenv(name, value)
        monkeypatch.setenv("NIGHTLEDGER_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("NIGHTLEDGER_TOKEN_SECRET", "test secret")
        monkeypatch.setenv("AIRFLOW_CONN_NIGHTLEDGER_DB", connection(ledger.urls.service))
        yield endpoints


def run(step: str, *arguments: str, end: datetime = END) -> dict[str, Record]:
    interval = ("--from", (end - timedelta(days=1)).isoformat(), "--to", end.isoformat())
    out = io.StringIO()
    assert main(("run", step, NAME, *interval, *arguments), out) == 0, out.getvalue()
    return {name: done for line in out.getvalue().splitlines() for name, done in json.loads(line).items()}


def proposals(endpoints: Endpoints) -> dict[tuple[str, str, int], Record]:
    login, place = (endpoints.erp_login, endpoints.erp_password), f"{endpoints.erp_url}/ForecastProposals"
    rows: list[Record] = []
    while place:
        reply = requests.get(place, auth=login, timeout=10).json()
        rows += reply["value"]
        link = reply.get("@odata.nextLink", "")
        place = link if "://" in link or not link else f"{endpoints.erp_url}/{link}"
    return {(row["ProductId"], row["Plant"], row["Ahead"]): row for row in rows}


def test_a_night_proposes_weeks_and_a_second_one_writes_nothing(sandbox: Endpoints, ledger: Ledger) -> None:
    before = proposals(sandbox)
    steps = run("all", "--mode", "auto")
    assert steps["extract"]["read"].keys() == {"erp", "shop"}
    assert steps["extract"]["transformed"]["groups"] == PRODUCTS * 3 == steps["extract"]["rows"]
    assert steps["check"]["quarantined"] == 1, "the product with more returns than sales"
    assert steps["gate"]["verdicts"] == {"write": PRODUCTS * 3 - 3, "review": 2}
    assert steps["gate"]["rules"]["answered by the fallback rule"] == 2, "one is new, one is not sold any more"
    after = proposals(sandbox)
    written = {key: row for key, row in after.items() if row != before.get(key)}
    assert len(written) == steps["write"]["sent"] == (PRODUCTS * 3 - 3) * LOCAL.horizon
    assert {plant for _, plant, _ in written.keys() - before.keys()} == {*PLANTS, PLANT}, "some were not there yet"
    for (_, _, ahead), row in written.items():
        assert row["Week"] == (date(2026, 11, 16) + timedelta(weeks=ahead)).isoformat()
        assert 0 <= row["Lower"] <= row["Quantity"] <= row["Upper"]
        assert row["Method"] == "level"
    with ledger.service.connect() as base:
        held = dict(base.execute(text("SELECT expectation, success FROM nightledger.quality_result")).all())
    assert set(held) == {one.id for one in (*EXPECTATIONS, *ANSWER_EXPECTATIONS)}
    assert all(held.values()), "a history in 24 is within what each of them lets pass"
    again = run("all", "--mode", "auto")
    assert again["write"]["sent"] == 0
    assert again["close"]["counts"] == {"unchanged": PRODUCTS * 3 - 3, "in_review": 2, "quarantined": 1}
    assert proposals(sandbox) == after
    earlier = run("all", "--mode", "auto", end=END - timedelta(weeks=1))
    assert earlier["enrich"]["decided_rows"] > 0
    assert earlier["write"]["sent"] == 0, "a later night has spoken"
    assert proposals(sandbox) == after
    out = io.StringIO()
    assert main(("explain", NAME, "P-1000 / DE01"), out) == 0
    assert "Method: (empty) -> level" in out.getvalue()
    assert "first: erp/DemandHistory/P-1000,DE01,2026-" in out.getvalue()


def test_a_backfill_reads_no_row_that_was_posted_later(sandbox: Endpoints) -> None:
    earlier = END - timedelta(weeks=6)
    found = run("extract", end=earlier)["extract"]
    assert datetime.fromisoformat(found["watermark"]) < earlier
    rows = pd.read_parquet(found["uri"])
    assert {str(day)[:10] for day in rows["this_week"]} == {"2026-10-05"}
    newest = max(one["week"] for text in rows["history"] for one in json.loads(text))
    assert newest == "2026-09-28"
    assert rows["history_count"].min() >= 6


def test_the_table_of_the_plant_grows_and_is_what_a_plant_keeps() -> None:
    config = SandboxConfig(state=Path("unused"), erp_products=PRODUCTS, anchor=END)
    (earlier, later) = (demand(config, end).tables[TABLE] for end in (END - timedelta(days=7), END))
    assert later == demand(config, END).tables[TABLE]
    assert {row["id"] for row in earlier if row["week"] > "2025-10-06"} < {row["id"] for row in later}
    assert len({row["id"] for row in later}) == len(later)
    assert any(row["quantity"] < 0 for row in later)
    assert all(datetime.fromisoformat(row["changed_at"]) < END.replace(tzinfo=None) for row in later)
    erp = list(Erp(config.seed, PRODUCTS, END).demand())
    assert {row["Plant"] for row in erp} == {*PLANTS}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one["id"])
def test_examples_are_forecast_and_traps_are_left_to_the_rule(example: Record) -> None:
    found = LOCAL.open(FOLDER / NAME, Output).sort([example["input"]])
    said = found.decided.get(0) or answer(example["input"])
    assert said is not None
    assert said["method"] == example["expected"]["method"]
    assert bool(found.decided) is ("horizon" in example["expected"])
    weeks = [date.fromisoformat(one["period"]) for one in Output.model_validate(said).model_dump()["horizon"]]
    assert weeks == [date(2026, 11, 23) + timedelta(weeks=at) for at in range(6)]


def test_the_rule_says_the_mean_of_the_last_weeks_that_are_over() -> None:
    weeks = [(date(2026, 11, 9) - timedelta(weeks=at)).isoformat() for at in range(10)]
    history = [{"week": week, "quantity": at + 1.0} for at, week in enumerate(weeks)]
    odd = [{"week": "2026-11-30", "quantity": 900.0}, {"week": weeks[0], "quantity": "many"}, 7, {"week": None}]
    said = answer({"history": json.dumps([*history, *odd]), "this_week": date(2026, 11, 16)})
    assert said is not None
    assert said["horizon"][0] == {"period": "2026-11-23", "quantity": 4.5, "low": 1.0, "high": 8.0}
    assert answer({"history": "no JSON", "this_week": "2026-11-16"}) is None
    assert answer({"history": "[]", "this_week": "2026-11-16"}) is None


GOOD = [{"quantity": 5.0, "week": (date(2026, 8, 24) + timedelta(weeks=at)).isoformat()} for at in range(12)]


@pytest.mark.parametrize(
    ("rule", "history"),
    [
        ("quantity_not_negative", [*GOOD[:-1], {**GOOD[-1], "quantity": -1.0}]),
        ("one_row_per_week", [*GOOD, GOOD[-1]]),
        ("weeks_begin_on_monday", [*GOOD[:-1], {**GOOD[-1], "week": "2026-11-10"}]),
        ("weeks_are_over", [*GOOD, {"quantity": 1.0, "week": "2026-11-16"}]),
        ("history_fresh", GOOD[:-4]),
        ("few_weeks_absent", [*GOOD[:2], *GOOD[6:]]),
    ],
)
def test_each_rule_of_histories_finds_what_it_is_for(rule: str, history: list[Record]) -> None:
    (expectation,) = [one for one in EXPECTATIONS if one.id == rule]
    assert holds(expectation, "history", [history, GOOD, []], this_week=date(2026, 11, 16)) == [False, True, True]


def test_each_rule_of_forecasts_finds_what_it_is_for() -> None:
    good = [{"period": "2026-11-23", "quantity": 5.0, "low": 1.0, "high": 9.0}]
    good.append({**good[0], "period": "2026-11-30"})
    wrong = {
        "interval_in_order": [{**good[0], "low": 6.0}],
        "quantity_plausible": [{**good[0], "quantity": 51.0, "high": 60.0}],
        "weeks_follow": [good[0], {**good[0], "period": "2026-12-07"}],
    }
    for expectation in ANSWER_EXPECTATIONS:
        if expectation.id in wrong:
            found = holds(expectation, "horizon", [wrong.pop(expectation.id), good, None], largest_seen=5.0)
            assert found == [False, True, True]
    assert not wrong


def test_forecasts_of_no_demand_at_all_are_a_share_of_the_forecasts() -> None:
    (expectation,) = [one for one in ANSWER_EXPECTATIONS if one.id == "not_all_still"]
    still, moving = ([{"period": "2026-11-23", "quantity": quantity}] for quantity in (0.0, 4.0))
    texts = [json.dumps(one) for one in (still, still, moving)]
    assert expectation.derive is not None
    shares = expectation.derive(pd.DataFrame({"horizon": [*texts, None]}), Interval(END - timedelta(days=1), END))
    assert list(shares) == [pytest.approx(2 / 3)] * 3 + [0.0]


def holds(expectation: Any, column: str, values: list[Any], **same: Any) -> list[bool]:
    texts = [None if value is None else json.dumps(value) for value in values]
    rows = pd.DataFrame({column: texts, **{name: [value] * len(values) for name, value in same.items()}})
    return [bool(one) for one in expectation.derive(rows, Interval(END - timedelta(days=1), END))]
