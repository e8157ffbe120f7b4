"""On public data that nobody here wrote, exactly the rows that the rules name fail: precision and recall are 1."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from include.models import Record
from include.quality import examine as engine
from include.quality.expectation import DERIVED, Expectation
from include.settings import ROOT
from tests.core.quality.suites import by_hand, expect, judged, stage

PUBLIC = ROOT.parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not PUBLIC.is_dir(), reason=f"the public sets are not in {PUBLIC}")
TRUE = {"column": DERIVED, "value_set": [True]}
Rules = Mapping[str, Callable[[Record], bool]]
Convert = Mapping[str, tuple[pa.DataType, Callable[[str], Any]]]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "CHUNK_ROWS", 700)
    monkeypatch.setattr(engine, "KEY_ROWS", 700)


def read(name: str, convert: Convert | None = None, **how: Any) -> tuple[list[Record], dict[str, pa.DataType]]:
    """The rows of a public file, blank cells null, some columns converted; and the columns' types."""
    text = (PUBLIC / name).read_text(encoding="utf-8-sig")
    lines = list(csv.reader(text.replace("\r\n", "\n").replace("\r", "\n").splitlines(keepends=True), **how))
    names = [name.strip() for name in lines[0]]
    rows: list[Record] = []
    for line in lines[1:]:
        row: Record = {name: (cell.strip() or None) for name, cell in zip(names, line, strict=False)}
        for column, (_, parse) in (convert or {}).items():
            row[column] = None if row[column] is None else parse(row[column])
        rows.append({name: row.get(name) for name in names})
    return rows, {name: (convert or {}).get(name, (pa.string(), None))[0] for name in names}


def hold(
    tmp_path: Path, rows: list[Record], types: dict[str, pa.DataType], suite: list[Expectation], rules: Rules
) -> None:
    findings, found = judged(tmp_path, stage(tmp_path, rows, types), suite)
    assert {name: one.could_not_run for name, one in findings.items() if one.could_not_run} == {}
    expected = by_hand(rows, rules)
    assert found == expected
    assert any(expected.values()), "the rules name no row, so this would hold for anything"


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_contacts_with_typing_errors(tmp_path: Path) -> None:
    rows, types = read("crm_contact_dedupe/febrl_dataset1.csv")
    states = ["nsw", "vic", "qld", "wa", "sa", "tas", "act", "nt"]
    numbers = Counter(row["soc_sec_id"] for row in rows)
    people = Counter((row["given_name"], row["surname"], row["date_of_birth"]) for row in rows)
    suite = [
        expect("named", "ExpectColumnValuesToNotBeNull", "given_name"),
        expect("postcode", "ExpectColumnValuesToMatchRegex", "postcode", regex=r"^[2-7]\d{3}$"),
        expect("state", "ExpectColumnValuesToBeInSet", "state", value_set=states),
        expect("suburb", "ExpectColumnValueLengthsToBeBetween", "suburb", max_value=12),
        expect("born", "ExpectColumnValuesToMatchRegex", "date_of_birth", regex=r"^(?:19|20)\d\d(?:0[1-9]|1[0-2])"),
        expect("number", "ExpectColumnValuesToBeUnique", "soc_sec_id"),
        expect(
            "person",
            "ExpectCompoundColumnsToBeUnique",
            *("given_name", "surname", "date_of_birth"),
            column_list=["given_name", "surname", "date_of_birth"],
            ignore_row_if="never",
        ),
    ]
    rules: Rules = {
        "named": lambda r: r["given_name"] is not None,
        "postcode": lambda r: r["postcode"] is None or bool(re.match(r"[2-7]\d{3}\Z", r["postcode"])),
        "state": lambda r: r["state"] is None or r["state"] in states,
        "suburb": lambda r: r["suburb"] is None or len(r["suburb"]) <= 12,
        "born": lambda r: (
            r["date_of_birth"] is None
            or (r["date_of_birth"][:2] in ("19", "20") and "01" <= r["date_of_birth"][4:6] <= "12")
        ),
        "number": lambda r: r["soc_sec_id"] is None or numbers[r["soc_sec_id"]] == 1,
        "person": lambda r: people[(r["given_name"], r["surname"], r["date_of_birth"])] == 1,
    }
    hold(tmp_path, rows, types, suite, rules)


