"""What keeps nights within limits, and apart from each other."""

from __future__ import annotations

from sqlalchemy import BigInteger, Numeric, Text
from sqlalchemy.dialects.postgresql import JSONB

from include.ledger.tables.declare import TIME, table

quota = table("quota", "key", key=Text, state=JSONB, updated_at=TIME)
budget = table(
    "budget",
    "scope",
    scope=Text,
    ceiling=Numeric,
    spent=Numeric,
    reserved=Numeric,
    opened_at=TIME,
    updated_at=TIME,
)
claim = table("claim", "inference_key", inference_key=Text, holder=BigInteger, run_id=Text, claimed_at=TIME)
lease = table("lease", "name", name=Text, holder=BigInteger, until=TIME)
