"""The public set of texts with labelled personal values, and how much of it is found."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from include.personal import Found
from include.settings import ROOT

SET = ROOT.parent / "shared" / "data" / "pii_presidio_synth" / "synth_dataset_v2_dev.json"
STRUCTURED = (
    *("CREDIT_CARD", "DOMAIN_NAME", "EMAIL_ADDRESS", "IBAN_CODE", "IP_ADDRESS", "PHONE_NUMBER"),
    *("US_DRIVER_LICENSE", "US_SSN", "ZIP_CODE"),
)
"""Kinds that a form tells."""
Finder = Callable[[str], Iterable[Found]]


@dataclass
class Recall:
    """Spans by kind, all and those of which no letter and no digit is left to read; words that are nobody's."""

    spans: Counter[str] = field(default_factory=Counter)
    masked: Counter[str] = field(default_factory=Counter)
    clean_words: int = 0
    clean_words_masked: int = 0
    clean_rows: int = 0
    clean_rows_masked: int = 0
    seconds: float = 0.0
    rows: int = 0

    def of(self, *kinds: str) -> float:
        """The share of the spans of these kinds that is masked."""
        return sum(self.masked[one] for one in kinds) / sum(self.spans[one] for one in kinds)


def read_set() -> list[dict[str, Any]]:
    """The rows of the set."""
    rows: list[dict[str, Any]] = json.loads(SET.read_text(encoding="utf-8"))
    return rows


def measure(rows: Iterable[dict[str, Any]], find: Finder) -> Recall:
    """What a finder masks in rows."""
    said = Recall()
    for row in rows:
        text: str = row["full_text"]
        began = time.perf_counter()
        found = list(find(text))
        said.seconds += time.perf_counter() - began
        said.rows += 1
        masked = {at for one in found for at in range(one.start, one.end)}
        labelled = set[int]()
        for span in row["spans"]:
            places = range(span["start_position"], span["end_position"])
            labelled |= set(places)
            said.spans[span["entity_type"]] += 1
            said.masked[span["entity_type"]] += all(at in masked or not text[at].isalnum() for at in places)
        said.clean_rows += not row["spans"]
        said.clean_rows_masked += bool(found) and not row["spans"]
        clean = [hit.start() for hit in re.finditer(r"\w+", text) if hit.start() not in labelled]
        said.clean_words += len(clean)
        said.clean_words_masked += sum(at in masked for at in clean)
    return said
