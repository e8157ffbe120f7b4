"""Property definitions of the objects, and the checks that HubSpot makes when a value is written.

Names and types of standard properties follow https://developers.hubspot.com/docs/api/crm/properties; those that start
with `nl_`, and `product_interest`, `lead_segment`, `founded_year`, `opportunity_id` and the like, are custom ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from include.demo.sandbox.seed.vocabulary import INDUSTRIES, SIZE_BANDS

SITES = "2-7000001"
"""The type id of a custom object: places of a company."""
MODIFIED = {
    "contacts": "lastmodifieddate",
    "companies": "hs_lastmodifieddate",
    "deals": "hs_lastmodifieddate",
    SITES: "hs_lastmodifieddate",
    "tickets": "hs_lastmodifieddate",
}
DEFAULTS = {
    "contacts": ("createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"),
    "companies": ("createdate", "domain", "hs_lastmodifieddate", "hs_object_id", "name"),
    "deals": (
        "amount",
        "closedate",
        "createdate",
        "dealname",
        "dealstage",
        "hs_lastmodifieddate",
        "hs_object_id",
        "pipeline",
    ),
    SITES: ("external_id", "hs_lastmodifieddate", "hs_object_id"),
    "tickets": (
        "content",
        "createdate",
        "hs_lastmodifieddate",
        "hs_object_id",
        "hs_pipeline",
        "hs_pipeline_stage",
        "hs_ticket_category",
        "hs_ticket_priority",
        "subject",
    ),
}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_MILLIS = re.compile(r"-?\d{9,15}")
_ERRORS = {
    "number": ("INVALID_INTEGER", "{value} was not a valid number."),
    "datetime": ("INVALID_LONG", "{value} was not a valid long."),
    "enumeration": ("INVALID_OPTION", "{value} was not one of the allowed options: [{options}]"),
    "email": ("INVALID_EMAIL", "Email address {value} is invalid"),
    "read_only": ("READ_ONLY_VALUE", '"{name}" is a read only property; its value cannot be set.'),
    "unknown": ("PROPERTY_DOESNT_EXIST", 'Property "{name}" does not exist'),
}


@dataclass(frozen=True, slots=True)
class Property:
    """One definition; `kind` is HubSpot's `type`: string, number, datetime or enumeration."""

    name: str
    kind: str = "string"
    options: tuple[str, ...] = ()
    read_only: bool = False
    custom: bool = False
    unique: bool = False

    def to_json(self) -> dict[str, Any]:
        """The definition as `/crm/v3/properties` shows it."""
        field = {"string": "text", "number": "number", "datetime": "date", "enumeration": "select"}[self.kind]
        return {
            "name": self.name,
            "label": self.name.replace("_", " ").capitalize(),
            "type": self.kind,
            "fieldType": field,
            "description": "",
            "groupName": "nightledger" if self.custom else "standard",
            "options": [
                {"label": value.capitalize(), "value": value, "displayOrder": at, "hidden": False}
                for at, value in enumerate(self.options)
            ],
            "displayOrder": -1,
            "calculated": False,
            "externalOptions": False,
            "hasUniqueValue": self.unique,
            "hidden": False,
            "hubspotDefined": not self.custom,
            "modificationMetadata": {
                "archivable": self.custom,
                "readOnlyDefinition": not self.custom,
                "readOnlyValue": self.read_only,
            },
            "formField": not self.read_only,
            "archived": False,
        }


def _strings(*names: str, custom: bool = False) -> tuple[Property, ...]:
    return tuple(Property(name, custom=custom) for name in names)


def _numbers(*names: str, custom: bool = False) -> tuple[Property, ...]:
    return tuple(Property(name, "number", custom=custom) for name in names)


def _kept_by_crm(modified: str) -> tuple[Property, ...]:
    return (
        Property("hs_object_id", "number", read_only=True),
        Property(modified, "datetime", read_only=True),
        Property("createdate", "datetime", read_only=True),
    )


