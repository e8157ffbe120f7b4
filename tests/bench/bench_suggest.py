"""How many wrong cells suggested rules find in public and made-up tables, and how many of their findings are right.

Rules are suggested from the spoilt file, as people have it, and run as they are. A finding is a row and a rule; it is
right when one of the rule's columns is wrong in that row. Of equal keys both rows are findings, and right when one of
the two is wrong. A wrong cell is found when a finding of its row has it.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from include.models import Interval
from include.operations.check_file.check import check_file
from include.operations.check_file.suite_file import load_suite
from include.operations.suggest.suggest import write_suggestions
from include.settings import ROOT
from tests.bench.dirty_held_out import HELD_OUT
from tests.bench.dirty_tables import TUNED, Dirty
from tests.core.operations.suggest.wrong_cells import Wrong, spoil, write

PUBLIC = ROOT.parent / "shared" / "data"
SEED, MADE_SEED = 11, 7
_END = datetime(2026, 1, 1, tzinfo=UTC)
TABLES: Mapping[str, Mapping[str, Any]] = {
    "erp_northwind/orders.csv": {
        "key": "orderID",
        "depends": {"shipCity": "customerID", "shipCountry": "customerID", "shipName": "customerID"},
    },
    "crm_maven_sales_opportunities/sales_pipeline.csv": {"key": "opportunity_id"},
    "crm_uci_bank_marketing/bank-additional.part1.csv": {"depends": {"cons.price.idx": "nr.employed"}},
    "demand_stallion_beverages/stallion_2013_to_2016.csv": {"depends": {"industry_volume": "date"}},
    "logistics_olist_orders/olist_customers_dataset.csv": {
        "key": "customer_id",
        "depends": {"customer_state": "customer_city"},
    },
    "logistics_olist_orders/olist_orders_dataset.csv": {"key": "order_id"},
    "logistics_olist_orders/olist_sellers_dataset.csv": {
        "key": "seller_id",
        "depends": {"seller_state": "seller_city"},
    },
    "logistics_olist_orders/olist_products_dataset.csv": {"key": "product_id"},
    "logistics_scms_delivery/SCMS_Delivery_History_before_2012.csv": {
        "key": "ID",
        "depends": {"Sub Classification": "Item Description", "Molecule/Test Type": "Item Description"},
    },
    "erp_adventureworks_sales/AdventureWorks_Sales_2017.csv": {},
    "demand_online_retail/drops/2011-09-02.csv": {"depends": {"Description": "StockCode", "Country": "CustomerID"}},
}


class Score(NamedTuple):
    """Wrong cells and those found, by kind; findings and those that are right, by rule."""

    cells: Counter[str]
    found: Counter[str]
    findings: Counter[str]
    right: Counter[str]
    missed: list[Wrong]


def read(place: Path) -> list[dict[str, str]]:
    """A public table's rows as they are, line breaks in values as spaces."""
    text = place.read_text(encoding="utf-8-sig")
    delimiter = max(",;\t", key=text.splitlines()[0].count)
    lines = csv.DictReader(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), delimiter=delimiter)
    return [{name.strip(): " ".join((value or "").split()) for name, value in row.items() if name} for row in lines]


def score(rows: list[dict[str, str]], wrong: list[Wrong], folder: Path) -> Score:
    """Suggest from the spoilt rows, run what was suggested, and compare."""
    dirty, rules, failures = folder / "dirty.csv", folder / "rules.py", folder / "failures.csv"
    rules.unlink(missing_ok=True)
    write(dirty, rows)
    write_suggestions(dirty, rules)
    suite = load_suite(str(rules))
    columns = {one.id: one.columns for one in suite.expectations}
    check_file(dirty, suite, Interval(_END - timedelta(days=1), _END), failures=failures)
    at = defaultdict(set)
    for one in wrong:
        at[one.row].add(one.column)
    covered, findings, right = set[tuple[int, str]](), Counter[str](), Counter[str]()
    keys = dict[str, dict[tuple[str, ...], list[int]]]()
    with failures.open(encoding="utf-8") as file:
        for line in csv.DictReader(file):
            row = int(line["row"].rpartition(":")[2] or 2) - 2
            names = set(columns.get(line["expectation"], (line["columns"],)))
            kind = line["expectation"] if line["row"] else "not run " + line["expectation"]
            findings[kind] += 1
            same = [row]
            if kind.endswith("_unique"):
                same = keys.setdefault(kind, _equal(rows, columns[kind]))[
                    tuple(rows[row][name] for name in columns[kind])
                ]
            right[kind] += any(names & at[one] for one in same)
            covered |= {(row, name) for name in names}
    cells = Counter(one.kind for one in wrong)
    missed = [one for one in wrong if (one.row, one.column) not in covered]
    found = cells - Counter(one.kind for one in missed)
    return Score(cells, found, findings, right, missed)


def _equal(rows: list[dict[str, str]], columns: Sequence[str]) -> dict[tuple[str, ...], list[int]]:
    found = defaultdict(list)
    for at, row in enumerate(rows):
        found[tuple(row[name] for name in columns)].append(at)
    return found


def main() -> None:
    """A line per table, then the sums by kind of error; for one table, given by a part of its name, every rule."""
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    if not PUBLIC.is_dir():
        print(f"made-up tables only: the public ones are not in {PUBLIC}")
    public = {name: partial(_spoilt, name) for name in TABLES if only in name and PUBLIC.is_dir()}
    for title, several in (
        ("public tables, spoilt", public),
        ("made-up tables, tuned", {one.__name__: partial(one, MADE_SEED) for one in TUNED if only in one.__name__}),
        (
            "made-up tables, held out",
            {one.__name__: partial(one, MADE_SEED) for one in HELD_OUT if only in one.__name__},
        ),
    ):
        if several:
            print(title)
            _measure(several, details=bool(only))


def _spoilt(name: str) -> Dirty:
    rows = read(PUBLIC / name)
    return rows, spoil(rows, SEED, **TABLES[name])


def _measure(several: Mapping[str, Callable[[], Dirty]], *, details: bool) -> None:
    cells, found = Counter[str](), Counter[str]()
    findings = right = 0
    for name, make in several.items():
        rows, wrong = make()
        with tempfile.TemporaryDirectory() as folder:
            one = score(rows, wrong, Path(folder))
        cells, found = cells + one.cells, found + one.found
        findings, right = findings + one.findings.total(), right + one.right.total()
        by_kind = "  ".join(f"{kind} {one.found[kind]}/{count}" for kind, count in one.cells.items())
        recall = one.found.total() / one.cells.total()
        precision = one.right.total() / max(one.findings.total(), 1)
        print(f"{name[-40:]:40} recall {recall:.2f}  precision {precision:.2f}  {by_kind}")
        if details:
            for rule, count in one.findings.most_common():
                print(f"    {rule:60} {one.right[rule]:5} right of {count}")
            for kind, columns in _by_column(one.missed).items():
                print(f"    missed {kind}: {columns}")
    for kind, count in cells.items():
        print(f"{kind:12} {found[kind]:6} of {count:6}  {found[kind] / count:.2f}")
    print(f"all: recall {found.total() / cells.total():.3f}, precision {right / findings:.3f}")


def _by_column(missed: list[Wrong]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for kind in dict.fromkeys(one.kind for one in missed):
        found[kind] = dict(Counter(one.column for one in missed if one.kind == kind).most_common())
    return found


if __name__ == "__main__":
    main()
