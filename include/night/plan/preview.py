"""What a night would ask, pay and take, before anything is asked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import fmean

from include.database import transaction
from include.errors import ConfigurationError
from include.ledger import audit
from include.ledger.record import find_manifest, finished_snapshot, record_event
from include.models import Manifest, Mode, Record, ReInfer
from include.night.enrich.answering import CHUNK_ROWS, take
from include.night.enrich.local import Deciding, only
from include.night.enrich.prices import Price, assume_price
from include.night.enrich.questions import Item, context_size, estimate_tokens, group, is_empty, make_item, pin
from include.night.plan.preview_capacity import Load, find_minutes, name_limit
from include.night.plan.preview_decided import Expected
from include.night.plan.preview_usage import BYTES_PER_TOKEN, Usage, find_usage
from include.run import Night
from include.spec.prompt import Prompt, load_prompt
from include.spec.use_case import ModelChoice
from include.staging import IDENTITY, part_of, read_rows

COUNTS = (
    *("rows_read", "quarantined", "rows", "reused", "identical", "dead", "decided", "asked"),
    *("calls", "tokens_in", "tokens_out"),
)
_SAMPLE = 50  # rows on which the length of an answer is guessed where none is on record


@dataclass(frozen=True, slots=True)
class Preview:
    """One night's estimate; tokens and US dollars as expected, not at their most. `problem` says why it would stop.

    `rows_read` end quarantined or in `rows`; those are reused, identical to another, dead (not asked), decided in the
    process, or asked.
    """

    rows_read: int = 0
    quarantined: int = 0
    rows: int = 0
    reused: int = 0
    identical: int = 0
    dead: int = 0
    decided: int = 0
    asked: int = 0
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: Decimal = Decimal(0)
    loads: tuple[Load, ...] = ()
    problem: str = ""

    @property
    def minutes(self) -> Mapping[str, float]:
        """Minutes that each system's limits take at the least, by system and stage."""
        return find_minutes(self.loads)

    @property
    def slowest(self) -> str:
        """The system and stage that takes longest, with the limit that holds it back."""
        minutes = self.minutes
        load = max(self.loads, key=lambda one: minutes[one.name])
        return f"`{load.name}` ({name_limit(load)})"


def preview(night: Night, good: Manifest, seen: set[bytes] | None = None) -> Preview:
    """Estimate one staged dataset; `seen` are keys that earlier nights of the same plan will have answered.

    Adds this night's keys to `seen`, so that an input that comes again on a later date is counted as identical; not
    with `re_infer` all, under which every night asks for itself.
    """
    prompt, deciding = load_prompt(night.case), Deciding.open(night)
    pins = pin(night, prompt, night.system(night.case.model.system)) if night.case.model else only(deciding).pins
    keys = set[bytes]() if seen is None or night.options.re_infer is ReInfer.ALL else seen
    count = _Count(night, prompt, keys, Expected(deciding) if deciding else None)
    columns = [*IDENTITY, *night.case.model_sees]
    items = (make_item(night, pins, row) for row in read_rows(good, rows=night.settings.chunk_rows, columns=columns))
    while chunk := take(items, CHUNK_ROWS):
        count.add(group(chunk))
    return _estimate(night, good, count, find_usage(night, pins, prompt) if night.case.model else Usage())


@dataclass
class _Count:
    """Rows of a night by what becomes of them before the model; `size` is the bytes of the prompts left to ask."""

    night: Night
    prompt: Prompt
    seen: set[bytes]
    expected: Expected | None = None
    reused: int = 0
    identical: int = 0
    dead: int = 0
    decided: int = 0
    asked: int = 0
    size: int = 0
    answers: list[float] = field(default_factory=list)

    def add(self, groups: Mapping[str, list[Item]]) -> None:
        """Count one chunk of rows, grouped by key."""
        ledger = self.night.ledger
        known, decided = self.expected.split(groups) if self.expected else (set[str](), set[str]())
        known |= audit.find_answers(ledger, self.night, groups.keys() - known).keys()
        dead = audit.find_dead(ledger, self.night, groups.keys() - known)
        for key, items in groups.items():
            if key in known:
                self.reused += len(items)
            elif key in decided:
                self._decide(key, items)
            elif key in dead or is_empty(items[0]):
                self.dead += len(items)
            elif (digest := bytes.fromhex(key)) in self.seen:
                self.identical += len(items)
            else:
                self.seen.add(digest)
                self._ask(items)

    def _decide(self, key: str, items: list[Item]) -> None:
        fresh = bytes.fromhex(key) not in self.seen
        self.seen.add(bytes.fromhex(key))
        self.decided += fresh
        self.identical += len(items) - fresh

    def _ask(self, items: list[Item]) -> None:
        choice = self.night.case.model
        message = self.prompt.render(items[0].seen) if choice else ""
        if choice is None or self._is_too_large(message, choice):
            self.dead += len(items)
            return
        self.asked += 1
        self.identical += len(items) - 1
        self.size += len(self.prompt.system.encode()) + len(message.encode())
        if len(self.answers) < _SAMPLE:
            self._guess_answer(items[0])

    def _is_too_large(self, message: str, choice: ModelChoice) -> bool:
        most = estimate_tokens(self.prompt.system, message) + choice.max_output_tokens
        return most > context_size(self.night.system(choice.system), self.night.model_name)

    def _guess_answer(self, item: Item) -> None:
        """Note the tokens of an answer like the rule's, which has the same fields."""
        answer = self.night.case.module("fallback").answer(item.seen)
        if answer:
            self.answers.append(len(json.dumps(answer, ensure_ascii=False).encode()) / BYTES_PER_TOKEN)


