"""What a table as a source does beyond the contract: lags, zones, keys of several columns, rights and refusals."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from include.errors import AccessDenied, ConfigurationError, ContractBroken, SystemUnavailable
from include.models import Column, Interval
from include.systems.ids import join_id, split_id
from include.systems.port import VERSION
from include.systems.sql.declared import SqlRecords
from include.systems.sql.times import local
from tests.core.systems.contracts import NIGHT, rows_of
from tests.core.systems.sql.conftest import Base

HOUR = timedelta(hours=1)
BERLIN = ZoneInfo("Europe/Berlin")
SOURCE = SqlRecords(
    system="shop",
    object="sales.Order Lines",
    key=Column("no", "number"),
    changed=Column("changed", "changed", "datetime"),
    columns=(Column("Qty %", "quantity", "number"),),
    ids=("no", "line"),
)
LINES = 'CREATE TABLE sales."Order Lines" (no text, line integer, changed timestamptz, "Qty %" numeric{})'


@pytest.fixture
def base(postgres_base: Base) -> Base:
    postgres_base.run("DROP SCHEMA IF EXISTS sales CASCADE")
    postgres_base.run("CREATE SCHEMA sales")
    postgres_base.run(LINES.format(", PRIMARY KEY (no, line)"))
    return postgres_base


def put(base: Base, no: str | None, line: int | None, changed: Any = NIGHT.start, quantity: Any = 1) -> None:
    base.run('INSERT INTO sales."Order Lines" VALUES (?, ?, ?, ?)', no, line, changed, quantity)


def read(base: Base, source: SqlRecords = SOURCE, interval: Interval = NIGHT) -> list[dict[str, Any]]:
    reader = source.open(base.standing)
    reader.check_contract()
    return rows_of(reader.read(interval))


def test_a_key_of_several_columns_is_paged_by_all_of_them_and_its_ids_lead_back(base: Base) -> None:
    keys = [(no, line) for no in ("a/1", "a,1", "A 1%", "ä") for line in range(1, 5)]
    for no, line in keys:
        put(base, no, line, quantity=line)
    rows = read(base)
    assert sorted((r["number"], int(r["quantity"])) for r in rows) == sorted(keys)
    ids = [r["row_id"].removeprefix("shop/sales.Order Lines/") for r in rows]
    assert "a%2F1,1" in ids
    found = SOURCE.open(base.standing).read_ids([*ids[:7], "ä,99", "no id", "%zz,1"])
    assert {r["row_id"] for r in rows_of(found)} == {r["row_id"] for r in rows[:7]}


@pytest.mark.parametrize("parts", [("1",), ("a,b", "c/d", "50%"), ("", "\n"), ("%2C",)])
def test_an_id_is_read_back_as_what_it_was_made_of(parts: tuple[str, ...]) -> None:
    text = join_id(parts)
    assert "/" not in text
    assert split_id(text, len(parts)) == parts
    assert split_id(text + ",more", len(parts)) is None


def test_with_a_lag_successive_nights_read_what_was_committed_late_and_nothing_twice(base: Base) -> None:
    source = replace(SOURCE, lag=2 * HOUR)
    nights = [Interval(NIGHT.start + n * timedelta(days=1), NIGHT.end + n * timedelta(days=1)) for n in range(3)]
    for number in range(24):
        put(base, f"{number}", 1, NIGHT.start + number * HOUR)
    first = read(base, source, nights[0])
    put(base, "late", 1, NIGHT.end - HOUR)  # its transaction began before the night was read, and ended after
    seen = [r["number"] for rows in (first, *(read(base, source, one) for one in nights[1:])) for r in rows]
    assert sorted(seen) == sorted([*(f"{n}" for n in range(24)), "late"])
    assert len(first) == 22


def test_times_without_a_zone_are_those_of_the_declared_one(base: Base) -> None:
    base.run('ALTER TABLE sales."Order Lines" ALTER changed TYPE timestamp')
    put(base, "in", 1, datetime(2026, 11, 18, 3, 0))
    put(base, "out", 1, datetime(2026, 11, 18, 2, 59, 59))
    (row,) = read(base, replace(SOURCE, zone="Europe/Berlin"))
    assert (row["number"], row["changed"]) == ("in", NIGHT.start)


def test_nights_that_end_within_the_hour_that_comes_twice_lose_no_row() -> None:
    """Clocks in Berlin go from 03:00 back to 02:00 on 25 October 2026 at 01:00 UTC."""
    ends = [datetime(2026, 10, 25, tzinfo=UTC) + timedelta(minutes=10 * n) for n in range(-12, 18)]
    bounds = [local(end, BERLIN) for end in ends]
    assert bounds == sorted(bounds)
    for end, reached in zip(ends, bounds, strict=True):
        later = ((end + timedelta(minutes=n)).astimezone(BERLIN).replace(tzinfo=None) for n in range(180))
        assert all(written >= reached for written in later)


def test_columns_that_are_not_declared_are_named(base: Base) -> None:
    base.run('ALTER TABLE sales."Order Lines" ADD discount numeric')
    reader = SOURCE.open(base.standing)
    reader.check_contract()
    assert reader.facts["other_columns"][-1].endswith("sales.Order Lines: discount")
    assert not [one for one in reader.facts["other_columns"] if one.endswith((": number", ": changed", ": line"))]


def test_days_need_a_lag_of_a_day(base: Base) -> None:
    base.run('ALTER TABLE sales."Order Lines" ALTER changed TYPE date')
    with pytest.raises(ContractBroken, match="not over when it is read"):
        SOURCE.open(base.standing).check_contract()
    put(base, "yesterday", 1, NIGHT.start.date())
    assert [r["number"] for r in read(base, replace(SOURCE, lag=timedelta(days=1)))] == ["yesterday"]


@pytest.mark.parametrize("line", [1, None])
def test_ids_that_tell_nothing_apart_stop_the_read_where_the_database_does_not_keep_them_so(
    base: Base, line: int | None
) -> None:
    base.run('DROP TABLE sales."Order Lines"')
    base.run(LINES.format(""))
    put(base, "1", 1)
    put(base, "2", 1)
    assert len(read(base)) == 2
    put(base, "1", line, quantity=7)
    with pytest.raises(ContractBroken, match="tells rows apart"):
        read(base)


def test_rows_without_a_time_of_change_belong_to_no_night_and_are_counted(base: Base) -> None:
    put(base, "1", 1)
    put(base, "2", 1, None)
    reader = SOURCE.open(base.standing)
    assert len(rows_of(reader.read(NIGHT))) == 1
    assert reader.facts == {"without_change_time": 1}


def test_a_condition_of_the_spec_narrows_what_is_read_and_what_is_read_anew(base: Base) -> None:
    for number in range(8):
        put(base, f"{number}", 1, quantity=number)
    source = replace(SOURCE, where="\"Qty %\" > 2 AND no NOT LIKE '%7' AND changed > '2020-01-01 00:00'::timestamp")
    rows = read(base, source)
    assert [r["number"] for r in rows] == ["3", "4", "5", "6"]
    assert [r["number"] for r in rows_of(source.open(base.standing).read_ids(["1,1", "3,1"]))] == ["3"]


def test_a_condition_cannot_change_anything(base: Base) -> None:
    base.run(
        "CREATE FUNCTION drop_all() RETURNS boolean LANGUAGE sql AS 'DELETE FROM sales.\"Order Lines\"; SELECT true'"
    )
    put(base, "1", 1)
    with pytest.raises(AccessDenied, match="read-only"):
        list(replace(SOURCE, where="drop_all()").open(base.standing).read(NIGHT))
    assert len(read(base)) == 1


def test_the_version_may_be_postgres_own_or_a_declared_column(base: Base) -> None:
    put(base, "1", 1, quantity=1)
    source = replace(SOURCE, version="xmin")
    (before,) = read(base, source)
    base.run('UPDATE sales."Order Lines" SET "Qty %" = 2')
    (after,) = read(base, source)
    assert before["lineage"][VERSION].isdecimal()
    assert after["lineage"][VERSION] != before["lineage"][VERSION]
    (row,) = read(base, replace(SOURCE, version="Qty %"))
    assert row["lineage"][VERSION] == "2"


def test_a_value_that_the_driver_cannot_hold_sets_only_its_row_aside(base: Base) -> None:
    base.run('ALTER TABLE sales."Order Lines" ADD due timestamptz')
    for number in range(3):
        put(base, f"{number}", 1)
    base.run("UPDATE sales.\"Order Lines\" SET due = 'infinity' WHERE no = '1'")
    source = replace(SOURCE, columns=(*SOURCE.columns, Column("due", "due", "datetime")))
    (page,) = source.open(base.standing).read(NIGHT)
    assert [r["number"] for r in page.rows] == ["0", "2"]
    assert page.rejected[0].reasons == ("due: expected datetime, got 'infinity'",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ('ALTER TABLE sales."Order Lines" ALTER "Qty %" TYPE text', "'Qty %' is text, and declared as number"),
        ('ALTER TABLE sales."Order Lines" RENAME line TO lines', "no 'line'; closest: 'lines'"),
        ('ALTER TABLE sales."Order Lines" RENAME TO "Order Line"', "no 'Order Lines'; closest: 'Order Line'"),
    ],
)
def test_a_table_that_is_no_longer_as_declared_is_told_before_a_row_is_read(base: Base, change: str, said: str) -> None:
    base.run(change)
    with pytest.raises(ContractBroken, match=said):
        SOURCE.open(base.standing).check_contract()


def test_a_missing_right_is_told_as_one(base: Base) -> None:
    base.run("DROP ROLE IF EXISTS reader")
    base.run("CREATE ROLE reader LOGIN")
    base.run("GRANT USAGE ON SCHEMA sales TO reader")
    here = base.standing.with_(connection={**base.standing.connection, "login": "reader"})
    try:
        with pytest.raises(AccessDenied, match="permission denied for table Order Lines") as caught:
            SOURCE.open(here).check_contract()
        assert "shop_default" in caught.value.action
    finally:
        base.run("DROP OWNED BY reader")
        base.run("DROP ROLE reader")


def test_a_statement_that_takes_too_long_is_ended_and_asked_again(base: Base) -> None:
    put(base, "1", 1)
    here = base.standing.with_(entry=replace(base.standing.entry, timeout_seconds=0.02))
    reader, waits = replace(SOURCE, where="pg_sleep(0.2) IS NOT NULL").open(here), list[float]()
    reader.sleep = waits.append
    with pytest.raises(SystemUnavailable, match="statement timeout"):
        list(reader.read(NIGHT))
    assert (len(waits), reader.retries) == (4, 4)


def test_sqlite_ends_a_statement_that_takes_too_long(sqlite_base: Base) -> None:
    sqlite_base.run("CREATE TABLE t (id INTEGER PRIMARY KEY, changed TEXT NOT NULL, name TEXT)")
    sqlite_base.run("INSERT INTO t VALUES (1, '2026-11-18T03:00:00Z', 'a')")
    endless = "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c) > 0"
    here = sqlite_base.standing.with_(entry=replace(sqlite_base.standing.entry, timeout_seconds=0.05))
    reader = replace(PLAIN, where=endless).open(here)
    reader.sleep = lambda _: None
    with pytest.raises(SystemUnavailable, match="interrupted"):
        list(reader.read(NIGHT))


PLAIN = SqlRecords(
    system="shop",
    object="t",
    key=Column("id", "id", "integer"),
    changed=Column("changed", "changed", "datetime"),
    columns=(Column("name", "name"),),
)


@pytest.mark.parametrize(
    "changes",
    [
        {"object": "a.b.c"},
        {"object": ".t"},
        {"zone": "Europe/Nowhere"},
        {"lag": -HOUR},
        {"changed": Column("changed", "changed")},
    ],
)
def test_a_declaration_that_cannot_work_is_refused_when_it_is_opened(sqlite_base: Base, changes: Any) -> None:
    with pytest.raises(ConfigurationError):
        replace(PLAIN, **changes).open(sqlite_base.standing)


@pytest.mark.parametrize(
    ("connection", "error", "said"),
    [
        ({"extra": {"sqlalchemy_scheme": "nosuch"}}, ConfigurationError, "no driver for 'nosuch'"),
        ({"extra": {"sqlalchemy_scheme": "mysql+nosuch"}}, ConfigurationError, "no driver"),
        ({"host": "127.0.0.1", "port": 1, "login": "a", "password": "s3cret"}, SystemUnavailable, "connection"),
    ],
)
def test_a_connection_that_leads_nowhere_is_told_without_its_password(
    sqlite_base: Base, connection: Any, error: type[Exception], said: str
) -> None:
    def check() -> None:
        reader = PLAIN.open(sqlite_base.standing.with_(connection=connection))
        reader.sleep = lambda _: None
        reader.check_contract()

    with pytest.raises(error, match=said) as caught:
        check()
    assert "s3cret" not in str(caught.value)
