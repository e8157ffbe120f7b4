"""Generated leads, what the model will see of each, and the hidden truth drawn for it."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from include.demo.sandbox.model.rule import Tier, judge
from include.demo.sandbox.seed.companies import Company, faker_for
from include.demo.sandbox.seed.vocabulary import (
    COUNTRIES,
    LEAD_STATUSES,
    PRODUCTS,
    SEGMENTS,
    SOURCES,
    STAGES,
    TITLES,
)

RECENCY_DAYS = (7, 30, 90, 365)
_OTHERS: Mapping[Tier, tuple[tuple[Tier, float], ...]] = {
    "hot": (("warm", 0.75), ("cold", 0.25)),
    "warm": (("hot", 0.4), ("cold", 0.6)),
    "cold": (("warm", 0.75), ("hot", 0.25)),
}


def make_lead(chance: random.Random, companies: Sequence[Company], end: datetime) -> dict[str, Any]:
    """The CRM's properties of one lead before anything is spoilt."""
    company = chance.choice(companies) if companies else None
    country, locale, _ = chance.choices(COUNTRIES, [each[2] for each in COUNTRIES])[0]
    fake = faker_for(locale)
    first, last = fake.first_name(), fake.last_name()
    domain = company.domain if company else "example.org"
    active = end - timedelta(minutes=1 + int(chance.expovariate(1 / 32) * 1_440))
    return {
        "email": f"{_mailbox(first, last)}{chance.randint(1, 999)}@{domain}",
        "firstname": first,
        "lastname": last,
        "phone": fake.phone_number(),
        "jobtitle": _weighted(chance, TITLES) if chance.random() < 0.9 else fake.job(),
        "lifecyclestage": _weighted(chance, STAGES),
        "hs_lead_status": chance.choice(LEAD_STATUSES),
        "hs_analytics_source": _weighted(chance, SOURCES),
        "country": country,
        "hs_analytics_num_page_views": int(chance.lognormvariate(1.9, 1.1)),
        "notes_last_updated": active.isoformat(),
        "product_interest": chance.choice(PRODUCTS) if chance.random() < 0.8 else None,
        "lead_segment": chance.choice(SEGMENTS) if chance.random() < 0.85 else None,
        "associatedcompanyid": company.number if company else None,
    }


def visible_record(lead: Mapping[str, Any], company: Company | None, *, in_file: bool, end: datetime) -> dict[str, Any]:
    """What a night joins for a lead before it asks the model; `in_file`: the vendor's row for its company is usable."""
    crm: Mapping[str, Any] = company.values if company else {}
    firm = company if company is not None and in_file and crm.get("domain") else None
    return {
        "job_title": lead["jobtitle"],
        "lifecycle_stage": lead["lifecyclestage"],
        "lead_source": lead["hs_analytics_source"],
        "country": lead["country"],
        "page_views": lead["hs_analytics_num_page_views"],
        "last_activity_days": _recency(lead["notes_last_updated"], end),
        "product_interest": lead["product_interest"],
        "segment": lead["lead_segment"],
        "company_name": crm.get("name"),
        "company_country": crm.get("country"),
        "industry": crm.get("industry") or (firm.industry if firm else None),
        "employees": firm.employees if firm else crm.get("numberofemployees"),
        "annual_revenue": firm.revenue if firm else crm.get("annualrevenue"),
        "founded_year": firm.founded if firm else crm.get("founded_year"),
        "technologies": firm.technologies if firm else None,
    }


def draw_truth(record: Mapping[str, Any], seed: str) -> Tier:
    """The hidden tier: the rule's with the probability of its confidence, else one of the other two."""
    verdict, chance = judge(record), random.Random(seed)
    if chance.random() < verdict.confidence:
        return verdict.tier
    tiers = _OTHERS[verdict.tier]
    return chance.choices([tier for tier, _ in tiers], [weight for _, weight in tiers])[0]


def _recency(active: Any, end: datetime) -> int | None:
    """Within how many days before `end`, in the steps of `RECENCY_DAYS`; None if older, unknown or in the future."""
    if not active:
        return None
    moment = datetime.fromisoformat(str(active)).astimezone(UTC)
    if moment > end:
        return None
    return next((days for days in RECENCY_DAYS if moment >= end - timedelta(days=days)), None)


def _weighted(chance: random.Random, choices: Sequence[tuple[str, int]]) -> str:
    return chance.choices([name for name, _ in choices], [weight for _, weight in choices])[0]


def _mailbox(first: str, last: str) -> str:
    plain = unicodedata.normalize("NFKD", f"{first}.{last}").encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z.]+", "", plain).strip(".") or "contact"
