"""The ledger as the pages reach it: one pool of connections for a process of the api-server."""

from __future__ import annotations

import threading

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from include.errors import ConfigurationError, LedgerUnavailable
from include.ledger import schema
from include.ledger.database import open_engine
from include.ledger.door import SERVICE
from nightledger.hooks.connections import AirflowConnections


class Store:
    """Opens the ledger when it is first needed, and again when it was not there."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._lock = threading.Lock()

    def engine(self) -> Engine:
        """The ledger, by Airflow's connection; pages never migrate it. Raises LedgerUnavailable or LedgerOutdated."""
        with self._lock:
            if self._engine is None:
                self._engine = _open()
            return self._engine


def _open() -> Engine:
    action = f"Check that PostgreSQL runs and that connection `{SERVICE}` is right"
    try:
        url = AirflowConnections().database(SERVICE)
        if url is None:
            raise LedgerUnavailable("the connection is not defined", system=SERVICE, action=action)
        engine = open_engine(url)
        schema.require_current(engine)
    except OperationalError as error:
        raise LedgerUnavailable("cannot be reached", system="ledger", action=action) from error
    except ConfigurationError as error:
        raise LedgerUnavailable(error.problem, system=SERVICE, action=action) from error
    return engine
