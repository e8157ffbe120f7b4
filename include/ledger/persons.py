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
_ASKED = (
    "CASE WHEN x.messages -> 0 ->> 'role' = 'system' AND jsonb_array_length(x.messages) = 2 "
    "THEN x.messages -> 1 ->> 'content' ELSE x.messages::text END"
)
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

    No index helps with a text within texts; `text` of a needle is held against texts whose ASCII letters are small.
    """
    wanted = list(needles)
    for setting in ("jit = off", "max_parallel_workers_per_gather = 4", "statement_timeout = 0"):
        connection.execute(text(f"SET LOCAL {setting}"))
    given: dict[str, str] = {f"n{at}": one.text for at, one in enumerate(wanted)}
    given |= {f"c{at}": one.use_case for at, one in enumerate(wanted) if one.use_case}
    found = Found()
    for table, place in PLACES.items():
        for ref, use_case, run_id, row_key, *hits in connection.execute(text(_query(place, wanted)), given):
            shown = dict.fromkeys(one.shown for one, hit in zip(wanted, hits, strict=True) if hit)
            found.hits.append(Hit(table, ref, use_case, run_id, row_key, tuple(shown)))
    return found


def _query(place: Place, wanted: Sequence[Needle]) -> str:
    """Each text is made once (`unnest` keeps it so), and held against every form."""
    use_case = place.whose.partition(",")[0]
    said = f"lower(concat_ws(E'\\n', {', '.join(f'({column})::text' for column in place.columns)}) COLLATE \"C\")"
    hits = [
        f"({f'{use_case} = :c{at} AND ' if one.use_case else ''}strpos(s.said, :n{at}) > 0)"
        for at, one in enumerate(wanted)
    ]
    return (
        f"SELECT {place.ref}, {place.whose}, {', '.join(hits)} FROM {place.rows} "
        f"CROSS JOIN LATERAL unnest(ARRAY[{said}]) AS s (said) WHERE {' OR '.join(hits)}"
    )
