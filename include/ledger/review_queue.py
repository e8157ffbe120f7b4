"""What waits for people, riskiest first, and one answer with all that helps to decide on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, RowMapping, text

from include.models import Record

SIZES = (100, 500)
"""Items that a page may show."""
STATUSES = ("waiting", "due", "approved", "edited", "rejected", "expired", "superseded")
"""`due` are those that are decided and on their way."""
_SIMILAR, _HISTORY = 5, 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which items of a use case: every field that is given must match.

    `reason` is the rule that asked for a person, `field` one of the answer's with `value`; `below` is a confidence;
    `sink` would write the answer as it was proposed.
    """

    use_case: str
    status: str = "waiting"
    reason: str | None = None
    field: str | None = None
    value: str | None = None
    below: float | None = None
    night: date | None = None
    run_id: str | None = None
    assigned_to: str | None = None
    key: str | None = None
    sink: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One answer that waits, or waited: what was shown, what is proposed, and what was said; `risk` is 0 to 1."""

    number: int
    run_id: str
    interval_start: datetime
    row_key: str
    row_id: str
    shown: Record
    shown_sha256: str
    proposed: Record
    reason: str
    confidence: float | None
    risk: float
    status: str
    assigned_to: str | None
    agreed_by: str | None
    output: Record | None
    decided_by: str | None
    decided_at: datetime | None
    comment: str | None
    applied_at: datetime | None
    expires_at: datetime | None
    recorded_at: datetime

    @property
    def place(self) -> str:
        """What the next page goes on after."""
        return f"{self.risk!r}:{self.number}"


@dataclass(frozen=True, slots=True)
class Queue:
    """One page of items; `reasons` counts what waits in the use case by the rule that asked, largest first."""

    items: list[Item]
    reasons: Mapping[str, int]
    due: int
    after: str | None

    @property
    def waiting(self) -> int:
        """All items of the use case that wait."""
        return sum(self.reasons.values())


@dataclass(frozen=True, slots=True)
class ItemPage:
    """An item with who answered, what was said of it, decisions on answers like it, and its neighbours by risk."""

    item: Item
    use_case: str
    answered: Record
    history: list[Record]
    similar: list[Record]
    before: int | None
    after: int | None


def list_items(connection: Connection, wanted: Wanted, after: str | None = None, limit: int = SIZES[0]) -> Queue:
    """The items of a queue, riskiest first; `after` is the place of the last one seen."""
    risk, number = _place(after)
    given = {name: getattr(wanted, name) for name in Wanted.__dataclass_fields__}
    narrow = " AND ".join(part for name, part in _NARROW.items() if given[name] is not None)
    state = _STATES.get(wanted.status, "v.status = :status")
    given |= {"risk": risk, "number": number, "limit": limit + 1}
    query = _LIST.format(state=state, narrow=f"AND {narrow}" if narrow else "")
    found = [_item(row) for row in _rows(connection, query, **given)]
    counts = _rows(connection, _REASONS, use_case=wanted.use_case)
    due = _rows(connection, _DUE, use_case=wanted.use_case)[0]["due"]
    more = found[limit - 1].place if len(found) > limit else None
    return Queue(found[:limit], {row["reason"]: row["items"] for row in counts}, due, more)


def count_waiting(connection: Connection, use_cases: list[str]) -> dict[str, int]:
    """How many items wait, by use case; those with none are left out."""
    return {row["use_case"]: row["items"] for row in _rows(connection, _WAITING, use_cases=use_cases)}


def show_item(connection: Connection, number: int) -> ItemPage | None:
    """One item with all that helps to decide; None if there is none."""
    found = _rows(connection, f"{_SELECT} WHERE v.review_item_id = :number", number=number)
    if not found:
        return None
    item = _item(found[0])
    about = {"number": number, "use_case": found[0]["use_case"], "risk": item.risk}
    answered = _rows(connection, _ANSWERED, run_id=item.run_id, row_id=item.row_id)
    history = _rows(connection, _HISTORY_OF, row_id=item.row_id, shown=item.shown_sha256, most=_HISTORY, **about)
    similar = _rows(connection, _SIMILAR_TO, reason=item.reason, key=item.row_key, most=_SIMILAR, **about)
    before, after = (_rows(connection, query, **about) for query in (_BEFORE, _AFTER))
    return ItemPage(
        item,
        found[0]["use_case"],
        dict(answered[0]) if answered else {},
        [dict(row) for row in history],
        [dict(row) for row in similar],
        before[0]["number"] if before else None,
        after[0]["number"] if after else None,
    )


def _rows(connection: Connection, query: str, **values: object) -> list[RowMapping]:
    return list(connection.execute(text(query), values).mappings())


def _item(row: RowMapping) -> Item:
    given = {name: row[name] for name in Item.__dataclass_fields__}
    confidence = given["confidence"]
    return Item(**{**given, "confidence": None if confidence is None else float(confidence)})


def _place(after: str | None) -> tuple[float, int]:
    """Where a page begins; before everything without a place, or with one that is none."""
    try:
        risk, _, number = (after or "").partition(":")
        return float(risk), int(number)
    except ValueError:
        return 2.0, 0


_SELECT = """
SELECT v.review_item_id AS number, v.use_case, v.run_id, v.interval_start, v.row_key, v.row_id, v.shown, v.shown_sha256,
       v.proposed, v.reason, v.confidence, v.risk, v.status, v.assigned_to, v.agreed_by, v.output, v.decided_by,
       v.decided_at, v.comment, v.applied_at, v.expires_at, v.recorded_at
  FROM nightledger.review_item v"""

_STATES = {
    "waiting": "v.status = 'waiting'",
    "due": "v.status <> 'waiting' AND v.applied_at IS NULL",
}

_NARROW = {
    "reason": "v.reason = :reason",
    "field": "v.proposed ->> CAST(:field AS text) IS NOT DISTINCT FROM CAST(:value AS text)",
    "below": "v.confidence < :below",
    "night": "v.interval_start >= :night AND v.interval_start < CAST(:night AS date) + 1",
    "run_id": "v.run_id = :run_id",
    "assigned_to": "v.assigned_to = :assigned_to",
    "key": "v.row_key = :key",
    "sink": ":sink = ANY (v.sinks)",
}

_LIST = (
    _SELECT
    + """
 WHERE v.use_case = :use_case AND {state} {narrow}
   AND (v.risk < :risk OR v.risk = :risk AND v.review_item_id > :number)
 ORDER BY v.risk DESC, v.review_item_id LIMIT :limit"""
)

_REASONS = """
SELECT reason, count(*) AS items FROM nightledger.review_item
 WHERE use_case = :use_case AND status = 'waiting' GROUP BY 1 ORDER BY 2 DESC, 1"""

_DUE = """
SELECT count(*) AS due FROM nightledger.review_item
 WHERE use_case = :use_case AND status <> 'waiting' AND applied_at IS NULL"""

_WAITING = """
SELECT use_case, count(*) AS items FROM nightledger.review_item
 WHERE use_case = ANY (:use_cases) AND status = 'waiting' GROUP BY 1"""

_ANSWERED = """
SELECT d.origin, i.kind, i.model, i.prompt_version, i.prompt_hash, i.recorded_at AS asked_at, r.model_answered, r.cost
  FROM nightledger.decision d
  LEFT JOIN nightledger.inference i ON i.inference_id = d.inference_id
  LEFT JOIN nightledger.inference_result r ON r.inference_id = d.inference_id
 WHERE d.run_id = :run_id AND d.row_id = :row_id AND d.decided_by = 'gate' ORDER BY d.recorded_at DESC LIMIT 1"""

_HISTORY_OF = """
SELECT d.recorded_at AS at, d.decided_by, d.rule, d.verdict, d.run_id
  FROM nightledger.decision d JOIN nightledger.run u ON u.run_id = d.run_id AND u.use_case = :use_case
 WHERE d.run_id IN (SELECT run_id FROM nightledger.outcome WHERE row_key =
                    (SELECT row_key FROM nightledger.review_item WHERE review_item_id = :number))
   AND d.row_id = :row_id AND d.shown_sha256 = :shown
 ORDER BY d.recorded_at DESC LIMIT :most"""

# Those of the same row first, then of the same rule with the most fields answered alike.
_SIMILAR_TO = """
SELECT o.review_item_id AS number, o.row_key, o.interval_start, o.status, o.decided_by, o.decided_at, o.comment,
       o.proposed, o.output, alike.fields AS alike
  FROM (SELECT * FROM nightledger.review_item
         WHERE use_case = :use_case AND status IN ('approved', 'edited', 'rejected') AND review_item_id <> :number
           AND (reason = :reason OR row_key = :key)
         ORDER BY decided_at DESC LIMIT 1000) o
 CROSS JOIN LATERAL (
        SELECT count(*) AS fields FROM jsonb_each(o.proposed) f
         WHERE f.value = (SELECT proposed -> f.key FROM nightledger.review_item WHERE review_item_id = :number)) alike
 ORDER BY (o.row_key = :key) DESC, alike.fields DESC, o.decided_at DESC LIMIT :most"""

_BEFORE = """
SELECT review_item_id AS number FROM nightledger.review_item
 WHERE use_case = :use_case AND status = 'waiting' AND (risk > :risk OR risk = :risk AND review_item_id < :number)
 ORDER BY risk, review_item_id DESC LIMIT 1"""

_AFTER = """
SELECT review_item_id AS number FROM nightledger.review_item
 WHERE use_case = :use_case AND status = 'waiting' AND (risk < :risk OR risk = :risk AND review_item_id > :number)
 ORDER BY risk DESC, review_item_id LIMIT 1"""
