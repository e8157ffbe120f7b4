"""The sides of the comparison. Each takes the Parquet file and returns the failing keys of every rule."""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.bench.quality import others
from tests.bench.quality.orders import COLUMNS, COUNTRIES, DAY, EMAIL, MOST_ROWS, STATUSES, TABLE, write_orders

Failing = dict[str, Any]
"""Failing row keys of a row-wise rule, success of a rule about the table."""


def polars() -> Callable[[Path], Failing]:
    """Written by hand for this table: the floor."""
    import polars as pl

    def run(path: Path) -> Failing:
        known = pl.read_parquet(path.with_suffix(".customers"))["customer_id"]
        rows = pl.read_parquet(path)
        col = pl.col
        bad = {
            "order_present": col("order_id").is_null(),
            "order_unique": col("order_id").is_not_null() & col("order_id").is_duplicated(),
            "customer_present": col("customer_id").is_null(),
            "customer_known": col("customer_id").is_not_null() & ~col("customer_id").is_in(known.implode()),
            "email_form": ~col("email").str.contains(EMAIL),
            "country_known": ~col("country").is_in(COUNTRIES),
            "status_known": ~col("status").is_in(STATUSES),
            "quantity_range": ~col("quantity").is_between(1, 1000),
            "amount_range": ~col("amount").is_between(0, 100_000),
            "shipped_after_order": col("shipped_at") < col("ordered_at"),
            "note_length": col("note").str.len_chars() > 200,
        }
        flags = rows.select(**{name: rule.fill_null(False) for name, rule in bad.items()})
        found: Failing = {name: rows["row_key"].filter(flags[name]) for name in bad}
        newest: Any = rows["ordered_at"].max()
        fresh, columns = newest >= DAY - timedelta(hours=6), set(rows.columns) == set(COLUMNS)
        return {**found, "row_count": 1 <= rows.height <= MOST_ROWS, "fresh": fresh, "columns": columns}

    return run


def documented() -> Callable[[Path], Failing]:
    """Great Expectations as its documentation shows it: complete results with a key column; progress bars off.

    The rule about another table, and the one about two columns, are flag columns.
    """
    import great_expectations as gx
    import pandas as pd

    of = gx.expectations
    context: Any = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    definition = context.data_sources.add_pandas("p").add_dataframe_asset("a").add_batch_definition_whole_dataframe("b")

    def run(path: Path) -> Failing:
        rows = pd.read_parquet(path).reset_index(drop=True)
        known = pd.read_parquet(path.with_suffix(".customers"))["customer_id"]
        rows["customer_flag"] = rows["customer_id"].isin(known) | rows["customer_id"].isna()
        rows["shipped_flag"] = ~(rows["shipped_at"] < rows["ordered_at"])
        rules = {
            "order_present": of.ExpectColumnValuesToNotBeNull(column="order_id"),
            "order_unique": of.ExpectColumnValuesToBeUnique(column="order_id"),
            "customer_present": of.ExpectColumnValuesToNotBeNull(column="customer_id"),
            "customer_known": of.ExpectColumnValuesToBeInSet(column="customer_flag", value_set=[True]),
            "email_form": of.ExpectColumnValuesToMatchRegex(column="email", regex=EMAIL),
            "country_known": of.ExpectColumnValuesToBeInSet(column="country", value_set=COUNTRIES),
            "status_known": of.ExpectColumnValuesToBeInSet(column="status", value_set=STATUSES),
            "quantity_range": of.ExpectColumnValuesToBeBetween(column="quantity", min_value=1, max_value=1000),
            "amount_range": of.ExpectColumnValuesToBeBetween(column="amount", min_value=0, max_value=100_000),
            "shipped_after_order": of.ExpectColumnValuesToBeInSet(column="shipped_flag", value_set=[True]),
            "note_length": of.ExpectColumnValueLengthsToBeBetween(column="note", max_value=200),
            "row_count": of.ExpectTableRowCountToBeBetween(min_value=1, max_value=MOST_ROWS),
            "fresh": of.ExpectColumnMaxToBeBetween(column="ordered_at", min_value=DAY - timedelta(hours=6)),
            "columns": of.ExpectTableColumnsToMatchSet(
                column_set=[*COLUMNS, "customer_flag", "shipped_flag"], exact_match=True
            ),
        }
        for name, rule in rules.items():
            rule.meta = {"id": name}
        suite = gx.ExpectationSuite(name="s", expectations=list(rules.values()))
        batch = definition.get_batch(batch_parameters={"dataframe": rows})
        wanted: Any = {"result_format": "COMPLETE", "unexpected_index_column_names": ["row_key"]}
        results = batch.validate(suite, result_format=wanted).results
        named = {result.expectation_config.meta["id"]: result for result in results}
        found = {name: result.result.get("unexpected_index_list") or [] for name, result in named.items()}
        return {
            name: result.success if name in TABLE else [one["row_key"] for one in found[name]]
            for name, result in named.items()
        }

    return run


