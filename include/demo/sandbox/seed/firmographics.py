"""The data vendor's nightly file: one row per company, and everything that goes wrong with such files."""

from __future__ import annotations

import csv
import hashlib
import io
import random
from collections.abc import Sequence
from datetime import date, datetime

from include.demo.sandbox.seed.companies import Company

COLUMNS = (
    "domain",
    "company_name",
    "industry",
    "employees",
    "annual_revenue_usd",
    "founded_year",
    "technologies",
    "updated_at",
)
OVERSIZE_CHARACTERS = 200_000
_LEFT_OUT = 0.05
_KINDS, _ROWS_PER_ROUND = 8, 100
_LATIN_1_DAY, _BOM_DAY, _CYCLE_DAYS = 3, 5, 8

Row = list[str]


def file_name(day: date) -> str:
    """The name of the file whose interval starts on this UTC date."""
    return f"firmographics_{day:%Y-%m-%d}.csv"


def encoding_of(day: date) -> str:
    """One day in eight is latin-1, one has a byte order mark, the others are plain UTF-8."""
    place = day.toordinal() % _CYCLE_DAYS
    return "latin-1" if place == _LATIN_1_DAY else "utf-8-sig" if place == _BOM_DAY else "utf-8"


def make_file(
    companies: Sequence[Company], chance: random.Random, day: date, scenario: str | None
) -> tuple[dict[str, bytes], set[int]]:
    """The file and its checksum by name, and the ids of companies whose row a strict reader can use."""
    rows: list[tuple[int, Row]] = []
    for company in companies:
        if chance.random() >= _LEFT_OUT:
            rows.append((company.number, _row(company, chance)))
    usable = {number for number, _ in rows}
    usable -= _spoil(rows, chance)
    header = ["sector" if scenario == "renamed_column" and name == "industry" else name for name in COLUMNS]
    if scenario == "zero_rows":
        rows, usable = [], set()
    text = _write([header, *(row for _, row in rows)], chance)
    whole = b"" if scenario == "empty_file" else text.encode(encoding_of(day), "replace")
    sent = whole[: len(whole) * 2 // 3] if scenario == "growing_file" else whole
    if scenario in ("renamed_column", "empty_file", "growing_file"):
        usable = set()
    return with_checksum(file_name(day), sent, whole), usable


def with_checksum(name: str, sent: bytes, whole: bytes) -> dict[str, bytes]:
    """A file and, in the form of `sha256sum`, the checksum of what it should hold."""
    return {name: sent, f"{name}.sha256": f"{hashlib.sha256(whole).hexdigest()}  {name}\n".encode()}


def plain_row(
    domain: str, name: str, industry: str, employees: object, revenue: object, founded: object, tech: str, at: datetime
) -> Row:
    """One clean row in the order of `COLUMNS`; revenue in US dollars."""
    return [domain, name, industry, str(employees), str(revenue), str(founded), tech, at.strftime("%Y-%m-%dT%H:%M:%SZ")]


def _row(company: Company, chance: random.Random) -> Row:
    row = plain_row(
        company.domain,
        str(company.values["name"]),
        company.industry if chance.random() > 0.04 else "",
        company.employees,
        company.revenue,
        company.founded,
        company.technologies,
        company.updated,
    )
    odd = chance.random()
    if odd < 0.10:
        row[0] = f"www.{row[0]}" if odd < 0.05 else row[0].upper()
    elif odd < 0.20:
        row[3] = f"{company.employees:,}"
    return row


def _spoil(rows: list[tuple[int, Row]], chance: random.Random) -> set[int]:
    """Spoil eight rows of every hundred, each in its way, and one field by its size; companies with unusable rows."""
    if len(rows) < _KINDS:
        return set()
    unusable: set[int] = set()
    repeated: list[tuple[int, Row]] = []
    chosen = chance.sample(range(len(rows)), _KINDS * max(1, len(rows) // _ROWS_PER_ROUND))
    for at in range(0, len(chosen), _KINDS):
        short, long, span, unknown, broken, first, second, oversize = (rows[each] for each in chosen[at : at + _KINDS])
        del short[1][5:]
        long[1].extend(["extra", "fields"])
        span[1][3] = "50-100"
        unknown[1][3] = "n/a"
        broken[1][6] = f"{broken[1][6]}\nother"
        repeated += [(first[0], list(first[1])), (second[0], list(second[1]))]
        unusable |= {short[0], long[0], span[0]}
        if at == 0:
            oversize[1][6] = "x" * OVERSIZE_CHARACTERS
            unusable.add(oversize[0])
    rows.extend(repeated)
    return unusable


def _write(rows: Sequence[Row], chance: random.Random) -> str:
    """CSV with a blank line or two in the middle."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    blank = set(chance.sample(range(1, len(rows)), 2)) if len(rows) > 12 else set()
    for at, row in enumerate(rows):
        if at in blank:
            text.write("\n")
        writer.writerow(row)
    return text.getvalue()
