"""A folder of CSVs instead of generated data: companies, opportunities and one lead for each opportunity.

Written for the layout of the Maven Analytics set "CRM Sales Opportunities"; any export with the same file and column
names works. What became of an opportunity (stage, amount, close date) goes to deals and to the truth, never to a lead.
"""

from __future__ import annotations

import csv
import io
import random
import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path

from faker import Faker

from include.demo.sandbox.crm.store import seed_entry, touch_entry
from include.demo.sandbox.seed.days import Seeded
from include.demo.sandbox.seed.firmographics import COLUMNS, Row, file_name, plain_row, with_checksum
from include.demo.sandbox.seed.given import Table, read_table

# File name to the columns it needs; the last two may be absent.
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "accounts.csv": ("account", "sector", "year_established", "revenue", "employees", "office_location"),
    "sales_pipeline.csv": (
        "opportunity_id",
        "sales_agent",
        "product",
        "account",
        "deal_stage",
        "engage_date",
        "close_date",
        "close_value",
    ),
}
OPTIONAL: Mapping[str, tuple[str, ...]] = {
    "products.csv": ("product", "series"),
    "sales_teams.csv": ("sales_agent", "manager", "regional_office"),
}
STAGES = {"won": "closedwon", "lost": "closedlost", "engaging": "engaging", "prospecting": "prospecting"}
_FIRST_LEAD, _FIRST_COMPANY, _FIRST_DEAL = 1_000_001, 2_000_001, 3_000_001
_MILLION = 1_000_000


def load_folder(path: Path, end: datetime, seed: int = 7) -> Seeded:
    """The folder's data as changed within the day before `end`.

    Raises ConfigurationError naming the columns that a file lacks.
    """
    tables = _read(path)
    start = end - timedelta(days=1)
    companies = {row["account"]: number for number, row in enumerate(tables["accounts.csv"], _FIRST_COMPANY)}
    seeded = Seeded(files=_firmographics(tables["accounts.csv"], start.date(), end))
    for row in tables["accounts.csv"]:
        seeded.entries.append(_company(row, companies[row["account"]], end))
    fake, chance = Faker("en_US"), random.Random(f"{seed}:folder")
    fake.seed_instance(seed)
    teams = {row["sales_agent"]: row for row in tables["sales_teams.csv"]}
    series = {row["product"]: row["series"] for row in tables["products.csv"]}
    for at, row in enumerate(tables["sales_pipeline.csv"]):
        modified = start + timedelta(milliseconds=chance.randrange(86_400_000))
        team, company = teams.get(row["sales_agent"], {}), companies.get(row["account"])
        lead = _lead(row, company, team, series, fake)
        created = _day(row["engage_date"]) or start.isoformat()
        seeded.entries.append(seed_entry("contacts", _FIRST_LEAD + at, created, modified.isoformat(), lead))
        seeded.entries.append(_deal(row, at, company, team, created))
        stage = row["deal_stage"].strip().lower()
        seeded.truth[str(_FIRST_LEAD + at)] = stage if stage in ("won", "lost") else "open"
    return seeded


def require_folder(path: Path) -> None:
    """Raise ConfigurationError as `load_folder` does, without loading it."""
    _read(path)


def touch_folder(seeded: Seeded, path: Path, end: datetime) -> Seeded:
    """The same leads, changed again within the day before `end`, and that day's file: another night on one folder."""
    start, chance = end - timedelta(days=1), random.Random(f"{end.isoformat()}:touch")
    touched = Seeded(files=_firmographics(_read(path)["accounts.csv"], start.date(), end), truth=seeded.truth)
    for number in seeded.truth:
        modified = start + timedelta(milliseconds=chance.randrange(86_400_000))
        touched.entries.append(touch_entry("contacts", int(number), modified.isoformat()))
    return touched


def domain_of(account: str) -> str:
    """A made-up web domain for an account, e.g. `gekko-co.example`."""
    return f"{re.sub(r'[^a-z0-9]+', '-', account.lower()).strip('-') or 'company'}.example"


def _read(path: Path) -> dict[str, Table]:
    here = {**REQUIRED, **{name: columns for name, columns in OPTIONAL.items() if (path / name).is_file()}}
    found = {name: read_table(path / name, columns) for name, columns in here.items()}
    return {**{name: [] for name in OPTIONAL}, **found}


def _company(row: Mapping[str, str], number: int, end: datetime) -> dict[str, object]:
    values = {
        "name": row["account"],
        "domain": domain_of(row["account"]),
        "industry": row["sector"] or None,
        "numberofemployees": row["employees"] or None,
        "annualrevenue": _revenue(row),
        "country": row["office_location"] or None,
        "founded_year": row["year_established"] or None,
    }
    known = (end - timedelta(days=30)).isoformat()
    return seed_entry("companies", number, known, known, values)


def _lead(
    row: Mapping[str, str], company: int | None, team: Mapping[str, str], series: Mapping[str, str], fake: Faker
) -> dict[str, object]:
    """What is known before the outcome: nobody's title or activity, since the set has none."""
    first, last = fake.first_name(), fake.last_name()
    domain = domain_of(row["account"]) if company else "no-account.example"
    region = team.get("regional_office") or None
    return {
        "email": f"{first}.{last}.{row['opportunity_id']}@{domain}".lower(),
        "firstname": first,
        "lastname": last,
        "phone": fake.numerify("+1-555-01##"),
        "lifecyclestage": "lead",
        "hs_lead_status": "OPEN",
        "hs_analytics_source": "OFFLINE",
        "country": region,
        "region": region,
        "product_interest": row["product"] or None,
        "lead_segment": series.get(row["product"]),
        "associatedcompanyid": company,
        "opportunity_id": row["opportunity_id"],
    }


def _deal(
    row: Mapping[str, str], at: int, company: int | None, team: Mapping[str, str], created: str
) -> dict[str, object]:
    closed = _day(row["close_date"])
    values = {
        "dealname": row["opportunity_id"],
        "dealstage": STAGES.get(row["deal_stage"].lower(), row["deal_stage"].lower() or None),
        "pipeline": "default",
        "amount": row["close_value"] or None,
        "closedate": closed,
        "product": row["product"] or None,
        "sales_agent": row["sales_agent"] or None,
        "sales_manager": team.get("manager") or None,
        "region": team.get("regional_office") or None,
        "associatedcompanyid": company,
        "associatedcontactid": _FIRST_LEAD + at,
    }
    return seed_entry("deals", _FIRST_DEAL + at, created, closed or created, values)


def _firmographics(accounts: Table, day: date, end: datetime) -> dict[str, bytes]:
    known = end - timedelta(days=20)
    rows: list[Row] = [list(COLUMNS)]
    for row in accounts:
        revenue, name = _revenue(row), row["account"]
        facts = (row["sector"], row["employees"], "" if revenue is None else revenue, row["year_established"])
        rows.append(plain_row(domain_of(name), name, *facts, "", known))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    content = text.getvalue().encode()
    return with_checksum(file_name(day), content, content)


def _revenue(row: Mapping[str, str]) -> int | None:
    """US dollars, from the set's millions."""
    return round(float(row["revenue"]) * _MILLION) if row["revenue"] else None


def _day(text: str) -> str | None:
    return f"{text}T00:00:00+00:00" if text else None
