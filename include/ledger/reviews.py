"""What waits for people and what they said: every verdict is a sealed decision, and the item says which one stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from uuid import uuid4

from sqlalchemy import Connection, RowMapping, text

from include.database import Database, copy_rows, to_json, transaction
from include.ledger import tables
from include.ledger.record import record_event
from include.ledger.review_due import HELD
from include.models import Origin, Record
from include.personal import tokenise_all

Action = Literal["approve", "edit", "reject"]
STATUSES = ("waiting", "approved", "edited", "rejected", "expired", "superseded")
TIME_OUT = "time-out"
"""Who decided where nobody did in time."""
CONFLICT = "conflict"
"""Who puts back what was decided on a record that has changed since."""
CHANGED = "the record has changed since it was shown; nothing was written"
DECIDED = ("approved", "edited", "rejected", "expired", "superseded")
_STATUS: Mapping[Action, str] = {"approve": "approved", "edit": "edited", "reject": "rejected"}
_RULES: Mapping[str, str] = {
    "approved": "approved by a person",
    "edited": "edited and approved by a person",
    "rejected": "rejected by a person",
    "agreed": "approved by one person; a second one decides",
    "waiting": "taken back by a person",
}
_WRITES = ("approved", "edited")


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person says of one item: which, the hash of what they were shown, and what they do.

    `output` is the whole answer as they want it, for `edit` only. `held_sha256` is the hash of what they were shown of
    the records as those were at that moment; None where they did not look.
    """

    number: int
    shown_sha256: str
    action: Action
    output: Record | None = None
    held_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of a person's choices: items by their new status, and by number why nothing was done."""

    done: Mapping[str, int]
    refused: Mapping[int, str] = field(default_factory=dict)


def decide(
    ledger: Database,
    use_case: str,
    actor: str,
    choices: Sequence[Choice],
    comment: str = "",
    *,
    needs_two: Callable[[Record], bool] = lambda _: False,
    secret: str = "",
) -> Decided:
    """Record what a person says of items, all in one transaction; whatever cannot be done is refused by its number.

    `needs_two` says of an answer whether a second person has to approve it too. What two people say at once is taken
    one after the other: the second is told who was faster. The comment is kept with personal values as tokens.
    """
    done, refused = Counter[str](), dict[int, str]()
    with transaction(ledger) as connection:
        items = _lock(connection, use_case, [one.number for one in choices])
        changes = []
        for one in choices:
            item = items.get(one.number)
            problem = _objection(item, one, actor, needs_two) if item else "there is no such item in this queue"
            if item is None or problem:
                refused[one.number] = str(problem)
                continue
            change = _change(item, one, actor, needs_two)
            changes.append(change)
            done["agreed" if change["agreed_by"] else change["status"]] += 1
        _record(connection, use_case, actor, changes, tokenise_all(comment, secret))
    return Decided(dict(done), refused)


def take_back(ledger: Database, use_case: str, actor: str, numbers: Sequence[int]) -> Decided:
    """Put items back that were decided and are not applied yet; the others are refused by their number."""
    refused = dict[int, str]()
    with transaction(ledger) as connection:
        items = _lock(connection, use_case, numbers)
        changes = []
        for number in numbers:
            item = items.get(number)
            if item is None:
                refused[number] = "there is no such item"
            elif item["applied_at"] is not None:
                refused[number] = f"was {item['status']} by {item['decided_by']} and is applied already"
            elif item["status"] in ("waiting", "superseded", "expired") and not item["agreed_by"]:
                refused[number] = f"is {item['status']}: there is nothing to take back"
            else:
                changes.append({**_facts(item), "status": "waiting", "verdict": "review", "rule": _RULES["waiting"]})
        _record(connection, use_case, actor, changes, "")
    return Decided({"waiting": len(changes)}, refused)


