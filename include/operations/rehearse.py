"""Run stages without leaving a trace: the ledger's part is rolled back, the staged files are thrown away."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

from sqlalchemy import Connection, func, select

from include.database import Database, may_be_idle, transaction
from include.ledger.record import finished_snapshot, open_run
from include.models import Manifest, RunKey, RunOptions
from include.night.check.check import check
from include.night.extract.extract import read_sources
from include.night.extract.shape import raw_schema
from include.night.extract.snapshot import is_intact, without_erased
from include.run import Night
from include.settings import Settings
from include.spec.prompt import load_prompt
from include.spec.use_case import load
from include.systems.connections import Connections


class _Undone:
    """Stands in for an ledger: every transaction is a savepoint of one that is never committed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        with self._connection.begin_nested():
            yield self._connection

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        yield self._connection


@contextmanager
def rehearsal(
    ledger: Database, key: RunKey, options: RunOptions, connections: Connections, settings: Settings
) -> Iterator[Night]:
    """A night for the block; whatever its stages record or stage is gone afterwards. Nothing is sent to a sink."""
    case = load(key.use_case)
    with transaction(ledger) as connection:  # made before, so that the rehearsal does not hold its lock
        for days in (0, 7):
            connection.execute(select(func.nightledger.ensure_inference_month(func.current_date() + days)))
    with ledger.connect() as connection, tempfile.TemporaryDirectory(prefix="nightledger-") as folder:
        outer = connection.begin()
        try:
            may_be_idle(connection)
            undone = cast("Database", _Undone(connection))
            prompt = load_prompt(case).as_mapping()
            run_id = open_run(undone, key, case, options, prompt=prompt, git_sha=settings.git_sha)
            kept = replace(settings, staging=folder)
            yield Night(case, key.interval, run_id, options, undone, connections, kept, limits=ledger)
        finally:
            outer.rollback()


def good_rows(night: Night) -> Manifest:
    """The rows that would reach the model: of the finished date's snapshot, or read from the sources now.

    Raises QualityStop where the night would be stopped, and whatever the sources raise.
    """
    earlier: Any = None
    if not night.options.re_extract:
        earlier = finished_snapshot(night.ledger, night.case.name, night.interval)
    columns = {field.name: str(field.type) for field in raw_schema(night.case)}
    raw = without_erased(night, earlier) if earlier and is_intact(earlier, columns) else read_sources(night)
    return check(night, raw)
