"""What the agent may read, each of it of the account that it works for and of no other."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from include.models import Column
from include.spec.agent import Tool
from include.systems.hubspot.belonging import HubSpotBelonging
from include.systems.odata.belonging import ODataBelonging

_TICKETS = HubSpotBelonging(
    system="crm",
    object="tickets",
    to="companies",
    owner="company_id",
    key=Column("hs_object_id", "ticket_id"),
    columns=(
        Column("subject", "subject"),
        Column("content", "content"),
        Column("createdate", "created_at", "datetime"),
        Column("hs_pipeline_stage", "stage"),
        Column("source_type", "came_by"),
    ),
)


class OfTicket(BaseModel):
    """One of the tickets that were listed."""

    model_config = ConfigDict(extra="forbid")

    ticket_id: str = Field(max_length=20, description="The ticket_id of a ticket that list_tickets has shown")


class OfInvoices(BaseModel):
    """Which invoices are wanted."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["open", "overdue", "paid"] | None = Field(description="Only invoices of this status; null for all")


TOOLS = (
    Tool(
        name="list_tickets",
        purpose="Lists the account's newest tickets: subject, day and stage, without their text",
        reads=_TICKETS,
        shows=("ticket_id", "subject", "created_at", "stage", "came_by"),
        data_classes={"subject": "personal"},
        tokenise=("subject",),
        rows=20,
    ),
    Tool(
        name="read_ticket",
        purpose="Shows the text of one of the account's tickets, as the customer wrote it",
        reads=_TICKETS,
        arguments=OfTicket,
        narrows={"ticket_id": "ticket_id"},
        shows=("ticket_id", "subject", "content", "created_at"),
        data_classes={"subject": "personal", "content": "personal"},
        tokenise=("subject", "content"),
        rows=1,
        characters=4_000,
    ),
    Tool(
        name="list_invoices",
        purpose="Lists the account's newest invoices: amount, day it is due, status",
        reads=ODataBelonging(
            system="erp",
            object="CustomerInvoices",
            of="CustomerNumber",
            owner="customer_number",
            keys=(Column("InvoiceNumber", "invoice", "integer"),),
            changed=Column("ModifiedAt", "modified_at", "datetime"),
            columns=(
                Column("IssuedOn", "issued_on", "date"),
                Column("DueOn", "due_on", "date"),
                Column("Amount", "amount", "number"),
                Column("Currency", "currency"),
                Column("Status", "status"),
            ),
        ),
        arguments=OfInvoices,
        narrows={"status": "status"},
        shows=("invoice", "issued_on", "due_on", "amount", "currency", "status"),
        rows=20,
    ),
)
"""At most five; none writes, and none can be told whose records to read."""
