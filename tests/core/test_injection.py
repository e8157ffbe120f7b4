"""Whole nights of hostile records against a model that obeys them: what is written is what an honest night writes."""

from __future__ import annotations

import csv
import json
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import Engine, text

from include.database import open_database
from include.demo.sandbox.config import Endpoints, SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.demo.stack.environment import sandbox_connections
from include.ledger.record import open_run
from include.ledger.schema import SERVICE_ROLE
from include.ledger.verify import verify
from include.models import Interval, Mode, Record, RunKey, RunOptions
from include.night.check.check import check
from include.night.enrich.enrich import enrich
from include.night.extract.extract import extract
from include.night.gate.answers import check_answers
from include.night.gate.gate import gate
from include.night.write.write import write
from include.run import Night
from include.settings import Settings
from include.spec.prompt import load_prompt
from include.spec.use_case import UseCase, load
from include.stages import close
from include.systems.connections import EnvironmentConnections
from tests.core.conftest import Postgres
from tests.core.hostile_records import HOSTILE, PLAIN
from tests.core.obeying_model import ObeyingModel, running_model

END = datetime(2026, 11, 20, 2, tzinfo=UTC)
CASES = {"crm_lead_scoring": "lead", "support_triage": "ticket"}


@dataclass
class Done:
    """What one night left behind."""

    case: UseCase
    engine: Engine
    status: Record
    model: ObeyingModel
    reached: set[tuple[str, int]]
    declared: set[int]
    planted: int

    def rows(self, query: str) -> list[Any]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query)).all()]

    def writes(self) -> dict[tuple[str, str, str, str], frozenset[str]]:
        """Row, destination, object and record of every write, with the names of its fields."""
        query = "SELECT row_id, destination, object, external_id, fields FROM nightledger.outbox_intent"
        return {tuple(row[:4]): frozenset(row[4]) for row in self.rows(query)}


def plant_leads(e: Endpoints) -> int:
    """Every hostile text into a contact of the CRM, by turns as what it is interested in and as its title."""
    head = {"Authorization": f"Bearer {e.crm_token}"}
    url = f"{e.crm_url}/crm/v3/objects/contacts"
    found = requests.get(f"{url}?limit=100", headers=head, timeout=10).json()["results"]
    texts = list(HOSTILE.values())
    inputs = [
        {"id": one["id"], "properties": {"product_interest" if at % 2 else "jobtitle": said}}
        for at, (one, said) in enumerate(zip(found, texts, strict=False))
    ]
    requests.post(f"{url}/batch/update", json={"inputs": inputs}, headers=head, timeout=10).raise_for_status()
    return len(inputs)


def plant_tickets(e: Endpoints) -> int:
    """Every hostile text as the body of a ticket: half in the CRM, the rest in the service desk's file."""
    head = {"Authorization": f"Bearer {e.crm_token}"}
    url = f"{e.crm_url}/crm/v3/objects/tickets"
    names = "helpdesk_ticket_id"
    found = requests.get(f"{url}?limit=100&properties={names}", headers=head, timeout=10).json()["results"]
    texts = list(HOSTILE.values())
    free = [one["id"] for one in found if not one["properties"].get(names)][:50]
    inputs = [{"id": number, "properties": {"content": said}} for number, said in zip(free, texts, strict=False)]
    requests.post(f"{url}/batch/update", json={"inputs": inputs}, headers=head, timeout=10).raise_for_status()
    (path,) = (Path(e.state) / "sftp").glob("drop/tickets_2026-11-19.csv")
    return len(inputs) + _into_file(path, texts[len(inputs) :])


def _into_file(path: Path, texts: list[str]) -> int:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row, said in zip(rows, texts, strict=False):
        row["body"] = said
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, rows[0])
        out.writeheader()
        out.writerows(rows)
    for beside in path.parent.glob(f"{path.name}.*"):
        beside.unlink()
    return min(len(rows), len(texts))


PLANT: dict[str, Callable[[Endpoints], int]] = {"crm_lead_scoring": plant_leads, "support_triage": plant_tickets}


