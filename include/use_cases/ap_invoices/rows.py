"""What is made of a document before anybody looks at it: its e-invoice, its words, and the order that it is about."""

from __future__ import annotations

import re

from include.spec.reshape import Underivable
from include.use_cases.ap_invoices.einvoice import order_named
from include.use_cases.ap_invoices.tree import LONGEST

ORDER = re.compile(r"(?<![0-9])45[0-9]{8}(?![0-9])")
"""Numbers of this house's purchase orders; put in the form of yours."""


def einvoice_of(form: str | None, xml: str | None) -> str | None:
    """The XML of a known form that the document is or embeds."""
    if form is None or xml is None:
        return None
    if len(xml) > LONGEST:
        raise Underivable(f"an e-invoice of more than {LONGEST:,} characters")
    return xml


def document_of(text: str | None, form: str | None, media_type: str) -> str | None:
    """The words of the document; of an e-invoice that is nothing but XML there are none beside it."""
    return None if form is not None and media_type == "application/xml" else text


def order_of(document: str | None, einvoice: str | None) -> int | None:
    """The one order that the e-invoice names, or else the words do; None where they name none, or several."""
    named = set(ORDER.findall(order_named(einvoice) or "")) or set(ORDER.findall(document or ""))
    return int(named.pop()) if len(named) == 1 else None
