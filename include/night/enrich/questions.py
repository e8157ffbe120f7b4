"""Before anything is asked: what the model will see, under which key, and what is on record already."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from include.canonical import canonical, digest_of
from include.ledger.audit import Pins
from include.ledger.homes import find_home
from include.models import Record
from include.privacy.tokens import without_payment
from include.run import Run
from include.spec.prompt import Prompt
from include.spec.use_case import ModelChoice
from include.systems.registry import ModelSettings, System

log = logging.getLogger(__name__)
BYTES_PER_TOKEN = 3.0  # below what English, JSON and most scripts take, so that estimates err upward
_TOKENS_PER_MESSAGE = 8
ON_RECORD_ONLY = frozenset(("max_output_tokens", "structured_output", "token_limit", "endpoint"))
"""Parameters on record that say how a call is made; the others are sent as they are."""
FRAME_TOKENS = 256
"""What a provider may put around the messages by itself: a chat's form, instructions for the answer's schema."""
UNKNOWN_CONTEXT = 1_000_000
"""Tokens assumed for a model that the registry does not list; the vendor's own refusal is then the limit."""


@dataclass(frozen=True, slots=True)
class Item:
    """One row on its way to the model: its identity, what the model sees of it, and the whole record as it was read."""

    row_id: str
    row_key: str
    lineage: str
    seen: Record
    inference_key: str
    record: Record = field(default_factory=dict)


@dataclass(slots=True)
class Question:
    """One question for the model, shared by all rows with the same key."""

    items: list[Item]
    message: str
    tokens: int

    @property
    def item(self) -> Item:
        """The first row that asks it."""
        return self.items[0]


def pin(run: Run, prompt: Prompt, system: System, model: str | None = None) -> Pins:
    """What every row of the run is asked with through a system; `model` is one that takes over from the run's own.

    Whatever the registry says that may change an answer is among the parameters, and so is the system, unless it is the
    one that answered first: its answers keep the keys that they have always had.
    """
    name, choice = model or run.model_name, run.case.asked
    settings = system.settings_for(name)
    parameters = {**_accepted(choice, name, settings), **settings.always, "max_output_tokens": choice.max_output_tokens}
    if settings.structured_output != ModelSettings().structured_output:
        parameters |= structured_output(settings.structured_output)
    if settings.token_limit != ModelSettings().token_limit:
        parameters["token_limit"] = settings.token_limit
    parameters |= _belonging(run, name, system)
    return Pins(prompt.version, prompt.hash, name, parameters, run.case.contract_hash)


def structured_output(forms: Sequence[str]) -> Record:
    """What is on record for a form of answer that is not the usual one."""
    return {"structured_output": ", else ".join(forms)}


def _accepted(choice: ModelChoice, model: str, settings: ModelSettings) -> Record:
    """The use case's parameters that a model takes; what is left out is said."""
    known = settings.parameters
    if known is None:
        known = tuple(choice.parameters) if model == choice.name else ()
    dropped = sorted(choice.parameters.keys() - set(known))
    if dropped:
        log.warning("%s is asked without %s: the registry does not say that it takes them", model, ", ".join(dropped))
    return {name: value for name, value in choice.parameters.items() if name in known}


def _belonging(run: Run, model: str, system: System) -> Record:
    """The system as a parameter, unless the answers without one are its own; an address is never at home."""
    identity, is_address = system.answers_as or system.name, "://" in system.answers_as
    home = find_home(run.ledger, run.case.name, model, identity, claim=not is_address)
    if home == identity:
        return {}
    if home is not None:
        log.info("%s is asked at %s: no answer from %s is used again for it", model, identity, home)
    return {"endpoint": identity}


def make_item(run: Run, pins: Pins, row: Record) -> Item:
    """Reduce a staged row to what the model may see, with tokens for personal values, and address it by content."""
    seen = {name: row[name] for name in run.case.model_sees}
    if run.case.tokenise:
        seen, _ = run.hider.hide(seen, run.case.tokenise)
    own = ""
    if run.case.agent is not None:
        own = f",{canonical([row['row_id'], run.interval.start.isoformat(), run.interval.end.isoformat()])}"
    return address(pins, row["row_id"], row["row_key"], row["lineage"], seen, row, own)


def address(pins: Pins, row_id: str, row_key: str, lineage: str, seen: Record, record: Record, own: str = "") -> Item:
    """A row under its inference key: contract, prompt, model, parameters and what the model sees.

    Payment cards and keys are gone from that, whatever the row is of. `own` is what else an answer is made of: an agent
    reads what belongs to this very row, as it is in this night.
    """
    seen = without_payment(seen)
    content = canonical(canonical(seen))
    key = digest_of(f"{pins.asked[:-1]},{content}{own}]")
    return Item(row_id, row_key, lineage, seen, key, record)


def group(items: Iterable[Item]) -> dict[str, list[Item]]:
    """Rows by inference key: identical rows are asked once."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.inference_key, []).append(item)
    return groups


def estimate_tokens(*texts: str) -> int:
    """Tokens that texts take at most, from their bytes; reported usage corrects it after the call."""
    return sum(math.ceil(_bytes(text) / BYTES_PER_TOKEN) + _TOKENS_PER_MESSAGE for text in texts)


def most_tokens(*texts: str) -> int:
    """Tokens that texts can take at the very most: byte-level tokenisers make no token of less than a byte."""
    return sum(_bytes(text) + _TOKENS_PER_MESSAGE for text in texts)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def is_empty(item: Item) -> bool:
    """Whether the model would see nothing: a question about it could only be answered by invention."""
    return all(value is None or value == "" for value in item.seen.values())


def context_size(system: System, model: str) -> int:
    """Tokens that prompt and answer may take together, by the registry; without a word there, nothing is held back."""
    return system.context_tokens.get(model, UNKNOWN_CONTEXT)


def response_format(name: str, output: type[BaseModel]) -> Record:
    """The vendor's structured-output request for an output class, in its strict form.

    Strict means that every object lists all its properties as required and allows no other
    (https://platform.openai.com/docs/guides/structured-outputs#supported-schemas).
    """
    schema = strict_schema(output.model_json_schema())
    return {"type": "json_schema", "json_schema": {"name": name[:64], "strict": True, "schema": schema}}


def strict_schema(schema: Any) -> Any:
    """A JSON schema in the vendor's strict form."""
    if isinstance(schema, list):
        return [strict_schema(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: strict_schema(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict):
        strict |= {"additionalProperties": False, "required": list(schema["properties"])}
        strict["properties"] = {name: _without_default(part) for name, part in strict["properties"].items()}
    return strict


def _without_default(part: Any) -> Any:
    return {key: value for key, value in part.items() if key != "default"} if isinstance(part, dict) else part
