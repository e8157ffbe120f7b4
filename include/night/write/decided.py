"""Hold what is about to be written against what was decided: the ledger is believed, a staged file is not."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from include.database import to_json, transaction
from include.ledger.record import DeadLetter, bury
from include.ledger.reviews import TIME_OUT
from include.models import Record
from include.run import Night
from include.systems.port import Sink

log = logging.getLogger(__name__)
CAUSE = "tampered"
_DETAIL = "what was staged to be written is not what was decided; nothing was written"
_CLAIMED = ("row_id", "row_key", "inference_key", "origin")


def hold(night: Night, sink: Sink, rows: Sequence[Record]) -> tuple[list[Record], int]:
    """The approved rows that are what was decided, and how many others there were (invariant I2).

    A row that differs from its sealed decision, or whose decision differs from the sealed result it is about, is not
    written: the row that was decided becomes a dead letter `tampered`, and the rest goes on.
    """
    with transaction(night.ledger) as connection:
        good = matching(connection, night, rows)
        forged = len(rows) - len(good)
        if forged:
            kept = {row["row_id"] for row in good}
            _bury(connection, night, sink, [row for row in rows if row["row_id"] not in kept])
            log.warning("%d of %d approved rows are not what was decided and are not written", forged, len(rows))
    return good, forged


def matching(connection: Connection, night: Night, rows: Sequence[Record]) -> list[Record]:
    """The rows that say, word for word, what their decision to write says.

    Of a use case that may never go out alone, it must be a person's.
    """
    claims = [claim for at, row in enumerate(rows) if (claim := _claim(at, row)) is not None]
    nobody = ["gate", TIME_OUT] if night.case.never_alone else []
    given = {"run_id": night.run_id, "claims": f"[{','.join(claims)}]", "nobody": nobody}
    places = set(connection.scalars(_MATCHING, given))
    return [row for at, row in enumerate(rows) if at in places]


def _claim(at: int, row: Record) -> str | None:
    """What a staged row says was decided, as JSON; None where it cannot be that."""
    try:
        said = {name: row[name] for name in _CLAIMED} | {"output": json.loads(row["output"])}
        return to_json({"at": at, "decision_id": str(UUID(row["decision_id"])), **said})
    except (ValueError, TypeError, AttributeError):
        return None


def _bury(connection: Connection, night: Night, sink: Sink, rows: Sequence[Record]) -> None:
    """A letter for each row: under the name that was decided on, or its own where no decision is on record."""
    given: dict[str, Any] = {"run_id": night.run_id, "rows": [row["row_id"] for row in rows]}
    given["decisions"] = [row["decision_id"] for row in rows]
    found = connection.execute(_DECIDED, given).all()
    decided = {name: d for d in found for name in (d.row_id, str(d.decision_id))}
    letters: dict[str, DeadLetter] = {}
    for row in rows:
        d = decided.get(row["row_id"]) or decided.get(row["decision_id"])
        name, key = (d.row_id, d.row_key) if d else (str(row["row_id"]), str(row["row_key"]))
        record = {"decision_id": str(d.decision_id) if d else None}
        letters[name] = DeadLetter(name, key, CAUSE, _DETAIL, d.inference_key if d else None, {}, record, 1)
    bury(connection, night, "write", list(letters.values()), system=sink.system)


# `OFFSET 0` keeps each look-up by its index: without statistics, the decisions of the whole run are read every time.
_MATCHING = text(
    """
SELECT c.at FROM jsonb_to_recordset(CAST(:claims AS jsonb))
       AS c(at int, decision_id uuid, row_id text, row_key text, inference_key text, origin text, output jsonb)
 CROSS JOIN LATERAL (SELECT * FROM nightledger.decision WHERE decision_id = c.decision_id OFFSET 0) d
  LEFT JOIN LATERAL (SELECT nightledger.said(parsed, raw_text) AS output FROM nightledger.inference_result
                      WHERE inference_id = d.inference_id AND outcome = 'ok' OFFSET 0) r ON true
 WHERE (d.row_id, d.row_key, d.inference_key, d.origin, coalesce(d.output, r.output))
     = (c.row_id, c.row_key, c.inference_key, c.origin, c.output)
   AND d.run_id = :run_id AND d.verdict = 'write' AND d.decided_by <> ALL (CAST(:nobody AS text[]))
   AND (d.origin = 'rule' OR d.decided_by <> 'gate' OR coalesce(d.output = r.output, true))"""
)

# A row that names another row's decision says nothing of that row, which may have been written already.
_DECIDED = text(
    """
SELECT DISTINCT ON (d.row_id) d.row_id, d.row_key, d.inference_key, d.decision_id FROM nightledger.decision d
 WHERE d.run_id = :run_id AND d.verdict = 'write'
   AND (d.row_id = ANY (:rows) OR d.decision_id::text = ANY (:decisions) AND NOT EXISTS (
        SELECT FROM nightledger.outbox o WHERE o.run_id = d.run_id AND o.row_id = d.row_id))
 ORDER BY d.row_id, d.recorded_at DESC"""
)
