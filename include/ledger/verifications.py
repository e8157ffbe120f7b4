"""Verifications of the ledger, kept in it: when, by whom, what was checked, and every finding."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sqlalchemy import select

from include.database import Database, transaction
from include.ledger import tables
from include.ledger.heads import Head, read_heads
from include.ledger.record import record_event
from include.ledger.verify import Verification, verify
from include.models import Record

log = logging.getLogger(__name__)
STREAM = "verifications"
MOST_KEPT = 200


def verify_on_record(ledger: Database, actor: str, *, everything: bool = True, kept_at: str = "") -> Verification:
    """Verify the ledger and put the outcome on record, with the first 200 findings.

    `kept_at` is where heads were exported to (NIGHTLEDGER_HEAD_FILE): all of them must be there. Without `everything`
    only what was recorded after the last verification that held is recomputed; all of it if there is none.
    """
    since = None if everything else _last_held(ledger)
    heads = _kept_heads(ledger, kept_at)
    found = verify(ledger, heads=heads, since=since)
    log.info("%s", found.as_text())
    with transaction(ledger) as connection:
        record_event(connection, STREAM, "ledger.verified", _said(found, len(heads)), actor)
    return found


def _said(found: Verification, heads: int) -> Record:
    rows = [[one.table, one.row, one.problem] for one in found.findings[:MOST_KEPT]]
    counts = {name: getattr(found, name) for name in ("events", "streams", "batches", "rows", "head", "since")}
    seconds = round(found.seconds, 1)
    return {
        **counts,
        "seconds": seconds,
        "heads": heads,
        "found": len(found.findings),
        "findings": rows,
        "gone": list(found.gone),
    }


def _last_held(ledger: Database) -> str | None:
    """The head that the last verification ended with, if that one held."""
    event = tables.event.c
    query = select(event.details).where(event.stream == STREAM).order_by(event.seq.desc()).limit(1)
    with transaction(ledger) as connection:
        said = connection.scalar(query)
    return said["head"] or None if said and not said["found"] else None


def _kept_heads(ledger: Database, kept_at: str) -> Sequence[Head]:
    """Heads that were exported; none before the first run is closed, which is when the first one is written."""
    closed = select(tables.event.c.seq).where(tables.event.c.type == "run.closed").limit(1)
    with transaction(ledger) as connection:
        any_closed = connection.scalar(closed) is not None
    return read_heads(kept_at) if kept_at and any_closed else ()
