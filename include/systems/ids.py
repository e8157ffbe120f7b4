"""Ids of records that have one or several values as their key, as one text without a slash."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote

_RESERVED = re.compile(r"[%,/\x00-\x1f\x7f]")
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


def join_id(parts: Sequence[str]) -> str:
    """The id of a record by the texts of its key; `%`, `,`, `/` and control characters are escaped."""
    return ",".join(_RESERVED.sub(lambda hit: f"%{ord(hit[0]):02X}", part) for part in parts)


def split_id(text: str, parts: int) -> tuple[str, ...] | None:
    """The reverse of `join_id`; None for what is no id of so many values."""
    found = text.split(",")
    if len(found) != parts or _PERCENT.search(text):
        return None
    return tuple(unquote(part) for part in found)