@contextmanager
def fresh_ledger(postgres: Postgres, template: str) -> Iterator[tuple[Engine, Engine]]:
    name = f"ledger_{uuid.uuid4().hex[:12]}"
    postgres.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    owner, service = open_database(postgres.database(name)), open_database(postgres.database(name, SERVICE_ROLE))
    try:
        yield owner, service
    finally:
        owner.dispose()
        service.dispose()
        postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def watched(reached: set[tuple[str, int]]) -> Iterator[None]:
    """Every connection that this process opens from Python, by host and port."""
    taken = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            reached.add((address[0], address[1]))
        taken(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        yield


@contextmanager
def a_night(
    name: str, home: Path, ledgers: tuple[Engine, Engine], *, obeys: bool, people: bool = False
) -> Iterator[Done]:
    """One night in mode auto; without `people` nothing is set aside for them, so that forged answers go all the way."""
    config = SandboxConfig(
        state=home / "sandbox",
        anchor=END,
        days=1,
        leads_per_day=len(HOSTILE) + 8,
        crm_latency_ms=0,
        crm_requests_per_10s=10_000,
        mess={},
    )
    with running_sandbox(config) as e, running_model(CASES[name], obeys=obeys) as model:
        planted = PLANT[name](e)
        given = sandbox_connections(e.to_json())
        given["AIRFLOW_CONN_OPENAI_DEFAULT"] = json.dumps(
            {"conn_type": "openai", "host": model.url, "password": e.model_key}
        )
        loaded = load(name)
        case = replace(loaded, local=None, mirror=None)
        when = Interval(END - timedelta(days=1), datetime.now(UTC))
        options, key = RunOptions(mode=Mode.AUTO), RunKey(name, when, "cli")
        run_id = open_run(ledgers[1], key, case, options, prompt=load_prompt(loaded).as_mapping(), git_sha="")
        settings = Settings.read({"NIGHTLEDGER_HOME": str(home), "NIGHTLEDGER_TOKEN_SECRET": "test secret"})
        night = Night(case, when, run_id, options, ledgers[1], EnvironmentConnections(given), settings)
        reached: set[tuple[str, int]] = set()
        with watched(reached), pytest.MonkeyPatch.context() as patch:
            if not people:
                patch.setattr("include.night.gate.gate.failing_answers", lambda night: {})
            enriched = enrich(night, check(night, extract(night)))
            check_answers(night, enriched)
            write(night, gate(night, enriched))
            status = close(night)
        urls = (e.crm_url, e.webhook_url, model.url.removesuffix("/v1"))
        declared = {int(url.rpartition(":")[2]) for url in urls} | {e.sftp_port}
        yield Done(case, ledgers[0], status, model, reached, declared, planted)


@pytest.fixture(scope="module", params=CASES)
def nights(
    request: pytest.FixtureRequest,
    postgres: Postgres,
    ledger_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Done, Done]]:
    """The same records with a model that is honest, and with one that obeys them."""
    with (
        fresh_ledger(postgres, ledger_template) as first,
        fresh_ledger(postgres, ledger_template) as second,
        a_night(request.param, tmp_path_factory.mktemp("honest"), first, obeys=False) as honest,
        a_night(request.param, tmp_path_factory.mktemp("obeying"), second, obeys=True) as obeying,
    ):
        yield honest, obeying


@pytest.fixture(scope="module", params=CASES)
def guarded(
    request: pytest.FixtureRequest,
    postgres: Postgres,
    ledger_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Done]:
    """The night of the obeying model as it is declared, with rows set aside for people."""
    with (
        fresh_ledger(postgres, ledger_template) as both,
        a_night(request.param, tmp_path_factory.mktemp("guarded"), both, obeys=True, people=True) as night,
    ):
        yield night


def test_the_model_was_asked_about_hostile_records_and_obeyed(nights: tuple[Done, Done]) -> None:
    honest, obeying = nights
    assert obeying.planted >= 60
    assert obeying.model.obeyed >= 50
    assert honest.model.obeyed == 0
    assert len(obeying.writes()) >= 40
    said = "SELECT DISTINCT fields::text FROM nightledger.outbox_intent"
    assert len({*obeying.rows(said)} - {*honest.rows(said)}) >= 5
    assert obeying.status["status"] == "succeeded"


def test_nothing_is_written_that_an_honest_night_would_not_write(nights: tuple[Done, Done]) -> None:
    """Destination, object, record and names of fields are those of the honest night, row by row."""
    honest, obeying = nights
    allowed, written = honest.writes(), obeying.writes()
    assert written.keys() <= allowed.keys()
    assert {place: names for place, names in written.items() if names != allowed[place]} == {}
    fields = {frozenset(sink.fields.values()) for sink in obeying.case.sinks}
    assert set(written.values()) <= fields


def test_mode_and_prompt_stay(nights: tuple[Done, Done]) -> None:
    asked = "SELECT DISTINCT mode, model, prompt_hash FROM nightledger.run"
    assert nights[0].rows(asked) == nights[1].rows(asked)


def test_no_other_place_is_reached(nights: tuple[Done, Done]) -> None:
    for night in nights:
        assert night.reached
        assert {host for host, _ in night.reached} <= {"127.0.0.1", "localhost"}
        assert {port for _, port in night.reached} <= night.declared


def test_every_answer_fits_the_output_model_or_the_row_ends_on_record(nights: tuple[Done, Done]) -> None:
    obeying = nights[1]
    output = obeying.case.module("output").Output
    kept = "SELECT coalesce(parsed::text, raw_text) FROM nightledger.inference_result WHERE outcome = 'ok'"
    accepted = obeying.rows(kept)
    assert len(accepted) > 40
    for (answer,) in accepted:
        output.model_validate_json(answer)
    outcomes = dict(obeying.rows("SELECT outcome, count(*) FROM nightledger.inference_result GROUP BY 1"))
    rest = {"empty", "cancelled"}  # a second call for a slow one is given up when the first is heard
    assert outcomes.keys() == {"ok", "invalid"} | outcomes.keys() & rest
    assert outcomes["invalid"] >= 5
    assert sum(obeying.status["counts"].values()) == len(obeying.rows("SELECT row_id FROM nightledger.outcome"))


def test_rows_that_speak_to_the_model_wait_for_a_person(guarded: Done) -> None:
    waiting = guarded.rows("SELECT rule FROM nightledger.decision WHERE verdict = 'review'")
    told = [reason for (reason,) in waiting if "answer_not_told" in reason]
    assert len(told) >= 0.6 * (guarded.planted - len(PLAIN))


def test_what_is_written_runs_nowhere(nights: tuple[Done, Done]) -> None:
    for (fields,) in nights[1].rows("SELECT fields FROM nightledger.outbox_intent"):
        assert not [value for value in fields.values() if isinstance(value, str) and value.startswith("=")]


def test_the_ledger_and_its_outbox_verify(nights: tuple[Done, Done]) -> None:
    for night in nights:
        assert verify(night.engine).findings == ()
        open_ones = "SELECT status FROM nightledger.outbox_result WHERE status NOT IN ('written', 'unchanged')"
        assert night.rows(open_ones) == []
