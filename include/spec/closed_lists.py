"""Which fields of an answer have a closed list of values, as its JSON schema says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def has_list(schema: Mapping[str, Any], name: str) -> bool:
    """Whether a field's values are a closed list, by the JSON schema of the answer; a list or nothing counts too."""
    found = schema.get("properties", {}).get(name, {})
    kinds = [found, *found.get("anyOf", ())]
    kinds += [schema.get("$defs", {}).get(one["$ref"].rpartition("/")[2], {}) for one in kinds if "$ref" in one]
    return any("enum" in one for one in kinds)