def show_again(ledger: Database, use_case: str, numbers: Sequence[int]) -> int:
    """Put decided items back before people because the records they were shown have changed; returns how many.

    It is on record as a decision, with its rule. One that was taken back or applied meanwhile stays as it is.
    """
    with transaction(ledger) as connection:
        items = _lock(connection, use_case, numbers)
        changes = [
            {**_facts(one), "status": "waiting", "verdict": "review", "rule": CHANGED}
            for one in items.values()
            if one["applied_at"] is None and one["status"] in _WRITES
        ]
        _record(connection, use_case, CONFLICT, changes, CHANGED)
    return len(changes)


def assign(ledger: Database, use_case: str, actor: str, numbers: Sequence[int], to: str | None) -> int:
    """Say whose items these are (None: nobody's); returns how many wait and were assigned."""
    given = {"use_case": use_case, "numbers": list(numbers), "to": to or None}
    with transaction(ledger) as connection:
        count = connection.execute(_ASSIGN, given).rowcount
        said = {"items": list(numbers), "to": to, "assigned": count}
        record_event(connection, f"review/{use_case}", "review.assigned", said, actor)
    return int(count)


def expire(ledger: Database, use_case: str, default: Literal["reject", "write"]) -> int:
    """Decide what nobody decided in time by the declared default, on record as a time-out; returns how many items."""
    with transaction(ledger) as connection:
        late = list(connection.scalars(_LATE, {"use_case": use_case}))
        items = _lock(connection, use_case, late)
        rule = f"nobody decided in time: {'written as proposed' if default == 'write' else 'let go'}"
        changes = [
            {**_facts(one), "status": "expired", "verdict": default, "rule": rule}
            for one in items.values()
            if one["status"] == "waiting" and one["held_by"] is not None
        ]
        _record(connection, use_case, TIME_OUT, changes, "")
    return len(changes)


def _lock(connection: Connection, use_case: str, numbers: Sequence[int]) -> dict[int, RowMapping]:
    """The items, in the order of their numbers, so that two who decide at once wait for each other and do not stop."""
    connection.execute(_LOCK, {"use_case": use_case, "numbers": list(numbers)})
    found = connection.execute(_ITEMS, {"use_case": use_case, "numbers": list(numbers)}).mappings()
    return {row["review_item_id"]: row for row in found}


def _objection(item: RowMapping, choice: Choice, actor: str, needs_two: Callable[[Record], bool]) -> str | None:
    """Why a choice cannot be taken, in words that a page may show."""
    if item["status"] == "superseded":
        return "a later night has another answer for this row; decide on that one"
    if item["status"] != "waiting":
        return f"was {item['status']} by {item['decided_by']} at {item['decided_at']:%Y-%m-%d %H:%M} UTC"
    if item["is_late"]:
        return f"expired at {item['expires_at']:%Y-%m-%d %H:%M} UTC"
    if item["shown_sha256"] != choice.shown_sha256:
        return "is not what you were shown; open it again"
    if item["held_by"] is None:
        return "its row is no longer in review: a later attempt at the night has another answer; open it again"
    if choice.action == "reject":
        return None
    if item["agreed_by"] == actor and needs_two(_wanted(item, choice)):
        return "you have approved it; a second person has to"
    return None


def _wanted(item: RowMapping, choice: Choice) -> Record:
    """The answer that would go out."""
    if choice.action == "edit":
        return dict(choice.output or {})
    return dict(item["output"] or item["proposed"])


def _change(item: RowMapping, choice: Choice, actor: str, needs_two: Callable[[Record], bool]) -> Record:
    wanted = _wanted(item, choice)
    output = wanted if wanted != item["proposed"] else None
    if choice.action == "reject":
        return {**_facts(item), "status": "rejected", "verdict": "reject", "rule": _RULES["rejected"]}
    status = "edited" if output is not None else "approved"
    agreed = item["agreed_by"] is not None and wanted == (item["output"] or item["proposed"])
    said = {**_facts(item), "held_sha256": choice.held_sha256}
    said |= {"output": output, "origin": Origin.PERSON if output is not None else item["origin"]}
    if needs_two(wanted) and not agreed:
        return {**said, "status": "waiting", "verdict": "review", "rule": _RULES["agreed"], "agreed_by": actor}
    both = f"{item['agreed_by']} and {actor}" if agreed else actor
    return {**said, "status": status, "verdict": "write", "rule": _RULES[status], "by": both}


