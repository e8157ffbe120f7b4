"""Why does this record have this value: from the value in the CRM back to the page or line it came from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from include.database import Database, transaction
from include.models import Record

MOST_WRITES, MOST_OUTCOMES = 20, 5


@dataclass(frozen=True, slots=True)
class Explanation:
    """One write to a record, or one run that wrote nothing to it; `facts` are the ledger's columns by name.

    `kind` is `write` or the outcome without a write (`quarantined`, `in_review`, `shadowed`, ...).
    """

    kind: str
    row_key: str
    run_id: str
    at: datetime
    facts: Record


def explain(ledger: Database, use_case: str, row_key: str) -> list[Explanation]:
    """Everything the ledger knows about a row, newest first: its last 20 writes, and its last 5 runs without a write.

    Empty when the use case never met the row.
    """
    with transaction(ledger) as connection:
        return find_explanations(connection, use_case, row_key, MOST_WRITES, MOST_OUTCOMES)


def find_explanations(
    connection: Connection, use_case: str, row_key: str, writes: int, others: int
) -> list[Explanation]:
    """`explain` in the caller's transaction, with at most so many writes and runs without a write."""
    known = {"use_case": use_case, "row_key": row_key}
    written = connection.execute(text(_WRITES), known | {"most": writes}).mappings().all() if writes else []
    found = [Explanation("write", row_key, w["run_id"], w["written_at"], dict(w)) for w in written]
    for query in (_OUTCOMES, _SET_ASIDE):
        rest = connection.execute(text(query), known | {"most": others}).mappings().all()
        found += [Explanation(o["outcome"], row_key, o["run_id"], o["at"], dict(_NOTHING) | dict(o)) for o in rest]
    return sorted(found, key=lambda one: one.at, reverse=True)


def rows_of_record(
    connection: Connection, use_case: str, destination: str, obj: str, record_id: str, most: int = 5
) -> list[str]:
    """Keys of the rows that were written to a record of the destination, by the record's id there."""
    given = {"use_case": use_case, "destination": destination, "object": obj, "record": record_id, "most": most}
    return list(connection.scalars(text(_OF_RECORD), given))


def as_text(explanations: Sequence[Explanation]) -> str:
    """The explanations for a terminal; says so when there is none."""
    if not explanations:
        return (
            "No run of this use case has met a row with this key.\n"
            "Check the key (the record's id at the destination); rows whose key could not be read are in quarantine."
        )
    many = "1 entry" if len(explanations) == 1 else f"{len(explanations)} entries, newest first"
    head = f"{explanations[0].row_key}: {many}"
    return "\n\n".join([head, *("\n".join(_lines(one)) for one in explanations)])


def _lines(one: Explanation) -> Iterator[str]:
    facts = one.facts
    yield f"{one.at:%Y-%m-%d %H:%M:%S} UTC  {one.kind.upper().replace('_', ' ')}"
    if one.kind == "write":
        target = f"{facts['destination']} {facts['object']} {facts['external_id']}"
        why = f" ({facts['write_error']})" if facts["write_error"] else ""
        yield from pairs(
            [
                ("write", facts["write_status"], f"{why}: {target}"),
                ("undoes", facts["undo_of"], ""),
                ("undone by", facts["undone_by"], ""),
            ]
        )
        yield from _changes(facts["fields"], facts["before"], facts["after"], is_set(facts))
    else:
        ended = " ".join(filter(None, (f"at stage {facts['stage']}:", facts["reason"])))
        waiting = f"{facts['review_reason']} ({facts['review_status']})" if facts["review_status"] else None
        reasons = "; ".join(facts["reasons"] or ())
        yield from pairs([("ended", ended, ""), ("reasons", reasons, ""), ("review", waiting, "")])
    dead = f"{facts['cause']}: {facts['detail']} ({facts['tries']} tries)" if facts["cause"] else None
    yield from pairs([("died", dead, "")])
    if facts["verdict"]:
        yield from decision_lines(facts)
    yield from pairs(
        [
            ("source", flat(facts["lineage"]), ""),
            ("run", facts["run_id"], f" ({facts['mode']}, started by {facts['external_ref']})"),
            ("interval", f"[{facts['interval_start']:%Y-%m-%d %H:%M}, {facts['interval_end']:%Y-%m-%d %H:%M}) UTC", ""),
            ("code", facts["code_version"], f" {facts['git_sha']}".rstrip()),
        ]
    )


