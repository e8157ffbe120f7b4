"""The quarantine holds exactly the rows that the rules name, held against rules written by hand."""

from __future__ import annotations

import json
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from include.errors import QualityStop
from include.ledger.record import find_manifest
from include.models import Manifest, Record
from include.night.check.check import check
from include.night.extract.extract import raw_schema
from include.quality.expectation import DERIVED, Expectation
from include.quality.failures import read_failures
from include.quality.rules import row_count, sql
from include.run import Night
from include.spec.use_case import load
from include.staging import StagedWriter
from include.use_cases.crm_lead_scoring.expectations import STAGES
from tests.core.conftest import Ledger

CASE = load("crm_lead_scoring")
MakeNight = Callable[..., Night]


def good_row(number: int, night: Night) -> Record:
    end = night.interval.end
    return {
        "row_id": f"crm/contacts/{number}",
        "row_key": str(number),
        "lineage": json.dumps({"crm": f"contacts page 1 row {number}"}),
        "lead_id": str(number),
        "modified_at": night.interval.start + timedelta(minutes=number % 1440),
        "email": f"lead{number}@example.com",
        "job_title": "Head of Things",
        "lifecycle_stage": "lead",
        "page_views": 3,
        "last_activity_at": end - timedelta(days=2),
        "company_id": "9",
        "company_name": "Acme",
        "industry": "retail",
        "employees": 120,
        "annual_revenue": 1e6,
        "founded_year": 1990,
        "size_known_at": end - timedelta(days=30),
    }


def spoil(rows: list[Record], night: Night, seed: int) -> None:
    """Break about one row in ten, some in several ways."""
    draw = random.Random(seed)
    ways: list[Callable[[Record], None]] = [
        lambda r: r.update(email=None),
        lambda r: r.update(email="not an address"),
        lambda r: r.update(email="LEAD1@Example.com"),
        lambda r: r.update(job_title="x" * 10_000),
        lambda r: r.update(job_title="Chief\x07"),
        lambda r: r.update(lifecycle_stage="مرحلة 😀"),
        lambda r: r.update(page_views=-1),
        lambda r: r.update(page_views=10**9),
        lambda r: r.update(last_activity_at=night.interval.end + timedelta(days=1)),
        lambda r: r.update(annual_revenue=-5.0),
        lambda r: r.update(lifecycle_stage="<b>lead</b>"),
    ]
    for row in rows:
        if draw.random() < 0.1:
            for way in draw.sample(ways, draw.choice([1, 1, 2])):
                way(row)


