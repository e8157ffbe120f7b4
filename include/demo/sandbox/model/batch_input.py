"""Validation of a batch's input file: one JSON request per line, all of one model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from include.demo.sandbox.model.prompts import CONTEXT_TOKENS, read_prompt
from include.demo.sandbox.model.shapes import ModelError

ENDPOINT = "/v1/chat/completions"
_MOST_SHOWN = 100


@dataclass
class Reading:
    """What an input file holds: requests, prompt tokens, its model, and what is wrong in the vendor's shape."""

    total: int = 0
    tokens: int = 0
    model: str | None = None
    problems: list[dict[str, Any]] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)

    def blame(self, code: str, message: str, *, line: int | None = None, param: str | None = None) -> None:
        """Note a problem; the first hundred are shown."""
        if len(self.problems) < _MOST_SHOWN:
            self.problems.append({"code": code, "message": message, "line": line, "param": param})

    def take(self, number: int, item: Any) -> None:
        """Count the request of line `number`, and check what the vendor checks before it asks the model."""
        self.total += 1
        if not isinstance(item, dict):
            return self.blame("invalid_json_line", "This line is not parseable as valid JSON.", line=number)
        name, body = item.get("custom_id"), item.get("body")
        if not isinstance(name, str) or not name:
            message = "Missing required parameter: 'custom_id'."
            return self.blame("missing_required_parameter", message, line=number, param="custom_id")
        if name in self._names:
            self.blame("duplicate_custom_id", "The custom_id is not unique.", line=number, param="custom_id")
        self._names.add(name)
        if item.get("method") != "POST":
            self.blame("invalid_method", "The method must be POST.", line=number, param="method")
        if item.get("url") != ENDPOINT:
            self.blame("invalid_url", "The url differs from the batch's endpoint.", line=number, param="url")
        self._take_body(number, body if isinstance(body, dict) else {})

    def _take_body(self, number: int, body: Mapping[str, Any]) -> None:
        model = body.get("model")
        if not isinstance(model, str) or model not in CONTEXT_TOKENS:
            message = "The model does not exist, or the batch API does not serve it."
            return self.blame("model_not_found", message, line=number, param="body.model")
        self.model = self.model or model
        if model != self.model:
            message = "All requests of a batch must ask the same model."
            return self.blame("mismatched_model", message, line=number, param="body.model")
        self.tokens += _tokens(body)


def read_input(path: Path, most_requests: int, most_bytes: int) -> Reading:
    """Read and check a whole input file; the sizes are the vendor's limits of one batch."""
    reading = Reading()
    if path.stat().st_size > most_bytes:
        reading.blame("file_too_large", f"The input file exceeds the maximum of {most_bytes} bytes.")
        return reading
    for number, item in requests_of(path):
        reading.take(number, item)
    if not reading.total:
        reading.blame("empty_file", "The input file holds no request.")
    if reading.total > most_requests:
        reading.blame("too_many_requests", f"The input file exceeds the maximum of {most_requests} requests.")
    return reading


def requests_of(path: Path) -> Iterator[tuple[int, Any]]:
    """Line number (from 1) and request of each line that is not blank; None for a line that is no JSON."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield number, _parsed(line)


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _tokens(body: Mapping[str, Any]) -> int:
    """Prompt tokens; none for a request that is refused later, as an item."""
    try:
        return read_prompt(body).tokens
    except ModelError:
        return 0
