"""What must be answered for one invoice. The JSON schema sent to the model is made of this class.

Amounts are texts in one written form: a number in JSON is a binary fraction to most readers, in which 0.10 and 0.20 are
not 0.30, and who sums lines would have to guess which cent was meant. A text keeps each digit, here, in the ledger and
in the tables, and two equal amounts are equal texts.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Amount = Annotated[str, Field(pattern=r"^-?[0-9]{1,13}\.[0-9]{2}$")]
"""Money with two decimals, `-1234.50`; EN 16931 allows no more (rules BR-DEC)."""
Figure = Annotated[str, Field(pattern=r"^-?[0-9]{1,13}(\.[0-9]{1,10})?$")]
"""A quantity, price or rate, `0.125`."""


class Tax(BaseModel):
    """One row of the tax breakdown."""

    model_config = ConfigDict(extra="forbid")

    rate: Figure | None = Field(description="Per cent, e.g. 19 or 5.5; 0 for exempt; null if none is given")
    net: Amount = Field(description="What the rate applies to")
    tax: Amount


class Line(BaseModel):
    """One line of the invoice."""

    model_config = ConfigDict(extra="forbid")

    number: str | None = Field(max_length=100, description="As printed; null if lines have no number")
    description: str = Field(max_length=500, description="Name of the item, without its details")
    quantity: Figure | None
    unit: str | None = Field(max_length=40, description="As printed or coded, e.g. C62, pcs, h")
    unit_price: Figure | None = Field(description="Net, after discounts")
    price_base: Figure = Field(description="The quantity that the unit price is for, mostly 1")
    line_net: Amount = Field(description="The line's total without tax")
    tax_rate: Figure | None = Field(description="Per cent; null if the line names none")


class Output(BaseModel):
    """One invoice or credit note; every answer is validated again, whoever gave it."""

    model_config = ConfigDict(extra="forbid")

    number: str = Field(min_length=1, max_length=100, description="The seller's number of the document, as printed")
    kind: Literal["invoice", "credit_note"] = Field(description="credit_note for one that gives money back")
    issue_date: date
    due_date: date | None = Field(description="The last day for payment, if the document names or implies one")
    seller_name: str = Field(min_length=1, max_length=200, description="Legal name of who is to be paid")
    seller_vat_id: str | None = Field(max_length=40, description="VAT number of the seller, without spaces")
    buyer_name: str = Field(min_length=1, max_length=200)
    currency: str = Field(pattern=r"^[A-Z]{3}$", description="ISO 4217")
    order_number: str | None = Field(max_length=100, description="The buyer's purchase order, as printed")
    allowances: Amount = Field(description="Discounts on the whole document, as a positive amount; else 0.00")
    charges: Amount = Field(description="Charges on the whole document, such as freight beside the lines; else 0.00")
    net: Amount = Field(description="Total without tax: lines less allowances plus charges")
    tax: Amount
    gross: Amount = Field(description="Total with tax")
    prepaid: Amount = Field(description="What was paid before, as a positive amount; else 0.00")
    rounding: Amount = Field(description="Rounding of the amount to pay; mostly 0.00")
    payable: Amount = Field(description="Due for payment: gross less prepaid plus rounding")
    taxes: list[Tax] = Field(max_length=20, description="The tax breakdown, a row for each rate")
    lines: list[Line] = Field(max_length=2000)
    confidence: float = Field(ge=0, le=1, description="How sure you are that every field is right")
