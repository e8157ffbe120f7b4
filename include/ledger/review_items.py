"""What the gate puts before people, lets go of, and finds that they have said."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from sqlalchemy import Connection, text

from include.database import merge_rows, to_json
from include.ledger import tables
from include.models import Interval, Record


class Waiting(NamedTuple):
    """One answer for a person: the row, the hash of what will be shown, and how soon it should be looked at.

    `sinks` are the names (`system/object`) of those that would write it as proposed.
    """

    row_id: str
    row_key: str
    inference_key: str
    shown: Record
    shown_sha256: str
    proposed: Record
    reason: str
    confidence: float | None
    risk: float
    sinks: list[str]


class Standing(NamedTuple):
    """What people have said of an answer in an earlier attempt at the night."""

    verdict: Literal["write", "reject"]
    rule: str
    decided_by: str
    output: Record | None


def queue(
    connection: Connection,
    run_id: str,
    use_case: str,
    interval: Interval,
    rows: Sequence[Waiting],
    expires_at: datetime | None,
) -> None:
    """Put answers before people; what waits for this interval word for word is not queued again."""
    where = (run_id, use_case, interval.start, interval.end)
    values = ((*where, *one, expires_at) for one in rows)
    names = ("run_id", "use_case", "interval_start", "interval_end", *Waiting._fields, "expires_at")
    key = ("use_case", "interval_start", "interval_end", "row_key", "shown_sha256")
    merge_rows(connection, tables.review_item, names, values, key=key)


def supersede(connection: Connection, use_case: str, interval: Interval, answers: Mapping[str, str]) -> None:
    """Let go what waits for rows that have another answer by now: of an earlier night, or of this one.

    `answers` are the rows' keys with the hash of what would be shown of each.
    """
    newest = [{"row_key": key, "shown_sha256": shown} for key, shown in answers.items()]
    given = {"use_case": use_case, "start": interval.start, "end": interval.end, "rows": to_json(newest)}
    connection.execute(_SUPERSEDE, given)


def standing(
    connection: Connection, use_case: str, interval: Interval, answers: Collection[tuple[str, str]]
) -> dict[str, Standing]:
    """What people have decided on answers of this interval, by the hash of what they were shown.

    `answers` are the rows' keys with those hashes.
    """
    asked = [{"row_key": key, "shown_sha256": shown} for key, shown in answers]
    given = {"use_case": use_case, "start": interval.start, "end": interval.end, "rows": to_json(asked)}
    found = connection.execute(_STANDING, given).mappings()
    return {
        row["shown_sha256"]: Standing(
            "write" if row["verdict"] == "write" else "reject", row["rule"], row["decided_by"], row["output"]
        )
        for row in found
    }


# `OFFSET 0` keeps each look-up by the row's key: without statistics, all that waits is read for every row.
_SUPERSEDE = text("""
UPDATE nightledger.review_item v SET status = 'superseded', decided_by = NULL, decided_at = clock_timestamp()
  FROM (SELECT old.review_item_id
          FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS n (row_key text, shown_sha256 text)
         CROSS JOIN LATERAL (
                SELECT review_item_id, interval_start, interval_end, shown_sha256, status FROM nightledger.review_item
                 WHERE use_case = :use_case AND row_key = n.row_key OFFSET 0) old
         WHERE old.status = 'waiting' AND (old.interval_start < :start
               OR old.interval_start = :start AND old.interval_end = :end AND old.shown_sha256 <> n.shown_sha256)) gone
 WHERE v.review_item_id = gone.review_item_id""")

_STANDING = text("""
SELECT DISTINCT ON (v.shown_sha256) v.shown_sha256, d.verdict, d.rule, d.decided_by, v.output
  FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS n (row_key text, shown_sha256 text)
 CROSS JOIN LATERAL (
        SELECT * FROM nightledger.review_item
         WHERE use_case = :use_case AND interval_start = :start AND interval_end = :end AND row_key = n.row_key
           AND shown_sha256 = n.shown_sha256 AND status IN ('approved', 'edited', 'rejected', 'expired') OFFSET 0) v
  JOIN nightledger.decision d ON d.decision_id = v.decision_id
 ORDER BY v.shown_sha256, v.decided_at DESC""")
