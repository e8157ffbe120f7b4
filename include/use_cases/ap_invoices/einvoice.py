"""E-invoices read exactly: what the XML says, field by field, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.models import Record
from include.systems.exact.declared import Exact, Left
from include.use_cases.ap_invoices import cii, ubl
from include.use_cases.ap_invoices.output import SUREST
from include.use_cases.ap_invoices.tree import namespace, parse

CREDIT_NOTES = frozenset({"81", "83", "261", "262", "296", "308", "381", "396", "420", "458", "532"})
"""Types of document that give money back, of UNTDID 1001 as EN 16931 restricts it
(https://docs.peppol.eu/poacc/billing/3.0/codelist/UNCL1001-cn and the code list EN16931 of the European Commission)."""


def read_einvoice(row: Mapping[str, Any]) -> Record | None:
    """The answer for a row whose `einvoice` is XML in UBL or CII, None for a row without.

    Raises Left for what is no invoice of these, does not say all that an answer needs, or has no lines.
    """
    source = row["einvoice"]
    if not source:
        raise Left("no_einvoice")
    root = parse(source)
    home = namespace(root)
    if home not in ubl.NAMESPACES | cii.NAMESPACES:
        raise Left("another_form")
    found = ubl.read_ubl(root) if home in ubl.NAMESPACES else cii.read_cii(root)
    if not found["lines"]:
        raise Left("no_lines")
    if found["tax"] is None:
        found["tax"] = _untaxed(found)
    kind = "credit_note" if found.pop("type_code") in CREDIT_NOTES else "invoice"
    return {**found, "kind": kind, "confidence": SUREST}


def _untaxed(found: Record) -> str:
    """The tax of one that names none, which it may if there is none: gross is net and tax (rule BR-CO-15)."""
    if found["gross"] != found["net"]:
        raise Left("no_tax")
    return "0.00"


EXACT = Exact(function=read_einvoice, version="v1", reads=("einvoice",))
