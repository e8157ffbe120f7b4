"""What a night would ask, pay and take, before anything is asked."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import fmean
from typing import Any

from sqlalchemy import text

from include.enrich.answering import CHUNK_ROWS, take
from include.enrich.plan import Item, group, is_empty, make_item, pin
from include.enrich.prices import BATCH_SHARE, assume_price
from include.enrich.prompt import load_prompt
from include.errors import ConfigurationError
from include.ledger import audit
from include.ledger.database import transaction
from include.ledger.record import record_event
from include.models import Manifest, Record
from include.night import Night
from include.staging import part_of, read_rows
from include.systems import System, Window

log = logging.getLogger(__name__)
BYTES_PER_TOKEN = 4.0
"""What a token of prompts and JSON takes on average, until the ledger knows better
(https://help.openai.com/en/articles/4936856-what-are-tokens-and-how-to-count-them)."""
_SAMPLE = 50  # rows on which the length of an answer is guessed where none is on record
_HISTORY = """
SELECT coalesce(sum(r.tokens_in) FILTER (WHERE r.outcome = 'ok') / nullif(sum(octet_length(i.messages::text))
                FILTER (WHERE r.outcome = 'ok'), 0)::float8, 0) AS tokens_per_byte,
       coalesce(avg(r.tokens_in) FILTER (WHERE r.outcome = 'ok'), 0)::float8 AS tokens_in,
       coalesce(avg(r.tokens_out) FILTER (WHERE r.outcome = 'ok'), 0)::float8 AS tokens_out,
       coalesce(count(*) / nullif(count(DISTINCT i.inference_key), 0)::float8, 0) AS calls,
       coalesce(avg(octet_length(i.messages::text)) FILTER (WHERE r.outcome = 'ok'), 0)::float8 AS bytes
  FROM (SELECT * FROM nightledger.inference WHERE use_case = :use_case AND model = :model AND prompt_hash = :prompt
         ORDER BY recorded_at DESC LIMIT 20000) i
  JOIN nightledger.inference_result r USING (inference_id)"""


@dataclass(frozen=True, slots=True)
class Preview:
    """One night's estimate; tokens and US dollars as expected, not at their most. `problem` says why it would stop."""

    rows: int = 0
    reused: int = 0
    identical: int = 0
    dead: int = 0
    asked: int = 0
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: Decimal = Decimal(0)
    minutes: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """What earlier calls of the same use case, model and prompt took; zeros where there were none."""

    tokens_in: float
    tokens_out: float
    calls: float
    bytes: float


def preview(night: Night, good: Manifest, seen: set[bytes], *, batch: bool = False) -> Preview:
    """Estimate one staged dataset; `seen` are keys that earlier nights of the same plan will have answered.

    Adds this night's keys to `seen`, so that an input that comes again on a later date is counted as reused.
    """
    prompt = load_prompt(night.case)
    pins = pin(night, prompt)
    known = _history(night, pins.model, prompt.hash)
    count = dict.fromkeys(("reused", "identical", "dead", "asked"), 0)
    size, answers_size = 0, list[float]()
    system_bytes = len(prompt.system.encode())
    for items in _chunks(night, pins, good):
        groups = group(items)
        answers = audit.find_answers(night.ledger, night, groups.keys())
        dead = audit.find_dead(night.ledger, night, groups.keys() - answers.keys())
        for key, rows in groups.items():
            digest = bytes.fromhex(key)
            if key in answers:
                count["reused"] += len(rows)
            elif digest in seen:
                count["identical"] += len(rows)
            elif key in dead or is_empty(rows[0]):
                count["dead"] += len(rows)
            else:
                seen.add(digest)
                count["asked"] += 1
                count["identical"] += len(rows) - 1
                size += system_bytes + len(prompt.render(rows[0].seen).encode())
                if not known.tokens_out and len(answers_size) < _SAMPLE:
                    answers_size += _guess_answer(night, rows[0])
    calls = round(count["asked"] * max(known.calls, 1.0))
    repeats = calls / count["asked"] if count["asked"] else 1.0
    tokens_in = round(_tokens_in(known, size, count["asked"], system_bytes) * repeats)
    tokens_out = round(calls * (known.tokens_out or _mean(answers_size, night.case.model.max_output_tokens / 2)))
    cost = assume_price(pins.model).cost(tokens_in, tokens_out) * (BATCH_SHARE if batch else 1)
    rows_in = part_of(good)[1]
    return Preview(
        rows=rows_in,
        reused=count["reused"],
        identical=count["identical"],
        dead=count["dead"],
        asked=count["asked"],
        calls=calls,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        cost=cost,
        minutes=_minutes(night, rows_in, calls, tokens_in + tokens_out),
    )


def announce(night: Night, good: Manifest) -> Preview:
    """Put a night's estimate in the log and on record before it asks anything; raises as `hold_to_window` does."""
    expected = preview(night, good, set(), batch=night.engine == "batch")
    log.info("expected: %s", as_record(expected))
    with transaction(night.ledger) as connection:
        record_event(connection, night.run_id, "enrich.planned", as_record(expected))
    hold_to_window(night, expected)
    return expected


def hold_to_window(night: Night, expected: Preview) -> None:
    """Raise ConfigurationError when a live night would not be done in its window, whatever is paid for it."""
    minutes, most = sum(expected.minutes.values()), night.case.window_hours * 60
    if night.engine == "live" and minutes > most:
        slowest = max(expected.minutes, key=lambda name: expected.minutes[name])
        raise ConfigurationError(
            f"{expected.rows:,} rows need {minutes:,.0f} minutes at the limits, mostly `{slowest}`; it has {most:,.0f}",
            about=night.case.name,
            action="Raise the limit in the registry, ask through the batch API, or run fewer rows with `limit`",
        )


def _chunks(night: Night, pins: Any, good: Manifest) -> Iterator[list[Item]]:
    items = (make_item(night, pins, row) for row in read_rows(good, rows=night.settings.chunk_rows))
    while chunk := take(items, CHUNK_ROWS):
        yield chunk


def _history(night: Night, model: str, prompt_hash: str) -> History:
    values = {"use_case": night.case.name, "model": model, "prompt": prompt_hash}
    with transaction(night.ledger) as connection:
        row = connection.execute(text(_HISTORY), values).mappings().one()
    return History(row["tokens_in"], row["tokens_out"], row["calls"], row["bytes"])


def _tokens_in(known: History, size: int, asked: int, system_bytes: int) -> float:
    """Tokens of the prompts: from what earlier prompts took for their bytes, else from bytes alone."""
    if not known.tokens_in or not known.bytes:
        return size / BYTES_PER_TOKEN
    return size * known.tokens_in / (known.bytes + system_bytes)


def _guess_answer(night: Night, item: Item) -> list[float]:
    """The length of an answer like the rule's, which has the same fields."""
    try:
        answer = night.case.module("fallback").answer(item.seen)
    except ModuleNotFoundError:
        return []
    return [len(json.dumps(answer)) / BYTES_PER_TOKEN] if answer else []


def _mean(values: list[float], otherwise: float) -> float:
    return fmean(values) if values else otherwise


def _minutes(night: Night, rows: int, calls: int, tokens: int) -> dict[str, float]:
    """Minutes that each system's limits take at least, one stage after the other."""
    source, sink = night.system(night.case.source.system), night.system(night.case.sink.system)
    model = night.system(night.case.model.system)
    found = {
        f"{source.name} read": _at_limits(source, 2 * -(-rows // source.page_rows), 0),
        f"{model.name} ask": _at_limits(model, calls, tokens),
        f"{sink.name} write": _at_limits(sink, 2 * -(-rows // sink.batch_rows), 0),
    }
    return {name: seconds / 60 for name, seconds in found.items()}


def _at_limits(system: System, requests: int, tokens: int) -> float:
    """Seconds that so much takes when every limit is used to its end."""
    return max((_in_window(window, requests, tokens) for window in system.limits), default=0.0)


def _in_window(window: Window, requests: int, tokens: int) -> float:
    waits = [0.0]
    for amount, limit in ((requests, window.requests), (tokens, window.tokens)):
        if limit is not None and amount > limit:
            spans = (amount - limit) / limit if window.refills else (amount - 1) // limit
            waits.append(spans * window.per_seconds)
    return max(waits)


def as_record(night: Preview) -> Record:
    """Plain values, for JSON and for the task's return value."""
    names = ("rows", "reused", "identical", "dead", "asked", "calls", "tokens_in", "tokens_out", "problem")
    shown = {name: getattr(night, name) for name in names}
    return {**shown, "cost_usd": str(night.cost.quantize(Decimal("0.000001"))), "minutes": dict(night.minutes)}
