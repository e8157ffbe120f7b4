"""The rules of the comparison as DuckDB and pandera take them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.bench.quality.orders import COLUMNS, COUNTRIES, DAY, EMAIL, MOST_ROWS, STATUSES

Failing = dict[str, Any]


def duckdb() -> Callable[[Path], Failing]:
    """Written by hand in SQL for this table."""
    import duckdb as engine

    def run(path: Path) -> Failing:
        database = engine.connect(config={"threads": 2})
        database.read_parquet(str(path)).create_view("orders")
        database.read_parquet(str(path.with_suffix(".customers"))).create_view("customers")
        bad = {
            "order_present": "order_id IS NULL",
            "order_unique": "order_id IN (SELECT order_id FROM orders GROUP BY order_id HAVING count(*) > 1)",
            "customer_present": "customer_id IS NULL",
            "customer_known": "customer_id NOT IN (SELECT customer_id FROM customers)",
            "email_form": f"NOT regexp_matches(email, '{EMAIL}')",
            "country_known": f"country NOT IN ({_listed(COUNTRIES)})",
            "status_known": f"status NOT IN ({_listed(STATUSES)})",
            "quantity_range": "quantity NOT BETWEEN 1 AND 1000",
            "amount_range": "amount NOT BETWEEN 0 AND 100000",
            "shipped_after_order": "shipped_at < ordered_at",
            "note_length": "length(note) > 200",
        }
        found: Failing = {
            name: database.sql(f"SELECT row_key FROM orders WHERE {rule}").to_arrow_table()["row_key"]
            for name, rule in bad.items()
        }
        ((rows, age),) = database.execute(
            "SELECT count(*), epoch(?::TIMESTAMPTZ - max(ordered_at)) FROM orders", [DAY]
        ).fetchall()
        columns = database.table("orders").columns
        return {
            **found,
            "row_count": 1 <= rows <= MOST_ROWS,
            "fresh": age <= 6 * 3600,
            "columns": set(columns) == set(COLUMNS),
        }

    return run


def _listed(values: list[str]) -> str:
    return ", ".join(f"'{value}'" for value in values)


def pandera() -> Callable[[Path], Failing]:
    """A schema on polars, lazily, so that all failures are gathered; they come with the number of their row.

    Its own `unique=True` calls missing values duplicates.
    """
    import pandera.polars as pa
    import polars as pl
    from pandera.errors import SchemaErrors

    check = pa.Check

    def run(path: Path) -> Failing:
        rows = pl.read_parquet(path)
        known = pl.read_parquet(path.with_suffix(".customers"))["customer_id"].implode()
        text, whole, number, time = pl.String, pl.Int64, pl.Float64, pl.Datetime("us", "UTC")

        def is_known(data: Any) -> Any:
            return data.lazyframe.select(pl.col(data.key).is_in(known))

        def after(data: Any) -> Any:
            return data.lazyframe.select(~(pl.col("shipped_at") < pl.col("ordered_at")).fill_null(False))

        def is_short(data: Any) -> Any:
            return data.lazyframe.select(pl.col(data.key).str.len_chars() <= 200)

        def is_once(data: Any) -> Any:
            return data.lazyframe.select(pl.col(data.key).is_null() | ~pl.col(data.key).is_duplicated())

        schema = pa.DataFrameSchema(
            {
                "row_id": pa.Column(text),
                "row_key": pa.Column(text),
                "order_id": pa.Column(text, check(is_once, name="once"), nullable=False),
                "customer_id": pa.Column(text, check(is_known, name="known"), nullable=False),
                "email": pa.Column(text, check.str_matches(EMAIL), nullable=True),
                "country": pa.Column(text, check.isin(COUNTRIES)),
                "status": pa.Column(text, check.isin(STATUSES)),
                "quantity": pa.Column(whole, check.in_range(1, 1000), nullable=True),
                "amount": pa.Column(number, check.in_range(0, 100_000), nullable=True),
                "ordered_at": pa.Column(time),
                "shipped_at": pa.Column(time, nullable=True),
                "note": pa.Column(text, check(is_short, name="short"), nullable=True),
            },
            checks=check(after, name="after"),
            strict=True,
        )
        named = {
            ("order_id", "not_nullable"): "order_present",
            ("order_id", "once"): "order_unique",
            ("customer_id", "not_nullable"): "customer_present",
            ("customer_id", "known"): "customer_known",
            ("note", "short"): "note_length",
            (None, "after"): "shipped_after_order",
        }
        of_column = {"email": "email_form", "country": "country_known", "status": "status_known"}
        of_column |= {"quantity": "quantity_range", "amount": "amount_range"}
        found: Failing = {name: [] for name in (*named.values(), *of_column.values())}
        columns = True
        try:
            schema.validate(rows, lazy=True)
        except SchemaErrors as error:
            for (column, rule), group in error.failure_cases.group_by("column", "check"):
                name = named.get((column, rule)) or of_column.get(column)
                if name is None:
                    columns = False
                else:
                    found[name] = rows["row_key"].gather(group["index"])
        newest: Any = rows["ordered_at"].max()
        fresh = newest >= DAY - timedelta(hours=6)
        return {**found, "row_count": 1 <= rows.height <= MOST_ROWS, "fresh": fresh, "columns": columns}

    return run
