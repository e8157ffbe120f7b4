"""The ledger as the pages reach it: one pool of connections for a process of the api-server."""

from __future__ import annotations

import threading

from sqlalchemy.exc import OperationalError

from include.database import Database, open_database
from include.errors import ConfigurationError, LedgerUnavailable
from include.ledger import schema
from include.ledger.door import SERVICE
from nightledger.hooks.connections import AirflowConnections


class Store:
    """Opens the ledger when it is first needed, and again when it was not there."""

    def __init__(self) -> None:
        self._ledger: Database | None = None
        self._lock = threading.Lock()

    def ledger(self) -> Database:
        """The ledger, by Airflow's connection; pages never migrate it. Raises LedgerUnavailable or LedgerOutdated."""
        with self._lock:
            if self._ledger is None:
                self._ledger = _open()
            return self._ledger


def _open() -> Database:
    action = f"Check that PostgreSQL runs and that connection `{SERVICE}` is right"
    try:
        url = AirflowConnections().find("database", SERVICE)
        if url is None:
            raise LedgerUnavailable("the connection is not defined", system=SERVICE, action=action)
        ledger = open_database(url)
        schema.require_current(ledger)
    except OperationalError as error:
        raise LedgerUnavailable("cannot be reached", system="ledger", action=action) from error
    except ConfigurationError as error:
        raise LedgerUnavailable(error.problem, system=SERVICE, action=action) from error
    return ledger
