"""How many calls and tokens questions are expected to take: what they took so far, else a guess from their size."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from include.database import transaction
from include.ledger.audit import Pins
from include.night.enrich import questions as plan
from include.run import Run
from include.spec.agent import Agent
from include.spec.prompt import Prompt

BYTES_PER_TOKEN = 4.0
"""What a token of prompts and JSON takes on average, until the ledger knows better
(https://help.openai.com/en/articles/4936856-what-are-tokens-and-how-to-count-them)."""
MESSAGE_TOKENS = 11
"""What the form of a chat adds to a question: 4 for each of its two messages, 3 for the answer's beginning
(https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken)."""
_ENOUGH = 20  # questions on record from which on their means are taken; fewer are chance
# The newest runs first, since that is what the index gives. Retries, re-asks and hedges count for their question. What
# cannot be, by the size of the request, is left out, also where it was recorded before it was bounded.
_TAKEN = text(
    """
WITH recent AS MATERIALIZED (
    SELECT run_id FROM nightledger.run WHERE use_case = :use_case AND contract_hash = :contract
     ORDER BY started_at DESC LIMIT 200),
asked AS MATERIALIZED (
    SELECT i.inference_id, i.kind, i.tokens_estimated, (i.parameters ->> 'max_output_tokens')::bigint AS most_out,
           octet_length(i.messages #>> '{0,content}') AS bytes
      FROM nightledger.inference i JOIN recent USING (run_id)
     WHERE i.model = :model AND i.prompt_hash = :prompt
     ORDER BY i.recorded_at DESC LIMIT 20000)
SELECT count(*) FILTER (WHERE a.kind = 'ask') AS questions, count(*) AS calls,
       coalesce(sum(a.bytes) FILTER (WHERE a.kind = 'ask'), 0) AS bytes, coalesce(sum(r.tokens_in), 0) AS tokens_in,
       coalesce(sum(r.tokens_cached), 0) AS cached, coalesce(sum(r.tokens_out), 0) AS tokens_out
  FROM asked a JOIN nightledger.inference_result r USING (inference_id)
 WHERE r.cost_basis IS DISTINCT FROM 'bounded' AND r.tokens_in <= :bytes * a.tokens_estimated + :frame
   AND r.tokens_out <= coalesce(a.most_out, r.tokens_out)"""
)


@dataclass(frozen=True, slots=True)
class Usage:
    """What questions take on average: calls and tokens out each, tokens in per byte, share of those in the cache.

    `answer` is None while too few answers are on record; `read` are tokens of what tools show, while none is.
    """

    calls: float = 1.0
    tokens_per_byte: float = 1 / BYTES_PER_TOKEN
    answer: float | None = None
    cached: float = 0.0
    read: float = 0.0

    def tokens_in(self, questions: int, size: int) -> int:
        """Tokens that questions take of so many bytes together."""
        return round(size * self.tokens_per_byte + questions * (MESSAGE_TOKENS + self.read))

    def tokens_out(self, questions: int, guess: float) -> int:
        """Tokens of the answers; `guess` is the mean of one while none is on record."""
        return round(questions * (guess if self.answer is None else self.answer))


def _guessed(agent: Agent | None) -> Usage:
    """A question as it stands; for an agent each tool once, half full, and with each step all that was said before."""
    if agent is None:
        return Usage()
    steps = 1 + len(agent.tools)
    shown = [one.characters / 2 / BYTES_PER_TOKEN for one in agent.tools]
    read = sum(tokens * (steps - at) for at, tokens in enumerate(shown, 1))
    return Usage(calls=steps, tokens_per_byte=steps / BYTES_PER_TOKEN, read=read)


def find_usage(run: Run, pins: Pins, prompt: Prompt) -> Usage:
    """Learn from the newest questions of the same use case, contract, model and prompt; a guess where there are few."""
    values = {
        "use_case": run.case.name,
        "contract": pins.contract_hash,
        "model": pins.model,
        "prompt": pins.prompt_hash,
        "bytes": round(plan.BYTES_PER_TOKEN),
        "frame": plan.FRAME_TOKENS,
    }
    with transaction(run.ledger) as connection:
        taken = connection.execute(_TAKEN, values).one()
    if taken.questions < _ENOUGH or taken.tokens_in <= taken.questions * MESSAGE_TOKENS:
        return _guessed(run.case.agent)
    size = int(taken.bytes) + taken.questions * len(prompt.system.encode())
    return Usage(
        calls=taken.calls / taken.questions,
        tokens_per_byte=(taken.tokens_in - taken.questions * MESSAGE_TOKENS) / size,
        answer=float(taken.tokens_out) / taken.questions,
        cached=float(taken.cached / taken.tokens_in),
    )
