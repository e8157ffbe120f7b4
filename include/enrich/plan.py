"""Before anything is asked: what the model will see, under which key, and what is on record already."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import BaseModel

from include.canonical import canonical, digest
from include.enrich.prompt import Prompt
from include.errors import ConfigurationError, ContractBroken
from include.ledger.audit import Answer, Pins
from include.models import Record
from include.night import Night

_BYTES_PER_TOKEN = 3.0  # below what English, JSON and most scripts take, so that estimates err upward
_TOKENS_PER_MESSAGE = 8


@dataclass(frozen=True, slots=True)
class Item:
    """One row on its way to the model: its identity, and only the columns that the model may see."""

    row_id: str
    row_key: str
    lineage: str
    seen: Record
    inference_key: str
    input_sha256: str


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


def pin(night: Night, prompt: Prompt) -> Pins:
    """What every row of the run is asked with."""
    choice = night.case.model
    parameters = {**choice.parameters, "max_output_tokens": choice.max_output_tokens}
    return Pins(prompt.version, prompt.hash, night.model_name, parameters, night.case.contract_hash)


def make_item(night: Night, pins: Pins, row: Record) -> Item:
    """Reduce a staged row to what the model may see and address it by content."""
    seen = {name: row[name] for name in night.case.model_sees}
    content = canonical(seen)
    asked = [pins.contract_hash, pins.prompt_hash, pins.model, pins.parameters, content]
    return Item(row["row_id"], row["row_key"], row["lineage"], seen, digest(asked), digest(content))


def group(items: Iterable[Item]) -> dict[str, list[Item]]:
    """Rows by inference key: identical rows are asked once."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.inference_key, []).append(item)
    return groups


def hold_to_input(answer: Answer, item: Item) -> None:
    """Raise ContractBroken if an answer on record was given to another input than its key says."""
    if answer.input_sha256 != item.input_sha256:
        raise ContractBroken(
            "the answer on record belongs to another input",
            system="ledger",
            about=f"answer {item.inference_key[:16]}",
            action="Run `python -m include.cli ledger verify`",
        )


def estimate_tokens(*texts: str) -> int:
    """Tokens that texts take at most, from their bytes; reported usage corrects it after the call."""
    return sum(
        math.ceil(len(text.encode("utf-8", "replace")) / _BYTES_PER_TOKEN) + _TOKENS_PER_MESSAGE for text in texts
    )


def context_size(night: Night) -> int:
    """Tokens that prompt and answer may take together; raises ConfigurationError for a model not in the registry."""
    sizes = night.system(night.case.model.system).context_tokens
    model = night.model_name
    if model not in sizes:
        raise ConfigurationError(
            f"its context size is unknown; known models: {', '.join(sizes)}",
            system="model",
            about=model,
            action="Add it under [model.context_tokens] in the system registry",
        )
    return sizes[model]


def response_format(name: str, output: type[BaseModel]) -> Record:
    """The vendor's structured-output request for the use case's output."""
    schema = output.model_json_schema()
    return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}}