def test_deals_with_dangling_products_and_missing_accounts(tmp_path: Path) -> None:
    number = (pa.float64(), float)
    day = (pa.timestamp("us", tz="UTC"), moment)
    rows, types = read(
        "crm_maven_sales_opportunities/sales_pipeline.csv",
        {"close_value": number, "engage_date": day, "close_date": day},
    )
    products = [row["product"] for row in read("crm_maven_sales_opportunities/products.csv")[0]]
    suite = [
        expect("account_named", "ExpectColumnValuesToNotBeNull", "account"),
        expect(
            "product_exists",
            "ExpectColumnValuesToBeInSet",
            "product",
            derive=lambda rows, _: rows["product"].isin(products) | rows["product"].isna(),
            **TRUE,
        ),
        expect(
            "closed_later",
            "ExpectColumnPairValuesAToBeGreaterThanB",
            columns=("close_date", "engage_date"),
            column_A="close_date",
            column_B="engage_date",
            ignore_row_if="either_value_is_missing",
        ),
        expect("value", "ExpectColumnValuesToBeBetween", "close_value", min_value=1, max_value=10_000),
        expect(
            "won_has_value",
            "ExpectColumnValuesToBeInSet",
            *("deal_stage", "close_value"),
            derive=lambda rows, _: (rows["deal_stage"] != "Won") | (rows["close_value"] > 1_000),
            **TRUE,
        ),
        expect("stage", "ExpectColumnValuesToBeInSet", "deal_stage", value_set=["Won", "Lost", "Engaging"]),
        expect("id", "ExpectColumnValuesToBeUnique", "opportunity_id"),
    ]
    ids = Counter(row["opportunity_id"] for row in rows)
    rules: Rules = {
        "account_named": lambda r: bool(r["account"]),
        "product_exists": lambda r: r["product"] is None or r["product"] in products,
        "closed_later": lambda r: not r["close_date"] or not r["engage_date"] or r["close_date"] > r["engage_date"],
        "value": lambda r: r["close_value"] is None or 1 <= r["close_value"] <= 10_000,
        "won_has_value": lambda r: r["deal_stage"] != "Won" or (r["close_value"] or 0) > 1_000,
        "stage": lambda r: r["deal_stage"] in (None, "Won", "Lost", "Engaging"),
        "id": lambda r: ids[r["opportunity_id"]] == 1,
    }
    hold(tmp_path, rows, types, suite, rules)


def test_bank_clients(tmp_path: Path) -> None:
    whole, number = (pa.int64(), int), (pa.float64(), float)
    rows, types = read(
        "crm_uci_bank_marketing/bank-additional.part1.csv",
        {"age": whole, "pdays": whole, "campaign": whole, "euribor3m": number},
        delimiter=";",
    )
    suite = [
        expect("age", "ExpectColumnValuesToBeBetween", "age", min_value=21, max_value=65),
        expect("default", "ExpectColumnValuesToBeInSet", "default", value_set=["yes", "no"]),
        expect("education", "ExpectColumnValuesToNotMatchRegex", "education", regex="unknown|illiterate"),
        expect("rate", "ExpectColumnValuesToBeBetween", "euribor3m", min_value=1, max_value=5, strict_max=True),
        expect("calls", "ExpectColumnValuesToBeBetween", "campaign", max_value=20),
        expect(
            "contacted",
            "ExpectColumnValuesToBeInSet",
            *("pdays", "poutcome"),
            derive=lambda rows, _: (rows["pdays"] == 999) == (rows["poutcome"] == "nonexistent"),
            **TRUE,
        ),
    ]
    rules: Rules = {
        "age": lambda r: 21 <= r["age"] <= 65,
        "default": lambda r: r["default"] in ("yes", "no"),
        "education": lambda r: "unknown" not in r["education"] and "illiterate" not in r["education"],
        "rate": lambda r: 1 <= r["euribor3m"] < 5,
        "calls": lambda r: r["campaign"] <= 20,
        "contacted": lambda r: (r["pdays"] == 999) == (r["poutcome"] == "nonexistent"),
    }
    hold(tmp_path, rows, types, suite, rules)