def is_set(facts: Mapping[str, Any]) -> bool:
    """Whether a write has set its values, or found them there; else the record held what it held."""
    return facts["write_status"] == "written" or (facts["write_status"] == "unchanged" and not facts["write_error"])


def _changes(
    fields: Mapping[str, Any], before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, is_set: bool
) -> Iterator[str]:
    for name, value in fields.items():
        old = "(not read)" if before is None else flat(before.get(name))
        new = flat((after or fields).get(name, value))
        yield f"      {name}: {old} -> {new}" if is_set else f"      {name}: {old} (would have been {new})"


def decision_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """A decision with the answer it is about, and what was asked for that."""
    yield from pairs(
        [
            ("decision", facts["verdict"], f" by {facts['decided_by']}, rule: {facts['rule']}"),
            ("answer", flat(facts["output"]), f"  [{facts['origin']}]"),
        ]
    )
    if facts["inference_id"] and facts["model"] and not facts["prompt_hash"]:
        decided = f"{facts['asked_at']:%Y-%m-%d %H:%M:%S} UTC"
        yield f"  engine    {facts['model']}, in the process; no model was asked"
        yield from pairs([("decided", decided, f" in {facts['asked_by']}  inference {facts['inference_id']}")])
    elif facts["inference_id"] and facts["model"]:
        cost = None if facts["cost"] is None else f"${facts['cost']:f}, {facts['tokens_in']} tokens in"
        yield from pairs(
            [
                ("model", facts["model_answered"] or facts["model"], f" {flat(facts['parameters'])}"),
                ("prompt", f"v{str(facts['prompt_version']).lstrip('v')}", f" ({facts['prompt_hash'][:12]})"),
                ("asked", f"{facts['asked_at']:%Y-%m-%d %H:%M:%S} UTC", f" in {facts['asked_by']}"),
                ("request", facts["provider_request_id"], f"  inference {facts['inference_id']}"),
                ("cost", cost, f", {facts['tokens_out']} out"),
            ]
        )
        yield from _messages(facts["messages"])
    elif facts["origin"] == "rule":
        yield "  model     none: the fallback rule answered"


def _messages(messages: Any) -> Iterator[str]:
    for message in messages if isinstance(messages, list) else []:
        if isinstance(message, Mapping) and message.get("role") != "system":
            if calls := message.get("tool_calls"):
                yield "  the model asked to read:"
                yield from (f"      {flat(call.get('function'))}" for call in calls)
                continue
            yield f"  shown to the model ({message.get('role', '?')}):"
            yield from (f"      {line}" for line in str(message.get("content", "")).splitlines() if line.strip())


def pairs(named: Iterable[tuple[str, Any, str]]) -> Iterator[str]:
    """Lines of names and values with what stands behind them; what has no value is left out."""
    for name, value, more in named:
        if value not in (None, "", {}):
            yield f"  {name:<9} {value}{more}".rstrip()


def flat(value: Any) -> str:
    """A value in one line."""
    if value is None:
        return "(empty)"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {flat(item)}" for name, item in value.items())
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


