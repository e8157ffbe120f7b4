"""Amounts, figures and dates of e-invoices, in the one form that answers have; whatever is not exact is left."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal

from include.systems.exact.declared import Left

_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,13}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})")
_XML_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:Z|[+-][0-9]{2}:[0-9]{2})?")
"""xs:date, with or without a zone (https://www.w3.org/TR/xmlschema-2/#date)."""
_CENT = Decimal("0.01")


def number(text: str) -> Decimal:
    """A decimal of XML Schema; raises Left for anything else."""
    if _NUMBER.fullmatch(text) is None:
        raise Left("no_number_where_one_belongs")
    return Decimal(text)


def cents(text: str) -> str:
    """An amount with two decimals; raises Left for one that has more."""
    value = number(text)
    if value != value.quantize(_CENT):
        raise Left("fractions_of_a_cent")
    return written(value)


def written(value: Decimal) -> str:
    """An amount of whole cents as answers have it; there is no -0.00."""
    return f"{value.quantize(_CENT) + Decimal(0):f}"


def figure(text: str) -> str:
    """A quantity, price or rate without zeros at its end."""
    value = number(text)
    return f"{value.normalize() + Decimal(0):f}" if value else "0"


def xml_date(text: str) -> date:
    """A date of UBL."""
    found = _XML_DATE.fullmatch(text)
    return _date(found[1] if found else "", "%Y-%m-%d")


def coded_date(text: str, form: str) -> date:
    """A date of CII, in form 102 (YYYYMMDD) of UNTDID 2379, the only one that EN 16931 allows."""
    return _date(text if form == "102" and len(text) == 8 else "", "%Y%m%d")


def _date(text: str, form: str) -> date:
    try:
        return datetime.strptime(text, form).date()
    except ValueError as error:
        raise Left("no_date_where_one_belongs") from error
