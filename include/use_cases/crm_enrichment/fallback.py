"""The rule that proposes industry and size when no model answers. A person confirms every answer it makes."""

from __future__ import annotations

from typing import Any, get_args

from include.models import Record
from include.use_cases.crm_enrichment.output import LOWEST, MOST_EMPLOYEES, Industry, SizeBand

_VENDOR = {
    "software": "COMPUTER_SOFTWARE",
    "information technology": "INFORMATION_TECHNOLOGY_AND_SERVICES",
    "industrial machinery": "MACHINERY",
    "automotive manufacturing": "AUTOMOTIVE",
    "financial services": "FINANCIAL_SERVICES",
    "insurance": "INSURANCE",
    "hospitals and health care": "HOSPITAL_HEALTH_CARE",
    "pharmaceuticals": "PHARMACEUTICALS",
    "retail": "RETAIL",
    "food and beverages": "FOOD_BEVERAGES",
    "higher education": "HIGHER_EDUCATION",
    "construction": "CONSTRUCTION",
    "marketing and advertising": "MARKETING_AND_ADVERTISING",
}
"""The vendor's name of an industry, and the CRM's."""


def answer(row: Record) -> Record | None:
    """What vendor or CRM says outright, the vendor first; None if neither says anything (the row is a dead letter)."""
    industry = _VENDOR.get(str(row.get("firm_industry")).lower()) or _of_crm(row.get("industry"))
    employees = _number(row.get("firm_employees")) or _number(row.get("employees"))
    if industry is None and employees is None:
        return None
    return {
        "industry": industry or "UNKNOWN",
        "size_band": band_of(employees),
        "employees_estimate": employees,
        "evidence": "Taken over by rule from the vendor or the CRM, as no model was available; please confirm.",
        "confidence": 0.4,
    }


def band_of(employees: int | None) -> str:
    """The band that a number of employees lies in."""
    bands: tuple[str, ...] = get_args(SizeBand)
    return bands[-1] if employees is None else bands[sum(employees >= lowest for lowest in LOWEST) - 1]


def _of_crm(value: Any) -> str | None:
    return value if value in get_args(Industry) else None


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and 1 <= value <= MOST_EMPLOYEES else None
