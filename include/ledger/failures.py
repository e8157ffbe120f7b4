"""Why a stage of a run failed: put on record when it happens, and found again for reports and pages."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from include.database import transaction
from include.errors import NightledgerError
from include.ledger.record import record_event
from include.personal import tokenise_all
from include.run import Run

log = logging.getLogger(__name__)
_LONGEST = 1_000


@dataclass(frozen=True, slots=True)
class Failure:
    """The error that ended a stage, in its own parts; `error` is the name of its class, `verdict` what was done.

    `error` is empty where the stage ended without a word.
    """

    run_id: str
    stage: str
    error: str
    problem: str
    system: str = ""
    about: str = ""
    action: str = ""
    verdict: str = "give up"
    at: datetime | None = None


@contextmanager
def failures_on_record(run: Run, stage: str) -> Iterator[None]:
    """Put an error of the stage on record as event `stage.failed`, and raise it on.

    Of an error that nobody foresaw only its class is kept: its words may quote a row. The error counts, whatever
    becomes of the record of it.
    """
    try:
        yield
    except Exception as error:
        try:
            with transaction(run.ledger) as connection:
                record_failure(connection, run, stage, error)
        except (NightledgerError, SQLAlchemyError) as other:
            log.warning("why %s failed is not on record: %s", stage, type(other).__name__)
        raise


def record_failure(connection: Connection, run: Run, stage: str, error: Exception) -> None:
    """Put an error on record in the caller's transaction, personal values in it as tokens."""
    said = {"stage": stage, "error": type(error).__name__, "verdict": "give up", "problem": "", "action": ""}
    if isinstance(error, NightledgerError):
        said["verdict"] = error.verdict
        said |= {name: str(getattr(error, name)) for name in ("problem", "system", "about", "action")}
    details = {name: value[:_LONGEST] for name, value in tokenise_all(said, run.settings.token_secret).items()}
    record_event(connection, run.run_id, "stage.failed", details)


def find_failures(connection: Connection, run_ids: Collection[str]) -> dict[str, Failure]:
    """By run, the latest failure of a stage that has not succeeded since."""
    found = connection.execute(text(_FAILURES), {"runs": list(run_ids)}).mappings()
    return {row["run_id"]: Failure(**row) for row in found}


# What a stage says when it is through. Shards of `enrich` say it one by one, so only the stage after it counts.
_FAILURES = """
SELECT DISTINCT ON (e.stream) e.stream AS run_id, e.recorded_at AS at, e.details ->> 'stage' AS stage,
       e.details ->> 'error' AS error, e.details ->> 'problem' AS problem,
       coalesce(e.details ->> 'system', '') AS system, coalesce(e.details ->> 'about', '') AS about,
       e.details ->> 'action' AS action, e.details ->> 'verdict' AS verdict
  FROM nightledger.event e
  LEFT JOIN (VALUES ('extract', ARRAY['extract.completed', 'extract.reused']), ('check', ARRAY['check.completed']),
                    ('plan', ARRAY['enrich.completed', 'gate.completed']), ('enrich', ARRAY['gate.completed']),
                    ('gate', ARRAY['gate.completed']), ('write', ARRAY['write.completed'])) AS t (stage, done)
         ON t.stage = e.details ->> 'stage'
 WHERE e.stream = ANY (:runs) AND e.type = 'stage.failed'
   AND NOT EXISTS (SELECT FROM nightledger.event later
                    WHERE later.stream = e.stream AND later.seq > e.seq AND later.type = ANY (t.done))
 ORDER BY e.stream, e.seq DESC"""
