"""Which class of data each column that a model sees is of, and whether the models of a use case may be shown it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from include.errors import ConfigurationError
from include.privacy.classes import DataClass, refused, strictest
from include.spec.agent import Agent
from include.spec.contradictions import Parts, parts_of
from include.spec.join import Join
from include.systems.files.drop import FileDrop
from include.systems.registry import System


class Asked(Protocol):
    """A model, through a system of the registry."""

    @property
    def system(self) -> str:
        """The entry."""
        ...

    @property
    def name(self) -> str:
        """The model."""
        ...


class Choice(Asked, Protocol):
    """The model that a use case names, and those that take over."""

    @property
    def failover(self) -> Sequence[Asked]:
        """Who is asked where it is down."""
        ...


class Shown(Parts, Protocol):
    """What a use case declares of what it shows."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def joins(self) -> Sequence[FileDrop]:
        """Files whose columns are put on rows."""
        ...

    @property
    def agent(self) -> Agent | None:
        """What the model may read with."""
        ...

    @property
    def model(self) -> Choice | None:
        """Who is asked."""
        ...


def hold_to_classes(case: Shown, systems: Mapping[str, System]) -> None:
    """Raise ConfigurationError naming column, class and system where a model may not be shown what the spec shows it.

    Systems that the registry does not know are no business of this check.
    """
    if case.model is None:
        return
    classes = classes_of(case, systems)
    for asked in (case.model, *case.model.failover):
        system = systems.get(asked.system)
        if system is None:
            continue
        wrong = refused(classes, case.tokenise, system.may_see, system.may_see_as_tokens)
        for column, one in wrong.items():
            as_tokens = one in system.may_see_as_tokens
            how = " without tokens for personal values" if as_tokens else ""
            raise ConfigurationError(
                f"column {column} is {one}, which `{asked.system}` ({asked.name}) may not be shown{how}",
                system=case.name,
                about="model_sees",
                action=_advice(one, as_tokens),
            )
        if case.agent is not None:
            _hold_tools(case, asked, system, case.agent, systems)


def _hold_tools(case: Shown, asked: Asked, system: System, agent: Agent, systems: Mapping[str, System]) -> None:
    """Raise ConfigurationError where a tool would show the model what it may not be shown."""
    for tool in agent.tools:
        own = systems[tool.reads.system].data_class if tool.reads.system in systems else "confidential"
        classes = {name: tool.data_classes.get(name, own) for name in tool.shows}
        for column, one in refused(classes, tool.tokenise, system.may_see, system.may_see_as_tokens).items():
            as_tokens = one in system.may_see_as_tokens
            raise ConfigurationError(
                f"column {column} of {tool.reads.system}/{tool.reads.object} is {one}, which `{asked.system}` "
                f"({asked.name}) may not be shown{' without tokens for personal values' if as_tokens else ''}",
                system=case.name,
                about=f"tool {tool.name}",
                action="Put it into the tool's `tokenise`, or take it out of `shows`"
                if as_tokens
                else "Take it out of the tool's `shows`, or ask a model that may see it",
            )


def _advice(one: DataClass, as_tokens: bool) -> str:
    if one == "payment":
        return "Take the column out of model_sees: payment data is shown to no model"
    if as_tokens:
        return "Put it into the spec's `tokenise`, or take it out of model_sees"
    return "Ask a model that may see it (`may_see` in the registry), or take it out of model_sees"


def classes_of(case: Shown, systems: Mapping[str, System]) -> dict[str, DataClass]:
    """The class of each column that the model sees: as declared, else the strictest of the systems it comes from."""
    return {name: case.data_classes.get(name) or _of_its_sources(name, case, systems) for name in case.model_sees}


def _of_its_sources(column: str, case: Shown, systems: Mapping[str, System]) -> DataClass:
    every = {one.system for one in case.sources} | {one.system for one in case.joins}
    for names in (set(_systems_of(column, case)), every):
        if known := {systems[one].data_class for one in names if one in systems}:
            return strictest(known)
    return "confidential"


def _systems_of(column: str, case: Shown) -> Iterator[str]:
    """The systems that a column's parts come from."""
    made_of = {name: parts for one in case.transforms for name, parts in one.made_of.items()}
    parts = set(parts_of(column, made_of))
    for source in case.sources:
        yield from (origin.system for name, origin in source.origins.items() if name in parts)
    for one in case.transforms:
        if isinstance(one, Join):
            yield from (origin.system for name, origin in one.origins.items() if name in parts)
    for drop in case.joins:
        if any(part.startswith(drop.prefix) for part in parts if drop.prefix):
            yield drop.system
