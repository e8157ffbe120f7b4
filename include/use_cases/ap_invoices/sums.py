"""The arithmetic of an invoice, and what it says of itself, as pure functions of an answer's fields.

Each returns whether a rule of EN 16931 holds (https://docs.peppol.eu/poacc/billing/3.0/rules/ubl-tc434), to the cent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_MARKS = re.compile("(?<=[0-9])[.,'\u2019\u00a0\u202f](?=[0-9])")
_SPACES = re.compile("(?<=[0-9]) (?=[0-9]{3}(?![0-9]))")
"""What may stand between the digits of a printed amount; a space may also part two of them."""
CENT = Decimal("0.01")


def lines_add_up(answer: Mapping[str, Any]) -> bool:
    """Lines less allowances plus charges are the net (BR-CO-10 and 13)."""
    lines = sum((_of(one["line_net"]) for one in _list(answer["lines"])), Decimal(0))
    return _near(lines - _of(answer["allowances"]) + _of(answer["charges"]), _of(answer["net"]))


def gross_adds_up(answer: Mapping[str, Any]) -> bool:
    """Net and tax are the gross (BR-CO-15)."""
    return _near(_of(answer["net"]) + _of(answer["tax"]), _of(answer["gross"]))


def payable_adds_up(answer: Mapping[str, Any]) -> bool:
    """Gross less prepaid plus rounding is payable (BR-CO-16)."""
    left = _of(answer["gross"]) - _of(answer["prepaid"]) + _of(answer["rounding"])
    return _near(left, _of(answer["payable"]))


def taxes_add_up(answer: Mapping[str, Any]) -> bool:
    """The breakdown has the tax and the net, and each rate its tax (BR-CO-14 and 17, BR-S-08)."""
    taxes = _list(answer["taxes"])
    if not taxes:
        return _of(answer["tax"]) == 0
    tax, net = (sum((_of(one[name]) for one in taxes), Decimal(0)) for name in ("tax", "net"))
    each = all(_near(_of(one["net"]) * _of(one["rate"]) / 100, _of(one["tax"])) for one in taxes if one["rate"])
    return each and _near(tax, _of(answer["tax"])) and _near(net, _of(answer["net"]))


def sign_fits(answer: Mapping[str, Any]) -> bool:
    """An invoice asks for money; one below nothing is a credit note under a wrong name."""
    return answer["kind"] != "invoice" or _of(answer["gross"]) >= 0


def pages_show(answer: Mapping[str, Any], document: str) -> bool:
    """Whether the pages show the total that was read, in any notation; XML that says another one may be a trick."""
    digits = re.sub("[^0-9]", "", answer["gross"]).lstrip("0")
    sought = re.compile(f"(?<![0-9])0*{digits}(?![0-9])")
    plain = (_MARKS.sub("", one) for one in (document, _SPACES.sub("", document)))
    return not digits or any(sought.search(one) for one in plain)


def vat_id_fits(vat_id: str) -> bool:
    """Whether a VAT id has its country's form and checksum; those of countries that are not known pass."""
    from stdnum.eu import vat
    from stdnum.util import get_cc_module

    country = vat_id[:2].lower()
    if not country.isalpha():
        return False
    if country in vat.MEMBER_STATES or country in ("el", "xi", "eu"):
        return bool(vat.is_valid(vat_id))
    module = get_cc_module(country, "vat")
    return module is None or any(module.is_valid(one) for one in (vat_id, vat_id[2:]))


def within_order(answer: Mapping[str, Any], ordered: float | None) -> bool:
    """Whether an invoice asks for no more, without tax, than was ordered; a credit note always does."""
    if ordered is None or answer["kind"] == "credit_note":
        return True
    return _of(answer["net"]) <= Decimal(str(ordered)).quantize(CENT) + CENT


def _of(text: Any) -> Decimal:
    return Decimal(text or "0")


def _near(one: Decimal, other: Decimal) -> bool:
    return abs(one - other) <= CENT


def _list(value: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(value) if isinstance(value, str) else value or []
    return found
