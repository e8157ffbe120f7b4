"""A source that reaches back reads what was known at the interval's end, on a real database."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from include.errors import ConfigurationError
from include.models import Column, Interval
from include.systems.connections import EnvironmentConnections
from include.systems.forecast.reaching import Reaching
from include.systems.port import Reader
from include.systems.sql.declared import SqlRecords
from tests.core.conftest import MakeNight

END = datetime(2026, 11, 20, 2, tzinfo=UTC)
NIGHT = Interval(END - timedelta(days=1), END)
TABLE = SqlRecords(
    system="shop",
    object="demand",
    key=Column("id", "id"),
    changed=Column("changed", "changed_at", "datetime"),
    columns=(Column("sold", "sold", "number"),),
)


@pytest.fixture
def reader(make_night: MakeNight, tmp_path: Path) -> Reader:
    with sqlite3.connect(tmp_path / "shop.sqlite") as base:
        base.execute("CREATE TABLE demand (id TEXT PRIMARY KEY, changed TEXT NOT NULL, sold REAL)")
        changed = [END - timedelta(days=days, seconds=1) for days in range(40)] + [END]
        rows = [(f"w{at:02}", moment.strftime("%Y-%m-%d %H:%M:%S"), at) for at, moment in enumerate(changed)]
        base.executemany("INSERT INTO demand VALUES (?, ?, ?)", rows)
    reach = {"host": str(tmp_path / "shop.sqlite"), "extra": {"sqlalchemy_scheme": "sqlite"}}
    connections = EnvironmentConnections({"AIRFLOW_CONN_SHOP_DEFAULT": json.dumps(reach)})
    return Reaching(TABLE, timedelta(days=30)).open(make_night(connections=connections))


def test_rows_of_the_whole_reach_come_and_none_that_changed_later(reader: Reader) -> None:
    reader.check_contract()
    rows = [row for page in reader.read(NIGHT) for row in page.rows]
    assert sorted(row["id"] for row in rows) == [f"w{at:02}" for at in range(30)]
    assert (reader.rows, reader.watermark) == (30, END - timedelta(seconds=1))
    assert {row["row_id"].rpartition("/")[0] for row in rows} == {"shop/demand"}


def test_a_limit_is_kept(reader: Reader) -> None:
    assert sum(len(page.rows) for page in reader.read(NIGHT, 7)) == 7


def test_a_member_of_a_history_is_not_read_anew_by_itself(reader: Reader) -> None:
    assert reader.read_ids(["w03"]) is None


def test_whatever_else_it_says_is_the_source_s_own() -> None:
    own: Any = Reaching(TABLE, timedelta(days=1))
    for name in ("system", "object", "key", "declared", "changed", "origins", "refers"):
        assert getattr(own, name) == getattr(TABLE, name)


def test_a_reach_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="back"):
        Reaching(TABLE, timedelta(0))
