"""What a use case must not declare, whatever its parts are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from include.models import Mode
from include.privacy.classes import CLASSES, DataClass
from include.spec.agent import Agent, wrong_with
from include.spec.join import Join
from include.spec.reviewing import Review
from include.spec.rollout import Rollout
from include.spec.transforms import Transform
from include.systems.messages.declared import Message
from include.systems.port import Engine, Sink, Source


class Parts(Protocol):
    """The parts of a use case that may contradict each other."""

    @property
    def sources(self) -> Sequence[Source]:
        """Where rows come from."""
        ...

    @property
    def transforms(self) -> Sequence[Transform]:
        """What happens to them."""
        ...

    @property
    def sinks(self) -> Sequence[Sink]:
        """Where answers go."""
        ...

    @property
    def model_sees(self) -> Sequence[str]:
        """The columns that may enter a prompt."""
        ...

    @property
    def tokenise(self) -> Sequence[str]:
        """The columns in which personal values become tokens."""
        ...

    @property
    def data_classes(self) -> Mapping[str, DataClass]:
        """The classes of columns."""
        ...

    @property
    def local(self) -> Engine | None:
        """Who answers in the process."""
        ...

    @property
    def model(self) -> object | None:
        """Who is asked."""
        ...

    @property
    def agent(self) -> Agent | None:
        """What the model may read with."""
        ...

    @property
    def as_of_now(self) -> str | None:
        """What is read as it is now."""
        ...

    @property
    def evaluated(self) -> str:
        """Whether an evaluation must have passed."""
        ...

    @property
    def asking(self) -> str:
        """How the model is asked."""
        ...

    @property
    def never_alone(self) -> str | None:
        """Why a person decides each answer."""
        ...

    @property
    def mode(self) -> Mode:
        """How far its nights go by themselves."""
        ...

    @property
    def rollout(self) -> Rollout:
        """When they may go further."""
        ...

    @property
    def review(self) -> Review:
        """How people decide."""
        ...


def contradictions(case: Parts) -> Iterator[str]:
    """Each contradiction in one sentence, with what to do.

    A model that sees what it writes would feed on itself, night after night. The ledger keeps one write of a run for
    each record of an object, so that two sinks cannot share one.
    """
    if not case.sources:
        yield "has no source; declare where its rows come from"
    if not case.sinks:
        yield "has no sink; declare where its answers go"
    yield from _feeding_on_itself(case)
    if case.never_alone and case.mode is Mode.AUTO:
        yield "is declared auto, though never alone; declare it gated"
    for sink in case.sinks:
        if isinstance(sink, Message) and sink.outsiders and not case.never_alone:
            yield f"sends {sink.system} {sink.object} to outsiders by itself; say in never_alone why a person decides"
    if case.never_alone and case.review.at_expiry == "write":
        yield "writes what nobody has decided in time, though never alone; let it go at expiry"
    for column in sorted({*case.local.reads} - {*case.model_sees}) if case.local else ():
        yield f"answers by column {column}, by which its answers are not found again; put it into model_sees"
    yield from _of_columns_not_seen(case)
    yield from _of_an_agent(case)
    for (system, kind), count in Counter((sink.system, sink.object) for sink in case.sinks).items():
        if count > 1:
            yield f"has {count} sinks for {system} {kind}; put their fields into one"
    known = {f"{source.system}/{source.object}" for source in case.sources}
    for sink in case.sinks:
        if sink.only_from not in {None, *known}:
            where = f"{sink.system} {sink.object}"
            yield f"writes to {where} only what comes from {sink.only_from}; its sources are {', '.join(sorted(known))}"
        for name, count in Counter(sink.fields.values()).items():
            if count > 1:
                yield f"writes {count} fields of an answer to {sink.system} {sink.object} `{name}`; keep one of them"


def _of_an_agent(case: Parts) -> Iterator[str]:
    if case.agent is None:
        return
    if case.model is None:
        yield "has an agent and asks no model; name one"
    columns = [column.name for source in case.sources for column in source.declared]
    if case.evaluated == "required":
        yield "has an agent, of which no evaluation can be made; say evaluated='noted'"
    yield from wrong_with(case.agent, columns, case.as_of_now, case.asking)
    read = {
        (tool.reads.system, tool.reads.object, column.source_name)
        for tool in case.agent.tools
        for column in tool.reads.declared
    }
    for sink in case.sinks:
        for name in sorted({*sink.fields.values()}):
            if (sink.system, sink.object, name) in read:
                where = f"{sink.system} {sink.object} `{name}`"
                yield f"lets its agent read what it writes itself to {where}; take one away"


def _of_columns_not_seen(case: Parts) -> Iterator[str]:
    for declared in ("tokenise", "data_classes"):
        for column in sorted({*getattr(case, declared)} - {*case.model_sees}):
            yield f"has column {column} in {declared}, which no model sees; take it out, or put it into model_sees"
    for column, name in case.data_classes.items():
        if name not in CLASSES:
            yield f"says that column {column} is {name!r}; classes of data are {', '.join(CLASSES)}"


def _feeding_on_itself(case: Parts) -> Iterator[str]:
    origins = {name: origin for source in case.sources for name, origin in source.origins.items()}
    origins |= {n: o for one in case.transforms if isinstance(one, Join) for n, o in one.origins.items()}
    made_of = {name: parts for one in case.transforms for name, parts in one.made_of.items()}
    written = {(sink.system, sink.object, name) for sink in case.sinks for name in sink.fields.values()}
    kept = {(sink.system, sink.object, name) for sink in case.sinks for name in case.rollout.people_keep.values()}
    for column in case.model_sees:
        for part in parts_of(column, made_of):
            if part in origins and tuple(origins[part]) in written:
                where = f"{origins[part].system} {origins[part].object} `{origins[part].name}`"
                yield f"shows the model column {column}, which holds what it writes itself to {where}; take one away"
            if part in origins and tuple(origins[part]) in kept:
                where = f"{origins[part].system} {origins[part].object} `{origins[part].name}`"
                yield f"compares answers with {where}, which the model sees as {column}; take it out of people_keep"


def parts_of(column: str, made_of: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The columns that a column is made of in the end, itself where it is made of none."""
    left, seen = [column], set[str]()
    while left:
        one = left.pop()
        if one in seen:
            continue
        seen.add(one)
        yield one
        left.extend(made_of.get(one, ()))
