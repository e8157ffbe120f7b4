"""An agent's engine: a conversation for each row, every question through the same limits as any other.

Nothing that a model says is trusted: a tool is one of those declared or none, its arguments only choose among the row's
own records, an answer must rest on records that it was shown, and whatever runs out or goes in circles ends the row.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from include.canonical import canonical
from include.ledger.audit import Result
from include.ledger.conversations import STEP
from include.models import Record
from include.night.enrich.asking import Asking, Ending, Place, Settled
from include.night.enrich.dispatch import SWITCHED_OFF, TAKEN, Dispatcher, ending_of, said_in
from include.night.enrich.journal import Taken
from include.night.enrich.parse import CUT_OFF, Parsed, in_words
from include.night.enrich.questions import Question, estimate_tokens, most_tokens
from include.night.enrich.talk import MOST_FAILED, MOST_REPEATED, Talk
from include.night.enrich.toolbox import Read, Toolbox
from include.personal import tokenise_all
from include.spec.agent import Agent, Tool
from include.systems.model.client import Reply, ToolCall

_NO_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_ARGUMENTS = 500
_HAD = "You have had this already: it stands above, and will not change. Ask for something else, or answer."
NOT_WHOLE = "a read has failed, so the answer would not be whole: ask for it once more"
_FAILED = "This could not be read now. You may ask for it once more."


@dataclass(kw_only=True)
class Conversing(Dispatcher):
    """Lets the model read with tools before it answers; `recall` gives what is on record of a row's conversation."""

    agent: Agent
    toolbox: Toolbox
    recall: Callable[[Question], Talk]
    _talks: dict[str, Talk] = field(default_factory=dict, init=False)

    async def _settle(self, question: Question, place: Place) -> Settled:
        key = question.item.inference_key
        self._talks[key] = talk = await asyncio.to_thread(self.recall, question)
        try:
            return await self._converse(talk, place)
        finally:
            del self._talks[key]

    async def _converse(self, talk: Talk, place: Place) -> Settled:
        question, messages = talk.question, self.opening(talk.question)
        kind, reasked, tries = "ask", 0, 0
        while True:
            known = talk.recall(messages)
            if known is not None:
                parsed = Parsed("tools", known)
                talk.steps += 1
            else:
                heard = await self._until_heard(question, messages, kind, tries, place)
                if isinstance(heard, Settled):
                    return heard
                tries, parsed = heard.tries, heard.parsed
                if parsed.outcome == "ok":
                    return Settled(question, "answered", "", tries, parsed.answer, heard.inference_id)
                if parsed.outcome != "tools":
                    if parsed.outcome == "refused" or parsed.in_vain or reasked >= self.reasks:
                        ending: Ending = "unread" if talk.unread and parsed.outcome == "invalid" else ending_of(parsed)
                        return Settled(question, ending, parsed.problem, tries)
                    reasked, kind = reasked + 1, "re-ask"
                    messages = [*messages, *self._correction(heard.reply, parsed)]
                    continue
            answered = await self._answer_calls(talk, parsed.answer or {}, tries)
            if isinstance(answered, Settled):
                return answered
            kind, messages = STEP, [*messages, *answered]

    # What the model may do

    async def _answer_calls(self, talk: Talk, asked: Record, tries: int) -> list[Record] | Settled:
        """The model's calls and what each of them gave, as messages; or how the row ends."""
        calls, given = asked["tool_calls"], list[Record]()
        first = talk.tool_calls
        for call in calls:
            talk.tool_calls += 1
            if talk.tool_calls > talk.agent.tool_calls:
                most = f"it may have {talk.agent.tool_calls} reads, and asks for more"
                return Settled(talk.question, "tool_calls", most, tries)
            said = await self._answer_call(talk, call, tries)
            if isinstance(said, Settled):
                return said
            given.append({"role": "tool", "tool_call_id": f"call_{talk.tool_calls}", "content": said})
        named = [
            {"id": f"call_{at}", "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
            for at, call in enumerate(calls, first + 1)
        ]
        return [{"role": "assistant", "content": None, "tool_calls": named}, *given]

    async def _answer_call(self, talk: Talk, call: Mapping[str, str], tries: int) -> str | Settled:
        tool, arguments, wrong = _understood(talk.agent, call)
        if tool is None or arguments is None:
            talk.misused += 1
            if talk.misused > self.reasks:
                return Settled(
                    talk.question, "misused", f"{talk.misused} calls that fit no tool; the last: {wrong}", tries
                )
            return f"Nothing was read: {wrong}."
        had = f"{tool.name} {canonical(arguments)}"
        if had in talk.had:
            talk.repeated += 1
            if talk.repeated > MOST_REPEATED:
                return Settled(talk.question, "loop", f"{tool.name} was asked for what it had given before", tries)
            return _HAD
        return await self._read(talk, tool, arguments, had, tries)

    async def _read(self, talk: Talk, tool: Tool, arguments: Record, had: str, tries: int) -> str | Settled:
        if (late := talk.late()) is not None:
            return Settled(talk.question, *late, tries)
        left = talk.agent.seconds - talk.seconds
        found = await self.toolbox.read(tool, arguments, talk.question.item, self.journal, talk.tool_calls, left)
        if isinstance(found, Taken):
            if found is Taken.OFF:
                return Settled(talk.question, "unavailable", SWITCHED_OFF, tries)
            return Settled(talk.question, "taken", TAKEN, tries)
        read, result = found
        if result is not None:
            talk.count(result)
            self.counts["tool_reads"] += 1
        return self._shown(talk, had, read, tries)

    def _shown(self, talk: Talk, had: str, read: Read, tries: int) -> str | Settled:
        if read.problem:
            talk.failed += 1
            talk.unread[had] = read.problem
            if talk.failed > MOST_FAILED:
                return Settled(talk.question, "unread", read.problem, tries)
            return _FAILED
        talk.had.add(had)
        talk.unread.pop(had, None)
        talk.ids.update(read.ids)
        talk.reads += 1
        return read.text

    # What the engine asks of a conversation

    def over(self, question: Question, messages: Sequence[Record], tries: int) -> Settled | None:
        """How a row ends whose next question could take more than it may."""
        talk, texts = self._talks[question.item.inference_key], [said_in(one) for one in messages]
        tokens = estimate_tokens(*texts) + self.overhead[0]
        if tokens + self.max_output > self.context:
            size = f"about {tokens} tokens and {self.max_output} for the answer do not fit {self.context}"
            return Settled(question, "too_large", size, tries)
        most = self.price.cost(most_tokens(*texts) + self.overhead[1], self.max_output)
        over = talk.over(tokens + self.max_output, most)
        return Settled(question, *over, tries) if over else None

    def seconds_left(self, question: Question) -> float | None:
        """What the next call may take of the row's time."""
        talk = self._talks[question.item.inference_key]
        return max(talk.agent.seconds - talk.seconds, 0.001)

    def count(self, question: Question, result: Result) -> None:
        """Count the call against the row's limits; one that was answered is a step."""
        talk = self._talks[question.item.inference_key]
        talk.count(result)
        talk.steps += result.outcome in ("ok", "invalid", "empty", "refused", "tools")

    def read(self, asking: Asking, reply: Reply) -> Parsed:
        """An answer, held against what the row's tools have shown; or the tools that are asked for."""
        talk = self._talks[asking.question.item.inference_key]
        if reply.tool_calls and not reply.refusal and reply.finish_reason != "content_filter":
            if reply.finish_reason == "length":
                return Parsed("invalid", problem=CUT_OFF)
            calls = [_normal(one, talk.secret) for one in reply.tool_calls[: talk.agent.tool_calls + 1]]
            return Parsed("tools", {"tool_calls": calls})
        parsed = super().read(asking, reply)
        if parsed.answer is None:
            return parsed
        if talk.unread:
            return Parsed("invalid", problem=NOT_WHOLE)
        wrong = talk.objects_to(parsed.answer)
        return Parsed("invalid", problem=wrong) if wrong else parsed


def _normal(call: ToolCall, secret: str) -> dict[str, str]:
    """A call as it goes on record and back to the model: no name that the vendor would refuse, no personal value."""
    name = _NO_NAME.sub("_", call.name)[:64] or "unnamed"
    try:
        arguments = canonical(json.loads(call.arguments or "{}"))
    except (ValueError, RecursionError, TypeError):
        arguments = call.arguments
    said: str = tokenise_all(arguments[:_LONGEST_ARGUMENTS], secret)
    return {"name": name, "arguments": said}


def _understood(agent: Agent, call: Mapping[str, str]) -> tuple[Tool | None, Record | None, str]:
    """The declared tool and its arguments, or in words what is wrong with a call; no value of it is repeated."""
    tool = agent.tool(call["name"])
    if tool is None:
        return None, None, f"there is no such tool; there are {', '.join(one.name for one in agent.tools)}"
    try:
        arguments: Record = tool.arguments.model_validate_json(call["arguments"] or "{}").model_dump(mode="json")
    except ValidationError as error:
        return tool, None, f"the arguments of {tool.name} do not fit: {in_words(error)}"
    return tool, arguments, ""
