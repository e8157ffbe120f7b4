"""Columns that a source has and nobody declared: kept by name, and said when there was none of that name before."""

from __future__ import annotations

import logging

from sqlalchemy import select

from include.database import transaction
from include.ledger import tables
from include.models import Record
from include.run import Night

log = logging.getLogger(__name__)
OTHERS = "other_columns"
NIGHTS = 14
"""Earlier nights that are looked at."""


def note_columns(night: Night, facts: Record) -> Record:
    """Facts on what is there and not declared: all of it, and what none of the nights before had.

    A source says of itself what else it has (`facts` of its reader); of a dropped file it is known by its header.
    """
    others = {*facts.get(OTHERS, ())}
    for file in facts.get("files", ()):
        folder = str(file.get("path", "")).rpartition("/")[0]
        others |= {f"{file['system']}/{folder}: {name}" for name in file.get("extra_columns", ())}
    before = _before(night)
    new = sorted(others - before) if before is not None else []
    if new:
        log.warning("columns that no night before had, and nobody declared: %s", ", ".join(new))
    return {OTHERS: sorted(others), "new_columns": new}


def _before(night: Night) -> set[str] | None:
    """What earlier nights had, since a file need not have come in the last one; None where none has said."""
    run, manifest = tables.run.c, tables.manifest.c
    query = (
        select(manifest.facts)
        .join_from(tables.manifest, tables.run, run.run_id == manifest.run_id)
        .where(run.use_case == night.case.name, run.interval_end <= night.interval.start, manifest.dataset == "raw")
        .order_by(run.interval_end.desc(), run.attempt.desc())
        .limit(NIGHTS)
    )
    with transaction(night.ledger) as connection:
        said = [facts[OTHERS] for facts in connection.scalars(query) if OTHERS in facts]
    return {name for one in said for name in one} if said else None
