"""Guidelines as they are attached to the prompt in use: which there are, and what each allows to be said."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from include.addresses import links_in
from include.errors import ConfigurationError

GENERAL = "general"
_SECTION = re.compile(r"^## (?P<name>[a-z_]+)\s*$", re.MULTILINE)
_ENTRY = re.compile(r"^\* (?P<id>[A-Z]{3}-[0-9]{1,2}): (?P<text>.+(?:\n  .+)*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Guideline:
    """One guideline: the category that it is for, and its words on one line."""

    category: str
    text: str


def read_guidelines(path: Path) -> Mapping[str, Guideline]:
    """The guidelines of a file, by id; raises ConfigurationError for an id that is there twice, or a file with none."""
    parts = _SECTION.split(path.read_text(encoding="utf-8"))
    found: dict[str, Guideline] = {}
    for category, body in zip(parts[1::2], parts[2::2], strict=True):
        for hit in _ENTRY.finditer(body):
            if hit["id"] in found:
                raise ConfigurationError(f"{hit['id']} is there twice", about=path.name, action="Number it anew")
            found[hit["id"]] = Guideline(category, " ".join(hit["text"].split()))
    if not found:
        raise ConfigurationError("holds no guideline such as `* GEN-1: ...` below `## general`", about=path.name)
    return found


def of_category(found: Mapping[str, Guideline], category: str) -> set[str]:
    """The ids of the general guidelines and of those for a category."""
    return {name for name, one in found.items() if one.category in (GENERAL, category)}


def said_by(found: Mapping[str, Guideline], cited: Collection[str]) -> str:
    """The words of the cited guidelines; ids that do not exist say nothing."""
    return "\n".join(found[name].text for name in cited if name in found)


def links_of(found: Iterable[Guideline]) -> tuple[str, ...]:
    """Every address that guidelines name, once each, in their order."""
    return tuple(dict.fromkeys(link for one in found for link in links_in(one.text)))
