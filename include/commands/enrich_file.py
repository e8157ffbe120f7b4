"""`enrich`: ask a model about every line of a file, with the ledger on."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import importlib
import json
import os
import sys
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from include.errors import ConfigurationError
from include.models import Mode, ReInfer, RunOptions
from include.settings import Settings
from include.spec.use_case import FailurePlan, ModelChoice
from include.systems.connections import EnvironmentConnections, ModelEndpoint
from include.systems.network import address_of
from include.systems.registry import FORMS, TOKEN_LIMITS, System, Window, read_systems

if TYPE_CHECKING:
    from pydantic import BaseModel

    from include.operations.enrich_file import FileCase
    from include.spec.prompt import Prompt

MINUTE = 60.0


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = (
        "One row a line, in; one result a line, out, in the same order. The key comes from OPENAI_API_KEY."
    )
    parser.add_argument("--input", type=Path, required=True, metavar="JSONL", help="one JSON object a line")
    parser.add_argument("--output", type=Path, required=True, metavar="JSONL", help="written whole, at the end")
    parser.add_argument("--prompt", type=Path, required=True, metavar="FILE", help="with or without front matter")
    parser.add_argument("--output-model", required=True, metavar="MODULE:CLASS", help="pydantic class of an answer")
    parser.add_argument("--model", help="default: the one that the registry's system serves first")
    parser.add_argument("--base-url", help="default: OPENAI_BASE_URL, or the system's connection")
    parser.add_argument("--rpm", type=int, help="requests a minute of this key")
    parser.add_argument("--tpm", type=int, help="tokens a minute of this key")
    parser.add_argument("--concurrency", type=int, help="calls in flight at most")
    parser.add_argument("--budget", metavar="USD", default="5", help="ceiling of the run (default 5)")
    parser.add_argument("--max-output-tokens", type=int, default=400, help="of one answer (default 400)")
    parser.add_argument(
        "--answers-personal",
        metavar="FIELDS",
        default="",
        help="fields of an answer, separated by commas, that are there to hold e-mail addresses and the like; "
        "elsewhere these become tokens",
    )
    parser.add_argument("--system", metavar="NAME", help="registry entry with limits and settings of its models")
    parser.add_argument(
        "--structured-output",
        metavar="FORM[,FORM]",
        help=f"how the answer's schema is asked for, in order of preference: {', '.join(FORMS)}",
    )
    parser.add_argument("--token-limit", choices=TOKEN_LIMITS, help="the field that bounds an answer")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="of a whole call")
    parser.set_defaults(command=run)


def run(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0 when every line has an answer, 1 when some have none; prints one line of JSON with the counts."""
    from include.ledger import door
    from include.operations.enrich_file import enrich_file, open_file_run
    from include.spec.prompt import read_any_prompt

    settings = Settings.read()
    settings = dataclasses.replace(settings, concurrency=given.concurrency or settings.concurrency)
    endpoint, system = _system(given, settings)
    prompt = read_any_prompt(given.prompt)
    case = _case(given, prompt, system)
    settings = dataclasses.replace(settings, token_secret=os.environ.get("NIGHTLEDGER_TOKEN_SECRET", ""))
    door.require_token_secret(settings)
    ledger = door.open_ledger(EnvironmentConnections())
    options = RunOptions(mode=Mode.SHADOW, re_infer=ReInfer.FAILED, model=case.asked.name)
    file_run = open_file_run(case, prompt, given.input, ledger, settings, options)
    counts = enrich_file(file_run, prompt, system, endpoint, given.input, given.output)
    out.write(json.dumps(counts) + "\n")
    return 0 if counts.get("answered", 0) == counts["rows"] else 1


def _case(given: argparse.Namespace, prompt: Prompt, system: System) -> FileCase:
    from include.operations.enrich_file import FileCase

    model = given.model or next(iter(system.context_tokens), None)
    if model is None:
        raise ConfigurationError("says which model to ask", about="--model", action="Name one")
    return FileCase(
        name=f"file_{prompt.name}",
        model=ModelChoice(system.name, model, str(given.prompt), {}, given.max_output_tokens),
        model_sees=(),
        personal=(),
        answers_personal=tuple(name.strip() for name in given.answers_personal.split(",") if name.strip()),
        failure_plan=FailurePlan("dead_letter", "dead_letter", "dead_letter", "the line is marked in the result"),
        cost_ceiling_usd=_money(given.budget),
        output=_output(given.output_model),
    )


def _system(given: argparse.Namespace, settings: Settings) -> tuple[ModelEndpoint, System]:
    """Where to ask, under which limits and how: a registry entry, or the flags; the key's limits are shared.

    Answers belong to the registry entry, or to the address where another one than the entry's is asked.
    """
    windows = (
        [Window(MINUTE, given.rpm, given.tpm, refills=True)] if given.rpm is not None or given.tpm is not None else []
    )
    key, url = os.environ.get("OPENAI_API_KEY", ""), given.base_url or os.environ.get("OPENAI_BASE_URL")
    if given.system:
        system = _named(given.system, settings)
        system = dataclasses.replace(system, limits=tuple(windows)) if windows else system
        endpoint = ModelEndpoint(url, key) if key else EnvironmentConnections().open("model", system.connection)
        endpoint = dataclasses.replace(endpoint, base_url=given.base_url or endpoint.base_url)
        if key or given.base_url:
            system = dataclasses.replace(system, answers_as=address_of(endpoint.base_url))
        return endpoint, _asked_as(given, system)
    if not key:
        raise ConfigurationError(
            "is not set", about="OPENAI_API_KEY", action="Set it, or name a --system with a connection"
        )
    name = "key-" + hashlib.sha256(f"{url}|{key}".encode()).hexdigest()[:12]
    system = System(
        name=name,
        purpose="a key given on the command line",
        data="the lines of a file",
        api="OpenAI chat completions",
        connection="",
        auth="API key",
        network="",
        scopes=(),
        timeout_seconds=60.0,
        limits=tuple(windows),
        answers_as=address_of(url),
    )
    return ModelEndpoint(url, key), _asked_as(given, system)


def _named(name: str, settings: Settings) -> System:
    systems = read_systems(settings.systems_file)
    if name not in systems:
        raise ConfigurationError(f"not in the registry; known: {', '.join(systems)}", system=name)
    return systems[name]


def _asked_as(given: argparse.Namespace, system: System) -> System:
    """The system with what the flags say about its models, over what the registry says."""
    forms = tuple(given.structured_output.split(",")) if given.structured_output else None
    said = {"structured_output": forms, "token_limit": given.token_limit, "timeout_seconds": given.timeout}
    changed = {name: value for name, value in said.items() if value is not None}
    models = {name: dataclasses.replace(settings, **changed) for name, settings in system.models.items()}
    return dataclasses.replace(system, request=dataclasses.replace(system.request, **changed), models=models)


def _output(name: str) -> type[BaseModel]:
    from pydantic import BaseModel

    sys.path.insert(0, os.getcwd())
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute or "Output")
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"cannot be imported: {error}", about=f"--output-model {name}") from error
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise ConfigurationError("is no pydantic model class", about=f"--output-model {name}")
    return found


def _money(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(0)
    if not (amount.is_finite() and amount > 0):
        raise ConfigurationError("must be an amount of US dollars above 0", about="--budget")
    return amount
