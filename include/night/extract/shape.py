"""The columns of dataset `raw`, as a use case declares them."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from include.errors import ConfigurationError
from include.models import Kind
from include.spec.use_case import Coalesce, UseCase
from include.staging import ARROW


def raw_schema(case: UseCase) -> pa.Schema:
    """`row_id`, `row_key` and `lineage` (JSON text), then every declared, related, dropped and derived column.

    Raises ConfigurationError for a name declared twice, or a derived column made of columns that do not fit.
    """
    kinds: dict[str, Kind] = {"row_id": "text", "row_key": "text", "lineage": "text"}
    for name, kind in _declared(case):
        _add(kinds, name, kind, case)
    for rule in case.derived:
        used = rule.first_of if isinstance(rule, Coalesce) else (rule.of,)
        found = {kinds.get(name) for name in used}
        fits = len(found) == 1 and None not in found if isinstance(rule, Coalesce) else found == {"datetime"}
        if not fits:
            raise _wrong(case, rule.name, f"is derived of {', '.join(used)}, which are not there or of different kinds")
        _add(kinds, rule.name, kinds[used[0]] if isinstance(rule, Coalesce) else "integer", case)
    return pa.schema([(name, ARROW[kind]) for name, kind in kinds.items()])


def _declared(case: UseCase) -> Iterator[tuple[str, Kind]]:
    for column in (case.source.key, case.source.modified, *case.source.columns):
        yield column.name, column.kind
    for related in case.source.related:
        yield from ((column.name, column.kind) for column in related.columns)
    for drop in case.drops:
        yield from ((drop.prefix + column.name, column.kind) for column in drop.columns)


def _add(kinds: dict[str, Kind], name: str, kind: Kind, case: UseCase) -> None:
    if name in kinds:
        raise _wrong(case, name, "is declared twice")
    kinds[name] = kind


def _wrong(case: UseCase, name: str, problem: str) -> ConfigurationError:
    return ConfigurationError(problem, system=case.name, about=f"column {name}", action="Correct the use case's spec")
