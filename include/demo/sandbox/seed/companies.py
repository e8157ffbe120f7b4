"""Generated companies: what the CRM says about them, and what the data vendor says."""

from __future__ import annotations

import random
import re
import unicodedata
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from faker import Faker

from include.demo.sandbox.seed.vocabulary import COUNTRIES, DESCRIPTIONS, INDUSTRIES, SIZES, TECHNOLOGIES

STALE_AFTER_DAYS = 730
_MISSING_IN_CRM = {"industry": 0.25, "numberofemployees": 0.12, "annualrevenue": 0.20, "founded_year": 0.30}
_NO_DOMAIN = 0.02
_STALE = 0.08
_ONE_IN = 3
"""So many companies for one that has a description."""


@dataclass(frozen=True, slots=True)
class Company:
    """One company; `values` are the CRM's properties, the other facts what the vendor's file says."""

    number: int
    values: dict[str, Any]
    created: datetime
    modified: datetime
    domain: str
    locale: str
    industry: str
    employees: int
    revenue: int
    founded: int
    technologies: str
    updated: datetime


@lru_cache(maxsize=16)
def faker_for(locale: str) -> Faker:
    """One Faker per locale; whoever uses it seeds it first."""
    return Faker(locale)


def make_companies(first: int, count: int, chance: random.Random, end: datetime) -> list[Company]:
    """`count` companies with ids from `first`, as known at `end`."""
    used: set[str] = set()
    return [_make(first + at, chance, end, used) for at in range(count)]


def spoil_companies(companies: list[Company], scenario: str | None, end: datetime) -> list[Company]:
    """The companies of a day on which the scenario says that most industries are missing, or most sizes stale."""
    if scenario == "mostly_missing_industry":
        return [_without_industry(each) if at % 10 else each for at, each in enumerate(companies)]
    if scenario == "stale_sizes":
        return [_aged(each, end) if at % 10 else each for at, each in enumerate(companies)]
    return companies


def _make(number: int, chance: random.Random, end: datetime, used: set[str]) -> Company:
    country, locale, _ = chance.choices(COUNTRIES, [each[2] for each in COUNTRIES])[0]
    code, industry, _ = chance.choices(INDUSTRIES, [each[2] for each in INDUSTRIES])[0]
    low, high, _ = chance.choices(SIZES, [each[2] for each in SIZES])[0]
    employees = round(low * (high / low) ** chance.random())
    revenue = round(employees * chance.uniform(90_000, 320_000), -3)
    name = faker_for(locale).company()
    domain = _domain(name, number, used)
    founded = chance.randint(1950, 2023)
    values: dict[str, Any] = {
        "name": name,
        "domain": None if chance.random() < _NO_DOMAIN else domain,
        "industry": code,
        "numberofemployees": employees if chance.random() > _STALE else max(1, employees // 3),
        "annualrevenue": round(revenue),
        "country": country,
        "founded_year": founded,
    }
    for field, rate in _MISSING_IN_CRM.items():
        if chance.random() < rate:
            values[field] = None
    technologies = ";".join(chance.sample(TECHNOLOGIES, chance.randint(1, 4)))
    created = end - timedelta(days=chance.randint(1_600, 2_600), minutes=chance.randint(0, 1_439))
    modified, updated = _age(chance, end), _age(chance, end)
    values["size_confirmed_at"] = modified.isoformat() if values["numberofemployees"] else None
    values["description"] = DESCRIPTIONS[code] if number % _ONE_IN == 0 else None
    return Company(
        number,
        values,
        created,
        modified,
        domain,
        locale,
        industry,
        employees,
        round(revenue),
        founded,
        technologies,
        updated,
    )


def _age(chance: random.Random, end: datetime) -> datetime:
    stale = chance.random() < _STALE
    days = chance.randint(STALE_AFTER_DAYS + 10, 1_500) if stale else chance.randint(1, 320)
    return end - timedelta(days=days, minutes=chance.randint(0, 1_439))


def _domain(name: str, number: int, used: set[str]) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    stem = re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "company"
    if stem in used or stem == "company":
        stem = f"{stem}-{number % 100_000}"
    used.add(stem)
    return f"{stem[:50]}.example"


def _without_industry(company: Company) -> Company:
    values = {**company.values, "industry": None}
    return replace(company, values=values, industry="")


def _aged(company: Company, end: datetime) -> Company:
    old = end - timedelta(days=STALE_AFTER_DAYS + 400)
    values = {**company.values, "size_confirmed_at": old.isoformat() if company.values["numberofemployees"] else None}
    return replace(company, values=values, modified=old, updated=old)
