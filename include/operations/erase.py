"""Erase a person's rows, from the ledger and from what was staged: begun on record, gone on with if it was killed."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from include.database import Database, open_database, transaction
from include.errors import ConfigurationError
from include.ledger import erasure
from include.ledger.door import OWNER
from include.ledger.erasure import Request, Target
from include.ledger.leases import exclusive
from include.operations.erase_staged import Staged, erase_staged
from include.settings import Settings
from include.systems.connections import Connections

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Erased:
    """What became of one request: rows of the ledger by table, and staged files; `problems` are by file."""

    request: Request
    rows: dict[str, int]
    staged: Staged = field(default_factory=Staged)

    @property
    def complete(self) -> bool:
        """Whether all of it is done."""
        return not self.staged.problems


def open_as_owner(connections: Connections) -> Database:
    """The ledger as its owner; raises ConfigurationError where that connection is not there."""
    url = connections.find("database", OWNER)
    if url is None:
        raise ConfigurationError(
            "no such connection: the login of the nightly tasks may neither erase nor remove",
            system=OWNER,
            action=f"Set AIRFLOW_CONN_{OWNER.upper()} for this command alone",
        )
    return open_database(url)


def erase(
    ledger: Database, connections: Connections, settings: Settings, target: Target, who: str, why: str
) -> list[Erased]:
    """Erase what is asked, after what earlier calls had begun; one entry for each request, this one's last.

    Raises ConfigurationError for what may not be erased, and nothing is begun then. What was begun earlier and may not
    be gone on with now is named in its entry, and waits.
    """
    owner = open_as_owner(connections)
    try:
        with transaction(ledger) as connection:
            found = erasure.preview(connection, target)
        _refuse(found)
        with exclusive(ledger, "privacy/erase", settings.lease_seconds):
            ours = erasure.ask(ledger, target, who, why).request_id
            return [_try(ledger, owner, settings, one, ours) for one in erasure.unfinished(ledger)]
    finally:
        owner.dispose()


def _refuse(found: erasure.Preview) -> None:
    if found.holds:
        raise ConfigurationError(
            f"under legal hold {', '.join(map(str, found.holds))}",
            system="ledger",
            action="Nothing was erased. A hold is lifted by `nightledger privacy lift NUMBER --reason ...`",
        )
    if found.going_on:
        runs = ", ".join(found.going_on)
        raise ConfigurationError(f"going on: {runs}", system="ledger", action="Erase when the run is closed")


def go_on(ledger: Database, connections: Connections, settings: Settings) -> list[Erased]:
    """Go on with what earlier calls had begun."""
    owner = open_as_owner(connections)
    try:
        with exclusive(ledger, "privacy/erase", settings.lease_seconds):
            return [_try(ledger, owner, settings, one) for one in erasure.unfinished(ledger)]
    finally:
        owner.dispose()


def _try(ledger: Database, owner: Database, settings: Settings, request: Request, ours: UUID | None = None) -> Erased:
    try:
        with transaction(ledger) as connection:
            _refuse(erasure.preview(connection, request.target))
        return _do(ledger, owner, settings, request)
    except ConfigurationError as error:
        if request.request_id == ours:
            raise
        return Erased(request, {}, Staged(problems={"": str(error)}))


def _do(ledger: Database, owner: Database, settings: Settings, request: Request) -> Erased:
    with transaction(ledger) as connection:
        runs = erasure.runs_of(connection, request.target)
    staged = Staged()
    for use_case, keys in request.target.keys.items():
        one = erase_staged(owner, settings.staging, request, use_case, runs[use_case], keys)
        staged.rewritten += one.rewritten
        staged.removed += one.removed
        staged.problems |= one.problems
    rows = erasure.erase(owner, request)
    if not staged.problems:
        counts: dict[str, Any] = {**rows, "files": staged.rewritten, "lists": staged.removed}
        erasure.finish(ledger, request, counts)
    log.info("erased for request %s: %s, %d files", request.request_id, rows, staged.rewritten)
    return Erased(request, rows, staged)
