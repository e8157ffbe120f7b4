"""The columns of dataset `raw`, as a use case declares them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa

from include.errors import ConfigurationError
from include.models import Column, Kind
from include.spec.transforms import added
from include.spec.use_case import UseCase
from include.staging import ARROW

_OURS: Mapping[str, Kind] = {"row_id": "text", "row_key": "text", "lineage": "text"}


def raw_schema(case: UseCase) -> pa.Schema:
    """`row_id`, `row_key` and `lineage` (JSON text), then the columns of every source, join and transform.

    Raises ConfigurationError for a name declared twice, for one that two sources give as different kinds, and for a
    transform of columns that do not fit.
    """
    kinds = _OURS
    try:
        for column in _declared(case):
            kinds = added(kinds, column.name, column.kind)
        for transform in case.transforms:
            kinds = transform.columns(kinds)
    except ConfigurationError as error:
        raise ConfigurationError(error.problem, system=case.name, about=error.about, action=error.action) from error
    return pa.schema([(name, ARROW[kind]) for name, kind in kinds.items()])


def _declared(case: UseCase) -> Iterator[Column]:
    """Every column once, though several sources give it."""
    first, *others = case.sources
    yield from first.declared
    kinds = {column.name: column.kind for column in first.declared}
    for column in (column for source in others for column in source.declared):
        if kinds.setdefault(column.name, column.kind) != column.kind:
            problem = f"is {column.kind} in one source and {kinds[column.name]} in another"
            raise ConfigurationError(problem, about=f"column {column.name}", action="Give it one kind, or two names")
    known = {column.name for column in first.declared}
    yield from (Column(name, name, kind) for name, kind in kinds.items() if name not in known)
    for join in case.joins:
        yield from join.declared
