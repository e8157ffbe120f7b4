"""Rules in SQL: exact rows against masks by hand, and queries that must get nowhere."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from upath import UPath

from include.errors import ConfigurationError
from include.models import Record
from include.quality import sql_rules
from include.quality.examine import Finding, examine
from include.quality.expectation import Expectation
from include.quality.rules import row_count, sql
from tests.core.quality.suites import HISTORY, judged, stage
from tests.core.quality.test_rules import GOOD, Broken, broken

__all__ = ["broken"]
PUBLIC = Path(__file__).resolve().parents[4] / "shared" / "data"
ROWS: list[Record] = [
    {"name": "Ann", "qty": 5, "city": "Berlin"},
    {"name": "secret-name", "qty": 900, "city": None},
    {"name": "Cid", "qty": None, "city": "Bonn"},
    {"name": "Dee", "qty": 7, "city": "Bonn"},
]
TYPES = {"name": pa.string(), "qty": pa.int64(), "city": pa.string()}


def rule(query: str, **more: Any) -> Expectation:
    return sql(query, id="e", meaning="It holds", **more)


def found(tmp_path: Path, query: str) -> tuple[Finding, list[int]]:
    findings, failing = judged(tmp_path, stage(tmp_path, ROWS, TYPES), [row_count(0), rule(query)])
    return findings["e"], failing["e"]


@pytest.mark.parametrize(
    ("query", "failing"),
    [
        ("select row from rows where qty > 500", [1]),
        ("SELECT Row FROM ROWS WHERE qty > 500; -- done", [1]),
        ("from rows where city is null", [1]),
        ("select *, row from rows where city = 'Bonn' order by name desc", [2, 3]),
        ("select a.row from rows a join rows b on a.city = b.city and a.row <> b.row", [2, 3]),
        (
            "with few as (from rows select city group by 1 having count(*) = 1) from rows semi join few using (city)",
            [0],
        ),
        ("select row from rows where qty > (select 2 * median(qty) from rows)", [1]),
        ("select row from rows union all select row from rows", [0, 1, 2, 3]),
        ("select row from rows where false", []),
        ("from (from rows select row, row_number() over (partition by city order by qty) n) where n > 1", [2]),
    ],
)
def test_the_rows_that_a_query_returns_fail_once_each(tmp_path: Path, query: str, failing: list[int]) -> None:
    finding, rows = found(tmp_path, query)
    assert finding.could_not_run is None
    assert (rows, finding.success) == (failing, not failing)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("copy rows to '{folder}/out.csv'", "a rule is one SELECT, and this is COPY"),
        ("attach '{folder}/other.db'", "a rule is one SELECT, and this is ATTACH"),
        ("install httpfs", "a rule is one SELECT, and this is LOAD"),
        ("load httpfs", "a rule is one SELECT, and this is LOAD"),
        ("set threads = 64", "a rule is one SELECT, and this is SET"),
        ("pragma database_list", "a rule is one SELECT, and this is PRAGMA"),
        ("create table kept as select * from rows", "a rule is one SELECT, and this is CREATE"),
        ("export database '{folder}/all'", "a rule is one SELECT, and this is EXPORT"),
        ("select row from rows; drop view rows", "a rule is one SELECT, and these are 2 statements"),
        ("-- nothing", "a rule is one SELECT, and these are 0 statements"),
        ("select row from rows, read_csv('/etc/passwd')", "Permission Error: Cannot access file"),
        ("select row from rows where (select content from read_text('/etc/passwd')) <> ''", "Permission Error"),
        ("select row from rows, glob('/*')", "Permission Error"),
        ("select row from rows, parquet_scan('s3://bucket/file')", "Permission Error"),
        ("select row from rows, '/etc/passwd'", "no table '/etc/passwd'"),
        ("select row from rows, other", "no table 'other'; the data is `rows`"),
        ("select 1 as row", "does not select from `rows`"),
        ("select row from range(10) t(row)", "does not select from `rows`"),
        ("select name from rows", "returns no column `row`"),
        ("select name as row from rows", "`row` is of type VARCHAR"),
        ("select row + 100 as row from rows", "the number of no row"),
        ("select row - 1 as row from rows", "the number of no row"),
        ("select r.row from range(9) n left join rows r on r.row = n.range", "without a number"),
        ("select row from rows where qyt > 5", 'Referenced column "qyt" not found'),
        ("select row from rows where", "Parser Error"),
        ("with rows as (select 1 as row) select row from rows", "does not select from `rows`"),
        ("select row from rows where name::int > 5", "a value cannot be converted"),
        ("select row from rows where error(name)", "the query failed (InvalidInputException)"),
        (
            "select row from rows where (qty * 100000000)::bigint * 9223372036854775807::bigint > 0",
            "out of the range of its type",
        ),
        ("describe rows", "could not run: "),
    ],
)
def test_what_is_no_query_of_rows_is_refused_by_name(tmp_path: Path, query: str, said: str) -> None:
    finding, rows = found(tmp_path, query.format(folder=tmp_path))
    assert (finding.success, rows) == (False, [])
    assert said in finding.in_words()
    assert finding.in_words().startswith("could not run: ")
    assert "secret" not in finding.in_words()
    assert {place.name for place in tmp_path.iterdir()} <= {"raw.parquet", "failures.parquet"}


def test_a_query_has_a_limit_of_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_rules, "SECONDS", 0.5)
    finding, _ = found(tmp_path, "select row from rows where (select sum(sin(range)) from range(1000000000000)) > 0")
    assert finding.in_words() == "could not run: the query failed: it takes longer than 0.5 s"


def test_a_query_has_a_limit_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_rules, "MEMORY_MB", 32)
    monkeypatch.setattr(sql_rules, "SPILL_MB", 8)
    finding, _ = found(tmp_path, "select row from rows order by (select list(hash(range)) from range(1000000000000))")
    assert "it takes more than 32 MB of memory and 8 MB on disk" in finding.in_words()


def test_a_column_of_the_data_that_is_called_row_has_another_name(tmp_path: Path) -> None:
    data = stage(tmp_path, [{"Row": "b"}, {"Row": "a"}], {"Row": pa.string()})
    asked = rule("select row from rows where own_row = 'a'")
    assert judged(tmp_path, data, [asked, row_count(1)])[1]["e"] == [1]


def test_a_part_of_a_dataset_is_counted_from_its_own_first_row(tmp_path: Path) -> None:
    from dataclasses import replace

    data = stage(tmp_path, ROWS, TYPES)
    part = replace(data, facts={"first": 1, "count": 2})
    (finding,) = examine(part, [rule("select row from rows where city = 'Bonn'")], HISTORY)
    assert list(finding.failing) == [1]


def test_a_dataset_on_an_object_store_is_copied_first(tmp_path: Path) -> None:
    from dataclasses import replace

    data = stage(tmp_path, ROWS, TYPES)
    there = UPath("memory://sql/raw.parquet")
    there.parent.mkdir(parents=True, exist_ok=True)
    there.write_bytes((tmp_path / "raw.parquet").read_bytes())
    (finding,) = examine(replace(data, uri=str(there)), [rule("select row from rows where city = 'Bonn'")], HISTORY)
    assert list(finding.failing) == [2, 3], finding.in_words()


def test_no_rows_and_nobody_who_counts_them_is_no_success(tmp_path: Path) -> None:
    (finding,) = examine(stage(tmp_path, [], TYPES), [rule("select row from rows")], HISTORY)
    assert "there are no rows" in finding.in_words()


def test_terms_are_kept_and_a_condition_is_refused(tmp_path: Path) -> None:
    made = rule("select row from rows where qty > 500", severity="critical", at_least=0.7, rows="quarantine")
    (finding,) = examine(stage(tmp_path, ROWS, TYPES), [made], HISTORY)
    assert (finding.success, made.severity, made.rows) == (True, "critical", "quarantine")
    with pytest.raises(ConfigurationError, match="say it in the query"):
        rule("select row from rows", where={"qty": 5})


def test_a_query_joins_files_beside_the_rules(broken: Broken, tmp_path: Path) -> None:
    (tmp_path / "customers.csv").write_text("id,city\n1,Berlin\n2,Berlin\n3,Munich\n4,\n5,Bonn\n")
    wrong = "select r.row from rows r join 'customers.csv' c using (id) where r.city <> c.city"
    assert broken(f'sql("{wrong}", id="e", meaning="Cities agree")', GOOD)[2] == [6]
    unknown = "select row from rows anti join 'customers.csv' c using (id)"
    assert broken(f'sql("{unknown}", id="e", meaning="Known")', [*GOOD, "9,1,Bonn,open,1,2026-01-01,"])[2] == [7]
    code, said, _ = broken('sql("select row from rows, \'none.csv\'", id="e", meaning="m")', GOOD)
    assert (code, "none.csv: cannot be read (No such file or directory)" in said) == (1, True)


def test_times_and_lines_are_those_of_the_file(broken: Broken) -> None:
    late = "select row from rows where shipped - ordered >= 1"
    assert broken(f'sql("{late}", id="e", meaning="Soon")', GOOD)[2] == [3, 6]


def public(pattern: str) -> Path:
    places = sorted(PUBLIC.glob(pattern)) if PUBLIC.is_dir() else []
    if not places:
        pytest.skip(f"the public set {pattern} is not there")
    return places[0]


Masks = dict[str, tuple[str, Callable[[pd.DataFrame], "pd.Series[bool]"]]]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_tables_are_judged_as_by_pandas(tmp_path: Path, seed: int) -> None:
    import numpy as np

    draw = np.random.default_rng(seed)
    size = 5_000
    frame = pd.DataFrame(
        {
            "key": draw.integers(0, 3_000, size),
            "value": draw.normal(size=size).round(2),
            "kind": draw.choice(list("abc"), size),
        }
    )
    frame.loc[draw.random(size) < 0.1, "value"] = None
    data = stage(
        tmp_path,
        frame.astype(object).where(frame.notna(), None).to_dict("records"),
        {"key": pa.int64(), "value": pa.float64(), "kind": pa.string()},
    )
    masks: Masks = {
        "select row from rows where value > 1.5": ("high", lambda rows: rows["value"] > 1.5),
        "select row from rows qualify count(*) over (partition by key) > 1": (
            "twice",
            lambda rows: rows["key"].duplicated(keep=False),
        ),
        "select row from rows join (from rows select kind, avg(value) - 2 * stddev_samp(value) as low group by kind) "
        "using (kind) where value < low": (
            "low",
            lambda rows: (
                rows["value"] < rows["kind"].map(rows.groupby("kind")["value"].agg(lambda v: v.mean() - 2 * v.std()))
            ),
        ),
    }
    suite = [sql(query, id=name, meaning=name) for query, (name, _) in masks.items()]
    _, failing = judged(tmp_path, data, suite)
    for name, mask in masks.values():
        wanted = [int(at) for at in mask(frame).to_numpy().nonzero()[0]]
        assert wanted
        assert failing[name] == wanted


def _of_file(place: Path, query: str) -> list[int]:
    """Lines of the rows of a file that a query returns, counted from 0 after the header."""
    from include.systems.files.formats.reading import Reading
    from include.systems.files.formats.stage import stage_file

    with tempfile.TemporaryDirectory() as folder:
        staged = stage_file(place, UPath(folder), reading=Reading(), tell=print)
        made = Expectation("e", "SqlRule", (), "warning", "e", {"query": query, "folder": str(place.parent)})
        (finding,) = examine(staged.rows, [made], HISTORY, ours=())
        assert finding.could_not_run is None
        return list(finding.failing)


def test_orders_of_a_public_shop_are_judged_as_by_pandas() -> None:
    place = public("logistics_olist_orders/olist_orders_dataset.csv")
    orders = pd.read_csv(place, parse_dates=["order_approved_at", "order_delivered_carrier_date"])
    items = pd.read_csv(place.parent / "olist_order_items_dataset.csv")
    early = orders["order_delivered_carrier_date"] < orders["order_approved_at"]
    assert early.any()
    query = "select row from rows where order_delivered_carrier_date < order_approved_at"
    assert _of_file(place, query) == early.to_numpy().nonzero()[0].tolist()
    without = ~orders["order_id"].isin(items["order_id"])
    assert without.any()
    query = "select row from rows anti join 'olist_order_items_dataset.csv' using (order_id)"
    assert _of_file(place, query) == without.to_numpy().nonzero()[0].tolist()


def test_deals_of_a_public_pipeline_are_judged_as_by_pandas() -> None:
    place = public("crm_maven_sales_opportunities/sales_pipeline.csv")
    deals = pd.read_csv(place)
    twice = deals["account"].notna() & deals.duplicated(["account", "product", "engage_date"], keep=False)
    query = "from rows where account is not null qualify count(*) over (partition by account, product, engage_date) > 1"
    assert _of_file(place, query) == twice.to_numpy().nonzero()[0].tolist()
    odd = (deals["deal_stage"] == "Won") & ~(deals["close_value"] > 0)
    query = "select row from rows where deal_stage = 'Won' and not coalesce(close_value > 0, false)"
    assert _of_file(place, query) == odd.to_numpy().nonzero()[0].tolist()
