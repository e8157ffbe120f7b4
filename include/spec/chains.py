"""Use cases in the order in which their nights run: one that reads another's answers comes after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from include.errors import ConfigurationError
from include.spec.answers import Answers
from include.spec.names import names
from include.spec.use_case import UseCase, load


def reads_from(case: UseCase) -> list[str]:
    """Use cases whose answers a use case reads."""
    sources = (*case.sources, *(one.source for one in case.looked_up))
    return [one.object for one in sources if isinstance(one, Answers)]


def chain_of(name: str) -> list[str]:
    """A use case behind those whose answers it reads, and theirs, in the order in which their nights run."""
    found, left = set[str](), [name]
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left += reads_from(load(one))
    return in_order(sorted(found))


def in_order(chosen: Sequence[str] = ()) -> list[str]:
    """The chosen use cases, or all; raises ConfigurationError where they wait for each other."""
    before: Mapping[str, list[str]] = {name: reads_from(load(name)) for name in sorted(chosen or names())}
    try:
        return [name for name in TopologicalSorter(before).static_order() if name in before]
    except CycleError as error:
        circle = " <- ".join(error.args[1])
        raise ConfigurationError("wait for each other's answers", about=circle, action="Break the circle") from None
