"""Verifications of the ledger, newest first, for a page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from include.database import Database
from include.ledger.verifications import STREAM
from include.ledger.verify import Finding
from include.pages.reading import reading, rows

MOST = 20
_NUMBERS = ("events", "streams", "batches", "rows", "seconds", "heads", "head", "since")
_BY_PAGE = re.compile(r"airflow/page__(.+)__[^_]+")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One verification: what was checked, and what was found; of many findings the first are listed.

    `heads` were kept outside of the ledger and looked for; `since` is the head after which it was checked, None for
    the whole ledger. `head` is the last hash of the ledger at that time. `gone` says what was erased and removed on
    record.
    """

    at: datetime
    by: str
    found: int
    findings: tuple[Finding, ...] = ()
    events: int = 0
    streams: int = 0
    batches: int = 0
    rows: int = 0
    seconds: float = 0.0
    heads: int = 0
    head: str = ""
    since: str | None = None
    gone: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether the ledger was as it was recorded."""
        return not self.found


def find_verdict(ledger: Database) -> Verdict | None:
    """The newest verification, or None."""
    return next(iter(list_verdicts(ledger, 1)), None)


def list_verdicts(ledger: Database, most: int = MOST) -> list[Verdict]:
    """The newest verifications, newest first."""
    with reading(ledger) as connection:
        found = rows(connection, _VERDICTS, stream=STREAM, most=most)
    return [_verdict(row["recorded_at"], row["actor"], row["details"]) for row in found]


def _verdict(at: datetime, actor: str, said: Mapping[str, Any]) -> Verdict:
    by_page = _BY_PAGE.fullmatch(actor)
    numbers = {name: said[name] for name in _NUMBERS if name in said}  # of any version
    findings = tuple(Finding(*one) for one in said.get("findings", ()))
    by, gone = by_page[1] if by_page else actor, tuple(said.get("gone", ()))
    return Verdict(at, by, said.get("found", len(findings)), findings, **numbers, gone=gone)


_VERDICTS = """
SELECT recorded_at, actor, details FROM nightledger.event
 WHERE stream = :stream AND type = 'ledger.verified' ORDER BY seq DESC LIMIT :most"""
