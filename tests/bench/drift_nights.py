"""Nights cut from public sets, and the changes that are made to some of them; every choice is seeded.

A set that comes by day, week or month is cut so; one that does not, into blocks of consecutive rows, one a night.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
MORE_OF = 0.3
Change = Callable[[pd.DataFrame, np.random.Generator, pd.DataFrame], pd.DataFrame | None]


@dataclass(frozen=True, slots=True)
class NightlySet:
    """A set cut into nights, oldest first: when each begins, and its rows. The first `warm` are history only."""

    name: str
    step: timedelta
    nights: Sequence[tuple[datetime, pd.DataFrame]]
    warm: int


def sets(data: Path) -> Iterator[NightlySet]:
    """Every set of a folder of public data."""
    for make in (erp_sales, retail_lines, retail_weeks, stallion, northwind, complaints):
        yield make(data)


def erp_sales(data: Path) -> NightlySet:
    """AdventureWorks order lines with their product's price, cost, colour and size, by day, once accessories sell."""
    folder = data / "erp_adventureworks_sales"
    keys = {"ProductKey": str, "CustomerKey": str, "TerritoryKey": str}
    rows = pd.concat([pd.read_csv(folder / f"AdventureWorks_Sales_{year}.csv", dtype=keys) for year in (2017, 2018)])
    products = pd.read_csv(folder / "AdventureWorks_Products.csv", dtype=keys)
    wanted = ["ProductKey", "ProductColor", "ProductSize", "ProductStyle", "ProductCost", "ProductPrice"]
    rows = rows.merge(products[wanted], on="ProductKey", how="left")
    for name in ("OrderDate", "StockDate"):
        rows[name] = pd.to_datetime(rows[name], utc=True)
    return by_day("erp sales, by day", rows[rows.OrderDate >= "2018-07-16"], "OrderDate", warm=35)


def retail_lines(data: Path) -> NightlySet:
    """Invoice lines of five days in blocks of 150; a quarter has no customer, by whole invoices."""
    files = sorted((data / "demand_online_retail" / "drops").glob("*.csv"))
    rows = pd.concat([pd.read_csv(file, dtype={"InvoiceNo": str, "StockCode": str}) for file in files])
    rows["CustomerID"] = rows["CustomerID"].map(lambda value: None if pd.isna(value) else str(int(value)))
    rows["InvoiceDate"] = pd.to_datetime(rows["InvoiceDate"], utc=True)
    return in_blocks("retail lines, blocks of 150", rows, 150, warm=20, moved="InvoiceDate")


def retail_weeks(data: Path) -> NightlySet:
    """Units of 400 items by week."""
    rows = pd.read_csv(
        data / "demand_online_retail" / "weekly_units_top400_to_2011-10-02.csv", dtype={"StockCode": str}
    )
    rows["week_start"] = pd.to_datetime(rows["week_start"], utc=True)
    return by_day("retail units, by week", rows, "week_start", warm=20, step=7)


def stallion(data: Path) -> NightlySet:
    """Volumes and prices of 350 depots' articles by month, as if a week apart."""
    rows = pd.read_csv(data / "demand_stallion_beverages" / "stallion_2013_to_2016.csv")
    rows["date"] = pd.to_datetime(rows["date"], utc=True)
    return by_day("beverages, by month", rows, "date", warm=20, step=30)


def northwind(data: Path) -> NightlySet:
    """Order lines with their order, by fortnight; `NULL` is missing."""
    folder = data / "erp_northwind"
    text = dict.fromkeys(("orderID", "productID", "employeeID", "shipVia"), str)
    lines = pd.read_csv(folder / "order_details.csv", dtype=text)
    orders = pd.read_csv(folder / "orders.csv", dtype=text, na_values=["NULL"])
    rows = lines.merge(orders, on="orderID")
    for name in ("orderDate", "requiredDate", "shippedDate"):
        rows[name] = pd.to_datetime(rows[name], utc=True)
    days = (rows["orderDate"] - pd.Timestamp("1996-07-01", tz="UTC")).dt.days
    week = rows["orderDate"] - pd.to_timedelta(days % 14, unit="D")
    return by_day("northwind lines, by fortnight", rows.assign(week=week), "week", warm=20, step=14, drop=True)


