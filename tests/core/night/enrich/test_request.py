"""What is sent to a model follows the registry, is what is on record, and is part of an answer's key."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
from aiohttp import web
from pydantic import BaseModel

from include.errors import ConfigurationError
from include.ledger.audit import Pins
from include.models import Interval, Record, RunOptions
from include.night.enrich.parse import parse_reply
from include.night.enrich.questions import address, pin
from include.night.enrich.request import Guard, Sending, equip, make_sending, open_client
from include.operations.enrich_file import FileCase
from include.run import Run
from include.spec.prompt import Prompt
from include.spec.use_case import FailurePlan, ModelChoice
from include.systems.connections import ModelEndpoint, StoredConnection, open_model
from include.systems.model.batch_client import BatchClient
from include.systems.model.client import Reply
from include.systems.registry import ModelSettings, System, read_systems
from tests.core.conftest import Ledger
from tests.core.odd_server import Seen, completion, odd_server, refusal

PROMPT = Prompt("kept", "1", "Answer.", "{{ record }}", "Again: {problem}")
INTERVAL = Interval.parse("2026-11-20T02:00", "2026-11-21T02:00")
KEY_OF_BEFORE = "156d6f577960a8a83b5aaba6dd16f4727e9b52db8d23dbaab2623fcac1266738"
KEY_OF_FAILOVER_BEFORE = "1da325158c29414447e6053f9126528ea78218cf91224d79d819fd8e0d636f3d"
PARAMETERS = {"temperature": 0, "seed": 7}
REJECTIONS: list[tuple[int, dict[str, Any]]] = [
    (400, {"message": "This response_format type is unavailable now", "type": "invalid_request_error"}),
    (500, {"message": "json_schema is not implemented"}),
    (400, {"message": "Invalid schema", "param": "response_format"}),
]


class Output(BaseModel):
    score: int


def case(model: str = "sandbox-small", **parameters: Any) -> FileCase:
    plan = FailurePlan("dead_letter", "dead_letter", "dead_letter", "it is marked")
    return FileCase(
        name="kept",
        model=ModelChoice("model", model, "p.md", parameters or PARAMETERS, 400),
        model_sees=(),
        personal=(),
        failure_plan=plan,
        cost_ceiling_usd=Decimal(5),
        output=Output,
    )


def run_of(ledger: Ledger, model: str | None = None, **parameters: Any) -> Run:
    settings: Any = None
    connections: Any = None
    options = RunOptions(model=model)
    return Run(case(**parameters), INTERVAL, "r", options, ledger.service, connections, settings)


def registry(tmp_path: Path, text: str = "", name: str = "model") -> System:
    file = tmp_path / "systems.toml"
    head = "\n".join(f'{key} = "x"' for key in ("purpose", "data", "api", "connection", "auth", "network"))
    file.write_text(f"[{name}]\n{head}\nscopes = []\nlimits = []\ntimeout_seconds = 60\n{text}")
    return read_systems(file)[name]


def key_of(pins: Pins) -> str:
    return address(pins, "1", "1", "{}", {"a": 1}, {"a": 1}).inference_key


SHIPPED = read_systems(Path("include/systems.toml"))["model"]


def test_answers_on_record_keep_their_keys(ledger: Ledger) -> None:
    assert key_of(pin(run_of(ledger), PROMPT, SHIPPED)) == KEY_OF_BEFORE
    assert key_of(pin(run_of(ledger), PROMPT, SHIPPED, "sandbox-large")) == KEY_OF_FAILOVER_BEFORE
    assert key_of(pin(run_of(ledger, "sandbox-large"), PROMPT, SHIPPED)) == KEY_OF_FAILOVER_BEFORE


def test_another_systems_answers_have_keys_of_their_own(
    ledger: Ledger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run, other = run_of(ledger), registry(tmp_path, name="trial")
    assert key_of(pin(run, PROMPT, SHIPPED)) == KEY_OF_BEFORE
    with caplog.at_level(logging.INFO):
        pins = pin(run, PROMPT, other)
    assert pins.parameters["endpoint"] == "trial"
    assert "sandbox-small is asked at trial: no answer from model is used again for it" in caplog.text
    assert key_of(pins) != KEY_OF_BEFORE
    assert key_of(pin(run, PROMPT, SHIPPED)) == KEY_OF_BEFORE, "who was first stays it"
    as_good = replace(other, answers_as="model")
    assert key_of(pin(run, PROMPT, as_good)) == KEY_OF_BEFORE


def test_an_address_is_never_taken_for_the_system_of_answers_on_record(ledger: Ledger) -> None:
    at = replace(SHIPPED, answers_as="https://trial.example#12345678")
    assert pin(run_of(ledger), PROMPT, at).parameters["endpoint"] == "https://trial.example#12345678"
    assert key_of(pin(run_of(ledger), PROMPT, SHIPPED)) == KEY_OF_BEFORE


@pytest.mark.parametrize(
    ("text", "model", "sent"),
    [
        ("", None, PARAMETERS),
        ("", "other", {}),
        ('[model.models.other]\nparameters = ["seed"]', "other", {"seed": 7}),
        ('[model.models.sandbox-small]\nparameters = ["seed"]', None, {"seed": 7}),
        ('[model.models.other]\nalways = { reasoning_effort = "low" }', "other", {"reasoning_effort": "low"}),
        ('[model.models.other]\nparameters = ["seed"]', "other-2026-01-01", {"seed": 7}),
        ('[model.request]\nparameters = ["seed"]', "other", {"seed": 7}),
    ],
)
def test_a_model_gets_the_parameters_that_it_takes_and_what_is_left_out_is_said(
    ledger: Ledger,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    text: str,
    model: str | None,
    sent: Record,
) -> None:
    system = registry(tmp_path, text)
    pins = pin(run_of(ledger), PROMPT, system, model)
    body = make_sending("kept", pins, system, Output, "Answer.", 400).body()
    assert {
        name: body[name] for name in body if name not in ("model", "max_completion_tokens", "response_format")
    } == sent
    assert pins.parameters == {**sent, "max_output_tokens": 400}
    for name in PARAMETERS.keys() - sent.keys():
        assert name in caplog.text


def sending_for(ledger: Ledger, system: System, output: type[BaseModel] = Output) -> Sending:
    return make_sending("kept", pin(run_of(ledger), PROMPT, system), system, output, "Answer.", 400)


def test_a_limit_by_another_name_is_on_record_and_asks_nothing_again(ledger: Ledger, tmp_path: Path) -> None:
    sending = sending_for(ledger, registry(tmp_path, '[model.request]\ntoken_limit = "max_tokens"'))
    assert sending.body()["max_tokens"] == 400
    assert "max_completion_tokens" not in sending.body()
    assert sending.pins.parameters["token_limit"] == "max_tokens"
    assert key_of(sending.pins) == KEY_OF_BEFORE


@pytest.mark.parametrize("form", ["json_object", "none"])
def test_a_form_without_the_schema_has_it_in_the_prompt_and_a_key_of_its_own(
    ledger: Ledger, tmp_path: Path, form: str
) -> None:
    sending = sending_for(ledger, registry(tmp_path, f'[model.request]\nstructured_output = "{form}"'))
    assert sending.body().get("response_format") == {"json_object": {"type": "json_object"}, "none": None}[form]
    assert sending.system_text.startswith("Answer.\n")
    assert json.dumps(Output.model_json_schema()) in sending.system_text
    assert sending.pins.parameters["structured_output"] == form
    assert key_of(sending.pins) != KEY_OF_BEFORE


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('token_limit = "max"', "token_limit"),
        ('structured_output = "yaml"', "structured_output"),
        ("structured_output = []", "structured_output"),
        ('parameters = ["messages"]', "messages"),
        ("always = { stream = true }", "stream"),
        ("timeout_seconds = 0", "timeout_seconds"),
        ('temperature = "0"', "temperature"),
    ],
)
@pytest.mark.parametrize("table", ["request", "models.m"])
def test_a_setting_that_makes_no_call_is_named(tmp_path: Path, table: str, text: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named) as caught:
        registry(tmp_path, f"[model.{table}]\n{text}")
    assert "[model]" in str(caught.value)


# On the wire


def ask_guarded(sending: Sending, system: System, url: str, calls: int = 1, **endpoint: Any) -> list[Reply]:
    async def run() -> list[Reply]:
        equipped = equip(ModelEndpoint(url, "sk-1", **endpoint), system, sending.pins.model)
        async with open_client(equipped, 2) as client:
            guard = Guard(client, sending, system)
            messages = [{"role": "system", "content": "Answer."}, {"role": "user", "content": "{}"}]
            body = {**sending.body(), "messages": messages}
            return [await guard.ask(body) for _ in range(calls)]

    return asyncio.run(run())


def takes(*forms: str, rejection: tuple[int, dict[str, Any]]) -> Callable[[Seen], web.Response]:
    def answer(seen: Seen) -> web.Response:
        asked = seen.json.get("response_format", {"type": "none"})["type"]
        return completion('{"score": 1}') if asked in forms else refusal(rejection[0], **rejection[1])

    return answer


@pytest.mark.parametrize("rejection", REJECTIONS)
def test_a_form_that_is_refused_gives_way_to_the_next_where_the_registry_allows_it(
    ledger: Ledger, tmp_path: Path, caplog: pytest.LogCaptureFixture, rejection: tuple[int, dict[str, Any]]
) -> None:
    system = registry(tmp_path, '[model.request]\nstructured_output = ["json_schema", "json_object", "none"]')
    sending = sending_for(ledger, system)
    before = key_of(sending.pins)
    with odd_server(takes("json_object", rejection=rejection)) as server:
        replies = ask_guarded(sending, system, f"{server.url}/v1", calls=3)
    assert [(one.outcome, one.retryable) for one in replies] == [
        ("http_error", True),
        ("answered", False),
        ("answered", False),
    ]
    assert parse_reply(replies[-1], Output).answer == {"score": 1}
    assert '"score"' in server.seen[-1].json["messages"][0]["content"], "the schema is in the prompt"
    assert caplog.text.count("refuses structured output by json_schema; from now on it is asked by json_object") == 1
    assert sending.pins.parameters["structured_output"] == "json_schema, else json_object, else none"
    assert sending.on_record.parameters["structured_output"] == "json_object"
    assert key_of(sending.pins) == before


@pytest.mark.parametrize("rejection", REJECTIONS)
def test_a_form_that_is_refused_is_named_where_there_is_no_other(
    ledger: Ledger, tmp_path: Path, rejection: tuple[int, dict[str, Any]]
) -> None:
    system = registry(tmp_path)
    with (
        odd_server(takes("none", rejection=rejection)) as server,
        pytest.raises(ConfigurationError, match="refuses structured output by json_schema") as caught,
    ):
        ask_guarded(sending_for(ledger, system), system, f"{server.url}/v1")
    assert "structured_output" in caught.value.action


def test_once_a_form_was_accepted_its_refusal_is_the_rows_own(ledger: Ledger, tmp_path: Path) -> None:
    system, answers = registry(tmp_path), [completion('{"score": 1}'), refusal(400, "json_schema: no such token")]
    with odd_server(lambda _: answers.pop(0)) as server:
        replies = ask_guarded(sending_for(ledger, system), system, f"{server.url}/v1", calls=2)
    assert (replies[1].outcome, replies[1].retryable) == ("http_error", False)


@pytest.mark.parametrize(
    "error",
    [
        {"message": "Unsupported parameter", "param": "max_completion_tokens", "code": "unsupported_parameter"},
        {"message": "Unsupported value: 'temperature' does not support 0 with this model."},
    ],
)
def test_a_parameter_that_is_not_taken_is_named_at_once(ledger: Ledger, tmp_path: Path, error: Record) -> None:
    system = registry(tmp_path)
    with (
        odd_server(lambda _: refusal(400, **error)) as server,
        pytest.raises(ConfigurationError, match="Unsupported") as caught,
    ):
        ask_guarded(sending_for(ledger, system), system, f"{server.url}/v1")
    assert "parameters" in caught.value.action


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        ({"message": "'max_tokens' is too large: this model's maximum context length is 512 tokens"}, "too_large"),
        ({"message": "Please shorten it", "code": "context_length_exceeded", "param": "messages"}, "too_large"),
        ({"message": "Blocked", "code": "content_filter"}, "policy"),
        ({"message": "Your request was flagged by moderation"}, "policy"),
        ({"message": "Bad request"}, ""),
    ],
)
def test_what_a_row_is_rejected_for_is_not_taken_for_the_request(
    ledger: Ledger, tmp_path: Path, error: Record, cause: Literal["too_large", "policy", ""]
) -> None:
    system = registry(tmp_path)
    with odd_server(lambda _: refusal(400, **error)) as server:
        (reply,) = ask_guarded(sending_for(ledger, system), system, f"{server.url}/v1")
    assert (reply.outcome, reply.retryable, reply.cause) == ("http_error", False, cause)


AZURE = """[model.request]
key_header = "api-key"
query = { api-version = "2026-01-01", deployment = "registry" }
headers = { x-team = "data" }
organization = "org-1"
project = "proj-1"
"""


def test_headers_query_and_key_go_with_every_call_and_batch(ledger: Ledger, tmp_path: Path) -> None:
    system = registry(tmp_path, AZURE)
    kwargs = {"default_query": {"deployment": "mine"}, "default_headers": {"x-cost-centre": "7"}, "project": "proj-2"}
    with odd_server(
        lambda seen: completion("{}") if "chat" in seen.target else web.json_response({"data": []})
    ) as server:
        connection = StoredConnection("m", f"{server.url}/v1", password="sk-1", extra={"openai_client_kwargs": kwargs})
        endpoint = open_model(connection)
        given = {"headers": endpoint.headers, "query": endpoint.query}
        ask_guarded(sending_for(ledger, system), system, f"{server.url}/v1", **given)

        async def find() -> None:
            async with BatchClient(equip(endpoint, system, "sandbox-small")) as client:
                await client.find("ours")

        asyncio.run(find())
    for seen in server.seen:
        assert "api-version=2026-01-01" in seen.target
        assert "deployment=mine" in seen.target, "the connection wins"
        told = {name: seen.headers.get(name) for name in ("api-key", "authorization", "x-team", "x-cost-centre")}
        assert told == {"api-key": "sk-1", "authorization": None, "x-team": "data", "x-cost-centre": "7"}
        assert (seen.headers["openai-organization"], seen.headers["openai-project"]) == ("org-1", "proj-2")
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    ("connection", "model", "expected"),
    [
        ({}, "m", (60.0, 40.0)),
        ({}, "slow", (300.0, 300.0)),
        ({}, "late", (60.0, 10.0)),
        ({"timeout": 90.0}, "m", (90.0, 90.0)),
        ({"timeout": 90.0}, "slow", (90.0, 90.0)),
    ],
)
def test_deadlines_are_the_connections_else_the_models_else_the_systems(
    tmp_path: Path, connection: dict[str, float], model: str, expected: tuple[float, float]
) -> None:
    models = "[model.models.slow]\ntimeout_seconds = 300.0\n[model.models.late]\nfirst_byte_seconds = 10.0"
    system = registry(tmp_path, f"first_byte_seconds = 40.0\n{models}")
    equipped = equip(ModelEndpoint("http://x", "k", **connection), system, model)  # type: ignore[arg-type]
    assert (equipped.timeout, equipped.first_byte) == expected


def test_the_settings_of_a_model_stand_over_those_of_its_system(tmp_path: Path) -> None:
    request = '[model.request]\ntoken_limit = "max_tokens"\nheaders = { a = "1", b = "1" }\n'
    system = registry(tmp_path, f'{request}[model.models.m]\nheaders = {{ b = "2" }}')
    assert system.settings_for("m") == ModelSettings(token_limit="max_tokens", headers={"a": "1", "b": "2"})
    assert system.settings_for("other").headers == {"a": "1", "b": "1"}
