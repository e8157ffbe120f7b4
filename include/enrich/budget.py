"""The ceiling of a run: reserve the most a call can cost before it leaves, settle what it did cost after."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass
class Budget:
    """US dollars of one run; `spent` starts at what earlier attempts of the same run already paid."""

    ceiling: Decimal
    spent: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)

    def reserve(self, most: Decimal) -> bool:
        """Set `most` aside and say True, or say False because it would not fit under the ceiling."""
        if self.spent + self.reserved + most > self.ceiling:
            return False
        self.reserved += most
        return True

    def settle(self, most: Decimal, cost: Decimal) -> None:
        """Give the reservation back and count what was paid."""
        self.reserved -= most
        self.spent += cost