def by_hand(rows: Iterable[Record], night: Night) -> dict[str, set[str]]:
    """Failed quarantining rules by row id, without Great Expectations."""
    rows = list(rows)
    addresses = Counter(row["email"].strip().lower() for row in rows if row["email"])
    rules: dict[str, Callable[[Record], bool]] = {
        "email_present": lambda r: r["email"] is not None,
        "email_format": lambda r: not r["email"] or bool(re.fullmatch(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+", r["email"])),
        "email_unique": lambda r: not r["email"] or addresses[r["email"].strip().lower()] == 1,
        "job_title_length": lambda r: r["job_title"] is None or len(r["job_title"]) <= 300,
        "job_title_printable": lambda r: r["job_title"] is None or "\x07" not in r["job_title"],
        "lifecycle_known": lambda r: r["lifecycle_stage"] is None or r["lifecycle_stage"] in STAGES,
        "page_views_range": lambda r: r["page_views"] is None or 0 <= r["page_views"] <= 1_000_000,
        "activity_not_in_future": lambda r: not r["last_activity_at"] or r["last_activity_at"] <= night.interval.end,
        "revenue_not_negative": lambda r: r["annual_revenue"] is None or r["annual_revenue"] >= 0,
    }
    found = {row["row_id"]: {name for name, holds in rules.items() if not holds(row)} for row in rows}
    return {row_id: failed for row_id, failed in found.items() if failed}


def stage(night: Night, rows: list[Record], without: str = "") -> Manifest:
    schema = raw_schema(CASE)
    if without:
        schema = pa.schema([field for field in schema if field.name != without])
    with StagedWriter(night.path("raw.parquet"), schema, rows_per_group=50) as writer:
        writer.extend({name: row.get(name) for name in schema.names} for row in rows)
    return writer.manifest(night.run_id, "raw")


def quarantined(ledger: Ledger) -> dict[str, set[str]]:
    with ledger.owner.connect() as connection:
        kept = connection.execute(text("SELECT row_id, reasons FROM quarantine")).all()
    return {row_id: {re.findall(r"\((\w+)\)$", reason)[0] for reason in reasons} for row_id, reasons in kept}


def ask(ledger: Ledger, query: str) -> list[Any]:
    with ledger.owner.connect() as connection:
        return list(connection.execute(text(query)).all())


@pytest.mark.parametrize("chunk_rows", [7, 100_000])
def test_exactly_the_bad_rows_are_set_aside_with_every_reason(
    make_night: MakeNight, ledger: Ledger, chunk_rows: int
) -> None:
    night = make_night(settings={"chunk_rows": chunk_rows})
    rows = [good_row(number, night) for number in range(500)]
    spoil(rows, night, seed=11)
    expected = by_hand(rows, night)
    assert {name for failed in expected.values() for name in failed} >= {"email_unique", "page_views_range"}
    good = check(night, stage(night, rows))
    assert quarantined(ledger) == expected
    kept = pq.read_table(good.uri, columns=["row_id"])["row_id"].to_pylist()
    assert kept == [row["row_id"] for row in rows if row["row_id"] not in expected]
    counts = dict(map(tuple, ask(ledger, "SELECT expectation, unexpected_count FROM quality_result")))
    for name, count in Counter(name for failed in expected.values() for name in failed).items():
        assert counts[name] == count


def test_running_it_again_changes_nothing(make_night: MakeNight, ledger: Ledger) -> None:
    night = make_night()
    rows = [good_row(number, night) for number in range(100)]
    spoil(rows, night, seed=5)
    raw = stage(night, rows)
    first = check(night, raw)
    before = ask(ledger, "SELECT count(*) FROM quarantine"), ask(ledger, "SELECT count(*) FROM quality_result")
    assert check(night, raw).sha256 == first.sha256
    assert (
        ask(ledger, "SELECT count(*) FROM quarantine"),
        ask(ledger, "SELECT count(*) FROM quality_result"),
    ) == before


def test_what_is_kept_of_a_bad_row_shows_no_personal_value(make_night: MakeNight, ledger: Ledger) -> None:
    night = make_night()
    row = good_row(1, night) | {"page_views": -1, "phone": "+49 170 1234567"}
    check(night, stage(night, [row, *(good_row(n, night) for n in range(2, 40))]))
    ((record,),) = ask(ledger, "SELECT record FROM quarantine")
    assert record["email"].startswith("token:")
    assert record["phone"].startswith("token:")
    assert record["page_views"] == -1


@pytest.mark.parametrize(
    ("column", "value", "bad", "stops"),
    [
        ("industry", None, 40, False),
        ("industry", None, 41, True),
        ("size_known_at", datetime(2020, 1, 1, tzinfo=UTC), 25, False),
        ("size_known_at", datetime(2020, 1, 1, tzinfo=UTC), 26, True),
        ("email", None, 20, False),
        ("email", None, 21, True),
    ],
)
def test_a_threshold_holds_at_its_border_and_stops_beyond_it(
    make_night: MakeNight, ledger: Ledger, column: str, value: Any, bad: int, stops: bool
) -> None:
    night = make_night()
    rows = [good_row(number, night) | ({column: value} if number < bad else {}) for number in range(100)]
    raw = stage(night, rows)
    if not stops:
        assert check(night, raw).rows == 100 - (bad if column == "email" else 0)
        return
    with pytest.raises(QualityStop, match="Nothing reached the model"):
        check(night, raw)
    outcomes = dict(map(tuple, ask(ledger, "SELECT outcome, count(*) FROM outcome GROUP BY 1")))
    aside = bad if column == "email" else 0
    assert outcomes == {"deferred": 100 - aside, **({"quarantined": aside} if aside else {})}
    assert ask(ledger, "SELECT count(*) FROM event WHERE type = 'check.stopped'") == [(1,)]


def test_no_rows_at_all_stop_the_night(make_night: MakeNight) -> None:
    night = make_night()
    with pytest.raises(QualityStop, match="between 1 and"):
        check(night, stage(night, []))


def test_a_missing_column_is_named_with_the_closest_and_never_passes(make_night: MakeNight, ledger: Ledger) -> None:
    night = make_night()
    rows = [good_row(number, night) for number in range(50)]
    with pytest.raises(QualityStop, match=r"'industry' is missing; renamed to 'firm_industry'\?"):
        check(night, stage(night, rows, without="industry"))
    found = ask(ledger, "SELECT success, could_not_run FROM quality_result WHERE expectation = 'industry_complete'")
    assert found[0][0] is False
    assert "missing" in found[0][1]


def test_a_lead_that_appears_twice_is_found_across_chunks(make_night: MakeNight, ledger: Ledger) -> None:
    night = make_night(settings={"chunk_rows": 10})
    rows = [good_row(number, night) for number in range(60)]
    rows[55] |= {"lead_id": "3"}
    with pytest.raises(QualityStop, match="twice"):
        check(night, stage(night, rows))
    assert quarantined(ledger) == {"crm/contacts/3": {"lead_id_unique"}, "crm/contacts/55": {"lead_id_unique"}}


def test_the_failing_rows_of_every_expectation_are_kept_also_of_rows_that_go_on(
    make_night: MakeNight, ledger: Ledger
) -> None:
    night = make_night(settings={"chunk_rows": 13})
    rows = [good_row(number, night) for number in range(100)]
    for number in (7, 70):
        rows[number]["founded_year"] = 1200
    for number in (3, 60, 99):
        rows[number]["page_views"] = -1
    good = check(night, stage(night, rows))
    failures = find_manifest(night.ledger, night.run_id, "failures")
    assert failures is not None
    assert [row.row_key for row in read_failures(failures, "founded_year_range")] == ["7", "70"]
    assert [row.position for row in read_failures(failures, "page_views_range", 1, 1)] == [60]
    assert good.rows == 97
    kept = "SELECT handling, unit, unexpected_count, examples FROM quality_result WHERE expectation = "
    assert ask(ledger, kept + "'founded_year_range'") == [("keep", "leads", 2, ["crm/contacts/7", "crm/contacts/70"])]
    assert ask(ledger, kept + "'page_views_range'")[0][:3] == ("quarantine", "leads", 3)


def test_a_company_that_nobody_knows_and_a_revenue_without_people_are_named(
    make_night: MakeNight, ledger: Ledger
) -> None:
    night = make_night()
    rows = [good_row(number, night) for number in range(50)]
    rows[4] |= {"company_name": None}
    rows[5] |= {"company_name": None, "company_id": None}
    rows[6] |= {"annual_revenue": 9e12, "employees": 1}
    rows[7] |= {"annual_revenue": float("inf")}
    check(night, stage(night, rows))
    failures = find_manifest(night.ledger, night.run_id, "failures")
    assert failures is not None
    found = {
        name: [row.position for row in read_failures(failures, name)]
        for name in ("company_exists", "revenue_per_employee", "revenue_not_negative")
    }
    assert found == {"company_exists": [4], "revenue_per_employee": [6, 7], "revenue_not_negative": [7]}


def test_a_critical_expectation_that_cannot_run_stops_the_night_and_says_why(
    make_night: MakeNight, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plausible(rows: Any, interval: Any) -> Any:
        raise ZeroDivisionError(str(rows["email"][0]))

    flag = {"column": DERIVED, "value_set": [True]}
    kind = "ExpectColumnValuesToBeInSet"
    suite = (
        Expectation("broken", kind, ("email",), "critical", "The address is plausible", flag, derive=plausible),
        Expectation("counted", "ExpectTableRowCountToBeBetween", (), "critical", "Rows came", {"min_value": 1}),
    )
    module = SimpleNamespace(EXPECTATIONS=suite)
    monkeypatch.setitem(sys.modules, "include.use_cases.crm_lead_scoring.expectations", module)
    night = make_night()
    with pytest.raises(QualityStop, match="plausible: could not run: `plausible` raised ZeroDivisionError in line"):
        check(night, stage(night, [good_row(1, night)]))
    ((success, reason),) = ask(ledger, "SELECT success, could_not_run FROM quality_result WHERE expectation = 'broken'")
    assert success is False
    assert "example.com" not in reason
    assert ask(ledger, "SELECT outcome, count(*) FROM outcome GROUP BY 1") == [("deferred", 1)]


def test_a_rule_in_sql_sets_the_rows_of_a_night_aside(
    make_night: MakeNight, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = (
        row_count(1),
        sql(
            "select row from rows join (from rows select company_id, max(employees) as most group by company_id) "
            "using (company_id) where employees < most",
            id="one_size_each",
            meaning="A company has one size",
            columns=("company_id", "employees"),
            rows="quarantine",
        ),
    )
    module = SimpleNamespace(EXPECTATIONS=suite)
    monkeypatch.setitem(sys.modules, "include.use_cases.crm_lead_scoring.expectations", module)
    night = make_night()
    rows = [good_row(number, night) | {"company_id": str(number // 2), "employees": 10} for number in range(40)]
    rows[7]["employees"] = 4
    assert check(night, stage(night, rows)).rows == 39
    assert quarantined(ledger) == {"crm/contacts/7": {"one_size_each"}}
    kept = ask(ledger, "SELECT type, columns, unexpected_count FROM quality_result WHERE expectation = 'one_size_each'")
    assert kept == [("SqlRule", ["company_id", "employees"], 1)]
