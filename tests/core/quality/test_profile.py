"""Profiles of columns: held against the values themselves, whatever the chunks."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from upath import UPath

from include.models import Manifest
from include.night.check.drift import measure
from include.night.check.past_nights import PastNight
from include.quality import gathering
from include.quality import profile as module
from include.quality.profile import ColumnProfile, profile
from include.spec.use_case import Drift
from include.staging import StagedWriter

END = datetime(2026, 11, 21, 2, tzinfo=UTC)


def staged(folder: Path, table: pa.Table, name: str = "raw") -> Manifest:
    with StagedWriter(UPath(folder / f"{name}.parquet"), table.schema) as writer:
        writer.write_table(table)
    return writer.manifest("run", "raw")


def one(folder: Path, values: Any, kind: pa.DataType | None = None, **given: Any) -> ColumnProfile:
    return profile(staged(folder, pa.table({"it": pa.array(values, kind)})), END, **given)["it"]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_ROWS", 1000)


def test_numbers_are_all_counted_and_their_moments_are_right(tmp_path: Path) -> None:
    values = np.random.default_rng(7).lognormal(3, 2, 12_345)
    found = one(tmp_path, values)
    assert (found.rows, found.nulls, found.kind, found.type) == (12_345, 0, "number", "double")
    assert sum(found.profile["counts"]) == 12_345
    assert found.profile["mean"] == pytest.approx(values.mean())
    assert found.profile["std"] == pytest.approx(values.std())
    assert (found.profile["min"], found.profile["max"]) == (values.min(), values.max())
    assert found.profile["quantiles"] == pytest.approx(np.quantile(values, gathering.QUANTILES, method="inverted_cdf"))
    edges = found.profile["edges"]
    expected = [int(((values > low) & (values <= high)).sum()) for low, high in pairwise([-np.inf, *edges, np.inf])]
    assert found.profile["counts"] == expected
    assert min(found.profile["counts"][1:-1]) > 12_345 / module.BINS * 0.9


def test_a_long_stream_is_thinned_evenly(tmp_path: Path) -> None:
    found = one(tmp_path, np.arange(432_109))
    assert found.profile["quantiles"] == pytest.approx([432_109 * share for share in gathering.QUANTILES], rel=1e-3)
    assert sum(found.profile["counts"]) == 432_109


def test_edges_of_earlier_nights_are_kept(tmp_path: Path) -> None:
    found = one(tmp_path, [0, 1, 2, 3, 4, 99], edges={"it": [1.0, 3.0]})
    assert (found.profile["edges"], found.profile["counts"]) == ([1.0, 3.0], [2, 2, 2])


def test_a_frequent_value_gets_a_bin_of_its_own(tmp_path: Path) -> None:
    found = one(tmp_path, [0] * 900 + list(range(1, 101)))
    by_edge = dict(zip(found.profile["edges"], found.profile["counts"], strict=False))
    assert by_edge[0.0] == 900
    assert one(tmp_path, [5.0] * 10).profile["counts"] == [0, 10, 0]


def test_nan_is_missing_and_infinity_is_counted_apart(tmp_path: Path) -> None:
    found = one(tmp_path, [1.0, math.nan, math.inf, -math.inf, None, 2.0])
    assert (found.nulls, found.profile["infinite"]) == (2, 2)
    assert (found.profile["min"], found.profile["max"], sum(found.profile["counts"])) == (1.0, 2.0, 2)
    json.dumps(found.profile, allow_nan=False)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([None] * 5, pa.float64()),
        ([None] * 5, pa.string()),
        ([None] * 5, pa.timestamp("us", "UTC")),
        ([None] * 5, pa.bool_()),
        ([None] * 5, pa.null()),
        ([], pa.int64()),
        ([], pa.string()),
        ([math.nan] * 5, pa.float64()),
        ([1e308, -1e308, 1e308], pa.float64()),
        ([[1], [2, 3]], pa.list_(pa.int64())),
        ([{"a": 1}], pa.struct([("a", pa.int64())])),
        ([2**63 - 1, -(2**63)], pa.int64()),
        ([Decimal("1.10"), Decimal("-3")], pa.decimal128(12, 2)),
        ([date(1, 1, 1), date(9999, 12, 31)], pa.date32()),
        (["\u202eابجد", "👩‍🚀" * 3000, "<script>", "=1+1", ""], pa.string()),
    ],
)
def test_odd_columns_have_a_profile_that_json_can_hold(tmp_path: Path, values: list[Any], kind: pa.DataType) -> None:
    found = one(tmp_path, values, kind)
    assert found.rows == len(values)
    assert found.nulls == sum(value is None or value != value for value in values)
    json.dumps(found.profile, allow_nan=False)


def test_values_are_counted_as_long_as_there_are_few(tmp_path: Path) -> None:
    few = one(tmp_path, ["lead"] * 2500 + ["customer"] * 1500 + [None] * 10)
    assert few.profile["values"] == [["lead", 2500], ["customer", 1500]]
    assert (few.kind, few.nulls, few.profile["others"], few.profile["distinct"]) == ("category", 10, 0, 2)
    more = one(tmp_path, [f"v{at % 120:03}" for at in range(12_000)])
    assert (len(more.profile["values"]), more.profile["others"], more.profile["distinct"]) == (50, 7000, 120)
    many = one(tmp_path, [f"v{at % 1500}" for at in range(3000)])
    assert many.kind == "text"
    assert "v7" not in json.dumps(many.profile)
    each_its_own = one(tmp_path, [f"v{at}" for at in range(100)])
    assert each_its_own.kind == "text"


def test_a_rare_value_is_not_kept(tmp_path: Path) -> None:
    found = one(tmp_path, ["lead"] * 9 + ["the only duchess"] * 2)
    assert found.profile["values"] == [["lead", 9]]
    assert (found.profile["others"], found.profile["distinct"]) == (2, 2)


def test_long_values_are_cut_and_added_up(tmp_path: Path) -> None:
    found = one(tmp_path, ["x" * 10_000, "x" * 10_001, "y"] * 4)
    assert found.profile["values"] == [["x" * 79 + "…", 8], ["y", 4]]
    assert (found.profile["shortest"], found.profile["longest"]) == (1, 10_001)


def test_a_personal_column_leaves_no_value(tmp_path: Path) -> None:
    table = pa.table({"email": ["ada@example.com"] * 50, "born": [1815.0] * 50, "seen": pa.array([END] * 50)})
    found = profile(staged(tmp_path, table), END, personal=("email", "born", "seen"))
    kept = json.dumps([column.profile for column in found.values()])
    assert "ada" not in kept
    assert "1815" not in kept
    assert "2026" not in kept
    assert found["email"].profile["longest"] == 15


def test_ages_are_counted_back_from_the_end_of_the_interval(tmp_path: Path) -> None:
    days = [-1, 0.5, 6, 20, 80, 300, 700, 1800, 4000]
    for kind in (pa.timestamp("us", "UTC"), pa.timestamp("ns"), pa.timestamp("s", "Europe/Berlin")):
        times = pa.array([END.replace(tzinfo=None) - timedelta(days=day) for day in days], pa.timestamp("us"))
        utc = times.cast(pa.timestamp("us", "UTC")) if kind.tz else times
        found = one(tmp_path, utc.cast(kind, safe=False))
        assert found.profile["counts"] == [1] * 9
        assert found.profile["newest"] == "2026-11-22T02:00:00+00:00"
        assert found.profile["newest_age_hours"] == -24


def test_the_identity_of_rows_is_not_profiled(tmp_path: Path) -> None:
    table = pa.table({"row_id": ["a"], "row_key": ["b"], "lineage": ["{}"], "it": [1]})
    assert list(profile(staged(tmp_path, table), END)) == ["it"]


def test_a_column_that_cannot_be_read_says_so_and_spoils_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(values: Any) -> Any:
        raise pa.ArrowNotImplementedError("no such cast")

    monkeypatch.setattr(gathering, "floats", refuse)
    table = pa.table({"odd": [1, 2, 3], "stage": ["lead"] * 3})
    found = profile(staged(tmp_path, table), END)
    assert found["odd"].profile["unread"] == "ArrowNotImplementedError: the values cannot be read as int64"
    assert found["stage"].profile["values"] == [["lead", 3]]
    findings = measure(PastNight("run", END, 3, found), [], Drift())
    assert [(f.column, f.verdict) for f in findings if f.signal == "distribution"] == [("odd", "could not run")]
