"""Why one row was set aside: for each expectation what was expected, and what its columns held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from include.database import Database
from include.pages.reading import reading, rows


@dataclass(frozen=True, slots=True)
class Reason:
    """What was expected of the row, in words, and what these columns held: tokens where that is personal.

    Without an expectation the row could not be read, and `expected` is what was wrong.
    """

    expected: str
    expectation: str
    severity: str
    columns: tuple[str, ...]
    held: Mapping[str, Any]


def explain_reasons(ledger: Database, found: Mapping[str, Any]) -> list[Reason]:
    """The reasons of an entry of the quarantine, in its order; its record has personal values as tokens."""
    with reading(ledger) as connection:
        known = {
            row["expectation"]: row
            for row in rows(connection, _HELD, run=found["run_id"], names=list(found["expectations"]))
        }
    names = [*found["expectations"], *[""] * (len(found["reasons"]) - len(found["expectations"]))]
    reasons = []
    for reason, name in zip(found["reasons"], names, strict=False):
        row = known.get(name)
        columns = tuple(row["columns"]) if row else ()
        held = {column: found["record"][column] for column in columns if column in found["record"]}
        reasons.append(Reason(row["meaning"] if row else reason, name, row["severity"] if row else "", columns, held))
    return reasons


_HELD = """
SELECT expectation, meaning, severity, columns FROM nightledger.quality_result
 WHERE run_id = :run AND expectation = ANY (:names)"""
