"""What answers of the CRM v3 API hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from include.errors import ContractBroken
from include.models import Column, Record
from include.systems.files.formats.values import clean_text
from include.systems.registry import System


def results_of(answer: Any, system: System, about: str, is_one: Callable[[Any], bool]) -> list[Record]:
    """The answer's `results`; raises ContractBroken unless it is a list in which `is_one` holds for each."""
    results = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(results, list) or not all(isinstance(item, dict) and is_one(item) for item in results):
        raise ContractBroken("`results` is not what the v3 API promises", system=system.name, about=about)
    return results


def is_object(item: Record) -> bool:
    """Whether it is a record with an id and properties."""
    return str(item.get("id", "")).isdecimal() and isinstance(item.get("properties"), dict)


def has_name(item: Record) -> bool:
    """Whether it is something with a name, as the definition of a property."""
    return isinstance(item.get("name"), str)


def present(properties: Record) -> Record:
    """The properties that have a value."""
    return {name: value for name, value in properties.items() if value is not None}


def as_text(raw: Record, columns: Iterable[Column]) -> Record:
    """What came for the columns, as text that any database can hold."""
    came = ((column.name, raw.get(column.source_name)) for column in columns)
    return {name: None if value is None else clean_text(str(value)) for name, value in came}
