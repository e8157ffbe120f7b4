"""Where the ledger holds a value: rows whose question, answer, write or entry has one of its forms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection, text

from include.privacy.needles import Needle


class Place(NamedTuple):
    """A table and the columns of it that hold what rows said; `whose` gives `use_case`, `run_id` and `row_key`."""

    ref: str
    columns: Sequence[str]
    rows: str
    whose: str = "x.use_case, x.run_id, x.row_key"


# The first message is the same for every row of a prompt, and longer than the row.
_ASKED = "CASE WHEN x.messages -> 0 ->> 'role' = 'system' THEN x.messages - 0 ELSE x.messages END"
_OF_CALL = "nightledger.{} x JOIN nightledger.inference i ON i.inference_id = x.inference_id"
PLACES: Mapping[str, Place] = {
    "inference": Place("x.inference_id::text", (_ASKED,), "nightledger.inference x"),
    "inference_result": Place(
        "x.inference_id::text",
        ("x.raw_text", "x.parsed", "x.detail"),
        _OF_CALL.format("inference_result"),
        "i.use_case, i.run_id, i.row_key",
    ),
    "decision": Place("x.decision_id::text", ("x.output",), "nightledger.decision x"),
    "answer": Place(
        "x.inference_key",
        ("x.output",),
        "nightledger.answer x JOIN nightledger.decision d ON (d.run_id, d.inference_key) = (x.run_id, x.inference_key)",
        "d.use_case, d.run_id, d.row_key",
    ),
    "quarantine": Place("x.quarantine_id::text", ("x.reasons", "x.record"), "nightledger.quarantine x"),
    "dead_letter": Place("x.dead_letter_id::text", ("x.detail", "x.record"), "nightledger.dead_letter x"),
    "review_item": Place(
        "x.review_item_id::text", ("x.shown", "x.proposed", "x.output", "x.comment"), "nightledger.review_item x"
    ),
    "outbox_intent": Place("x.outbox_id::text", ("x.fields", "x.before"), "nightledger.outbox_intent x"),
    "outbox_result": Place(
        "x.outbox_id::text",
        ("x.after", "x.differs", "x.error"),
        "nightledger.outbox_result x JOIN nightledger.outbox_intent i USING (outbox_id)",
        "i.use_case, i.run_id, i.row_key",
    ),
    "outcome": Place(
        "x.run_id || '/' || x.row_id",
        ("x.reason",),
        "nightledger.outcome x JOIN nightledger.run u USING (run_id)",
        "u.use_case, x.run_id, x.row_key",
    ),
}


class Hit(NamedTuple):
    """A row of a table that holds a value; `shown` are the forms: tokens, or `in clear`. `row_key` may be unknown."""

    table: str
    ref: str
    use_case: str
    run_id: str
    row_key: str | None
    shown: tuple[str, ...]


@dataclass
class Found:
    """Every hit, and the rows of each use case that they are about; `loose` are entries of rows without a key."""

    hits: list[Hit] = field(default_factory=list)

    @property
    def keys(self) -> dict[str, set[str]]:
        """Row keys by use case."""
        found = defaultdict[str, set[str]](set)
        for hit in self.hits:
            if hit.row_key is not None:
                found[hit.use_case].add(hit.row_key)
        return dict(found)

    @property
    def loose(self) -> dict[str, set[str]]:
        """Keys of table rows that belong to no row key, by table."""
        found = defaultdict[str, set[str]](set)
        for hit in self.hits:
            if hit.row_key is None:
                found[hit.table].add(hit.ref)
        return dict(found)


def find_value(connection: Connection, needles: Iterable[Needle]) -> Found:
    """Read every table that may hold a value once, and say where one of its forms stands.

    No index can help with a text within texts: 100,000 calls take about a second of one core.
    """
    wanted = list(needles)
    connection.execute(text("SET LOCAL jit = off"))
    given = {
        "texts": [one.text for one in wanted],
        "cases": [one.use_case for one in wanted],
        "shown": [one.shown for one in wanted],
    }
    found = Found()
    for table, place in PLACES.items():
        rows = connection.execute(text(_query(table, place)), given)
        found.hits += [Hit(table, row[0], row[1], row[2], row[3], tuple(row[4])) for row in rows]
    return found


def _query(table: str, place: Place) -> str:
    said = f"lower(concat_ws(E'\\n', {', '.join(f'({column})::text' for column in place.columns)}))"
    return _HITS.format(ref=place.ref, whose=place.whose, rows=place.rows, said=said)


# `OFFSET 0` has each text made once and not for every form that is looked for.
_HITS = """
WITH wanted AS MATERIALIZED (
    SELECT c.use_case, array_agg(w.t) AS texts, array_agg(w.s) AS shown
      FROM (SELECT DISTINCT use_case FROM nightledger.run) c
      JOIN unnest(CAST(:texts AS text[]), CAST(:cases AS text[]), CAST(:shown AS text[])) AS w (t, c, s)
        ON w.c IN ('', c.use_case)
     GROUP BY c.use_case)
SELECT held.ref, held.use_case, held.run_id, held.row_key,
       ARRAY(SELECT DISTINCT s FROM unnest(wanted.texts, wanted.shown) AS n (t, s) WHERE strpos(held.said, t) > 0)
  FROM (SELECT {ref}, {whose}, {said} FROM {rows} OFFSET 0) AS held (ref, use_case, run_id, row_key, said)
  JOIN wanted USING (use_case)
 WHERE EXISTS (SELECT FROM unnest(wanted.texts) AS n (t) WHERE strpos(held.said, t) > 0)
 ORDER BY held.run_id, held.ref"""
