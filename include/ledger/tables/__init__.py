"""The ledger's tables as SQLAlchemy Core objects; the migrations create them, a test holds the two together."""

from include.ledger.tables.answers import (
    answer,
    answer_home,
    batch_job,
    comparison,
    decision,
    evaluation,
    evaluation_row,
    inference,
    inference_result,
    prompt,
)
from include.ledger.tables.chain import chain_head, erasure, erasure_request, event, legal_hold, removal
from include.ledger.tables.declare import metadata
from include.ledger.tables.limits import budget, claim, lease, quota
from include.ledger.tables.people import alert, alert_look, control, review_item, silence
from include.ledger.tables.quality import column_profile, drift_result, quality_result, quarantine, quarantine_count
from include.ledger.tables.runs import backfill_plan, manifest, outcome, run, source_file
from include.ledger.tables.writes import dead_letter, outbox_intent, outbox_result

__all__ = [
    "alert",
    "alert_look",
    "answer",
    "answer_home",
    "backfill_plan",
    "batch_job",
    "budget",
    "chain_head",
    "claim",
    "column_profile",
    "comparison",
    "control",
    "dead_letter",
    "decision",
    "drift_result",
    "erasure",
    "erasure_request",
    "evaluation",
    "evaluation_row",
    "event",
    "inference",
    "inference_result",
    "lease",
    "legal_hold",
    "manifest",
    "metadata",
    "outbox_intent",
    "outbox_result",
    "outcome",
    "prompt",
    "quality_result",
    "quarantine",
    "quarantine_count",
    "quota",
    "removal",
    "review_item",
    "run",
    "silence",
    "source_file",
]
