"""What a generated invoice says, before it is written down in any form: its parties, lines and totals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal, NamedTuple

BUYER = "Meridian Maschinenbau GmbH"
BUYER_VAT_ID = "DE227797349"
_CENT = Decimal("0.01")


class Supplier(NamedTuple):
    """Who sends invoices; `name` is as in the ERP. The VAT ids are made up, with checksums that fit."""

    name: str
    vat_id: str
    street: str
    city: str
    country: str
    short: str


SUPPLIERS = {
    one.name: one
    for one in (
        Supplier("Nordmetall GmbH", "DE256446233", "Hafenring 12", "20457 Hamburg", "DE", "NM"),
        Supplier("Süd-Technik AG", "DE383265919", "Isarweg 3", "80331 München", "DE", "ST"),
        Supplier("Alpen & Söhne", "ATU72982347", "Bergstraße 8", "6020 Innsbruck", "AT", "AS"),
        Supplier("D'Arc Industries", "FR01685297301", "4 rue du Pont", "69002 Lyon", "FR", "DA"),
        Supplier("Hansa Ventile", "DE124551705", "Speicherkai 1", "28217 Bremen", "DE", "HV"),
    )
}


class BillLine(NamedTuple):
    """One line; `rate` in per cent."""

    description: str
    quantity: int
    price: Decimal
    rate: Decimal

    @property
    def net(self) -> Decimal:
        """Quantity by price."""
        return self.quantity * self.price


@dataclass(frozen=True, slots=True)
class Bill:
    """An invoice or credit note; the allowance is on lines of the first line's rate. Amounts in `currency`.

    `misprint` is added to the printed totals, so that they do not fit the lines.
    """

    number: str
    issued: date
    due: date | None
    supplier: Supplier
    order: int
    lines: Sequence[BillLine] = field(default_factory=tuple)
    kind: Literal["invoice", "credit_note"] = "invoice"
    currency: str = "EUR"
    allowance: Decimal = Decimal(0)
    prepaid: Decimal = Decimal(0)
    misprint: Decimal = Decimal(0)

    @property
    def net(self) -> Decimal:
        """The printed total without tax."""
        return sum((one.net for one in self.lines), Decimal(0)) - self.allowance + self.misprint

    @property
    def taxes(self) -> list[tuple[Decimal, Decimal, Decimal]]:
        """Rate, what it applies to, tax; a row a rate, in the order of the lines."""
        bases: dict[Decimal, Decimal] = {}
        for one in self.lines:
            bases[one.rate] = (
                bases.get(one.rate, -self.allowance + self.misprint if not bases else Decimal(0)) + one.net
            )
        return [(rate, base, (base * rate / 100).quantize(_CENT, ROUND_HALF_UP)) for rate, base in bases.items()]

    @property
    def tax(self) -> Decimal:
        """All of it."""
        return sum((tax for _, _, tax in self.taxes), Decimal(0))

    @property
    def gross(self) -> Decimal:
        """The total with tax."""
        return self.net + self.tax

    @property
    def payable(self) -> Decimal:
        """What is still due."""
        return self.gross - self.prepaid
