"""What documents must satisfy before anybody reads them, and what is read of them before a person sees it.

No answer is corrected: one that fails goes to a person like all others, who is told what it fails. Only a model that
refuses half of a night holds its answers back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from include.models import Interval
from include.quality.columns import rows_pass
from include.quality.common import answers_refused, columns_present, columns_typed, source_fresh
from include.quality.expectation import Derive, Expectation
from include.quality.rules import accepted_values, matches, not_null, row_count, unique
from include.use_cases.ap_invoices import sums
from include.use_cases.ap_invoices.currencies import CURRENCIES
from include.use_cases.ap_invoices.rows import ORDER
from include.use_cases.ap_invoices.spec import SPEC

if TYPE_CHECKING:
    import pandas as pd

TYPES = {"name": ("str", "text"), "bytes": ("int64", "whole numbers"), "arrived": ("Timestamp", "times")}
ENOUGH = 20
"""Documents below which a share of them says nothing."""
LONGEST = 100_000
"""Characters of words of a document; longer ones are contracts and catalogues."""
_PAST, _AHEAD = timedelta(days=730), timedelta(days=31)
_NAMED = ("seller_vat_id", "seller_name", "number")
_AMOUNTS = ("net", "tax", "gross", "payable", "allowances", "charges", "prepaid", "rounding", "taxes", "lines", "kind")


def _has_words(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    return ~rows["problem"].isin(["no_text"])


def _is_whole(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    return ~rows["problem"].isin(["pages_unread"])


def _is_short(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    return rows["document"].str.len().fillna(0) <= LONGEST


def _is_einvoice(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    return (rows["media_type"] != "application/xml") | rows["form"].notna()


def _is_plausible(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    """Issued within two years before the night and a month after it, and due no earlier than issued."""
    end = interval.end.date()
    first, last = (end - _PAST).isoformat(), (end + _AHEAD).isoformat()
    issued, due = rows["issue_date"], rows["due_date"]
    return issued.isna() | (issued.between(first, last) & (due.isna() | (due >= issued)))


def _is_on_pages(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    return _each(rows, lambda one: not one["document"] or sums.pages_show(one, one["document"]))


def _is_known_order(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    return rows["order_candidate"].isna() | rows["po_found"].fillna(False).astype(bool)


def _is_looked_up(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    """The order that was read is the one that was looked up, so that the rules below are about it."""
    named = rows["order_number"].map(lambda one: set(ORDER.findall(one)) if isinstance(one, str) else set())
    sought = rows["order_candidate"].map(lambda one: {f"{one:.0f}"}, na_action="ignore")
    return (named.map(len) == 0) | (named == sought)


def _is_within_order(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    return _each(rows, lambda one: sums.within_order(one, one["po_amount"]))


def _is_orders_supplier(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    return _same(rows["seller_name"], rows["po_supplier"])


def _is_orders_currency(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    return _same(rows["currency"], rows["po_currency"])


def _has_sound_vat_id(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    return rows["seller_vat_id"].map(lambda one: not isinstance(one, str) or sums.vat_id_fits(one)).astype(bool)


def _comes_once(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    """No other document of the night has the seller's VAT id, or else its name, and the number."""
    seller, number = rows["seller_vat_id"].fillna(rows["seller_name"]).astype("string"), rows["number"].astype("string")
    keys = seller.str.casefold() + "\0" + number.str.casefold()
    return keys.isna() | ~keys.duplicated(keep=False)


def _each(rows: pd.DataFrame, holds: Callable[[Mapping[str, Any]], bool]) -> pd.Series[Any]:
    """A rule by answer; rows without one pass."""
    import pandas as pd

    values = rows.astype(object).where(rows.notna(), None).to_dict("records")
    return pd.Series([one["net"] is None or holds(one) for one in values], rows.index)


