"""What every call to a model sends, by what the registry says of the model; and what a refused request means."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

from pydantic import BaseModel

from include.errors import ConfigurationError
from include.ledger.audit import Pins
from include.models import Record
from include.night.enrich.questions import ON_RECORD_ONLY, response_format, structured_output
from include.systems.connections import ModelEndpoint
from include.systems.model.client import ModelClient, Reply
from include.systems.registry import ModelSettings, System

log = logging.getLogger(__name__)
_BY_PROMPT = "{prompt}\n\nAnswer with one JSON object that fits this JSON Schema, and nothing else:\n{schema}"


class Asks(Protocol):
    """Sends one chat completion."""

    async def ask(self, body: Record) -> Reply:
        """What happened to the call."""
        ...


def equip(endpoint: ModelEndpoint, system: System, model: str) -> ModelEndpoint:
    """The endpoint with what the registry says of the model; where the connection says it too, the connection wins."""
    settings = system.settings_for(model)
    named = {"OpenAI-Organization": settings.organization, "OpenAI-Project": settings.project}
    headers = {name: value for name, value in named.items() if value} | dict(settings.headers)
    timeout = endpoint.timeout or settings.timeout_seconds or system.timeout_seconds
    first_byte = endpoint.first_byte or settings.first_byte_seconds
    if first_byte is None and not (endpoint.timeout or settings.timeout_seconds):
        first_byte = system.first_byte_seconds
    return replace(
        endpoint,
        headers={**headers, **endpoint.headers},
        query={**settings.query, **endpoint.query},
        key_header=endpoint.key_header or settings.key_header,
        timeout=timeout,
        first_byte=min(first_byte or timeout, timeout),
    )


@dataclass
class Sending:
    """What every call of one run to one model sends beside the row; `pins` are what is on record for it.

    `tried` counts the forms of structured output that the endpoint has refused.
    """

    name: str
    pins: Pins
    settings: ModelSettings
    output: type[BaseModel]
    prompt: str
    max_output: int
    tools: Sequence[Record] = ()
    tried: int = field(default=0, init=False)

    @property
    def form(self) -> str:
        """How an answer's schema is asked for now."""
        return self.settings.structured_output[self.tried]

    @property
    def on_record(self) -> Pins:
        """The pins of the next intents: they name the form once it is known which one the endpoint takes."""
        if not self.tried:
            return self.pins
        return replace(self.pins, parameters={**self.pins.parameters, **structured_output((self.form,))})

    @property
    def system_text(self) -> str:
        """The system message, with the schema where the form does not carry it."""
        return self.prompt if self.form == "json_schema" else _BY_PROMPT.format(prompt=self.prompt, schema=self._schema)

    @property
    def overhead(self) -> str:
        """What counts as tokens beside the messages; the schema once, wherever it stands."""
        schema = json.dumps(self._schema_form) if self.form == "json_schema" else ""
        return schema + (json.dumps(list(self.tools)) if self.tools else "")

    def body(self) -> Record:
        """Everything of a request but its messages: exactly the parameters on record, and the form of the answer."""
        given = {name: value for name, value in self.pins.parameters.items() if name not in ON_RECORD_ONLY}
        head = {"model": self.pins.model, **given, self.settings.token_limit: self.max_output}
        return head | self._with_tools() | self._form()

    def _with_tools(self) -> Record:
        """The tools that may be asked for, one at a time: https://platform.openai.com/docs/guides/function-calling."""
        return {"tools": list(self.tools), "parallel_tool_calls": False} if self.tools else {}

    def reform(self, body: Record) -> Record:
        """A request that was made for another form, in the form of now."""
        kept = {name: value for name, value in body.items() if name != "response_format"}
        system = {"role": "system", "content": self.system_text}
        return {**kept, **self._form(), "messages": [system, *body["messages"][1:]]}

    def _form(self) -> Record:
        forms: Record = {"json_schema": self._schema_form, "json_object": {"type": "json_object"}}
        return {"response_format": forms[self.form]} if self.form in forms else {}

    @cached_property
    def _schema_form(self) -> Record:
        return response_format(self.name, self.output)

    @cached_property
    def _schema(self) -> str:
        return json.dumps(self.output.model_json_schema(), ensure_ascii=False)


@dataclass
class Guard:
    """Between the engine and the client: what is wrong with every request is told from what is wrong with a row.

    Once a form of answer has been accepted, a refusal that names it belongs to the row.
    """

    client: Asks
    sending: Sending
    system: System
    _accepted: bool = field(default=False, init=False)

    async def ask(self, body: Record) -> Reply:
        """The reply; raises ConfigurationError naming the form or parameter that the endpoint does not take.

        Where the registry allows another form, the reply may be tried again, and is then asked for in that form.
        """
        tried = self.sending.tried
        reply = await self.client.ask(self.sending.reform(body) if tried else body)
        if reply.outcome == "answered":
            self._accepted = True
        elif reply.cause == "form" and tried < self.sending.tried:
            return replace(reply, retryable=True)
        elif reply.cause == "form" and not self._accepted:
            self._change_form(reply)
            return replace(reply, retryable=True)
        elif reply.cause == "parameter" and not self._accepted:
            raise ConfigurationError(
                f"does not take a parameter: {reply.detail}",
                system=self.system.name,
                about=self.sending.pins.model,
                action="Set `parameters` or `token_limit` of this model in the registry; nothing was paid",
            )
        return reply

    def _change_form(self, reply: Reply) -> None:
        sending, refused = self.sending, self.sending.form
        if sending.tried + 1 >= len(sending.settings.structured_output):
            raise refuse_form(self.system, sending, reply.detail)
        sending.tried += 1
        names = (self.system.name, refused, sending.form)
        log.warning("%s refuses structured output by %s; from now on it is asked by %s", *names)


def refuse_form(system: System, sending: Sending, detail: str) -> ConfigurationError:
    """The error that ends a run whose form of answer the endpoint does not take."""
    return ConfigurationError(
        f"refuses structured output by {sending.form}: {detail}",
        system=system.name,
        about=sending.pins.model,
        action="Set `structured_output` of this model in the registry (a file: --structured-output) to a form that it "
        'takes, e.g. "json_object"; nothing was paid',
    )


def make_sending(
    name: str,
    pins: Pins,
    system: System,
    output: type[BaseModel],
    prompt: str,
    max_output: int,
    tools: Sequence[Record] = (),
) -> Sending:
    """What every call sends to the pinned model of a system."""
    return Sending(name, pins, system.settings_for(pins.model), output, prompt, max_output, tools)


def open_client(endpoint: ModelEndpoint, connections: int) -> ModelClient:
    """A client with the deadlines of an endpoint that `equip` made."""
    assert endpoint.timeout is not None
    return ModelClient(endpoint, timeout=endpoint.timeout, connections=connections, first_byte=endpoint.first_byte)
