"""What was answered for labelled rows, as JSON lines for whoever scores it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from include.errors import ConfigurationError
from include.models import Record


def write_lines(place: Path, lines: Iterable[Record]) -> None:
    """Write the lines as JSON; raises ConfigurationError if the file cannot be written."""
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    try:
        place.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot be written ({error.strerror})", about=str(place)) from error
