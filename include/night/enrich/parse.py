"""From the model's text to a validated answer, or the class of what is wrong with it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from include.models import Record
from include.privacy.tokens import tokens_in
from include.systems.model.client import Reply

LONGEST_ANSWER = 100_000
"""Characters; an answer beyond them is no answer to any schema, and is not searched for one."""
_MOST_STARTS = 200  # places in prose where an object may begin that are tried
CUT_OFF = "the answer was cut off at the most output tokens it may have"
_THOUGHT = re.compile(r"\A\s*<think(ing)?>", re.IGNORECASE)
_THOUGHT_END = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_DECODER, _ENCODER = json.JSONDecoder(strict=False), json.JSONEncoder(allow_nan=False)
_BLOCK = re.compile(r"```(?:json)?(.*?)```", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Parsed:
    """`ok` with the answer; or `invalid`, `empty`, `refused` with the problem in words (no value of the answer).

    `tools` is no answer yet: `answer` then names the tools that are asked for, as they go on record.
    """

    outcome: Literal["ok", "invalid", "empty", "refused", "tools"]
    answer: Record | None = None
    problem: str = ""

    @property
    def in_vain(self) -> bool:
        """Whether the same question at the same limits would be paid again for the same ending."""
        return self.problem == CUT_OFF


FOREIGN = "it held a token that the question does not have: copy tokens as they stand, or leave them out"


def parse_reply(reply: Reply, output: type[BaseModel], tokens: Collection[str] | None = None) -> Parsed:
    """Judge an answered call. One JSON object in a code block or inside prose is accepted; two are ambiguous.

    What the model thinks aloud before its answer is left out. `tokens` are those of the question, where there can be
    any: an answer with another one could not be delivered.
    """
    if reply.refusal or reply.finish_reason == "content_filter":
        return Parsed("refused", problem="the model refused")
    if reply.finish_reason == "length":
        return Parsed("invalid", problem=CUT_OFF)
    if not (reply.text or "").strip():
        return Parsed("empty", problem="the answer was empty")
    if len(str(reply.text)) > LONGEST_ANSWER:
        return Parsed("invalid", problem=f"the answer had {len(str(reply.text)):,} characters")
    said = _without_thoughts(str(reply.text))
    if not said.strip():
        return Parsed("empty", problem="it held thoughts and no answer")
    found = _find_objects(said)
    if len(found) != 1:
        problem = "it held no JSON object" if not found else f"it held {len(found)} JSON objects instead of one"
        return Parsed("invalid", problem=problem)
    try:
        answer = output.model_validate(found[0]).model_dump(mode="json")
        _ENCODER.encode(answer)
    except ValidationError as error:
        return Parsed("invalid", problem=in_words(error))
    except ValueError:
        return Parsed("invalid", problem="a number in it is NaN or infinite, which is no JSON")
    if tokens is not None and tokens_in(answer) - set(tokens):
        return Parsed("invalid", problem=FOREIGN)
    return Parsed("ok", answer)


def _without_thoughts(text: str) -> str:
    """What follows the last `</think>`; a template may have opened the thoughts before the answer began."""
    ends = list(_THOUGHT_END.finditer(text))
    if not ends:
        return "" if _THOUGHT.match(text) else text
    return text if _load(text) is not None else text[ends[-1].end() :]  # within an answer the word is data


def _find_objects(text: str) -> list[Record]:
    """The JSON objects in a text: the whole of it, else those in code blocks, else the outermost ones in prose."""
    whole = _load(text)
    if whole is not None:
        return [whole]
    return [value for value in map(_load, _BLOCK.findall(text)) if value is not None] or _scan(text)


def _load(text: str) -> Record | None:
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _scan(text: str) -> list[Record]:
    objects, at, starts = list[Record](), text.find("{"), 0
    while at != -1 and starts < _MOST_STARTS:
        starts += 1
        try:
            value, end = _DECODER.raw_decode(text, at)
            objects.append(value)
        except (ValueError, RecursionError):
            end = at + 1
        at = text.find("{", end)
    return objects


def in_words(error: ValidationError) -> str:
    """Which fields are wrong and how; never what the model had put there."""
    faults: list[Any] = error.errors(include_input=False, include_url=False)[:5]
    return "; ".join(f"{'.'.join(str(part) for part in fault['loc']) or 'answer'}: {fault['msg']}" for fault in faults)
