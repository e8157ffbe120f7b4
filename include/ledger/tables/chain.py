"""The chain of events, and what was erased, removed or held."""

from __future__ import annotations

from sqlalchemy import BigInteger, LargeBinary, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from include.ledger.tables.declare import SEALED, TIME, table

event = table(
    "event",
    "stream seq",
    stream=Text,
    seq=BigInteger,
    recorded_at=TIME,
    type=Text,
    actor=Text,
    details=JSONB,
    prev_hash=Text,
    hash=Text,
)
chain_head = table("chain_head", "stream", stream=Text, seq=BigInteger, hash=Text)
erasure_request = table(
    "erasure_request",
    "request_id",
    request_id=Uuid,
    asked_at=TIME,
    asked_by=Text,
    reason=Text,
    what=JSONB,
    counts=JSONB,
    done_at=TIME,
)
erasure = table(
    "erasure",
    "erasure_id",
    erasure_id=Uuid,
    **SEALED,
    run_id=Text,
    request_id=Uuid,
    table_name=Text,
    row_ref=Text,
    columns=ARRAY(Text),
    sealed=ARRAY(Text),
    was=LargeBinary,
    now=LargeBinary,
    erased_by=Text,
    reason=Text,
    login=Text,
    digest=LargeBinary,
)
removal = table(
    "removal",
    "removal_id",
    removal_id=Uuid,
    **SEALED,
    run_id=Text,
    table_name=Text,
    rows=BigInteger,
    held=Text,
    still_named=ARRAY(Uuid),
    policy=Text,
    removed_by=Text,
    login=Text,
    digest=LargeBinary,
)
legal_hold = table(
    "legal_hold",
    "hold_id",
    hold_id=BigInteger,
    use_case=Text,
    row_key=Text,
    starts_at=TIME,
    ends_at=TIME,
    reason=Text,
    set_by=Text,
    set_at=TIME,
    lifted_by=Text,
    lifted_at=TIME,
    lifted_why=Text,
)
