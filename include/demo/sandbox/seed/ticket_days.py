"""The tickets of one day: some in the CRM, some in the service desk's file, a few in both, and some spoilt."""

from __future__ import annotations

import csv
import io
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.crm.store import seed_entry
from include.demo.sandbox.seed.days import Seeded
from include.demo.sandbox.seed.firmographics import with_checksum
from include.demo.sandbox.seed.tickets import make_tickets

IN_CRM, IN_FILE, IN_BOTH = 60, 40, 2
LONG_BODY_CHARACTERS = 30_000
UNKNOWN_CUSTOMER = "C-9999"
_ORDINAL_BASE, _IDS_PER_DAY = 730_000, 1_000
_FIRST_COMPANY, _FIRST_CUSTOMER = 70_000_001, datetime(2016, 1, 4, tzinfo=UTC)
_DAYS_BETWEEN_CUSTOMERS = 100
_PLANS = {"free": 30, "team": 40, "business": 20, "enterprise": 10}
_SOURCE_TYPES = {"mail": "EMAIL", "form": "FORM", "chat": "CHAT", "phone note": "PHONE"}
TICKET_COLUMNS = (
    "ticket_id",
    "customer_id",
    "created_at",
    "channel",
    "requester_name",
    "requester_email",
    "subject",
    "body",
)
_NAMES = ("Ada Lind", "Jean Morel", "Rosa Pérez", "Uwe Brandt", "Kim Seo", "Ngozi Obi")

Ticket = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer: the number that the service desk knows, and the id of its company in the CRM."""

    number: str
    company: int
    plan: str
    since: datetime
    weight: int


def seed_tickets(config: SandboxConfig, end: datetime) -> Seeded:
    """The interval of one day that ends at `end`: tickets, their customers' companies, and two files for `drop/`."""
    start, customers = end - timedelta(days=1), customers_at(config.seed, end)
    chance = random.Random(f"{config.seed}:{start.date().toordinal()}:tickets")
    made: list[Ticket] = [{**one} for one in make_tickets(IN_CRM + IN_FILE, chance.randrange(2**32))]
    first = (start.date().toordinal() - _ORDINAL_BASE) * _IDS_PER_DAY
    for number, ticket in enumerate(made, first + 1):
        ticket.update(_circumstances(chance, number, customers, start))
    in_crm, in_file = made[:IN_CRM], made[IN_CRM:]
    _spoil_crm(in_crm, chance)
    shared = in_crm[-IN_BOTH:]
    _spoil_file(in_file, chance, first)
    for one, other in zip(shared, in_file[-IN_BOTH:], strict=True):
        other.update(one, id=other["id"])
        one["helpdesk"] = other["id"]
    companies = {one.company: one for one in customers}
    asked = dict.fromkeys(ticket["company"] for ticket in in_crm if ticket["company"])
    latest = {number: max(t["created"] for t in in_crm if t["company"] == number) for number in asked}
    entries = [_company_entry(companies[number], latest[number]) for number in sorted(asked)]
    entries += [_ticket_entry(ticket, number) for number, ticket in enumerate(in_crm, first + 1)]
    return Seeded(entries, {**_ticket_file(in_file, start), **_customer_file(customers, chance, start)})


def customers_at(seed: int, end: datetime) -> list[Customer]:
    """Everybody who was a customer by then; one more every hundred days."""
    count = (end - _FIRST_CUSTOMER).days // _DAYS_BETWEEN_CUSTOMERS + 1
    return [one for at in range(count) if (one := _customer(seed, at)).since < end]


def _customer(seed: int, at: int) -> Customer:
    chance = random.Random(f"{seed}:customer:{at}")
    plan = chance.choices(list(_PLANS), list(_PLANS.values()))[0]
    since = _FIRST_CUSTOMER + timedelta(days=at * _DAYS_BETWEEN_CUSTOMERS, minutes=chance.randrange(1_440))
    return Customer(f"C-{1001 + at}", _FIRST_COMPANY + at, plan, since, chance.choice((1, 2, 2, 3, 8)))


