"""Nights of public sets that the limits of drift were chosen on; those of `drift_nights` are what is reported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from tests.bench.drift_nights import NightlySet, by_day, in_blocks


def other_sets(data: Path) -> Iterator[NightlySet]:
    """Every set of a folder of public data that thresholds may be chosen on."""
    for make in (orders, deliveries, deals, calls, tokens):
        yield make(data)


def _days(rows: pd.DataFrame, *names: str) -> pd.DataFrame:
    return rows.assign(**{name: pd.to_datetime(rows[name], utc=True, format="mixed") for name in names})


def _weekly(name: str, rows: pd.DataFrame, day: str, weeks: int, warm: int) -> NightlySet:
    moments = rows[day].dt.normalize()
    start = moments - pd.to_timedelta((moments - moments.min()).dt.days % (7 * weeks), unit="D")
    return by_day(name, rows.assign(_night=start), "_night", warm=warm, step=7 * weeks, drop=True)


def orders(data: Path) -> NightlySet:
    """Olist's order lines with order, customer and product, by week."""
    folder = data / "logistics_olist_orders"
    rows = pd.read_csv(folder / "olist_orders_dataset.csv")
    for name, key in (("customers", "customer_id"), ("order_items", "order_id"), ("order_reviews", "order_id")):
        more = pd.read_csv(folder / f"olist_{name}_dataset.csv", dtype={"customer_zip_code_prefix": str})
        rows = rows.merge(more, on=key, how="left")
    days = [name for name in rows.columns if name.endswith(("_at", "_date", "_timestamp"))]
    rows = _days(rows.astype({"order_item_id": "float64"}), *days)
    rows = rows[rows.order_purchase_timestamp >= "2017-01-02"].sort_values("order_purchase_timestamp", kind="stable")
    return _weekly("olist orders, by week", rows, "order_purchase_timestamp", 1, 20)


def deliveries(data: Path) -> NightlySet:
    """Medicines delivered, by week: many texts of few values."""
    rows = pd.read_csv(data / "logistics_scms_delivery" / "SCMS_Delivery_History_before_2012.csv", encoding="latin-1")
    rows = rows.rename(columns={rows.columns[0]: "ID"}).astype({"ID": str})
    rows = _days(rows, "Scheduled Delivery Date", "Delivered to Client Date", "Delivery Recorded Date")
    rows = rows[rows["Delivery Recorded Date"].between("2008-01-07", "2012-01-01")].sort_values(
        "Delivery Recorded Date", kind="stable"
    )
    return _weekly("deliveries, by fortnight", rows, "Delivery Recorded Date", 2, 35)


def deals(data: Path) -> NightlySet:
    """Sales opportunities by the day they were closed, in blocks of 60."""
    rows = pd.read_csv(data / "crm_maven_sales_opportunities" / "sales_pipeline.csv")
    rows = _days(rows, "engage_date", "close_date")
    rows = rows[rows.close_date.notna()].sort_values("close_date", kind="stable")
    return in_blocks("deals, blocks of 60", rows, 60, warm=20, moved="close_date")


def calls(data: Path) -> NightlySet:
    """A bank's calls in the order of its file, in blocks of 40."""
    rows = pd.read_csv(data / "crm_uci_bank_marketing" / "bank-additional.part1.csv", sep=None, engine="python")
    rows = rows.head(len(rows) // 40 * 40)
    nights = pd.Timestamp("2026-01-05", tz="UTC") + pd.to_timedelta(rows.index // 40, unit="D")
    return by_day("calls, blocks of 40", rows.assign(_night=nights), "_night", warm=20, drop=True)


def tokens(data: Path) -> NightlySet:
    """Requests to a model by the minute, as if a day apart."""
    rows = pd.read_csv(data / "llm_traces_azure" / "conv_first_half.csv")
    moments = pd.to_datetime(rows["TIMESTAMP"], utc=True).dt.floor("min")
    minutes = ((moments - moments.min()).dt.total_seconds() // 60).astype(int)
    nights = pd.Timestamp("2026-01-05", tz="UTC") + pd.to_timedelta(minutes, unit="D")
    rows = rows.drop(columns=["TIMESTAMP"]).assign(_night=nights)
    return by_day("requests, by minute", rows, "_night", warm=9, drop=True)
