"""What a user's folder holds in place of generated data: tickets, demand of weeks, invoices as suppliers sent them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from include.demo.sandbox.seed.days import Seeded
from include.demo.sandbox.seed.demand import PLANT
from include.demo.sandbox.seed.demand import TABLE as DEMAND_TABLE
from include.demo.sandbox.seed.invoices import FOLDER
from include.demo.sandbox.seed.ticket_days import TICKET_COLUMNS, file_of
from include.errors import ConfigurationError

LEADS, TICKETS, DEMAND, INVOICES = "leads", "tickets", "demand", "invoices"
FILES: Mapping[str, tuple[str, ...]] = {
    LEADS: ("accounts.csv", "sales_pipeline.csv"),
    TICKETS: ("tickets.csv",),
    DEMAND: ("demand.csv",),
}
"""The files that each kind of data needs; invoices are any PDF or XML file."""
_DOCUMENTS = (".pdf", ".xml")
_A_WEEK = timedelta(weeks=1)
_POSTED = timedelta(days=9)
"""After its first day a week is over and posted."""

Table = list[dict[str, str]]


def kinds_in(folder: Path) -> frozenset[str]:
    """The kinds of data that the folder holds; raises ConfigurationError if that is none, or one by half."""
    names = {each.name for each in folder.iterdir() if each.is_file()} if folder.is_dir() else set()
    lacking = {kind: [file for file in files if file not in names] for kind, files in FILES.items()}
    found = {kind for kind, files in lacking.items() if not files}
    found |= {INVOICES} if any(name.lower().endswith(_DOCUMENTS) for name in names) else set()
    half = [file for kind, files in lacking.items() if 0 < len(files) < len(FILES[kind]) for file in files]
    if half or not found:
        wanted = " or ".join(" with ".join(files) for files in FILES.values())
        raise ConfigurationError(
            f"lacks {', '.join(half) or f'data: {wanted} or PDF and XML files'}; "
            f"found {', '.join(sorted(names)[:10]) or 'no file'}",
            system="sandbox",
            about=f"data folder {folder}",
            action="Point --data at a folder with these files; docs/sandbox.md lists their columns",
        )
    return frozenset(found)


def read_table(path: Path, columns: tuple[str, ...], optional: tuple[str, ...] = ()) -> Table:
    """The rows of a CSV file with a header, as texts; raises ConfigurationError for a column that it lacks."""
    rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""))
    lacking = [name for name in columns if name not in (rows.fieldnames or [])]
    if lacking:
        problem = f"has no column {', '.join(lacking)}; found {', '.join(rows.fieldnames or [])}"
        raise ConfigurationError(problem, system="sandbox", about=str(path))
    return [{name: (row.get(name) or "").strip() for name in (*columns, *optional)} for row in rows]


def given_tickets(folder: Path, end: datetime) -> Seeded:
    """The tickets of `tickets.csv` as the service desk's file of the day before `end`; the CRM then has none."""
    start = end - timedelta(days=1)
    rows = read_table(folder / "tickets.csv", ("body",), ("id", "customer_id", "channel", "subject"))
    at = start.isoformat(timespec="seconds")
    lines = [
        (row["id"] or f"HD-{number}", row["customer_id"], at, row["channel"], "", "", row["subject"], row["body"])
        for number, row in enumerate(rows, 1)
    ]
    return Seeded(files=file_of(f"tickets_{start:%Y-%m-%d}.csv", [TICKET_COLUMNS, *lines]))


def given_demand(folder: Path, end: datetime) -> Seeded:
    """The weeks of `demand.csv`, moved by whole weeks so that its last one is the last that was over by `end`.

    Raises ConfigurationError naming the line whose week or quantity is none.
    """
    rows = list(_weeks(folder / "demand.csv"))
    if not rows:
        return Seeded()
    newest = max(week for week, _ in rows)
    moved = (end.date() - _A_WEEK - newest) // _A_WEEK * _A_WEEK
    return Seeded(tables={DEMAND_TABLE: [_demand(week + moved, row, end) for week, row in rows]})


def given_invoices(folder: Path, _end: datetime) -> Seeded:
    """Every PDF and XML file of the folder, under its own name."""
    found = sorted(each for each in folder.iterdir() if each.is_file() and each.suffix.lower() in _DOCUMENTS)
    return Seeded(files={f"{FOLDER}/{each.name}": each.read_bytes() for each in found})


def _weeks(path: Path) -> Iterator[tuple[date, dict[str, str]]]:
    for number, row in enumerate(read_table(path, ("product", "week", "quantity"), ("plant",)), 2):
        try:
            float(row["quantity"])
            yield date.fromisoformat(row["week"]), row
        except ValueError as error:
            raise ConfigurationError(
                "needs a date (YYYY-MM-DD) as week and a number as quantity",
                system="sandbox",
                about=f"{path}, row {number}",
            ) from error


def _demand(week: date, row: Mapping[str, str], end: datetime) -> dict[str, Any]:
    product, plant = row["product"], row["plant"] or PLANT
    posted = min(datetime.combine(week, end.timetz()) + _POSTED, end - timedelta(hours=1))
    return {
        "id": f"{product}.{plant}.{week}",
        "product": product,
        "plant": plant,
        "week": week.isoformat(),
        "quantity": float(row["quantity"]),
        "changed_at": posted.strftime("%Y-%m-%d %H:%M:%S"),
    }
