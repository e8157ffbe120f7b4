"""What a call has cost, from what the vendor reported and what was set aside for it."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from include.enrich.client import Reply
from include.enrich.parse import Parsed
from include.enrich.plan import estimate_tokens
from include.enrich.prices import Price
from include.ledger.audit import Intent, Result

LONGEST_KEPT = 100_000
"""Characters of an answer that the ledger keeps; longer ones are no answers to any schema."""


def bill(intent: Intent, reply: Reply, parsed: Parsed | None, price: Price, waited: float) -> Result:
    """The result of a call with what it cost: as reported, estimated upward where nothing was said, or nothing.

    `waited` is the seconds between the question and its call.
    """
    tokens_in, tokens_out = reply.tokens_in, reply.tokens_out
    basis: Literal["reported", "estimated", "none"] = "estimated" if price.assumed else "reported"
    if reply.outcome == "answered" and not reply.usage_reported:
        tokens_in, tokens_out, basis = intent.tokens_estimated, estimate_tokens(reply.text or ""), "estimated"
    cost = price.cost(tokens_in, tokens_out, reply.tokens_cached)
    if reply.outcome != "answered":
        cost, basis = (intent.cost_reserved, "estimated") if reply.maybe_billed else (Decimal(0), "none")
    return Result(
        inference_id=intent.inference_id,
        outcome=parsed.outcome if parsed else reply.outcome,
        detail=(parsed.problem if parsed else reply.detail) or None,
        http_status=reply.status,
        model_answered=reply.model,
        provider_request_id=reply.request_id,
        raw_text=None if reply.text is None else reply.text[:LONGEST_KEPT],
        parsed=parsed.answer if parsed else None,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        tokens_cached=reply.tokens_cached,
        cost=cost,
        price_dated=price.dated,
        latency_ms=round(reply.latency * 1000),
        queue_ms=round(waited * 1000),
        cost_basis=basis,
    )
