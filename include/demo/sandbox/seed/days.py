"""One generated day: leads, their companies, the vendor's file, and the truth about each lead."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.crm.store import seed_entry
from include.demo.sandbox.seed.companies import Company, faker_for, make_companies, spoil_companies
from include.demo.sandbox.seed.firmographics import make_file
from include.demo.sandbox.seed.leads import draw_truth, make_lead, visible_record
from include.demo.sandbox.seed.mess import spoil
from include.demo.sandbox.seed.vocabulary import COUNTRIES

_ORDINAL_BASE, _IDS_PER_DAY, _FIRST_COMPANY = 730_000, 100_000, 50_000
_LEADS_PER_COMPANY = 3


@dataclass
class Seeded:
    """What one day adds: lines for the CRM, files of the SFTP server by path, rows of the table database by table.

    `truth` is what a lead really is, by contact id, and `records` what the model will see of it.
    """

    entries: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    truth: dict[str, str] = field(default_factory=dict)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)


def generate_day(config: SandboxConfig, end: datetime) -> Seeded:
    """The data of the interval of one day that ends at `end`; equal for equal seed, rates, size and day."""
    start = end - timedelta(days=1)
    ordinal, scenario = start.date().toordinal(), _scenario(config, start, end)
    chance = random.Random(f"{config.seed}:{ordinal}")
    for _, locale, _ in COUNTRIES:
        faker_for(locale).seed_instance(f"{config.seed}:{ordinal}:{locale}")
    first = _first_id(end)
    size = 0 if scenario == "zero_rows" else config.leads_per_day
    companies = make_companies(first_company(end), len(numbers_of_companies(config, end)), chance, end)
    companies = spoil_companies(companies, scenario, end)
    leads = [make_lead(chance, companies, end) for _ in range(size)]
    spoil(leads, config.mess_rates, chance, end, ordinal)
    files, usable = make_file(companies, chance, start.date(), scenario)
    day = Seeded([_company_entry(company) for company in companies], files)
    by_number = {company.number: company for company in companies}
    for number, lead in enumerate(leads, first + 1):
        company = by_number.get(lead["associatedcompanyid"])
        record = visible_record(lead, company, in_file=company is not None and company.number in usable, end=end)
        day.entries.append(_lead_entry(number, lead, start, chance))
        day.records[str(number)] = record
        day.truth[str(number)] = draw_truth(record, f"{config.seed}:{number}:truth")
    return day


def first_company(end: datetime) -> int:
    """The lowest id of a company that came within the day before `end`."""
    return _first_id(end) + _FIRST_COMPANY


def numbers_of_companies(config: SandboxConfig, end: datetime) -> range:
    """The ids of the generated companies that came within the day before `end`."""
    empty = _scenario(config, end - timedelta(days=1), end) == "zero_rows"
    first = first_company(end)
    return range(first, first + (0 if empty else -(-config.leads_per_day // _LEADS_PER_COMPANY)))


def _first_id(end: datetime) -> int:
    return ((end - timedelta(days=1)).date().toordinal() - _ORDINAL_BASE) * _IDS_PER_DAY


def _scenario(config: SandboxConfig, start: datetime, end: datetime) -> str | None:
    last = config.scenarios.get("last") if end == config.end else None
    return config.scenarios.get(start.date().isoformat()) or last


def _company_entry(company: Company) -> dict[str, Any]:
    created, modified = company.created.isoformat(), company.modified.isoformat()
    return seed_entry("companies", company.number, created, modified, company.values)


def _lead_entry(number: int, lead: dict[str, Any], start: datetime, chance: random.Random) -> dict[str, Any]:
    """A lead changed at any time of the day, and made at most 14 months before that."""
    modified = start + timedelta(milliseconds=chance.randrange(86_400_000))
    created = modified - timedelta(minutes=chance.randint(1, 600_000))
    return seed_entry("contacts", number, created.isoformat(), modified.isoformat(), lead)