def ours() -> Callable[[Path], Failing]:
    """What the check stage does before it touches the ledger: judge the dataset, write all failing keys beside it."""
    import pandas as pd
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    from upath import UPath

    from include.models import Interval, Manifest
    from include.quality.examine import examine
    from include.quality.expectation import DERIVED, Expectation
    from include.quality.failures import write_failures
    from include.quality.gx import load_library
    from include.quality.usual import History

    load_library()

    def run(path: Path) -> Failing:
        known = pq.read_table(path.with_suffix(".customers"))["customer_id"].combine_chunks()

        def customer_known(rows: Any, interval: Interval) -> Any:
            found = pc.is_in(pc.cast(rows["customer_id"].array.__arrow_array__(), known.type), value_set=known)
            return pd.Series(found.to_numpy(zero_copy_only=False)) | rows["customer_id"].isna()

        def shipped_after_order(rows: Any, interval: Interval) -> Any:
            return ~(rows["shipped_at"] < rows["ordered_at"])

        def rule(name: str, kind: str, *columns: str, derive: Any = None, **arguments: Any) -> Expectation:
            return Expectation(name, kind, columns, "warning", name, arguments, derive=derive)

        in_set, flag = "ExpectColumnValuesToBeInSet", {"column": DERIVED, "value_set": [True]}
        between, present = "ExpectColumnValuesToBeBetween", "ExpectColumnValuesToNotBeNull"
        suite = [
            rule("order_present", present, "order_id", column="order_id"),
            rule("order_unique", "ExpectColumnValuesToBeUnique", "order_id", column="order_id"),
            rule("customer_present", present, "customer_id", column="customer_id"),
            rule("customer_known", in_set, "customer_id", derive=customer_known, **flag),
            rule("email_form", "ExpectColumnValuesToMatchRegex", "email", column="email", regex=EMAIL),
            rule("country_known", in_set, "country", column="country", value_set=COUNTRIES),
            rule("status_known", in_set, "status", column="status", value_set=STATUSES),
            rule("quantity_range", between, "quantity", column="quantity", min_value=1, max_value=1000),
            rule("amount_range", between, "amount", column="amount", min_value=0, max_value=100_000),
            rule("shipped_after_order", in_set, "shipped_at", "ordered_at", derive=shipped_after_order, **flag),
            rule("note_length", "ExpectColumnValueLengthsToBeBetween", "note", column="note", max_value=200),
            rule("row_count", "ExpectTableRowCountToBeBetween", "row_id", min_value=1, max_value=MOST_ROWS),
            rule("columns", "ExpectTableColumnsToMatchSet", column_set=list(COLUMNS), exact_match=True),
            rule(
                "fresh",
                "ExpectColumnMaxToBeBetween",
                "ordered_at",
                column="ordered_at",
                min_value=DAY - timedelta(hours=6),
            ),
        ]
        schema = pq.read_schema(path)
        data = Manifest(
            "bench",
            "raw",
            str(path),
            pq.read_metadata(path).num_rows,
            path.stat().st_size,
            hashlib.sha256(path.read_bytes()).hexdigest(),
            {field.name: str(field.type) for field in schema},
        )
        findings = examine(data, suite, History(Interval(DAY - timedelta(days=1), DAY)), ours=())
        with tempfile.TemporaryDirectory() as folder:
            write_failures(UPath(folder) / "failures.parquet", "bench", data, findings, "failures")
            kept = pq.read_table(UPath(folder) / "failures.parquet", columns=["expectation", "row_key"])
        found: Failing = {one.expectation.id: one.success for one in findings if one.expectation.id in TABLE}
        for one in findings:
            if one.expectation.id not in TABLE:
                found[one.expectation.id] = kept.filter(pc.equal(kept["expectation"], one.expectation.id))["row_key"]
        return found

    return run


SIDES: dict[str, Callable[[], Callable[[Path], Failing]]] = {
    "polars, by hand": polars,
    "DuckDB, by hand": others.duckdb,
    "pandera": others.pandera,
    "GX as documented": documented,
    "nightledger": ours,
}


def digest(failing: Failing) -> dict[str, list[Any]]:
    """Per rule the number of failing keys and a hash of them, so that two sides can be held against each other."""
    found: dict[str, list[Any]] = {}
    for name, keys in sorted(failing.items()):
        if name in TABLE:
            found[name] = [bool(keys)]
            continue
        texts = sorted(keys.to_pylist() if hasattr(keys, "to_pylist") else keys)
        found[name] = [len(texts), hashlib.sha256("\n".join(texts).encode()).hexdigest()]
    return found


def main(side: str, path: Path, rows: int) -> None:
    """Measure one side on one file; prints seconds, of them CPU, those to import, peak megabytes and the keys."""
    if side == "write":
        write_orders(path, rows)
        return
    began = time.perf_counter()
    run = SIDES[side]()
    imported, before = time.perf_counter(), time.process_time()
    failing = run(path)
    seconds, cpu = time.perf_counter() - imported, time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    said = {"seconds": seconds, "cpu": cpu, "import": imported - began, "peak": peak, "found": digest(failing)}
    print(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