_CONTACTS = (
    *_kept_by_crm("lastmodifieddate"),
    *_strings("email", "firstname", "lastname", "phone", "jobtitle", "hs_lead_status", "country", "company"),
    *_strings("lifecyclestage", "hs_analytics_source"),
    *_strings("product_interest", "lead_segment", "region", "opportunity_id", custom=True),
    *_numbers("hs_analytics_num_page_views", "associatedcompanyid"),
    Property("notes_last_updated", "datetime"),
    *_strings("hubspot_owner_id"),
    *_numbers("nl_lead_score", "nl_lead_confidence", custom=True),
    Property("nl_lead_tier", "enumeration", ("hot", "warm", "cold"), custom=True),
    *_strings("nl_lead_summary", "nl_next_action", custom=True),
    Property("nl_scored_at", "datetime", custom=True),
    Property("nl_score_origin", "enumeration", ("model", "rule", "person"), custom=True),
)
_COMPANIES = (
    *_kept_by_crm("hs_lastmodifieddate"),
    *_strings("name", "domain", "industry", "country", "description", "hubspot_owner_id"),
    *_numbers("numberofemployees", "annualrevenue"),
    *_numbers("founded_year", custom=True),
    *_strings("parent_company", custom=True),
    Property("external_id", custom=True, unique=True),
    Property("size_confirmed_at", "datetime", custom=True),
    Property("nl_industry", "enumeration", (*(code for code, _, _ in INDUSTRIES), "OTHER", "UNKNOWN"), custom=True),
    Property("nl_size_band", "enumeration", SIZE_BANDS, custom=True),
    *_numbers("nl_employees", "nl_enrichment_confidence", custom=True),
    *_strings("nl_enrichment_evidence", custom=True),
    Property("nl_enrichment_origin", "enumeration", ("model", "rule", "person"), custom=True),
    *_strings("customer_number", custom=True),
    Property("notes_last_updated", "datetime"),
    *_strings("nl_brief", "nl_brief_sources", custom=True),
    Property("nl_brief_health", "enumeration", ("good", "watch", "at_risk", "unknown"), custom=True),
    *_numbers("nl_brief_confidence", custom=True),
    Property("nl_brief_origin", "enumeration", ("model", "rule", "person"), custom=True),
)
_DEALS = (
    *_kept_by_crm("hs_lastmodifieddate"),
    *_strings("dealname", "dealstage", "pipeline"),
    *_numbers("amount", "associatedcompanyid"),
    Property("closedate", "datetime"),
    *_strings("product", "sales_agent", "sales_manager", "region", custom=True),
    *_numbers("associatedcontactid", custom=True),
)
_SITES = (
    *_kept_by_crm("hs_lastmodifieddate"),
    Property("external_id", custom=True, unique=True),
    *_strings("site_name", "city", "nl_site_note", "hubspot_owner_id", custom=True),
    *_numbers("desks", "nl_site_score", custom=True),
)
# https://developers.hubspot.com/docs/api-reference/crm-tickets-v3/guide
_TICKETS = (
    *_kept_by_crm("hs_lastmodifieddate"),
    *_strings("subject", "content", "hs_pipeline", "hs_pipeline_stage"),
    Property("hs_primary_company_id", "number", read_only=True),
    Property("source_type", "enumeration", ("CHAT", "EMAIL", "FORM", "PHONE")),
    Property("hs_ticket_priority", "enumeration", ("LOW", "MEDIUM", "HIGH", "URGENT")),
    Property(
        "hs_ticket_category",
        "enumeration",
        ("PRODUCT_ISSUE", "BILLING_ISSUE", "FEATURE_REQUEST", "GENERAL_INQUIRY"),
    ),
    *_strings("helpdesk_ticket_id", "nl_ticket_category", "nl_ticket_summary", custom=True),
    Property("nl_ticket_priority", "enumeration", ("low", "normal", "high", "urgent"), custom=True),
    Property("nl_ticket_language", "enumeration", ("en", "de", "fr", "es", "xx"), custom=True),
    Property("nl_ticket_origin", "enumeration", ("model", "rule", "person"), custom=True),
    *_numbers("nl_ticket_confidence", custom=True),
)
_OBJECTS = {"contacts": _CONTACTS, "companies": _COMPANIES, "deals": _DEALS, SITES: _SITES, "tickets": _TICKETS}

PROPERTIES: Mapping[str, Mapping[str, Property]] = {
    name: {each.name: each for each in found} for name, found in _OBJECTS.items()
}


@dataclass(frozen=True, slots=True)
class Invalid:
    """Why one value was refused, in HubSpot's words: its error code and message."""

    name: str
    error: str
    message: str


def check(kind: str, name: str, value: Any) -> Invalid | None:
    """What HubSpot would object to in writing this value, or None. An empty value clears a property and is valid."""
    definition = PROPERTIES[kind].get(name)
    if definition is None:
        return _invalid("unknown", name, value)
    if definition.read_only:
        return _invalid("read_only", name, value)
    text = as_text(value)
    if not text:
        return None
    if definition.kind == "number" and number(text) is None:
        return _invalid("number", name, value)
    if definition.kind == "datetime" and millis(text) is None:
        return _invalid("datetime", name, value)
    if definition.kind == "enumeration" and text not in definition.options:
        return _invalid("enumeration", name, value, ", ".join(definition.options))
    if name == "email" and not _EMAIL.fullmatch(text):
        return _invalid("email", name, value)
    return None


def as_text(value: Any) -> str:
    """A value as HubSpot stores it: text, whole numbers without a fraction, booleans in lower case, null as empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def normal(kind: str, name: str, value: Any) -> str | None:
    """A checked value in stored form: times as ISO 8601 with milliseconds, empty as None."""
    text = as_text(value)
    if text and PROPERTIES[kind][name].kind == "datetime":
        return iso(millis(text) or 0)
    return text or None


def number(text: str) -> float | None:
    """A number without spaces around it, or None."""
    try:
        return float(text) if text == text.strip() and "_" not in text else None
    except ValueError:
        return None


@lru_cache(maxsize=65_536)
def millis(text: str) -> int | None:
    """Epoch milliseconds of a time given in epoch milliseconds or ISO 8601 (no zone: UTC), or None."""
    if _MILLIS.fullmatch(text):
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def iso(epoch_millis: int) -> str:
    """A time as HubSpot writes it: `2026-11-20T02:00:00.123Z`."""
    moment = datetime.fromtimestamp(epoch_millis // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{epoch_millis % 1000:03d}Z"


def _invalid(problem: str, name: str, value: Any, options: str = "") -> Invalid:
    error, message = _ERRORS[problem]
    return Invalid(name, error, message.format(name=name, value=value, options=options))
