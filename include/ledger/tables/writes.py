"""What was to be written, what became of it, and what could not be processed."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from include.ledger.tables.declare import TIME, WHEN, table

outbox_intent = table(
    "outbox_intent",
    "outbox_id",
    outbox_id=BigInteger,
    run_id=Text,
    use_case=Text,
    **WHEN,
    row_id=Text,
    row_key=Text,
    decision_id=Uuid,
    destination=Text,
    object=Text,
    external_id=Text,
    fields=JSONB,
    fields_sha256=Text,
    before=JSONB,
    undo_of=BigInteger,
    recorded_at=TIME,
)
outbox_result = table(
    "outbox_result",
    "outbox_id",
    outbox_id=BigInteger,
    status=Text,
    after=JSONB,
    differs=JSONB,
    attempts=Integer,
    error=Text,
    updated_at=TIME,
)
dead_letter = table(
    "dead_letter",
    "dead_letter_id",
    dead_letter_id=BigInteger,
    run_id=Text,
    use_case=Text,
    **WHEN,
    row_id=Text,
    row_key=Text,
    stage=Text,
    cause=Text,
    detail=Text,
    inference_key=Text,
    record=JSONB,
    tries=Integer,
    status=Text,
    recorded_at=TIME,
    system=Text,
    replays=JSONB,
)
