"""Public files and tables that nobody here wrote, read and written whole: each record once, with its own values."""

from __future__ import annotations

import csv
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from include.models import Column, Interval, Record
from include.settings import ROOT
from include.systems.files.source.declared import Files
from include.systems.files.source.forms import Xml
from include.systems.port import Outgoing
from include.systems.sql.declared import SqlRecords, Table
from tests.core.systems.contracts import rows_of
from tests.core.systems.sql.standing import SYSTEM, Standing

PUBLIC = ROOT.parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not PUBLIC.is_dir(), reason=f"the public sets are not in {PUBLIC}")
ENTRY = replace(SYSTEM, page_rows=500, batch_rows=500)
INVOICE = "{urn:oasis:names:specification:ubl:schema:xsd:Invoice-2}Invoice"
YEAR = Interval.parse("1997-01-01", "1998-01-01")


def folder(tmp_path: Path, *files: Path) -> Standing:
    (tmp_path / "drop").mkdir()
    for file in files:
        shutil.copy(file, tmp_path / "drop" / file.name)
    return Standing({"extra": {"path": str(tmp_path)}}, entry=ENTRY)


def read(source: Files | SqlRecords, here: Standing, interval: Interval = YEAR) -> list[Record]:
    reader = source.open(here)
    reader.sleep = lambda _: None
    pages = list(reader.read(interval))
    assert not [one for page in pages for one in page.rejected]
    return rows_of(pages)


def test_every_line_of_real_e_invoices_is_a_row(tmp_path: Path) -> None:
    invoices = sorted((PUBLIC / "documents_xrechnung_xml").glob("*_ubl.xml"))
    source = Files(
        system="shop",
        folder="drop",
        pattern="*_ubl.xml",
        at_least=len(invoices),
        format=Xml(row="Invoice/InvoiceLine"),
        key=Column("ID", "line"),
        columns=(
            Column("LineExtensionAmount", "amount", "number"),
            Column("LineExtensionAmount/@currencyID", "currency"),
            Column("Item/Name", "item"),
        ),
    )
    expected = []
    for file in invoices:
        root = ElementTree.parse(file).getroot()
        assert root.tag == INVOICE
        for line in root.iterfind("{*}InvoiceLine"):
            amount, item = line.find("{*}LineExtensionAmount"), line.findtext("{*}Item/{*}Name") or ""
            assert amount is not None
            expected.append(
                (file.name, line.findtext("{*}ID"), float(amount.text or ""), amount.get("currencyID"), item.strip())
            )
    rows = read(source, folder(tmp_path, *invoices))
    found = [(r["row_id"].split("/")[2].split("#")[0], r["line"], r["amount"], r["currency"], r["item"]) for r in rows]
    assert len(expected) > 20
    assert found == expected
    assert len({r["row_id"] for r in rows}) == len(rows)


def test_a_real_shops_reviews_with_line_breaks_in_them_are_all_rows(tmp_path: Path) -> None:
    file = PUBLIC / "logistics_olist_orders" / "olist_order_reviews_dataset.csv"
    source = Files(
        system="shop",
        folder="drop",
        pattern="olist_*.csv",
        key=Column("review_id", "review"),
        columns=(Column("review_score", "score", "integer"), Column("review_comment_message", "message")),
    )
    with file.open(encoding="utf-8", newline="") as handle:
        expected = [(r["review_id"], int(r["review_score"])) for r in csv.DictReader(handle)]
    rows = read(source, folder(tmp_path, file))
    assert [(r["review"], r["score"]) for r in rows] == expected
    assert sum("\n" in (r["message"] or "") for r in rows) > 100
    assert len({r["row_id"] for r in rows}) == len(rows)


def test_a_year_of_real_orders_is_read_from_a_table_and_written_to_another(tmp_path: Path) -> None:
    with (PUBLIC / "erp_northwind" / "orders.csv").open(encoding="utf-8-sig", newline="") as handle:
        orders = [
            [row["orderID"], row["orderDate"], row["customerID"], row["freight"]] for row in csv.DictReader(handle)
        ]
    file = tmp_path / "erp.db"
    with sqlite3.connect(file) as erp:
        erp.execute('CREATE TABLE "Orders" (id INTEGER PRIMARY KEY, dated TEXT NOT NULL, customer TEXT, freight REAL)')
        erp.executemany('INSERT INTO "Orders" VALUES (?, ?, ?, ?)', orders)
    here = Standing({"host": str(file), "extra": {"sqlalchemy_scheme": "sqlite"}}, entry=ENTRY)
    source = SqlRecords(
        system="shop",
        object="Orders",
        key=Column("id", "order", "integer"),
        changed=Column("dated", "dated", "datetime"),
        columns=(Column("customer", "customer"), Column("freight", "freight", "number")),
    )
    rows = read(source, here)
    expected = [row for row in orders if row[1].startswith("1997")]
    assert len(expected) > 100
    assert [(r["row_key"], r["customer"], r["freight"]) for r in rows] == [(o, c, float(f)) for o, _, c, f in expected]
    sink = Table(system="shop", object="forecast", fields={"f": "freight"}, key=("order_id",), make=True)
    there = sink.open(here)
    writes = {r["row_key"]: Outgoing({"freight": r["freight"]}, r["row_id"]) for r in rows}
    assert all(one.after for _ in range(2) for one in there.send(writes).values())
    with sqlite3.connect(file) as erp:
        held = erp.execute("SELECT order_id, freight FROM forecast ORDER BY CAST(order_id AS INTEGER)").fetchall()
    assert held == [(o, float(f)) for o, _, _, f in expected]
