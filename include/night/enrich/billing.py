"""What a call has cost, from what the vendor reported and what was set aside for it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from include.ledger.audit import CostBasis, Intent, Result
from include.night.enrich.parse import Parsed
from include.night.enrich.prices import Price
from include.night.enrich.questions import BYTES_PER_TOKEN, FRAME_TOKENS, estimate_tokens
from include.systems.model.client import Reply

LONGEST_KEPT = 100_000
"""Characters of an answer that the ledger keeps; longer ones are no answers to any schema."""


@dataclass(frozen=True, slots=True)
class Believed:
    """Tokens of a call that count; `doubt` names what the vendor reported where that cannot be."""

    tokens_in: int
    tokens_out: int
    tokens_cached: int
    doubt: str = ""


def believe(reply: Reply, tokens_estimated: int, max_output: int) -> Believed:
    """What the vendor reported, but no more than the request can have taken.

    Tokens in are bounded by a token for each byte that was sent, which is three times what was estimated, and what a
    provider puts around messages; tokens out by `max_output`, which every request asks for and which counts reasoning.
    """
    most_in = round(BYTES_PER_TOKEN * tokens_estimated) + FRAME_TOKENS
    if reply.tokens_in <= most_in and reply.tokens_out <= max_output:
        return Believed(reply.tokens_in, reply.tokens_out, reply.tokens_cached)
    tokens_in, tokens_out = min(reply.tokens_in, most_in), min(reply.tokens_out, max_output)
    told, at_most = f"{reply.tokens_in} tokens in and {reply.tokens_out} out", f"{most_in} and {max_output}"
    doubt = f"reported {told}, but it can have taken {at_most} at most"
    return Believed(tokens_in, tokens_out, min(reply.tokens_cached, tokens_in), doubt)


def bill(
    intent: Intent, reply: Reply, parsed: Parsed | None, price: Price, waited: float, *, max_output: int
) -> Result:
    """The result of a call with what it cost: as reported, bounded, estimated where nothing was said, or nothing.

    `waited` is the seconds between the question and its call, `max_output` the tokens that its answer was held to. No
    call costs more than was set aside for it; what was reported beyond that is named in `detail`.
    """
    used, cost, basis = _count(intent, reply, price, max_output)
    said = parsed.problem if parsed else reply.detail
    return Result(
        inference_id=intent.inference_id,
        outcome=parsed.outcome if parsed else reply.outcome,
        detail="; ".join(filter(None, (said, used.doubt))) or None,
        http_status=reply.status,
        model_answered=reply.model,
        provider_request_id=reply.request_id,
        raw_text=None if reply.text is None else reply.text[:LONGEST_KEPT],
        parsed=parsed.answer if parsed else None,
        tokens_in=used.tokens_in,
        tokens_out=used.tokens_out,
        tokens_cached=used.tokens_cached,
        cost=cost,
        price_dated=price.dated,
        latency_ms=round(reply.latency * 1000),
        queue_ms=round(waited * 1000),
        cost_basis=basis,
    )


def _count(intent: Intent, reply: Reply, price: Price, max_output: int) -> tuple[Believed, Decimal, CostBasis]:
    """The tokens that count, what they cost, and how that is known."""
    used, most = believe(reply, intent.tokens_estimated, max_output), intent.cost_reserved
    if reply.outcome != "answered":
        return (used, most, "estimated") if reply.maybe_billed else (used, Decimal(0), "none")
    if not reply.usage_reported:
        said = min(estimate_tokens(reply.text or ""), max_output)
        used = Believed(intent.tokens_estimated, said, 0)
        return used, min(price.cost(used.tokens_in, said), most), "estimated"
    cost = price.cost(used.tokens_in, used.tokens_out, used.tokens_cached)
    if used.doubt or cost > most:
        return used, min(cost, most), "bounded"
    return used, cost, "estimated" if price.assumed else "reported"