def _circumstances(chance: random.Random, number: int, customers: list[Customer], start: datetime) -> Ticket:
    """Who wrote, when, and what it is called at the service desk."""
    customer = chance.choices(customers, [one.weight for one in customers])[0]
    name = chance.choice(_NAMES)
    return {
        "id": f"HD-{number}",
        "helpdesk": None,
        "customer": customer.number,
        "company": customer.company,
        "name": name,
        "email": f"{name.split()[0].lower()}@customer-{customer.number[2:]}.example",
        "created": start + timedelta(milliseconds=chance.randrange(86_400_000)),
    }


def _spoil_crm(tickets: list[Ticket], chance: random.Random) -> None:
    """What goes wrong in a CRM; never in the last ones, which are in the file too."""
    empty, control, long, alone, signed = chance.sample(tickets[:-IN_BOTH], 5)
    empty.update(subject="?", body=None)
    control["body"] = f"{control['body'][:20]}\x07{control['body'][20:]}"
    long["body"] = (f"{long['body']} " * (LONG_BODY_CHARACTERS // len(long["body"]) + 1))[:LONG_BODY_CHARACTERS]
    alone["company"] = None
    for one in (signed, control):
        one["body"] += f"\n--\n{one['name']}, {one['email']}, phone +49 30 {chance.randrange(10**6, 10**7)}"


def _spoil_file(tickets: list[Ticket], chance: random.Random, first: int) -> None:
    """What goes wrong in an export: no id, an id that came before, nobody's customer, an empty text, many lines."""
    nameless, repeated, stranger, empty, lines = chance.sample(tickets[1:-IN_BOTH], 5)
    nameless["id"] = ""
    repeated["id"] = tickets[0]["id"]
    stranger["customer"] = UNKNOWN_CUSTOMER
    empty.update(subject="", body=" ")
    lines["body"] = lines["body"].replace(". ", '.\n"')


def _company_entry(customer: Customer, active: datetime) -> dict[str, Any]:
    """A customer's company; an activity such as a ticket moves its time of last activity, and no other."""
    values = {"name": f"Customer {customer.number}", "customer_number": customer.number}
    since = customer.since.isoformat()
    moved = {"notes_last_updated": active.isoformat(timespec="milliseconds")}
    return seed_entry("companies", customer.company, since, since, values | moved)


def _ticket_entry(ticket: Ticket, number: int) -> dict[str, Any]:
    values = {
        "subject": ticket["subject"],
        "content": ticket["body"],
        "hs_pipeline": "0",
        "hs_pipeline_stage": "1",
        "source_type": _SOURCE_TYPES[ticket["channel"]],
        "hs_primary_company_id": ticket["company"],
        "helpdesk_ticket_id": ticket["helpdesk"],
    }
    created = ticket["created"].isoformat()
    return seed_entry("tickets", number, created, created, values)


def _ticket_file(tickets: list[Ticket], start: datetime) -> dict[str, bytes]:
    rows = [
        (
            *(ticket["id"], ticket["customer"], ticket["created"].isoformat(timespec="seconds"), ticket["channel"]),
            *(ticket["name"], ticket["email"], ticket["subject"], ticket["body"]),
        )
        for ticket in tickets
    ]
    return file_of(f"tickets_{start:%Y-%m-%d}.csv", [TICKET_COLUMNS, *rows])


def _customer_file(customers: list[Customer], chance: random.Random, start: datetime) -> dict[str, bytes]:
    rows = [
        (one.number, one.plan, chance.randrange(2) + one.weight * chance.choice((0, 1, 1, 2)), one.since.isoformat())
        for one in customers
    ]
    header = ("customer_id", "plan", "tickets_90_days", "customer_since")
    return file_of(f"customers_{start:%Y-%m-%d}.csv", [header, *rows])


def file_of(name: str, rows: list[tuple[Any, ...]]) -> dict[str, bytes]:
    """A CSV file and its checksum, by name."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    content = text.getvalue().encode()
    return with_checksum(name, content, content)