def _same(said: pd.Series[Any], ordered: pd.Series[Any]) -> pd.Series[Any]:
    """Equal but for case and spaces, or nothing to compare with."""
    left, right = (
        one.map(lambda text: " ".join(text.split()).casefold(), na_action="ignore") for one in (said, ordered)
    )
    return said.isna() | ordered.isna() | (left == right)


def _by_row(
    name: str,
    meaning: str,
    columns: tuple[str, ...],
    derive: Derive,
    *,
    rows: Literal["quarantine", "keep"] = "quarantine",
    whole: bool = False,
) -> Expectation:
    return rows_pass(name, meaning, columns, derive, "documents", rows=rows, whole=whole)


def _adds_up(name: str, meaning: str, rule: Callable[[Mapping[str, Any]], bool]) -> Expectation:
    def derive(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
        return _each(rows, rule)

    return _by_row(name, meaning, _AMOUNTS, derive)


EXPECTATIONS = (
    row_count(1, id="documents_arrived", meaning="At least one document arrived"),
    row_count(0, 20_000, severity="critical", id="not_too_many", meaning="Not more than 20,000 documents arrived"),
    unique("name", severity="critical", id="names_unique", meaning="No document came twice under its name"),
    columns_present("Every column that is checked or read was staged", [*SPEC.model_sees, *TYPES]),
    *columns_typed(TYPES),
    matches("sha256", r"^[0-9a-f]{64}$", id="file_known", meaning="The file is known by its sha256"),
    source_fresh(
        "The newest document arrived at most 24 hours before the end of the night",
        "arrived",
        timedelta(hours=24),
        "info",
    ),
    _by_row("has_words", "The document has words, and is no picture", ("problem",), _has_words),
    _by_row("is_whole", "Every page could be opened", ("problem",), _is_whole),
    _by_row("is_short", f"At most {LONGEST:,} characters long", ("document",), _is_short),
    _by_row("is_einvoice", "XML is an e-invoice of a known form", ("media_type", "form"), _is_einvoice, rows="keep"),
    not_null("order_candidate", at_least=0.5, id="orders_named", meaning="Most documents name one order of ours"),
)

ANSWER_EXPECTATIONS = (
    accepted_values(
        "ending", ["answered"], at_least=0.5, id="documents_read", meaning="At least half of the documents are read"
    ),
    answers_refused("documents", ENOUGH),
    _adds_up("lines_add_up", "Lines, allowances and charges are the net", sums.lines_add_up),
    _adds_up("taxes_add_up", "The tax of each rate, and all of it, is right", sums.taxes_add_up),
    _adds_up("gross_adds_up", "Net and tax are the gross", sums.gross_adds_up),
    _adds_up("payable_adds_up", "Gross, prepaid and rounding are the payable", sums.payable_adds_up),
    _adds_up("sign_fits", "What gives money back is a credit note", sums.sign_fits),
    _by_row("dates_plausible", "Issued lately, and due afterwards", ("issue_date", "due_date"), _is_plausible),
    accepted_values(
        "currency",
        sorted(CURRENCIES),
        rows="quarantine",
        id="currency_known",
        meaning="The currency is one of ISO 4217",
    ),
    _by_row("vat_id_sound", "The seller's VAT id has its country's checksum", ("seller_vat_id",), _has_sound_vat_id),
    _by_row("comes_once", "No invoice of a seller came twice", _NAMED, _comes_once, whole=True),
    _by_row("total_on_pages", "The pages show the total that was read", ("net", "gross", "document"), _is_on_pages),
    _by_row("order_known", "The order that it names is there", ("order_candidate", "po_found"), _is_known_order),
    _by_row("order_agrees", "The order read is the one looked up", ("order_number", "order_candidate"), _is_looked_up),
    _by_row("within_order", "Asks for no more than was ordered", ("net", "kind", "po_amount"), _is_within_order),
    _by_row(
        "orders_supplier", "The seller is the order's supplier", ("seller_name", "po_supplier"), _is_orders_supplier
    ),
    _by_row("orders_currency", "The currency is the order's", ("currency", "po_currency"), _is_orders_currency),
)
