"""A night whose rows come from one table and whose answers go to another, through the stages as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from include.models import Column, Interval, Mode, RunOptions
from include.night.extract.extract import extract
from include.night.write.write import write
from include.run import Night
from include.systems.sql.declared import SqlRecords, Table
from tests.core.night.gate.answers import answer
from tests.core.night.write.conftest import approve, outbox_of, outcomes_of
from tests.core.systems.sql.conftest import Base

REGISTRY = """
[shop]
purpose = "tests"
data = "orders"
api = "SQL"
connection = "shop_default"
auth = "none"
network = "loopback"
scopes = []
timeout_seconds = 10
limits = []
page_rows = 7
batch_rows = 4
"""
NIGHT = Interval(datetime(2024, 3, 5, 2, tzinfo=UTC), datetime(2024, 3, 6, 2, tzinfo=UTC))
SOURCE = SqlRecords(
    system="shop",
    object="orders",
    key=Column("id", "number"),
    changed=Column("changed", "changed_at", "datetime"),
    columns=(Column("amount", "amount", "number"),),
)
SINK = Table(
    system="shop",
    object="scores",
    fields={"score": "score", "summary": "said"},
    key=("id",),
    make=True,
    stamps={"run_id": "run_id", "interval_end": "known_until"},
)


@pytest.fixture
def night_of(make_night: Callable[..., Night], postgres_base: Base, tmp_path: Path) -> Callable[..., Night]:
    registry = tmp_path / "systems.toml"
    registry.write_text(REGISTRY)
    reach = {"AIRFLOW_CONN_SHOP_DEFAULT": json.dumps(postgres_base.standing.connection)}

    def make(**more: object) -> Night:
        given = {"sources": (SOURCE,), "sinks": (SINK,), "joins": (), "transforms": (), "mirror": None, **more}
        options = RunOptions(mode=Mode.AUTO)
        return make_night(
            interval=NIGHT, connections=reach, settings={"systems_file": registry}, options=options, **given
        )

    return make


def test_rows_of_a_table_are_staged_with_their_places(night_of: Callable[..., Night], postgres_base: Base) -> None:
    postgres_base.run("CREATE TABLE orders (id integer PRIMARY KEY, changed timestamptz NOT NULL, amount numeric)")
    for number in range(1, 18):
        moment = NIGHT.start + timedelta(hours=number)
        amount = "Infinity" if number == 3 else number
        postgres_base.run("INSERT INTO orders VALUES (?, ?, ?)", number, moment, amount)
    staged = extract(night_of())
    rows = pq.read_table(staged.uri).to_pylist()
    assert [row["row_id"] for row in rows] == [f"shop/orders/{n}" for n in range(1, 18) if n != 3]
    assert (staged.facts["input_rows"], staged.facts["rejected_input"]) == (17, 1)
    assert json.loads(rows[0]["lineage"])["shop"] == "orders page 1 row 1"


def test_answers_go_to_a_table_and_again_to_nobody(night_of: Callable[..., Night], postgres_base: Base) -> None:
    night = night_of(confidence_threshold=0.5)
    approved = approve(night, {str(n): answer(score=n) for n in range(1, 11)})
    assert write(night, approved)["written"] == 10
    rows = postgres_base.run("SELECT id, score, said, run_id FROM scores ORDER BY score")
    assert rows[0] == ("1", 1, "Asked for a quote.", night.run_id)
    assert len(rows) == 10
    assert {one["status"] for one in outbox_of(night).values()} == {"written"}
    assert {outcome for outcome, _ in outcomes_of(night).values()} == {"written"}
    again = night_of(confidence_threshold=0.5, external_ref="again")
    assert write(again, approve(again, {str(n): answer(score=n) for n in range(1, 11)}))["unchanged"] == 10
    assert {run for *_, run in postgres_base.run("SELECT id, run_id FROM scores")} == {night.run_id}
