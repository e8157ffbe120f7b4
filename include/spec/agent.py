"""An agent as a use case declares it: the tools that it may read with, and how far it may go for one row.

A tool reads what belongs to the row, and what the model gives it chooses among that, in the process: no value of a
model enters a request, so none can choose a system, an object, an account or an address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict

from include.errors import ConfigurationError
from include.models import Record
from include.privacy.classes import DataClass
from include.systems.port import Belonging

MOST_TOOLS = 5
"""Tools of one agent; with more it should be two use cases."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")


class NoArguments(BaseModel):
    """What a tool takes that is given nothing."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One way to read. `purpose` is what the model is told of it.

    `reads` says what is read, and by which column of the row. `arguments` is a class with `extra="forbid"`; each of its
    fields is a column of `narrows`, and a value that is not null leaves only records that hold it. Of at most `reach`
    records that are read, the newest first, at most `rows` are shown with the columns `shows`, in at most `characters`.
    `data_classes` are classes of columns that differ from their system's; in the columns `tokenise` personal values
    become tokens, which no answer may hold.
    """

    name: str
    purpose: str
    reads: Belonging
    shows: tuple[str, ...]
    arguments: type[BaseModel] = NoArguments
    narrows: Mapping[str, str] = field(default_factory=dict)
    reach: int = 200
    rows: int = 20
    characters: int = 6_000
    data_classes: Mapping[str, DataClass] = field(default_factory=dict)
    tokenise: tuple[str, ...] = ()

    @property
    def contract(self) -> Record:
        """What a model can tell of it, and whatever may change what it is shown; part of the contract's hash."""
        reads = self.reads
        columns = [[one.source_name, one.name, one.kind] for one in reads.declared]
        return {
            "name": self.name,
            "purpose": self.purpose,
            "reads": [reads.system, reads.object, reads.owner, columns],
            "arguments": self.arguments.model_json_schema(),
            "narrows": dict(self.narrows),
            "shows": list(self.shows),
            "caps": [self.reach, self.rows, self.characters],
            "tokenise": list(self.tokenise),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """Its tools, and the limits of one row: whatever is exceeded ends the row on record, without an answer.

    `steps` are questions to the model, `tool_calls` reads that it asks for, `tokens` those of all its questions and
    answers, `usd` what they cost, `seconds` the time that its calls and reads take (not the time in which it waits for
    its turn). A step that could exceed tokens or money is not made. `cites` names the field of the answer that lists
    the ids of records it rests on: each must have been read for this row. `least_reads` are reads without which no
    answer counts.
    """

    tools: tuple[Tool, ...]
    steps: int = 8
    tool_calls: int = 10
    tokens: int = 40_000
    usd: Decimal = Decimal("0.05")
    seconds: float = 180.0
    cites: str = "sources"
    least_reads: int = 1

    @property
    def contract(self) -> Record:
        """What decides how a row can be answered; the limits that only end it are not part of it."""
        return {"tools": [one.contract for one in self.tools], "cites": self.cites, "least_reads": self.least_reads}

    def tool(self, name: str) -> Tool | None:
        """The tool of that name, None if none was declared."""
        return next((one for one in self.tools if one.name == name), None)


def refuse_agent(agent: Agent | None, name: str, what: str) -> None:
    """Raise ConfigurationError where a use case has an agent, for what cannot be done with one."""
    if agent is not None:
        raise ConfigurationError(
            f"has an agent, which {what}",
            about=name,
            action="Run a night in mode shadow, and judge its notes and what they cite on page Review",
        )


def wrong_with(agent: Agent, columns: Sequence[str], as_of_now: str | None, asking: str) -> Iterator[str]:
    """What an agent must not declare, each in a sentence; `columns` are those of the rows of its sources."""
    if not 1 <= len(agent.tools) <= MOST_TOOLS:
        yield f"has an agent with {len(agent.tools)} tools; give it 1 to {MOST_TOOLS}"
    names = [one.name for one in agent.tools]
    for name in sorted({one for one in names if names.count(one) > 1}):
        yield f"has two tools called {name}; rename one"
    if min(float(one) for one in (agent.steps, agent.tool_calls, agent.tokens, agent.usd, agent.seconds)) <= 0:
        yield "has an agent with a limit of zero; every limit must be above it"
    if as_of_now is None:
        yield "has an agent whose tools read what is there now; say so in `as_of_now`"
    if asking == "batch":
        yield "has an agent, which cannot be asked through a batch API; ask it live"
    for tool in agent.tools:
        yield from _wrong_with_tool(tool, columns)


def _wrong_with_tool(tool: Tool, columns: Sequence[str]) -> Iterator[str]:
    own = {one.name for one in tool.reads.declared}
    fields, named = set(tool.arguments.model_fields), f"has tool {tool.name!r}"
    if not _NAME.fullmatch(tool.name):
        yield f"{named}, which is no name; use small letters, digits and _"
    if not tool.purpose.strip():
        yield f"{named} without a purpose; say what it reads and when it helps"
    if tool.reads.owner not in columns:
        yield f"{named} by column {tool.reads.owner}, which no source gives; a row must say whose records are read"
    if tool.arguments.model_config.get("extra") != "forbid":
        yield f"{named}, whose arguments take what nobody declared; set extra='forbid'"
    if fields != set(tool.narrows):
        yield f"{named} with arguments {', '.join(sorted(fields ^ set(tool.narrows)))} that narrow nothing"
    asked = {*tool.shows, *tool.narrows.values(), *tool.tokenise, *tool.data_classes}
    if unknown := asked - own:
        yield f"{named}, which does not read {', '.join(sorted(unknown))}"
    if not tool.shows or min(tool.reach, tool.rows, tool.characters) <= 0:
        yield f"{named}, which shows nothing"


def narrowed(tool: Tool, rows: Sequence[Record], arguments: Mapping[str, Any]) -> list[Record]:
    """The records that hold the values given; texts are compared without regard to case and white space around."""
    wanted = {tool.narrows[name]: value for name, value in arguments.items() if value is not None}
    return [row for row in rows if all(_same(row.get(column), value) for column, value in wanted.items())]


def _same(held: Any, wanted: Any) -> bool:
    return str(held).strip().casefold() == str(wanted).strip().casefold() if held is not None else False
