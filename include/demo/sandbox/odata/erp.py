"""The ERP's entity sets, and data for them that depend on the seed and the date alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property
from random import Random
from typing import Any
from uuid import UUID

from include.demo.sandbox.odata.edm import instant
from include.demo.sandbox.odata.model import EntitySet, Link, Model, Prop
from include.demo.sandbox.seed.ticket_days import customers_at

PLANTS = ("DE01", "FR02")
WEEKS, HORIZON = 26, 4
_FAMILIES = {
    "Valves": ("Ball valve", "Check valve", "Gate valve", "Relief valve"),
    "Pumps": ("Gear pump", "Dosing pump", "Vacuum pump"),
    "Seals": ("O-ring set", "Shaft seal", "Gasket kit"),
    "Sensors": ("Pressure sensor", "Flow meter", "Level switch"),
}
_SUPPLIERS = ("Nordmetall GmbH", "Süd-Technik AG", "Alpen & Söhne", "D'Arc Industries", "Hansa Ventile")
_TEXT = Prop("Edm.String", longest=80)
_CODE = Prop("Edm.String", required=True, longest=20)
_AMOUNT = Prop("Edm.Decimal", scale=3)
_DAY = Prop("Edm.Date")
_CHANGED = Prop("Edm.DateTimeOffset", computed=True)
_TO_PRODUCT = Link("Products", {"ProductId": "ProductId"})
_SERIES = {"ProductId": _CODE, "Plant": _CODE, "Week": Prop("Edm.Date", required=True)}
MODEL: Model = {
    each.name: each
    for each in (
        EntitySet(
            "Products",
            "Product",
            ("ProductId",),
            {
                "ProductId": _CODE,
                "Name": _TEXT,
                "Family": _TEXT,
                "UnitPrice": Prop("Edm.Decimal", scale=2),
                "Discontinued": Prop("Edm.Boolean"),
                "ModifiedAt": _CHANGED,
            },
            {"Stock": Link("Stock", {"ProductId": "ProductId"}, many=True)},
            "ModifiedAt",
        ),
        EntitySet(
            "Stock",
            "StockLevel",
            ("ProductId", "Plant"),
            {
                "ProductId": _CODE,
                "Plant": _CODE,
                "OnHand": _AMOUNT,
                "SafetyStock": Prop("Edm.Int32"),
                "CountedOn": _DAY,
                "ModifiedAt": _CHANGED,
            },
            {"Product": _TO_PRODUCT},
            "ModifiedAt",
        ),
        EntitySet(
            "DemandHistory",
            "Demand",
            ("ProductId", "Plant", "Week"),
            {**_SERIES, "Quantity": _AMOUNT, "Corrected": Prop("Edm.Boolean"), "ModifiedAt": _CHANGED},
            {"Product": _TO_PRODUCT},
            "ModifiedAt",
        ),
        EntitySet(
            "ForecastProposals",
            "ForecastProposal",
            ("ProductId", "Plant", "Ahead"),
            {
                "ProductId": _CODE,
                "Plant": _CODE,
                "Ahead": Prop("Edm.Int32", required=True),
                "Week": _DAY,
                "Quantity": _AMOUNT,
                "Lower": _AMOUNT,
                "Upper": _AMOUNT,
                "Method": Prop("Edm.String", longest=40),
                "Note": Prop("Edm.String", longest=200),
                "ModifiedAt": _CHANGED,
            },
            {"Product": _TO_PRODUCT},
            "ModifiedAt",
            writable=True,
            needs_etag=True,
        ),
        EntitySet(
            "PurchaseOrders",
            "PurchaseOrder",
            ("OrderNumber",),
            {
                "OrderNumber": Prop("Edm.Int64", required=True),
                "Reference": Prop("Edm.Guid"),
                "ProductId": _CODE,
                "Plant": _CODE,
                "OrderedOn": _DAY,
                "DueOn": _DAY,
                "Quantity": _AMOUNT,
                "Amount": Prop("Edm.Decimal", scale=2),
                "Currency": Prop("Edm.String", longest=3),
                "Status": Prop("Edm.String", longest=20),
                "Supplier": _TEXT,
                "ModifiedAt": _CHANGED,
            },
            {"Product": _TO_PRODUCT},
            "ModifiedAt",
            writable=True,
        ),
        EntitySet(
            "CustomerInvoices",
            "CustomerInvoice",
            ("InvoiceNumber",),
            {
                "InvoiceNumber": Prop("Edm.Int64", required=True),
                "CustomerNumber": _CODE,
                "IssuedOn": _DAY,
                "DueOn": _DAY,
                "Amount": Prop("Edm.Decimal", scale=2),
                "Currency": Prop("Edm.String", longest=3),
                "Status": Prop("Edm.String", longest=20),
                "ModifiedAt": _CHANGED,
            },
            {},
            "ModifiedAt",
        ),
    )
}


@dataclass(frozen=True)
class Erp:
    """So many products in two plants, up to `end`; a later end adds weeks and leaves the earlier ones as they were."""

    seed: int
    products: int
    end: datetime

    def rows(self) -> dict[str, Iterator[dict[str, Any]]]:
        """The rows of every set."""
        return {
            "Products": self._products(),
            "Stock": self._stock(),
            "DemandHistory": self.demand(),
            "ForecastProposals": self._proposals(),
            "PurchaseOrders": self._orders(),
            "CustomerInvoices": self._invoices(),
        }

    @cached_property
    def names(self) -> list[str]:
        """Product ids."""
        return [f"P-{1000 + number}" for number in range(self.products)]

    def _chance(self, *about: object) -> Random:
        return Random("|".join(map(str, (self.seed, *about))))

    @property
    def _monday(self) -> date:
        """The week that the end lies in."""
        return self.end.date() - timedelta(days=self.end.weekday())

    def _changed(self, chance: Random, days: int) -> str:
        """A time of the last days before the end, to the second."""
        return instant(self.end - timedelta(seconds=chance.randint(1, days * 86_400)))

    def _products(self) -> Iterator[dict[str, Any]]:
        for product in self.names:
            chance = self._chance("product", product)
            family = chance.choice(list(_FAMILIES))
            yield {
                "ProductId": product,
                "Name": f"{chance.choice(_FAMILIES[family])} {chance.choice('ABCDEF')}{chance.randint(10, 99)}",
                "Family": family,
                "UnitPrice": str(Decimal(chance.randint(250, 90_000)) / 100),
                "Discontinued": chance.random() < 0.05,
                "ModifiedAt": instant(datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=chance.randint(0, 600))),
            }

    def _stock(self) -> Iterator[dict[str, Any]]:
        for product in self.names:
            for plant in PLANTS:
                chance = self._chance("stock", product, plant, self.end.date())
                yield {
                    "ProductId": product,
                    "Plant": plant,
                    "OnHand": str(chance.randint(0, 900)),
                    "SafetyStock": self._chance("safety", product, plant).randint(10, 120),
                    "CountedOn": (self.end.date() - timedelta(days=chance.randint(1, 90))).isoformat(),
                    "ModifiedAt": self._changed(chance, 3),
                }

    def demand(self, plants: Sequence[str] = PLANTS, weeks: int = WEEKS) -> Iterator[dict[str, Any]]:
        """Weeks that are over and posted: a level of its own, a season, noise, and now and then a late correction."""
        for product in self.names:
            for plant in plants:
                own = self._chance("series", product, plant)
                level, swing, phase = own.uniform(5, 200), own.uniform(0, 0.4), own.uniform(0, math.tau)
                for back in range(1, weeks + 1):
                    week = self._monday - timedelta(weeks=back)
                    chance = self._chance("demand", product, plant, week)
                    season = 1 + swing * math.sin(math.tau * week.timetuple().tm_yday / 365 + phase)
                    quantity = max(0.0, chance.gauss(level * season, level * 0.15))
                    over = datetime.combine(week + timedelta(days=7), time(), UTC)
                    corrected = chance.random() < 0.06
                    late = chance.randint(7, 28) * 86_400 if corrected else chance.randint(0, 7 * 86_400 - 1)
                    changed = over + timedelta(seconds=late)
                    if changed < self.end:
                        key = {"ProductId": product, "Plant": plant, "Week": week.isoformat()}
                        amount = {"Quantity": f"{quantity:.3f}", "Corrected": corrected, "ModifiedAt": instant(changed)}
                        yield {**key, **amount}

    def _proposals(self) -> Iterator[dict[str, Any]]:
        """Weeks to come that nobody has proposed a quantity for; those after them are not there yet."""
        for product in self.names:
            for plant in PLANTS:
                for ahead in range(1, HORIZON + 1):
                    week = self._monday + timedelta(weeks=ahead)
                    empty = dict.fromkeys(("Quantity", "Lower", "Upper", "Method", "Note"))
                    key = {"ProductId": product, "Plant": plant, "Ahead": ahead, "Week": week.isoformat()}
                    yield {**key, **empty, "ModifiedAt": instant(self.end - timedelta(days=30))}

    def _invoices(self) -> Iterator[dict[str, Any]]:
        """A few for each customer, the newest of them not yet paid, some of those late."""
        number = 9_000_000
        for customer in customers_at(self.seed, self.end):
            chance = self._chance("invoices", customer.number)
            for back in range(chance.randint(2, 8)):
                number += 1
                issued = self.end.date() - timedelta(days=30 * back + chance.randint(1, 25))
                due = issued + timedelta(days=30)
                paid = back > 1 or chance.random() < 0.5
                late = not paid and due < self.end.date()
                yield {
                    "InvoiceNumber": number,
                    "CustomerNumber": customer.number,
                    "IssuedOn": issued.isoformat(),
                    "DueOn": due.isoformat(),
                    "Amount": str(Decimal(chance.randint(10_000, 900_000)) / 100),
                    "Currency": "EUR",
                    "Status": "paid" if paid else "overdue" if late else "open",
                    "ModifiedAt": instant(datetime.combine(issued, time(6), UTC)),
                }

    def _orders(self) -> Iterator[dict[str, Any]]:
        for number in range(self.products * 3):
            chance = self._chance("order", number)
            quantity, price = chance.randint(1, 400), chance.randint(250, 90_000)
            ordered = date(2026, 1, 5) + timedelta(days=number % 280)
            yield {
                "OrderNumber": 4_500_000_000 + number,
                "Reference": str(UUID(int=chance.getrandbits(128), version=4)),
                "ProductId": chance.choice(self.names),
                "Plant": chance.choice(PLANTS),
                "OrderedOn": ordered.isoformat(),
                "DueOn": (ordered + timedelta(days=chance.randint(7, 60))).isoformat(),
                "Quantity": str(quantity),
                "Amount": str(Decimal(quantity * price) / 100),
                "Currency": "EUR",
                "Status": chance.choice(("open", "open", "confirmed", "received")),
                "Supplier": chance.choice(_SUPPLIERS),
                "ModifiedAt": self._changed(chance, 10),
            }
