"""The rule by which the stand-in says a company's industry and size: the vendor first, then the CRM, then words.

It is no model and knows nothing that is not in the record. A text with markup, or with talk of instructions, is as good
as none. Confidence is a function of which source spoke and of whether others contradict it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from include.demo.sandbox.seed.vocabulary import INDUSTRIES, SIZE_BANDS

MARKS = frozenset({"industry", "size_band", "employees_estimate"})
"""Fields of an answer by which a question about a company is known."""
UNKNOWN = "UNKNOWN"
_LOWEST = (1, 11, 51, 201, 501, 1_001, 5_001, 10_001)
_REVENUE_PER_HEAD = 200_000
_MOST_EMPLOYEES = 3_000_000
_CONTRADICTED = 0.25
_CODES = {label.lower(): code for code, label, _ in INDUSTRIES} | {code.lower(): code for code, _, _ in INDUSTRIES}
_UNTRUSTED = re.compile(
    r"[<>{}`\x00-\x1f\x7f]|https?:|\b(?:ignore|instruction|prompt|system|confidence)s?\b", re.IGNORECASE
)
_WORDS: tuple[tuple[str, str], ...] = (
    (r"cloud|software|subscription", "COMPUTER_SOFTWARE"),
    (r"networks|help desks|information technology", "INFORMATION_TECHNOLOGY_AND_SERVICES"),
    (r"machine tools|machinery|packaging lines|maschinenbau", "MACHINERY"),
    (r"brakes|car makers|automotive|vehicles", "AUTOMOTIVE"),
    (r"wealth|lending|bank", "FINANCIAL_SERVICES"),
    (r"policies|claims|insurance|versicherung", "INSURANCE"),
    (r"clinics?|hospital|h[oô]pital|patients?", "HOSPITAL_HEALTH_CARE"),
    (r"medicines|clinical trials|pharma\w*", "PHARMACEUTICALS"),
    (r"shops?|online store|retail", "RETAIL"),
    (r"dairy|juices|baked goods|cheese|brewery", "FOOD_BEVERAGES"),
    (r"degree courses|campus|university", "HIGHER_EDUCATION"),
    (r"office buildings|bridges|construction|bau", "CONSTRUCTION"),
    (r"campaigns|media buying|advertising", "MARKETING_AND_ADVERTISING"),
)
_PATTERNS = tuple((re.compile(rf"(?<!\w)(?:{words})(?!\w)"), code) for words, code in _WORDS)


class Said(NamedTuple):
    """One fact, how sure it is (0 to 1), and who says so."""

    value: Any
    sure: float
    source: str


_NOTHING = Said(None, 0.3, "nothing on record")


def judge_company(record: Mapping[str, Any]) -> dict[str, Any]:
    """The answer about one company, as JSON values; any field may be missing, null or nonsense."""
    industry, size = _industry(record), _size(record)
    return {
        "industry": industry.value or UNKNOWN,
        "size_band": band_of(size.value),
        "employees_estimate": size.value,
        "evidence": f"Industry from {industry.source}; size from {size.source}.",
        "confidence": round((industry.sure + size.sure) / 2, 2),
    }


def band_of(employees: int | None) -> str:
    """The size band that a number of employees lies in."""
    if employees is None:
        return UNKNOWN
    return SIZE_BANDS[sum(employees >= lowest for lowest in _LOWEST) - 1]


def _industry(record: Mapping[str, Any]) -> Said:
    vendor, crm = (_CODES.get(_text(record, name).lower()) for name in ("firm_industry", "industry"))
    if vendor:
        return Said(vendor, 0.95 - (_CONTRADICTED if crm not in (None, vendor) else 0), "the data vendor")
    if crm:
        return Said(crm, 0.85, "the CRM")
    for name, sure, source in (("description", 0.8, "the description"), ("name", 0.5, "the name alone")):
        text = _text(record, name).lower()
        found = {code for pattern, code in _PATTERNS if pattern.search(text)}
        if len(found) == 1:
            return Said(found.pop(), sure, source)
    return _NOTHING


def _size(record: Mapping[str, Any]) -> Said:
    if vendor := _employees(record, "firm_employees"):
        return Said(vendor, 0.95, "the data vendor")
    if crm := _employees(record, "employees"):
        fresh = record.get("size_known_days") is not None
        return Said(crm, 0.85 if fresh else 0.5, "the CRM" if fresh else "the CRM, long ago")
    for name in ("firm_annual_revenue", "annual_revenue"):
        revenue = record.get(name)
        if isinstance(revenue, (int, float)) and not isinstance(revenue, bool) and 0 < revenue < 1e13:
            employees = min(max(1, round(revenue / _REVENUE_PER_HEAD)), _MOST_EMPLOYEES)
            return Said(employees, 0.5, "the revenue")
    return _NOTHING


def _employees(record: Mapping[str, Any], name: str) -> int | None:
    value = record.get(name)
    return value if type(value) is int and 0 < value <= _MOST_EMPLOYEES else None


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    return value.strip() if isinstance(value, str) and not _UNTRUSTED.search(value) else ""
