"""An answer as the fields of a form, by what its output model allows, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from include.models import Record

Kind = Literal["choice", "number", "yes_no", "line", "text", "json"]
PREFIX = "answer-"
_LINE_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the answer: how it is asked for, its value as text, and what the model says of it."""

    name: str
    kind: Kind
    value: str
    options: tuple[str, ...] = ()
    about: str = ""


def describe(model: Any, values: Mapping[str, Any]) -> list[Field]:
    """The fields of a form for an answer, in the model's order."""
    known = model.model_json_schema()["properties"]
    return [_field(name, schema, values.get(name)) for name, schema in known.items()]


def read_fields(model: Any, was: Mapping[str, Any], form: Mapping[str, str]) -> Record:
    """The answer that a form says; a field that it lacks stays as it was. The model refuses what does not fit."""
    said: Record = dict(was)
    for field in describe(model, was):
        text = form.get(f"{PREFIX}{field.name}")
        if text is not None and text.replace("\r\n", "\n") != field.value:
            said[field.name] = _value(field.kind, text.replace("\r\n", "\n"))
    return said


def _field(name: str, schema: Mapping[str, Any], value: Any) -> Field:
    about = str(schema.get("description", ""))
    if options := schema.get("enum"):
        return Field(name, "choice", str(value), tuple(map(str, options)), about)
    kind: Kind = "json"
    if schema.get("type") in ("integer", "number"):
        kind = "number"
    elif schema.get("type") == "boolean":
        kind = "yes_no"
    elif schema.get("type") == "string":
        kind = "line" if schema.get("maxLength", _LINE_CHARACTERS + 1) <= _LINE_CHARACTERS else "text"
    plain = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return Field(name, kind, json.dumps(value, ensure_ascii=False, indent=1) if kind == "json" else plain, (), about)


def _value(kind: Kind, text: str) -> Any:
    if kind in ("json", "number", "yes_no"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text