_WRITES = """
SELECT e.*, asked.recorded_at AS asked_at, asked.run_id AS asked_by, w.outcome, w.reason, w.stage, l.dead_letter_id,
       l.cause, l.detail, l.tries, (
        SELECT max(u.outbox_id) FROM nightledger.outbox u
         WHERE u.undo_of = e.outbox_id AND u.status = 'written') AS undone_by
  FROM nightledger.explanation e
  LEFT JOIN nightledger.inference asked ON asked.inference_id = e.inference_id
  LEFT JOIN LATERAL (SELECT outcome, reason, stage FROM nightledger.outcome
                      WHERE row_key = e.row_key AND run_id = e.run_id LIMIT 1) w ON true
  LEFT JOIN LATERAL (SELECT * FROM nightledger.dead_letter WHERE run_id = e.run_id AND row_key = e.row_key
                      ORDER BY dead_letter_id DESC LIMIT 1) l ON true
 WHERE e.use_case = :use_case AND e.row_key = :row_key
 ORDER BY e.written_at DESC LIMIT :most"""

_OUTCOMES = """
SELECT o.outcome, o.stage, q.quarantine_id, l.dead_letter_id, o.reason, o.lineage, o.recorded_at AS at, o.run_id,
       u.mode, u.external_ref, u.code_version, u.git_sha, u.interval_start, u.interval_end, q.reasons,
       v.reason AS review_reason, v.status AS review_status, v.review_item_id, l.cause, l.detail, l.tries,
       d.verdict, d.rule, d.decided_by, d.origin,
       coalesce(d.output, nightledger.said(r.parsed, r.raw_text)) AS output, d.inference_id,
       i.model, i.parameters, i.messages, i.prompt_version, i.prompt_hash, i.recorded_at AS asked_at,
       i.run_id AS asked_by, r.model_answered, r.provider_request_id, r.cost, r.tokens_in, r.tokens_out
  FROM nightledger.outcome o
  JOIN nightledger.run u ON u.run_id = o.run_id AND u.use_case = :use_case
  LEFT JOIN nightledger.quarantine q ON q.run_id = o.run_id AND q.row_id = o.row_id
  LEFT JOIN LATERAL (SELECT * FROM nightledger.review_item WHERE run_id = o.run_id AND row_id = o.row_id
                      ORDER BY review_item_id DESC LIMIT 1) v ON true
  LEFT JOIN LATERAL (SELECT * FROM nightledger.dead_letter WHERE run_id = o.run_id AND row_id = o.row_id
                      ORDER BY dead_letter_id DESC LIMIT 1) l ON true
  LEFT JOIN LATERAL (SELECT * FROM nightledger.decision WHERE run_id = o.run_id AND row_id = o.row_id
                      ORDER BY recorded_at DESC LIMIT 1) d ON true
  LEFT JOIN nightledger.inference i ON i.inference_id = d.inference_id
  LEFT JOIN nightledger.inference_result r ON r.inference_id = d.inference_id
 WHERE o.row_key = :row_key
   AND NOT EXISTS (SELECT FROM nightledger.outbox w WHERE w.run_id = o.run_id AND w.row_id = o.row_id)
 ORDER BY o.recorded_at DESC LIMIT :most"""

# A row that is no input of the run, as one that came twice, is in quarantine without an outcome.
_SET_ASIDE = """
SELECT 'set_aside' AS outcome, q.stage, q.quarantine_id, jsonb_build_object('source', q.source) AS lineage,
       q.recorded_at AS at, q.run_id, q.reasons, u.mode, u.external_ref, u.code_version, u.git_sha, u.interval_start,
       u.interval_end
  FROM nightledger.quarantine q JOIN nightledger.run u ON u.run_id = q.run_id
 WHERE q.row_key = :row_key AND q.use_case = :use_case
   AND NOT EXISTS (SELECT FROM nightledger.outcome o WHERE o.run_id = q.run_id AND o.row_id = q.row_id)
 ORDER BY q.recorded_at DESC LIMIT :most"""

_NOTHING = dict.fromkeys(("reason", "review_status", "review_reason", "cause", "dead_letter_id", "verdict"))
"""What a run says that decided nothing."""

_OF_RECORD = """
SELECT row_key FROM nightledger.outbox_intent
 WHERE destination = :destination AND object = :object AND external_id = :record AND use_case = :use_case
 GROUP BY row_key ORDER BY max(outbox_id) DESC LIMIT :most"""