def _facts(item: RowMapping) -> Record:
    """What a verdict on an item is about; nothing is said yet."""
    kept = ("review_item_id", "row_id", "row_key", "inference_key", "inference_id", "shown_sha256", "confidence")
    facts = {name: item[name] for name in kept}
    return facts | {
        "decision_id": uuid4(),
        "run_id": item["held_by"] or item["run_id"],
        "proposed": item["proposed"],
        "origin": item["origin"] or Origin.RULE,
        "output": None,
        "agreed_by": None,
        "held_sha256": None,
    }


def _record(connection: Connection, use_case: str, actor: str, changes: Sequence[Record], comment: str) -> None:
    """The decisions under the runs that hold the rows, what the items say of them, and one event for all."""
    if not changes:
        return
    batches = {run: uuid4() for run in sorted({one["run_id"] for one in changes})}
    who = actor if actor in (TIME_OUT, CONFLICT) else f"person {actor}"
    copy_rows(
        connection,
        tables.decision,
        _DECISION,
        (
            (
                *(one["decision_id"], batches[one["run_id"]], one["run_id"], use_case),
                *(one["row_id"], one["row_key"], one["inference_key"], one["verdict"], one["rule"]),
                *(who if "by" not in one else f"person {one['by']}", one["origin"], one["inference_id"]),
                *(one["output"] or one["proposed"], one["confidence"], one["shown_sha256"]),
            )
            for one in changes
        ),
    )
    items = [
        {
            "review_item_id": one["review_item_id"],
            "status": one["status"],
            "decision_id": one["decision_id"],
            "decided_by": None if one["status"] == "waiting" else one.get("by", actor),
            "agreed_by": one["agreed_by"],
            "output": one["output"],
            "held_sha256": one["held_sha256"],
        }
        for one in changes
    ]
    connection.execute(_SAY, {"items": to_json(items), "comment": comment or None})
    said: Record = {
        "items": [one["review_item_id"] for one in changes],
        "verdicts": dict(Counter(one["rule"] for one in changes)),
    }
    if held := {str(one["review_item_id"]): one["held_sha256"] for one in changes if one["held_sha256"]}:
        said["held"] = held
    record_event(
        connection, f"review/{use_case}", "review.decided", {**said, "comment": comment} if comment else said, who
    )


_DECISION = (
    *("decision_id", "batch", "run_id", "use_case", "row_id", "row_key", "inference_key"),
    *("verdict", "rule", "decided_by", "origin", "inference_id", "output", "confidence", "shown_sha256"),
)

_LOCK = text("""
SELECT FROM nightledger.review_item WHERE use_case = :use_case AND review_item_id = ANY (:numbers)
 ORDER BY review_item_id FOR UPDATE""")

_ITEMS = text(f"""
SELECT v.*, v.expires_at <= clock_timestamp() AS is_late, held.origin, held.inference_id, held.run_id AS held_by
  FROM nightledger.review_item v {HELD}
 WHERE v.use_case = :use_case AND v.review_item_id = ANY (:numbers) ORDER BY v.review_item_id""")

_SAY = text("""
UPDATE nightledger.review_item v
   SET status = n.status, decision_id = n.decision_id, decided_by = n.decided_by, agreed_by = n.agreed_by,
       output = n.output, comment = :comment, held_sha256 = n.held_sha256,
       decided_at = CASE WHEN n.status = 'waiting' THEN NULL ELSE clock_timestamp() END
  FROM jsonb_to_recordset(CAST(:items AS jsonb)) AS n (review_item_id bigint, status text, decision_id uuid,
       decided_by text, agreed_by text, output jsonb, held_sha256 text)
 WHERE v.review_item_id = n.review_item_id""")

_ASSIGN = text("""
UPDATE nightledger.review_item SET assigned_to = :to
 WHERE use_case = :use_case AND status = 'waiting' AND review_item_id = ANY (:numbers)""")

_LATE = text("""
SELECT review_item_id FROM nightledger.review_item
 WHERE use_case = :use_case AND status = 'waiting' AND expires_at <= clock_timestamp()""")
