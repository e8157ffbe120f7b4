"""What waits for people, what they have set, and what they are told."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Double, Numeric, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from include.ledger.tables.declare import TIME, WHEN, table

review_item = table(
    "review_item",
    "review_item_id",
    review_item_id=BigInteger,
    run_id=Text,
    use_case=Text,
    **WHEN,
    row_id=Text,
    row_key=Text,
    inference_key=Text,
    shown=JSONB,
    shown_sha256=Text,
    proposed=JSONB,
    reason=Text,
    status=Text,
    recorded_at=TIME,
    confidence=Numeric,
    risk=Double,
    expires_at=TIME,
    assigned_to=Text,
    agreed_by=Text,
    output=JSONB,
    decision_id=Uuid,
    decided_by=Text,
    decided_at=TIME,
    comment=Text,
    applied_at=TIME,
    held_sha256=Text,
    sinks=ARRAY(Text),
)
control = table(
    "control",
    "use_case",
    use_case=Text,
    mode=Text,
    off=Boolean,
    prompt=Text,
    reason=Text,
    changed_by=Text,
    changed_at=TIME,
)
alert = table(
    "alert",
    "alert_id",
    alert_id=BigInteger,
    key=Text,
    use_case=Text,
    cause=Text,
    severity=Text,
    sentence=Text,
    page=Text,
    first_seen=TIME,
    last_seen=TIME,
    notified_at=TIME,
    channels=JSONB,
    resolved_at=TIME,
)
silence = table(
    "silence",
    "silence_id",
    silence_id=BigInteger,
    use_case=Text,
    cause=Text,
    starts_at=TIME,
    ends_at=TIME,
    tz=Text,
    why=Text,
    by=Text,
    recorded_at=TIME,
    ended_at=TIME,
    ended_by=Text,
)
alert_look = table(
    "alert_look",
    "name",
    name=Text,
    looked_at=TIME,
    by=Text,
    seconds=Double,
    channels=ARRAY(Text),
    problem=Text,
)
