"""A dirty table of orders, seeded, with its list of customers; and the rules that all sides hold it against."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

COUNTRIES = ["DE", "FR", "IT", "ES", "NL", "PL", "AT", "BE", "SE", "DK"]
STATUSES = ["new", "paid", "shipped", "returned"]
EMAIL = r"^[^@\s]+@[^@\s.]+(?:\.[^@\s.]+)+$"
CUSTOMERS = 100_000
DAY = datetime(2026, 11, 20, tzinfo=UTC)
DIRT = 0.01
ROW_WISE = (
    "order_present", "order_unique", "customer_present", "customer_known", "email_form", "country_known",
    "status_known", "quantity_range", "amount_range", "shipped_after_order", "note_length",
)  # fmt: skip
TABLE = ("row_count", "fresh", "columns")
COLUMNS = (
    *("row_id", "row_key", "order_id", "customer_id", "email", "country", "status", "quantity", "amount"),
    *("ordered_at", "shipped_at", "note"),
)
MOST_ROWS = 5_000_000


def write_orders(path: Path, rows: int) -> None:
    """Write `rows` orders in 12 columns, about one in a hundred bad by each rule, and the customers beside it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    draw = random.Random(rows)

    def dirty(good: list[object], bad: list[object]) -> list[object]:
        return [draw.choice(bad) if draw.random() < DIRT else value for value in good]

    numbers = range(rows)
    ordered = [DAY - timedelta(seconds=draw.randrange(86_400)) for _ in numbers]
    shipped = [at + timedelta(hours=draw.randrange(1, 72)) if draw.random() < 0.8 else None for at in ordered]
    customers = [f"C{draw.randrange(CUSTOMERS):06d}" for _ in numbers]
    table = pa.table(
        {
            "row_id": [f"shop/orders/{n}" for n in numbers],
            "row_key": [str(n) for n in numbers],
            "order_id": dirty([f"O{n:09d}" for n in numbers], [None, "O000000001", "O000000002"]),
            "customer_id": dirty(list(customers), [None, "C999999", "unknown"]),
            "email": dirty([f"customer{n}@example.com" for n in numbers], ["not an address", "a@b", "😀", None]),
            "country": dirty([draw.choice(COUNTRIES) for _ in numbers], ["XX", "de", "دبي"]),
            "status": dirty([draw.choice(STATUSES) for _ in numbers], ["", "lost"]),
            "quantity": dirty([draw.randrange(1, 100) for _ in numbers], [0, -1, 10**6, None]),
            "amount": dirty([draw.random() * 1e4 for _ in numbers], [-0.01, 1e9, float("inf"), None]),
            "ordered_at": pa.array(ordered, pa.timestamp("us", tz="UTC")),
            "shipped_at": pa.array(dirty(list(shipped), [DAY - timedelta(days=30)]), pa.timestamp("us", tz="UTC")),
            "note": dirty([f"note {n % 1000}" for n in numbers], ["x" * 10_000 if rows < 100_000 else "x" * 201, None]),
        }
    )
    pq.write_table(table, path, compression="zstd", row_group_size=10_000)
    known = pa.table({"customer_id": [f"C{n:06d}" for n in range(CUSTOMERS)]})
    pq.write_table(known, path.with_suffix(".customers"))
