"""How a stage gets in: the ledger, migrated, and the run it works under."""

from __future__ import annotations

import logging

from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from include.database import Database, open_database, transaction
from include.errors import ConfigurationError, LedgerUnavailable
from include.ledger import schema, tables
from include.ledger.control import as_controlled, read_control, with_prompt
from include.ledger.orphans import abandon_orphans, hear
from include.ledger.record import open_run
from include.models import Interval, RunKey, RunOptions
from include.run import Night
from include.settings import Settings
from include.spec.prompt import load_prompt
from include.spec.use_case import load
from include.systems.connections import Connections

log = logging.getLogger(__name__)
SERVICE, OWNER = "nightledger_db", "nightledger_db_owner"


def open_ledger(connections: Connections) -> Database:
    """The ledger as the service sees it; migrated first when it is behind and the owner's connection exists.

    Raises ConfigurationError, LedgerUnavailable or LedgerOutdated.
    """
    url = connections.find("database", SERVICE)
    if url is None:
        variable = f"AIRFLOW_CONN_{SERVICE.upper()}"
        raise ConfigurationError(
            "no such connection", system=SERVICE, action=f"Define it in Airflow, or set {variable}"
        )
    ledger = open_database(url)
    try:
        if schema.current_revision(ledger) != schema.head_revision():
            upgrade_ledger(connections, grant_again=False)
        schema.require_current(ledger)
    except OperationalError as error:
        action = f"Check that PostgreSQL runs and that connection `{SERVICE}` is right"
        raise LedgerUnavailable("cannot be reached", system="ledger", action=action) from error
    return ledger


def upgrade_ledger(connections: Connections, *, grant_again: bool = True) -> str | None:
    """Migrate with the owner's connection; None when there is no such connection."""
    url = connections.find("database", OWNER)
    if url is None:
        return None
    owner = open_database(url)
    try:
        revision = schema.upgrade(owner, grant_again=grant_again)
        log.info("ledger is at revision %s", revision)
        return revision
    finally:
        owner.dispose()


def require_token_secret(settings: Settings) -> None:
    """Raise ConfigurationError if there is no secret: tokens made without one can be reversed by trying values."""
    if not settings.token_secret:
        raise ConfigurationError(
            "is not set, so personal values could not be replaced by tokens",
            about="NIGHTLEDGER_TOKEN_SECRET",
            action="Set it to a long random text and keep it the same from night to night",
        )


def begin_night(key: RunKey, options: RunOptions, connections: Connections, settings: Settings) -> Night:
    """Open the run that `key` names (or find it, on a retry) and return what its stages need."""
    require_token_secret(settings)
    ledger = open_ledger(connections)
    control = read_control(ledger, key.use_case)
    case = with_prompt(load(key.use_case), control.prompt)
    options = as_controlled(options, control, case.never_alone)
    prompt = load_prompt(case).as_mapping()
    run_id = open_run(ledger, key, case, options, prompt=prompt, git_sha=settings.git_sha)
    with transaction(ledger) as connection:
        hear(connection, run_id)
    abandon_orphans(ledger, key.use_case)
    return Night(case, key.interval, run_id, options, ledger, connections, settings)


def resume_night(run_id: str, connections: Connections, settings: Settings) -> Night:
    """The night of a run that exists already, with the options it was opened with."""
    ledger = open_ledger(connections)
    run = tables.run.c
    facts = (run.use_case, run.interval_start, run.interval_end, run.options, run.prompt_version)
    query = select(*facts).where(run.run_id == run_id)
    with transaction(ledger) as connection:
        found = connection.execute(query).first()
        hear(connection, run_id)
    if found is None:
        raise ConfigurationError("no such run", system="ledger", about=run_id)
    case = with_prompt(load(found.use_case), found.prompt_version)
    options = RunOptions.from_params(found.options, case.mode)
    return Night(
        case, Interval(found.interval_start, found.interval_end), run_id, options, ledger, connections, settings
    )


def find_run(ledger: Database, key: RunKey) -> str | None:
    """The newest run of that use case, interval and starter, or None."""
    run = tables.run.c
    query = select(run.run_id).where(
        run.use_case == key.use_case,
        run.interval_start == key.interval.start,
        run.interval_end == key.interval.end,
        run.external_ref == key.external_ref,
    )
    with transaction(ledger) as connection:
        return connection.scalar(query.order_by(run.attempt.desc()).limit(1))


def latest_run(ledger: Database, use_case: str) -> str | None:
    """The run of a use case that was started last, or None."""
    run = tables.run.c
    query = select(run.run_id).where(run.use_case == use_case).order_by(run.started_at.desc()).limit(1)
    with transaction(ledger) as connection:
        return connection.scalar(query)