def _estimate(night: Night, good: Manifest, count: _Count, usage: Usage) -> Preview:
    choice = night.case.model
    guess = fmean(count.answers) if count.answers else choice.max_output_tokens / 2 if choice else 0.0
    calls = round(count.asked * usage.calls)
    tokens_in, tokens_out = usage.tokens_in(count.asked, count.size), usage.tokens_out(count.asked, guess)
    cost = _price(night).cost(tokens_in, tokens_out, round(tokens_in * usage.cached)) if choice else Decimal(0)
    rows, raw = part_of(good)[1], _find_raw(night)
    rows_read = int(raw.facts["input_rows"]) if raw else rows
    answered = rows - count.dead
    return Preview(
        rows_read=rows_read,
        quarantined=rows_read - rows,
        rows=rows,
        reused=count.reused,
        identical=count.identical,
        dead=count.dead,
        decided=count.decided,
        asked=count.asked,
        calls=calls,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        cost=cost,
        loads=_find_loads(night, raw, calls, tokens_in + tokens_out, answered) + _of_tools(night, count.asked),
    )


def _price(night: Night) -> Price:
    price = assume_price(night.model_name)
    return price.batched() if night.asking == "batch" else price


def _find_raw(night: Night) -> Manifest | None:
    """The dataset that the good rows came from: this run's own, else that of the date's last finished run."""
    own = find_manifest(night.ledger, night.run_id, "raw")
    return own or finished_snapshot(night.ledger, night.case.name, night.interval)


def _find_loads(night: Night, raw: Manifest | None, calls: int, tokens: int, answered: int) -> tuple[Load, ...]:
    """What each system is asked for; at most, where it depends on the answers: a write is read and sent by batch."""
    case = night.case
    source, batched = night.system(case.sources[0].system), night.asking == "batch"
    reads = int(raw.facts["calls"]) if raw and raw.run_id == night.run_id else 0
    writes = dict.fromkeys((sink.system for sink in case.sinks), 0)
    for sink in case.sinks if night.options.mode is Mode.AUTO else ():
        writes[sink.system] += 2 * -(-answered // night.system(sink.system).batch_rows)
    return (
        Load("read", source, reads),
        *([Load("ask", night.system(case.model.system), calls, tokens, batched=batched)] if case.model else []),
        *(Load("write", night.system(name), calls) for name, calls in writes.items()),
    )


def _of_tools(night: Night, asked: int) -> tuple[Load, ...]:
    """What an agent's tools ask their systems for, each once: a list of ids, and the records."""
    tools = night.case.agent.tools if night.case.agent else ()
    times = Counter(tool.reads.system for tool in tools)
    return tuple(Load("tools", night.system(name), 2 * number * asked) for name, number in times.items())


def announce(night: Night, good: Manifest) -> Preview:
    """Put a night's estimate in the log and on record before it asks anything; raises as `hold_to_window` does."""
    expected = preview(night, good)
    with transaction(night.ledger) as connection:
        record_event(connection, night.run_id, "enrich.planned", as_record(expected))
    hold_to_window(night, expected)
    return expected


def hold_to_window(night: Night, expected: Preview) -> None:
    """Raise ConfigurationError when a live night would not be done in its window, whatever is paid for it."""
    minutes, most = sum(expected.minutes.values()), night.case.window_hours * 60
    if night.asking == "live" and minutes > most:
        raise ConfigurationError(
            f"{expected.rows:,} rows need {minutes:,.0f} minutes at the limits, mostly {expected.slowest}; "
            f"it has {most:,.0f}",
            about=night.case.name,
            action="Raise the limit in the registry, ask through the batch API, or run fewer rows with `limit`",
        )


def as_record(night: Preview) -> Record:
    """Plain values, for JSON and for the task's return value."""
    shown = {name: getattr(night, name) for name in (*COUNTS, "problem")}
    return {**shown, "cost_usd": str(night.cost.quantize(Decimal("0.000001"))), "minutes": dict(night.minutes)}