def complaints(data: Path) -> NightlySet:
    """CFPB complaints in the order of their receipt, in blocks of 30."""
    rows = pd.read_csv(data / "support_cfpb_complaints" / "complaints_dev.csv", na_values=["None"], dtype=str)
    for name in ("Date received", "Date sent to company"):
        rows[name] = pd.to_datetime(rows[name], format="%m/%d/%y", utc=True)
    rows = rows.sort_values("Date received", kind="stable").drop(columns=["Product", "Consumer disputed?"])
    return in_blocks("complaints, blocks of 30", rows, 30, warm=9, moved="Date received")


def by_day(name: str, rows: pd.DataFrame, day: str, *, warm: int, step: int = 1, drop: bool = False) -> NightlySet:
    """The rows of each day that they name, one a night; that column is left out where `drop` says so."""
    rows = rows.reset_index(drop=True)
    kept = rows.drop(columns=[day]) if drop else rows
    nights = [(at.to_pydatetime(), kept.loc[group.index]) for at, group in rows.groupby(day)]
    return NightlySet(name, timedelta(days=step), nights, warm)


def in_blocks(name: str, rows: pd.DataFrame, size: int, *, warm: int, moved: str) -> NightlySet:
    """Blocks of rows, whose times are moved by whole days so that each block's newest is of its night."""
    times = rows.select_dtypes("datetimetz").columns
    nights = []
    for at in range(len(rows) // size):
        block, start = rows.iloc[at * size : (at + 1) * size].copy(), MONDAY + timedelta(days=at)
        by = (pd.Timestamp(start) - block[moved].max().normalize()).floor("D")
        block[times] = block[times].apply(lambda column, by=by: column + by)
        nights.append((start, block))
    return NightlySet(name, timedelta(days=1), nights, warm)


def to_arrow(rows: pd.DataFrame) -> pa.Table:
    """Rows as they would be staged: text, numbers, times in microseconds."""
    columns = {}
    for name in rows.columns:
        column = rows[name]
        if str(column.dtype).startswith("datetime"):
            columns[name] = pa.array(column, pa.timestamp("us", "UTC"), from_pandas=True)
        elif column.dtype.kind in "if":
            columns[name] = pa.array(column, from_pandas=True)
        else:
            columns[name] = pa.array(column.astype(object).where(column.notna(), None).tolist(), pa.string())
    return pa.table(columns)


def _numbers(rows: pd.DataFrame) -> list[str]:
    return [name for name in rows.columns if rows[name].dtype.kind in "if" and rows[name].abs().max() > 0]


def _categories(usual: pd.DataFrame) -> list[str]:
    """Text columns of few values: their three most frequent make up a third of the rows."""
    found = [name for name in usual.columns if usual[name].dtype.kind not in "ifM" and not _is_time(usual[name])]
    few = [name for name in found if usual[name].nunique() <= 60]
    return [name for name in few if usual[name].value_counts(normalize=True).head(3).sum() > 1 / 3]


def _is_time(column: pd.Series[Any]) -> bool:
    return str(column.dtype).startswith("datetime")


def _with(rows: pd.DataFrame, name: str, values: Any) -> pd.DataFrame:
    return rows.assign(**{name: values})


def _some(random: np.random.Generator, rows: pd.DataFrame, share: float) -> Any:
    at = np.zeros(len(rows), dtype=bool)
    at[random.choice(len(rows), max(round(len(rows) * share), 1), replace=False)] = True
    return at


def lost(rows: pd.DataFrame, random: np.random.Generator, usual: pd.DataFrame) -> pd.DataFrame | None:
    """40 % of the rows are lost, wherever they stood."""
    return rows[~_some(random, rows, 0.4)]


def repeated(rows: pd.DataFrame, random: np.random.Generator, usual: pd.DataFrame) -> pd.DataFrame | None:
    """30 % of the rows come twice."""
    return pd.concat([rows, rows[_some(random, rows, MORE_OF)]])


def hundredfold(rows: pd.DataFrame, random: np.random.Generator, usual: pd.DataFrame) -> pd.DataFrame | None:
    """One number is a hundred times as large in 10 % of the rows."""
    if not (names := _numbers(rows)):
        return None
    name = names[random.integers(len(names))]
    return _with(rows, name, rows[name].where(~_some(random, rows, 0.1), rows[name] * 100))


def unit(rows: pd.DataFrame, random: np.random.Generator, usual: pd.DataFrame) -> pd.DataFrame | None:
    """One number comes in cents in place of whole units, or the other way round where it has decimals."""
    if not (names := _numbers(rows)):
        return None
    name = names[random.integers(len(names))]
    by = [100, 0.01][random.integers(2)] if rows[name].dtype.kind == "f" else 100
    return _with(rows, name, rows[name] * by)


def pounds(rows: pd.DataFrame, random: np.random.Generator, usual: pd.DataFrame) -> pd.DataFrame | None:
    """One number with decimals comes in pounds in place of kilograms."""
    if not (names := [name for name in _numbers(rows) if rows[name].dtype.kind == "f"]):
        return None
    name = names[random.integers(len(names))]
    return _with(rows, name, rows[name] * 2.2046)


def new_value(rows: pd.DataFrame, random: np.random.Generator, usual: pd.DataFrame) -> pd.DataFrame | None:
    """10 % of the rows have a value that was never there."""
    if not (names := _categories(usual)):
        return None
    name = names[random.integers(len(names))]
    return _with(rows, name, rows[name].where(~_some(random, rows, 0.1), "Zz-new"))


def _gone(rows: pd.DataFrame, random: np.random.Generator, usual: pd.DataFrame, least: float) -> pd.DataFrame | None:
    found = []
    for name in _categories(usual):
        shares = usual[name].value_counts() / len(usual)
        found += [(name, value) for value in shares[(shares >= least) & (shares <= 0.6)].index]
    if not found:
        return None
    name, value = found[random.integers(len(found))]
    return rows[rows[name] != value] if (rows[name] == value).any() else None


def value_gone(rows: pd.DataFrame, random: np.random.Generator, usual: pd.DataFrame) -> pd.DataFrame | None:
    """The rows of one value, usually 20 to 60 % of all, are not there."""
    return _gone(rows, random, usual, 0.2)


def smaller_value_gone(rows: pd.DataFrame, random: np.random.Generator, usual: pd.DataFrame) -> pd.DataFrame | None:
    """The rows of one value, usually 10 to 60 % of all, are not there."""
    return _gone(rows, random, usual, 0.1)


def nulls(rows: pd.DataFrame, random: np.random.Generator, usual: pd.DataFrame) -> pd.DataFrame | None:
    """The share of missing values of one column is 20 points higher."""
    names = [name for name in rows.columns if rows[name].notna().mean() >= 0.4]
    name = names[random.integers(len(names))]
    there = np.flatnonzero(rows[name].notna())
    at = np.zeros(len(rows), dtype=bool)
    at[random.choice(there, round(0.2 * len(rows)), replace=False)] = True
    return _with(rows, name, rows[name].mask(at))


def swapped(rows: pd.DataFrame, random: np.random.Generator, usual: pd.DataFrame) -> pd.DataFrame | None:
    """Two columns of one type change places."""
    kinds = {name: "text" if rows[name].dtype.kind not in "ifM" else rows[name].dtype.kind for name in rows.columns}
    pairs = [
        (a, b)
        for a in rows.columns
        for b in rows.columns
        if a < b
        and kinds[a] == kinds[b]
        and rows[a].notna().any()
        and rows[b].notna().any()
        and (rows[a].astype(str) != rows[b].astype(str)).mean() > 0.5
    ]
    if not pairs:
        return None
    a, b = pairs[random.integers(len(pairs))]
    return rows.assign(**{a: rows[b], b: rows[a]})


def shifted(rows: pd.DataFrame, random: np.random.Generator, usual: pd.DataFrame) -> pd.DataFrame | None:
    """The dates of one column are 30 days too early."""
    if not (names := [name for name in rows.columns if _is_time(rows[name]) and rows[name].notna().any()]):
        return None
    name = names[random.integers(len(names))]
    return _with(rows, name, rows[name] - pd.Timedelta(days=30))


CHANGES: dict[str, Change] = {
    "40 % of rows lost": lost,
    "30 % of rows twice": repeated,
    "x100 in 10 % of rows": hundredfold,
    "unit x100 or /100": unit,
    "new value in 10 %": new_value,
    "value of >= 20 % gone": value_gone,
    "nulls +20 points": nulls,
    "columns swapped": swapped,
    "dates 30 days early": shifted,
    "value of >= 10 % gone *": smaller_value_gone,
    "unit x2.2 *": pounds,
}