def test_reviews_in_portuguese(tmp_path: Path) -> None:
    rows, types = read("logistics_olist_orders/olist_order_reviews_dataset.csv", {"review_score": (pa.int64(), int)})
    orders = {row["order_id"] for row in read("logistics_olist_orders/olist_orders_dataset.csv")[0]}
    kept = set(sorted(orders)[::2])
    texts = Counter(row["review_comment_message"] for row in rows)
    suite = [
        expect("text", "ExpectColumnValuesToNotBeNull", "review_comment_message"),
        expect("short", "ExpectColumnValueLengthsToBeBetween", "review_comment_message", max_value=100),
        expect("own_words", "ExpectColumnValuesToBeUnique", "review_comment_message"),
        expect("ascii", "ExpectColumnValuesToMatchRegex", "review_comment_title", regex=r"^[\x20-\x7e]*$"),
        expect("score", "ExpectColumnValuesToBeInSet", "review_score", value_set=[2, 3, 4, 5]),
        expect(
            "order_known",
            "ExpectColumnValuesToBeInSet",
            "order_id",
            derive=lambda rows, _: rows["order_id"].isin(list(kept)),
            **TRUE,
        ),
    ]
    rules: Rules = {
        "text": lambda r: r["review_comment_message"] is not None,
        "short": lambda r: len(r["review_comment_message"] or "") <= 100,
        "own_words": lambda r: r["review_comment_message"] is None or texts[r["review_comment_message"]] == 1,
        "ascii": lambda r: (
            (r["review_comment_title"] or "").isascii() and (r["review_comment_title"] or "a").isprintable()
        ),
        "score": lambda r: r["review_score"] in (2, 3, 4, 5),
        "order_known": lambda r: r["order_id"] in kept,
    }
    hold(tmp_path, rows, types, suite, rules)


def test_deliveries_with_words_where_numbers_belong(tmp_path: Path) -> None:
    rows, types = read(
        "logistics_scms_delivery/SCMS_Delivery_History_before_2012.csv", {"Line Item Quantity": (pa.int64(), int)}
    )
    notes = Counter(row["ASN/DN #"] for row in rows)
    suite = [
        expect("freight", "ExpectColumnValuesToMatchRegex", "Freight Cost (USD)", regex=r"^\d+(?:\.\d+)?$"),
        expect("weight", "ExpectColumnValuesToNotMatchRegex", "Weight (Kilograms)", regex="[A-Za-z]"),
        expect("mode", "ExpectColumnValuesToBeInSet", "Shipment Mode", value_set=["Air", "Truck", "Ocean"]),
        expect("note", "ExpectColumnValuesToBeUnique", "ASN/DN #"),
        expect("quantity", "ExpectColumnValuesToBeBetween", "Line Item Quantity", min_value=10, max_value=100_000),
        expect("insured", "ExpectColumnValuesToNotBeNull", "Line Item Insurance (USD)"),
    ]
    rules: Rules = {
        "freight": lambda r: r["Freight Cost (USD)"] is None or r["Freight Cost (USD)"].replace(".", "", 1).isdigit(),
        "weight": lambda r: r["Weight (Kilograms)"] is None or not any(c.isalpha() for c in r["Weight (Kilograms)"]),
        "mode": lambda r: r["Shipment Mode"] in (None, "Air", "Truck", "Ocean"),
        "note": lambda r: notes[r["ASN/DN #"]] == 1,
        "quantity": lambda r: 10 <= r["Line Item Quantity"] <= 100_000,
        "insured": lambda r: r["Line Item Insurance (USD)"] is not None,
    }
    hold(tmp_path, rows, types, suite, rules)


MESSY = ["csvkit/iris.csv", "csv_spectrum/utf8.csv", "csv_spectrum/newlines.csv", "csv_spectrum/escaped_quotes.csv"]


@pytest.mark.parametrize("name", MESSY)
def test_messy_files(tmp_path: Path, name: str) -> None:
    rows, types = read(f"messy_csv/{name}")
    suite, rules = [], {}
    for column in types:
        counts = Counter(row[column] for row in rows)
        suite += [
            expect(f"{column} given", "ExpectColumnValuesToNotBeNull", column),
            expect(f"{column} once", "ExpectColumnValuesToBeUnique", column),
            expect(f"{column} plain", "ExpectColumnValuesToMatchRegex", column, regex=r"^[A-Za-z0-9. ]*\Z"),
        ]
        rules |= {
            f"{column} given": lambda r, c=column: r[c] is not None,
            f"{column} once": lambda r, c=column, n=counts: r[c] is None or n[r[c]] == 1,
            f"{column} plain": lambda r, c=column: all(
                x.isascii() and (x.isalnum() or x in ". ") for x in (r[c] or "")
            ),
        }
    findings, found = judged(tmp_path, stage(tmp_path, rows, types), suite)
    assert not [one for one in findings.values() if one.could_not_run]
    assert found == by_hand(rows, rules)
