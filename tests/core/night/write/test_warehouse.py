"""The second sink: a table in a real PostgreSQL that follows what the CRM confirmed."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from include.errors import AccessDenied, ConfigurationError, ContractBroken, SystemUnavailable
from include.ledger.schema import SERVICE_ROLE
from include.night.write.write import open_mirror, write
from include.run import Night
from include.systems.sql.declared import Mirror
from include.systems.sql.upsert import MirrorTable
from tests.core.conftest import Postgres
from tests.core.night.gate.answers import answer
from tests.core.night.write.conftest import (
    MISSING,
    WAREHOUSE,
    Begin,
    Crm,
    Warehouse,
    approve,
    counts,
    nights_events,
    outbox_of,
)

DOWN = json.dumps({"host": "/nonexistent", "schema": "warehouse"})


def merged(result: dict[str, Any]) -> tuple[int, int, int]:
    facts = result["warehouse"]
    return facts["inserted"], facts["updated"], facts["unchanged"]


def run(night: Night, **outputs: dict[str, Any]) -> dict[str, Any]:
    return write(night, approve(night, outputs))


def test_a_row_holds_the_answer_typed_and_where_it_came_from(begin: Begin, crm: Crm, warehouse: Warehouse) -> None:
    (one,) = crm.ids(1)
    night = begin()
    assert merged(run(night, **{one: answer(reasons=["a", "é"], confidence=0.876)})) == (1, 0, 0)
    (row,) = warehouse.rows()
    loaded_at = row.pop("loaded_at")
    assert loaded_at.tzinfo is not None
    assert row == {
        "lead_id": one,
        **answer(reasons=["a", "é"], confidence=0.876),
        "use_case": "crm_lead_scoring",
        "origin": "model",
        "inference_key": f"key-{one}",
        "interval_start": night.interval.start,
        "interval_end": night.interval.end,
        "run_id": night.run_id,
    }


def test_an_unchanged_row_keeps_its_run_and_load_time(begin: Begin, crm: Crm, warehouse: Warehouse) -> None:
    same, changed, new = crm.ids(3)
    first, second = begin(day=0), begin(day=1)
    assert merged(run(first, **{same: answer(), changed: answer()})) == (2, 0, 0)
    before = {row["lead_id"]: row for row in warehouse.rows()}
    assert merged(run(second, **{same: answer(), changed: answer(score=81), new: answer()})) == (1, 1, 1)
    after = {row["lead_id"]: row for row in warehouse.rows()}
    assert after[same] == before[same]
    assert (after[changed]["score"], after[changed]["run_id"]) == (81, second.run_id)
    assert after[changed]["loaded_at"] > before[changed]["loaded_at"]


def test_a_retry_and_a_second_run_change_nothing(begin: Begin, crm: Crm, warehouse: Warehouse) -> None:
    (one,) = crm.ids(1)
    night, again = begin(external_ref="first"), begin(external_ref="second")
    approved = approve(night, {one: answer()})
    write(night, approved)
    before = warehouse.rows()
    assert merged(write(night, approved)) == (0, 0, 1)
    assert merged(run(again, **{one: answer()})) == (0, 0, 1)
    assert warehouse.rows() == before


def test_an_older_night_does_not_replace_a_newer_one(begin: Begin, crm: Crm, warehouse: Warehouse) -> None:
    (one,) = crm.ids(1)
    newer, older = begin(day=1), begin(day=0)
    run(newer, **{one: answer(score=90)})
    assert merged(run(older, **{one: answer(score=10)})) == (0, 0, 0)
    assert warehouse.rows()[0]["score"] == 90


def opened(night: Night) -> MirrorTable:
    found = open_mirror(night)
    assert found is not None
    return found


def test_the_merge_itself_refuses_older_rows(begin: Begin, crm: Crm, warehouse: Warehouse) -> None:
    rows = [{"row_key": "1", "origin": "model", "inference_key": "k", "output": json.dumps(answer(score=90))}]
    older = [{**rows[0], "output": json.dumps(answer(score=10))}]
    assert opened(begin(day=1)).upsert(rows).inserted == 1
    assert opened(begin(day=0)).upsert(older).unchanged == 1
    assert warehouse.rows()[0]["score"] == 90


def test_only_rows_that_the_crm_holds_are_loaded(begin: Begin, crm: Crm, warehouse: Warehouse) -> None:
    (one,) = crm.ids(1)
    assert merged(run(begin(), **{one: answer(), MISSING: answer()})) == (1, 0, 0)
    assert [row["lead_id"] for row in warehouse.rows()] == [one]


def test_a_warehouse_that_is_down_leaves_the_crm_confirmed_and_a_retry_completes_it(
    begin: Begin, crm: Crm, warehouse: Warehouse
) -> None:
    ids = crm.ids(2)
    down = begin(variables={WAREHOUSE: DOWN})
    approved = approve(down, {one: answer() for one in ids})
    with pytest.raises(SystemUnavailable, match="warehouse crm_lead_score"):
        write(down, approved)
    assert {row["status"] for row in outbox_of(down).values()} == {"written"}
    up = begin()
    assert up.run_id == down.run_id
    written = crm.seen()["records_written"]
    result = write(up, approved)
    assert (merged(result), counts(result)["sent"], result["calls"]) == ((2, 0, 0), 0, 0)
    assert crm.seen()["records_written"] == written
    assert [e["inserted"] for e in nights_events(up, "warehouse.upserted")] == [2]


@pytest.mark.parametrize(
    ("problem", "changes"),
    [
        ("warehouse_default: no such connection", {"variables": {WAREHOUSE: ""}}),
        ("is no table name", {"mirror": Mirror("warehouse", 'x"; DROP TABLE y; --')}),
        ("is no table name", {"mirror": Mirror("warehouse", "a.b.c")}),
        ("not in the registry", {"mirror": Mirror("elsewhere", "t")}),
    ],
)
def test_a_wrong_declaration_stops_before_anything_is_written(
    begin: Begin, crm: Crm, problem: str, changes: dict[str, Any]
) -> None:
    (one,) = crm.ids(1)
    night = begin(**changes)
    approved = approve(night, {one: answer()})
    with pytest.raises(ConfigurationError, match=problem):
        write(night, approved)
    assert outbox_of(night) == {}


def test_a_use_case_without_a_warehouse_needs_none(begin: Begin, crm: Crm) -> None:
    (one,) = crm.ids(1)
    night = begin(mirror=None, variables={WAREHOUSE: ""})
    result = run(night, **{one: answer()})
    assert (result["written"], result["warehouse"]) == (1, None)


def test_a_table_of_another_schema_is_used_where_it_is(begin: Begin, crm: Crm, warehouse: Warehouse) -> None:
    (one,) = crm.ids(1)
    warehouse.execute("CREATE SCHEMA sales")
    run(begin(mirror=Mirror("warehouse", "sales.score")), **{one: answer()})
    assert len(warehouse.rows("sales.score")) == 1


def test_a_schema_that_is_missing_is_said_without_quoting_a_row(begin: Begin, crm: Crm) -> None:
    (one,) = crm.ids(1)
    night = begin(mirror=Mirror("warehouse", "nowhere.score"))
    with pytest.raises(ContractBroken, match=r"warehouse nowhere.score: .*InvalidSchemaName"):
        run(night, **{one: answer()})


def test_two_first_nights_at_once_both_load(begin: Begin, crm: Crm, warehouse: Warehouse) -> None:
    """The one that comes second waits for the first, which has made the table and not committed yet."""
    first, second = crm.ids(2)
    nights = [begin(day=0), begin(day=1)]
    mirror = open_mirror(nights[0])
    assert mirror is not None
    with psycopg.connect(warehouse.dsn) as making, ThreadPoolExecutor(1) as pool:
        mirror._prepare(making)
        other = pool.submit(run, nights[1], **{second: answer()})
        with psycopg.connect(warehouse.dsn, autocommit=True) as looking:
            waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            while not looking.execute(waits).fetchone():
                assert not other.done(), other.exception()
                time.sleep(0.01)
        making.execute(f'GRANT ALL ON crm_lead_score TO "{SERVICE_ROLE}"')
        making.commit()
        assert merged(other.result()) == (1, 0, 0)
    assert merged(run(nights[0], **{first: answer()})) == (1, 0, 0)
    assert len(warehouse.rows()) == 2


def test_a_column_that_the_table_lacks_is_added(begin: Begin, crm: Crm, warehouse: Warehouse) -> None:
    (one,) = crm.ids(1)
    warehouse.execute("CREATE TABLE crm_lead_score (lead_id text PRIMARY KEY, loaded_at timestamptz, note text)")
    warehouse.execute("INSERT INTO crm_lead_score VALUES ('0', NULL, 'kept')")
    assert merged(run(begin(), **{one: answer()})) == (1, 0, 0)
    kept, new = warehouse.rows()
    assert (kept["note"], kept["score"], new["score"]) == ("kept", None, 80)


def test_a_column_of_another_type_breaks_the_contract_without_quoting_a_row(
    begin: Begin, crm: Crm, warehouse: Warehouse
) -> None:
    (one,) = crm.ids(1)
    warehouse.execute("CREATE TABLE crm_lead_score (lead_id text PRIMARY KEY, loaded_at timestamptz, summary bigint)")
    with pytest.raises(ContractBroken, match="does not fit") as caught:
        run(begin(), **{one: answer(summary="Anna asked")})
    assert "Anna" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_role_that_may_not_create_the_table_is_told_so(
    begin: Begin, crm: Crm, warehouse: Warehouse, postgres: Postgres
) -> None:
    (one,) = crm.ids(1)
    login = json.dumps({**json.loads(warehouse.connection), "login": SERVICE_ROLE})
    night = begin(variables={WAREHOUSE: login})
    approved = approve(night, {one: answer()})
    with pytest.raises(AccessDenied, match="permission denied for schema public"):
        write(night, approved)


def test_rights_on_the_table_alone_are_enough_once_it_is_there(begin: Begin, crm: Crm, warehouse: Warehouse) -> None:
    one, other = crm.ids(2)
    run(begin(), **{one: answer()})
    warehouse.execute(f"GRANT SELECT, INSERT, UPDATE ON crm_lead_score TO {SERVICE_ROLE}")
    login = json.dumps({**json.loads(warehouse.connection), "login": SERVICE_ROLE})
    assert merged(run(begin(day=1, variables={WAREHOUSE: login}), **{other: answer()})) == (1, 0, 0)


def test_a_lock_held_by_someone_else_ends_in_a_retry(
    begin: Begin, crm: Crm, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = crm.ids(1)
    run(begin(), **{one: answer()})
    night = begin(day=1)
    approved = approve(night, {one: answer(score=3)})
    registered = Night.system

    def hurried(self: Night, name: str) -> Any:
        found = registered(self, name)
        return replace(found, timeout_seconds=2) if name == "warehouse" else found

    monkeypatch.setattr(Night, "system", hurried)
    with psycopg.connect(warehouse.dsn) as holder:
        holder.execute("LOCK TABLE crm_lead_score")
        with pytest.raises(SystemUnavailable, match="lock timeout"):
            write(night, approved)
    assert merged(write(night, approved)) == (0, 1, 0)


def test_text_that_postgresql_refuses_is_made_visible(begin: Begin, crm: Crm, warehouse: Warehouse) -> None:
    rows = [{"row_key": "1", "origin": "model", "inference_key": "k", "output": json.dumps(answer(summary="a\x00b"))}]
    assert opened(begin()).upsert(rows).inserted == 1
    assert warehouse.rows()[0]["summary"] == "a\ufffdb"
