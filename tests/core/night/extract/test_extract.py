"""The extract stage as a whole: both sources over the network, one staged dataset, and counts that add up."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import func, select, update

from include.errors import AccessDenied, ConfigurationError, ContractBroken, FileNotReady
from include.ledger import tables
from include.models import Interval, Manifest, Mode, Record, RunOptions
from include.night.extract.extract import extract, raw_schema
from include.run import Night
from include.spec.transforms import Coalesce, Recency
from include.spec.use_case import UseCase
from tests.core.night.extract.conftest import FILE, HEADER, INTERVAL, LINE, Crm, Drop

MakeNight = Callable[..., Night]
DAY = timedelta(days=1)


@pytest.fixture
def leads(crm: Crm, drop: Drop) -> Crm:
    """Five readable leads of two companies, one unreadable lead, and a file with one good and one ragged line."""
    crm.add_company(1, name="Acme", domain="www.ACME1.com", numberofemployees="5")
    crm.add_company(2, name="Other", domain="other.example")
    for number in range(1, 6):
        crm.add(number, email=f"p{number}@example.com", associatedcompanyid=str(1 + number % 2))
    crm.add(6, email="bad@example.com", firstname="Eve", hs_analytics_num_page_views="lots", jobtitle="CTO")
    drop.put(f"{HEADER}\n{LINE.format(1)}\nragged,line\n")
    return crm


def rows_of(manifest: Manifest) -> list[Record]:
    return pq.read_table(manifest.uri).to_pylist()


def count(night: Night, table: Any, *conditions: Any) -> int:
    with night.ledger.connect() as connection:
        query = select(func.count()).select_from(table).where(table.c.run_id == night.run_id, *conditions)
        return int(connection.execute(query).scalar_one())


def events(night: Night) -> list[str]:
    with night.ledger.connect() as connection:
        query = select(tables.event.c.type).where(tables.event.c.stream == night.run_id).order_by(tables.event.c.seq)
        return list(connection.execute(query).scalars())


def finish(night: Night, status: str = "succeeded") -> None:
    with night.ledger.begin() as connection:
        connection.execute(update(tables.run).where(tables.run.c.run_id == night.run_id).values(status=status))


def test_rows_of_both_sources_are_staged_joined_and_traced(night_of: MakeNight, leads: Crm, drop: Drop) -> None:
    night = night_of()
    manifest = extract(night)
    rows = rows_of(manifest)
    assert [row["lead_id"] for row in rows] == ["1", "2", "3", "4", "5"]
    with_company_1 = rows[1]
    assert with_company_1["row_id"] == "crm/contacts/2"
    assert (with_company_1["company_name"], with_company_1["firm_name"]) == ("Acme", "Acme 1")
    assert (with_company_1["employees"], with_company_1["annual_revenue"]) == (1, 1000.5)
    lineage = json.loads(with_company_1["lineage"])
    assert (lineage["crm"], lineage["sftp"]) == ("contacts page 1 row 2", f"{FILE}:2")
    assert "retrieved_at" in lineage
    assert (rows[0]["company_name"], rows[0]["firm_name"], rows[0]["employees"]) == ("Other", None, None)
    assert "sftp" not in json.loads(rows[0]["lineage"])


def test_the_manifest_says_what_was_read_and_the_counts_add_up(night_of: MakeNight, leads: Crm, drop: Drop) -> None:
    night = night_of()
    manifest = extract(night)
    facts = manifest.facts
    assert (manifest.rows, facts["input_rows"], facts["rejected_input"], facts["rejected_context"]) == (5, 6, 1, 1)
    assert count(night, tables.outcome) == facts["rejected_input"]
    assert facts["read"] == {"crm": 6}
    (crm,) = facts["sources"]
    assert (crm["object"], crm["rows"], crm["rejected"], crm["calls"]) == ("contacts", 6, 1, 4)
    assert (facts["pages"], facts["calls"], facts["retries"]) == (1, 4, 0)
    assert facts["joined"] == {"firm_": {"asked": 5, "matched": 2}}
    assert facts["watermark"] == (INTERVAL.start + timedelta(hours=1)).isoformat()
    file = facts["files"][0]
    assert (file["path"], file["encoding"], file["rows"], file["rejected"]) == (f"drop/{FILE}", "utf-8", 2, 1)
    assert len(file["sha256"]) == 64
    json.dumps(manifest.to_json())
    assert events(night) == ["run.opened", "extract.completed", "file.registered", "file.archived"]
    assert drop.names("archive") == [FILE, f"{FILE}.sha256"]


def test_a_column_that_the_night_before_did_not_have_is_noted_once(night_of: MakeNight, leads: Crm, drop: Drop) -> None:
    drop.put(f"{HEADER},region\n{LINE.format(1)},EU\n")
    first = night_of()
    assert extract(first).facts["new_columns"] == [], "nothing is known of a night before"
    days = [Interval(INTERVAL.start + n * DAY, INTERVAL.end + n * DAY) for n in (1, 2)]
    for day, told in zip(days, (["sftp/drop: score"], []), strict=True):
        drop.put(f"{HEADER},region,score\n{LINE.format(1)},EU,9\n", f"firmographics_{day.start:%Y-%m-%d}.csv")
        facts = extract(night_of(interval=day)).facts
        assert (facts["other_columns"], facts["new_columns"]) == (["sftp/drop: region", "sftp/drop: score"], told)


def test_what_is_known_as_it_is_now_is_not_filed_under_an_earlier_date(night_of: MakeNight, leads: Crm) -> None:
    with pytest.raises(ConfigurationError, match="reads stock as it is now, which would be filed under an earlier"):
        extract(night_of(as_of_now="stock"))
    assert leads.searches == []


def test_the_dataset_has_the_schema_that_the_case_declares(night_of: MakeNight, leads: Crm, case: UseCase) -> None:
    manifest = extract(night_of())
    assert pq.read_schema(manifest.uri).equals(raw_schema(case))
    assert set(case.model_sees) <= set(manifest.columns)


def test_rejected_rows_are_in_quarantine_with_tokens_for_personal_values(night_of: MakeNight, leads: Crm) -> None:
    night = night_of()
    extract(night)
    with night.ledger.connect() as connection:
        rows = {row["row_id"]: row for row in connection.execute(select(tables.quarantine)).mappings()}
    lead, line = rows["crm/contacts/6"], rows[f"sftp/{FILE}:3"]
    assert lead["reasons"] == ["page_views: expected integer, got 'lots'"]
    assert lead["record"]["email"].startswith("token:")
    assert lead["record"]["first_name"].startswith("token:")
    assert (lead["record"]["job_title"], lead["counts_as_input"], lead["stage"]) == ("CTO", True, "extract")
    assert (line["reasons"], line["counts_as_input"]) == (["has 2 fields, the header has 8"], False)
    assert line["record"] == {"text": "ragged,line"}
    assert count(night, tables.outcome, tables.outcome.c.outcome == "quarantined") == 1


def test_text_that_no_database_holds_is_staged_and_set_aside_all_the_same(
    night_of: MakeNight, crm: Crm, drop: Drop
) -> None:
    drop.put(f"{HEADER}\n{LINE.format(1)}\nnul\x00,line\n")
    crm.add(1, jobtitle="half \ud800 and \x00", hs_analytics_num_page_views="lots \ud800\x00")
    crm.add(2, jobtitle="half \ud800 and \x00")
    manifest = extract(night_of())
    assert (manifest.rows, manifest.facts["rejected_input"], manifest.facts["rejected_context"]) == (1, 1, 1)
    assert rows_of(manifest)[0]["job_title"] == "half \ufffd and \ufffd"


def test_derived_columns_look_back_from_the_end_of_the_interval(night_of: MakeNight, crm: Crm, drop: Drop) -> None:
    drop.put(f"{HEADER}\n{LINE.format(1)}\n")
    day = timedelta(days=1)
    moments = [
        INTERVAL.end - 7 * day,
        INTERVAL.end - 7 * day - timedelta(seconds=1),
        INTERVAL.end + day,
        INTERVAL.end - 400 * day,
    ]
    for number, moment in enumerate(moments, 1):
        crm.add(number, notes_last_updated=moment.isoformat())
    crm.add(5)
    assert [row["last_activity_days"] for row in rows_of(extract(night_of()))] == [7, 30, None, None, None]


def test_small_chunks_and_pages_give_the_same_rows(night_of: MakeNight, crm: Crm, drop: Drop) -> None:
    drop.put("\n".join([HEADER, *(LINE.format(n) for n in range(1, 40))]))
    for number in range(1, 38):
        crm.add_company(number, domain=f"acme{number}.com")
        crm.add(number, associatedcompanyid=str(number))
    night = night_of({"page_rows = 100": "page_rows = 4"}, settings={"chunk_rows": 10})
    manifest = extract(night)
    assert [row["firm_employees"] for row in rows_of(manifest)] == list(range(1, 38))
    assert pq.ParquetFile(manifest.uri).num_row_groups > 1


def test_a_finished_date_is_staged_from_the_rows_it_was_run_on(night_of: MakeNight, leads: Crm) -> None:
    first = night_of()
    before = extract(first)
    finish(first)
    leads.objects["contacts"].clear()
    searches = len(leads.searches)
    second = night_of(external_ref="again")
    manifest = extract(second)
    assert second.run_id != first.run_id
    assert (manifest.uri, manifest.rows, manifest.run_id) == (before.uri, 5, second.run_id)
    assert manifest.facts["input_rows"] == 6
    assert (manifest.facts["reused_from"], manifest.facts["calls"]) == (first.run_id, 0)
    assert len(leads.searches) == searches
    assert count(second, tables.outcome) == 1
    assert count(second, tables.quarantine) == 2
    assert events(second) == ["run.opened", "extract.reused"]


def test_a_reused_date_can_be_reused_again(night_of: MakeNight, leads: Crm) -> None:
    for ref in ("one", "two", "three"):
        night = night_of(external_ref=ref)
        manifest = extract(night)
        finish(night)
        assert count(night, tables.outcome) == manifest.facts["rejected_input"] == 1


def test_a_limit_takes_the_first_rows_of_a_finished_date(night_of: MakeNight, leads: Crm) -> None:
    first = night_of()
    extract(first)
    finish(first)
    night = night_of(external_ref="again", options=RunOptions(limit=3))
    manifest = extract(night)
    assert [row["lead_id"] for row in rows_of(manifest)] == ["1", "2", "3"]
    assert (manifest.rows, manifest.facts["input_rows"], manifest.facts["limit"]) == (3, 3, 3)
    assert count(night, tables.outcome) == 0


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_snapshot_whose_file_is_damaged_is_not_reused(night_of: MakeNight, leads: Crm, damage: str) -> None:
    from upath import UPath

    first = night_of()
    file = UPath(extract(first).uri)
    finish(first)
    file.unlink() if damage == "gone" else file.write_bytes(file.read_bytes()[:-1])
    second = night_of(external_ref="again")
    assert "reused_from" not in extract(second).facts
    assert "extract.completed" in events(second)


@pytest.mark.parametrize(("status", "re_extract"), [("succeeded", True), ("failed", False)])
def test_sources_are_read_anew_when_asked_or_when_the_date_never_succeeded(
    night_of: MakeNight, leads: Crm, drop: Drop, status: str, re_extract: bool
) -> None:
    first = night_of()
    extract(first)
    finish(first, status)
    leads.add(7)
    night = night_of(external_ref="again", options=RunOptions(re_extract=re_extract))
    manifest = extract(night)
    assert manifest.rows == 6
    assert manifest.facts["files"][0]["at"] == f"archive/{FILE}"
    assert "file.registered" not in events(night)


def test_a_stage_run_again_in_its_own_run_keeps_its_rows(night_of: MakeNight, leads: Crm) -> None:
    night = night_of()
    first = extract(night)
    leads.objects["contacts"].pop(1)
    assert extract(night_of()) == first


def test_a_crash_after_the_manifest_still_archives_the_file(night_of: MakeNight, leads: Crm, drop: Drop) -> None:
    night = night_of()
    extract(night)
    for suffix in ("", ".sha256"):
        (drop.root / "archive" / (FILE + suffix)).rename(drop.root / "drop" / (FILE + suffix))
    with night.ledger.begin() as connection:
        connection.execute(update(tables.source_file).values(archived_to=None))
    extract(night)
    assert drop.names("drop") == []
    assert drop.names("archive") == [FILE, f"{FILE}.sha256"]


def test_a_retry_after_a_crash_midway_counts_no_row_twice_and_loses_none(
    night_of: MakeNight, crm: Crm, drop: Drop
) -> None:
    drop.put(f"{HEADER}\n{LINE.format(1)}\n")
    for number in range(1, 21):
        crm.add(number, hs_analytics_num_page_views="x" if number % 5 == 0 else "1")
    night = night_of({"page_rows = 100": "page_rows = 4"}, settings={"chunk_rows": 4})
    crm.before_search = lambda searches: crm.answers.append((400, {"message": "stop"}, {})) if searches == 3 else None
    with pytest.raises(ContractBroken):
        extract(night)
    crm.before_search = lambda _: None
    crm.objects["contacts"].pop(1)  # left the interval, so that every later row moves up
    manifest = extract(night)
    assert (manifest.rows, manifest.facts["rejected_input"], manifest.facts["input_rows"]) == (15, 4, 19)
    assert count(night, tables.outcome) == 4
    staged = {row["row_id"] for row in rows_of(manifest)}
    with night.ledger.connect() as connection:
        rejected = set(connection.execute(select(tables.outcome.c.row_id)).scalars())
    assert not staged & rejected


def test_an_interval_that_is_not_over_is_refused(night_of: MakeNight, leads: Crm) -> None:
    now = datetime.now(UTC)
    with pytest.raises(ConfigurationError, match="not over"):
        extract(night_of(interval=Interval(now - timedelta(hours=23), now + timedelta(hours=1))))


def test_no_rows_is_no_error_here(night_of: MakeNight, crm: Crm, drop: Drop) -> None:
    drop.put(f"{HEADER}\n{LINE.format(1)}\n")
    manifest = extract(night_of())
    assert (manifest.rows, manifest.facts["input_rows"], manifest.facts["watermark"]) == (0, 0, None)
    assert rows_of(manifest) == []


def test_nothing_is_staged_or_archived_when_the_file_is_not_there(night_of: MakeNight, crm: Crm) -> None:
    night = night_of()
    with pytest.raises(FileNotReady):
        extract(night)
    assert events(night) == ["run.opened"]
    assert count(night, tables.manifest) == 0
    assert crm.searches == []


def test_a_file_that_need_not_come_leaves_nulls_and_is_counted(
    night_of: MakeNight, leads: Crm, drop: Drop, case: UseCase
) -> None:
    drop.put("", checksum=False).unlink()
    night = night_of(case=replace(case, joins=tuple(replace(item, required=False) for item in case.joins)))
    manifest = extract(night)
    assert {row["firm_name"] for row in rows_of(manifest)} == {None}
    assert (manifest.facts["absent_files"], manifest.facts["files"]) == (["firm_"], [])


def test_a_wrong_token_stops_before_any_row(
    night_of: MakeNight, leads: Crm, drop: Drop, connections: dict[str, str]
) -> None:
    wrong = {**connections, "AIRFLOW_CONN_CRM_DEFAULT": connections["AIRFLOW_CONN_CRM_DEFAULT"].replace("right", "no")}
    with pytest.raises(AccessDenied, match="crm_default"):
        extract(night_of(connections=wrong))
    assert FILE in drop.names("drop")


def test_a_property_renamed_in_the_crm_stops_before_any_row(night_of: MakeNight, leads: Crm) -> None:
    leads.properties["contacts"].remove("phone")
    with pytest.raises(ContractBroken, match="no 'phone'"):
        extract(night_of())
    assert leads.searches == []


@pytest.mark.parametrize(
    ("derived", "problem"),
    [
        (Coalesce("email", ("company_name",)), "declared twice"),
        (Coalesce("mixed", ("company_name", "page_views")), "different kinds"),
        (Coalesce("lost", ("nowhere",)), "not there"),
        (Recency("days", of="company_name", days=(7,)), "different kinds"),
    ],
)
def test_a_case_that_does_not_fit_together_is_refused(case: UseCase, derived: Coalesce | Recency, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        raw_schema(replace(case, transforms=(derived,)))


def test_no_personal_value_is_logged(night_of: MakeNight, leads: Crm, caplog: pytest.LogCaptureFixture) -> None:
    leads.answers = [(503, {"message": "p1@example.com"}, {})]
    with caplog.at_level("DEBUG", logger="include"):
        manifest = extract(night_of(options=RunOptions(mode=Mode.SHADOW)))
    assert caplog.records
    assert "@example.com" not in caplog.text
    assert "@" not in json.dumps(manifest.to_json())
