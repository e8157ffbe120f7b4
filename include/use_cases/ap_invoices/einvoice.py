"""E-invoices read exactly: what the XML says, field by field, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.models import Record
from include.systems.exact.declared import Left
from include.use_cases.ap_invoices import cii, ubl
from include.use_cases.ap_invoices.tree import Element, namespace, parse

CREDIT_NOTES = frozenset({"81", "83", "261", "262", "296", "308", "381", "396", "420", "458", "532"})
"""Types of document that give money back, of UNTDID 1001 as EN 16931 restricts it
(https://docs.peppol.eu/poacc/billing/3.0/codelist/UNCL1001-cn and the code list EN16931 of the European Commission)."""


def read_einvoice(row: Mapping[str, Any]) -> Record:
    """The answer for a row whose `einvoice` is XML in UBL or CII.

    Raises Left for what is none, does not say all that an answer needs, or has no lines.
    """
    found = read_fields(row["einvoice"])
    if not found["lines"]:
        raise Left("no_lines")
    return {**found, "confidence": 1.0}


def read_fields(source: str | None) -> Record:
    """All fields of an answer but its confidence; the lines may be none. Raises Left."""
    root = _root(source)
    found = ubl.read_ubl(root) if namespace(root) in ubl.NAMESPACES else cii.read_cii(root)
    if found["tax"] is None:
        found["tax"] = _untaxed(found)
    kind = "credit_note" if found.pop("type_code") in CREDIT_NOTES else "invoice"
    return {**found, "kind": kind}


def order_named(source: str | None) -> str | None:
    """The buyer's order that an e-invoice names, of whatever else it lacks."""
    try:
        root = _root(source)
    except Left:
        return None
    return ubl.order_of(root) if namespace(root) in ubl.NAMESPACES else cii.order_of(root)


def _root(source: str | None) -> Element:
    if not source:
        raise Left("no_einvoice")
    root = parse(source)
    if namespace(root) not in ubl.NAMESPACES | cii.NAMESPACES:
        raise Left("another_form")
    return root


def _untaxed(found: Record) -> str:
    """The tax of one that names none, which it may if there is none: gross is net and tax (rule BR-CO-15)."""
    if found["gross"] != found["net"]:
        raise Left("no_tax")
    return "0.00"
