"""JSON schemas as structured outputs use them: what is refused, and a valid instance of one."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 12
Schema = Mapping[str, Any]


def strict_problem(schema: Any, path: tuple[str, ...] = ()) -> str | None:
    """Why the vendor refuses a schema in strict mode, in its words, or None.

    Every object needs `additionalProperties: false` and all of its properties in `required`
    (https://platform.openai.com/docs/guides/structured-outputs).
    """
    if not isinstance(schema, dict):
        return None
    where = f"In context=({', '.join(map(repr, path))}), "
    if schema.get("type") == "object" or "properties" in schema:
        if schema.get("additionalProperties") is not False:
            return f"{where}'additionalProperties' is required to be supplied and to be false."
        if left := set(schema.get("properties", {})) - set(schema.get("required", [])):
            return (
                f"{where}'required' is required to be supplied and to be an array including every key in properties. "
                f"Missing '{sorted(left)[0]}'."
            )
    for name in ("properties", "$defs"):
        for key, inner in (schema.get(name) or {}).items():
            if problem := strict_problem(inner, (*path, name, key)):
                return problem
    return strict_problem(schema.get("items"), (*path, "items"))


def instance(schema: Schema, seed: str) -> Any:
    """A valid value for a schema, always the same for the same seed.

    Understands types, `enum`, `const`, `anyOf`, `oneOf`, `$ref` into `$defs`, and limits of numbers, texts and lists;
    not `pattern`, which most callers do not use.
    """
    return _Maker(schema, random.Random(seed)).make(schema, 0)


class _Maker:
    def __init__(self, root: Schema, chance: random.Random) -> None:
        self._root, self._chance = root, chance

    def make(self, schema: Schema, depth: int) -> Any:
        if "$ref" in schema:
            return self.make(self._resolve(str(schema["$ref"])), depth + 1)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._chance.choice(list(schema["enum"]))
        for name in ("anyOf", "oneOf"):
            if schema.get(name):
                options = list(schema[name])
                return self.make(options[-1] if depth > MAX_DEPTH else self._chance.choice(options), depth + 1)
        if schema.get("allOf"):
            return self.make({key: item for part in schema["allOf"] for key, item in part.items()}, depth + 1)
        return self._typed(_kind(schema), schema, depth)

    def _typed(self, kind: str, schema: Schema, depth: int) -> Any:
        if kind == "object":
            names = schema.get("properties", {})
            wanted = schema.get("required", list(names)) if depth > MAX_DEPTH else list(names)
            return {name: self.make(names.get(name, {}), depth + 1) for name in wanted}
        if kind == "array":
            least, most = int(schema.get("minItems", 0)), int(schema.get("maxItems", 3))
            size = least if depth > MAX_DEPTH else self._chance.randint(least, max(least, min(most, least + 2)))
            return [self.make(schema.get("items", {}), depth + 1) for _ in range(size)]
        if kind in ("integer", "number"):
            return self._number(kind, schema)
        if kind == "boolean":
            return self._chance.random() < 0.5
        return None if kind == "null" else self._text(schema)

    def _number(self, kind: str, schema: Schema) -> float:
        low, high = _range(schema, 1 if kind == "integer" else 0)
        if step := schema.get("multipleOf"):
            smallest: float = step * -(-low // step)
            return smallest
        if kind == "integer":
            return self._chance.randint(int(low), max(int(low), int(high)))
        return float(low + (high - low) * self._chance.randint(1, 9) / 10)

    def _text(self, schema: Schema) -> str:
        known = {
            "date": "2026-01-15",
            "date-time": "2026-01-15T09:30:00Z",
            "time": "09:30:00Z",
            "email": "someone@example.com",
            "uuid": "00000000-0000-4000-8000-000000000000",
            "uri": "https://example.com/",
        }
        if schema.get("format") in known:
            return known[str(schema["format"])]
        words = f"stand-in {self._chance.randint(100, 999)}"
        least, most = int(schema.get("minLength", 0)), int(schema.get("maxLength", 10_000))
        return words.ljust(least, ".")[:most]

    def _resolve(self, reference: str) -> Schema:
        found: Any = self._root
        for part in reference.removeprefix("#").strip("/").split("/"):
            found = found.get(part, {}) if part else found
        return found if isinstance(found, dict) else {}


def _range(schema: Schema, gap: int) -> tuple[float, float]:
    """Lowest and highest number; `gap` is what an exclusive limit takes away (a fraction never lands on its limits)."""
    low = schema["exclusiveMinimum"] + gap if "exclusiveMinimum" in schema else schema.get("minimum")
    high = schema["exclusiveMaximum"] - gap if "exclusiveMaximum" in schema else schema.get("maximum")
    if low is None:
        low = 0 if high is None or high > 0 else high - 100
    return low, low + 100 if high is None else high


def _kind(schema: Schema) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if kind:
        return str(kind)
    return "object" if "properties" in schema else "array" if "items" in schema else "string"
