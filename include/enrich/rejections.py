"""Rejected requests whose fault is the row's: they end alone, and say nothing about the request as such."""

from __future__ import annotations

import re
from typing import Literal

# Codes of OpenAI, then words of other servers that have no code of their own for it (vLLM, llama.cpp, TGI, Azure).
_TOO_LARGE = re.compile(
    r"context_length_exceeded|string_above_max_length|maximum context length|context (?:length|size|window)"
    r"|(?:prompt|input|request)[^.]{0,40}too (?:long|large)",
    re.IGNORECASE,
)
_REFUSED = re.compile(r"content[_ ](?:policy|filter|management)|responsible_?ai|safety system|flagged", re.IGNORECASE)
_PAYLOAD_TOO_LARGE = 413


def fault_of_row(detail: str, status: int | None) -> Literal["too_large", "refused"] | None:
    """How a row ends that was rejected for its size or its content; None if the request may be wrong for all."""
    if status == _PAYLOAD_TOO_LARGE or _TOO_LARGE.search(detail):
        return "too_large"
    return "refused" if _REFUSED.search(detail) else None
