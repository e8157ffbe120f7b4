"""What an endpoint reports is believed as far as the request can have taken it, and no further."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from include.database import send, transaction
from include.ledger.audit import Intent, Result
from include.models import Record
from include.night.enrich.billing import believe, bill
from include.night.enrich.enrich import enrich
from include.night.enrich.prices import find_price
from include.night.enrich.questions import pin
from include.night.plan.preview_usage import Usage, find_usage
from include.report.facts import collect
from include.report.text import as_text
from include.run import Night
from include.spec.prompt import load_prompt
from include.systems.model.client import Reply
from tests.core.conftest import Ledger
from tests.core.night.enrich.test_enrich import CASE, LEADS, PROMPT, rows, serving, stage
from tests.core.test_whole_night import Sandbox

CLAIMED = 2_000_000_000
PRICE = find_price("gpt-4.1-mini")
INTENT = Intent(uuid4(), "r", "k", "i", [], "ask", 1, 100, PRICE.cost(284, 50))


def billed(**said: Any) -> Result:
    given = {"text": "{}", "tokens_in": 90, "tokens_out": 20, **said}
    return bill(INTENT, Reply("answered", 0.1, status=200, **given), None, PRICE, 0.0, max_output=50)


def test_plausible_usage_is_taken_as_reported() -> None:
    result = billed(tokens_cached=60)
    assert (result.cost_basis, result.detail) == ("reported", None)
    assert result.cost == PRICE.cost(90, 20, 60)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"tokens_in": CLAIMED}, (556, 20)),
        ({"tokens_out": CLAIMED}, (90, 50)),
        ({"tokens_in": 557, "tokens_out": 51, "tokens_cached": 557}, (556, 50)),
    ],
)
def test_what_cannot_be_is_bounded_and_stays_on_record(said: Record, kept: tuple[int, int]) -> None:
    result = billed(**said)
    assert (result.tokens_in, result.tokens_out, result.cost_basis) == (*kept, "bounded")
    assert result.tokens_cached <= result.tokens_in
    assert 0 < result.cost <= INTENT.cost_reserved
    assert str(max(said.values())) in str(result.detail)


def test_usage_that_is_not_reported_costs_no_more_than_was_set_aside() -> None:
    result = billed(tokens_in=0, tokens_out=0, usage_reported=False, text="x" * 50_000)
    assert result.cost_basis == "estimated"
    assert result.cost <= INTENT.cost_reserved


def test_a_limit_of_tokens_is_not_used_up_by_a_claim() -> None:
    used = believe(Reply("answered", 0.1, tokens_in=CLAIMED, tokens_out=CLAIMED), 100, 50)
    assert (used.tokens_in, used.tokens_out) == (556, 50)


@dataclass
class Liar:
    """Passes calls on to a model, and multiplies what it reports."""

    server: ThreadingHTTPServer

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/v1"


@pytest.fixture
def liar(tmp_path: Path) -> Iterator[tuple[Liar, Sandbox]]:
    with serving(tmp_path / "sandbox", latency=1) as sandbox:

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                kept = {name: self.headers[name] for name in ("Authorization", "Content-Type")}
                asked = urllib.request.Request(f"{sandbox.endpoints.model_url}/chat/completions", body, kept)
                with urllib.request.urlopen(asked, timeout=20) as answer:
                    said = json.loads(answer.read())
                said["usage"] = {"prompt_tokens": CLAIMED, "completion_tokens": CLAIMED, "total_tokens": 2 * CLAIMED}
                content = json.dumps(said).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Liar(server), sandbox
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_endpoint_that_lies_spends_no_more_than_was_set_aside_and_spoils_no_plan(
    liar: tuple[Liar, Sandbox], make_night: Callable[..., Night], ledger: Ledger
) -> None:
    endpoint, sandbox = liar
    connection = json.dumps({"host": endpoint.url, "password": sandbox.endpoints.model_key})
    connections = {"AIRFLOW_CONN_OPENAI_DEFAULT": connection}
    night = make_night(connections=connections, prompt=PROMPT, settings={"concurrency": 8})
    enriched = enrich(night, stage(night))
    assert enriched.rows == LEADS
    cost, most, basis = rows(
        ledger,
        "SELECT sum(cost), sum(cost_reserved), array_agg(DISTINCT cost_basis) FILTER (WHERE outcome = 'ok') "
        "FROM inference JOIN inference_result USING (inference_id)",
    )[0]
    assert Decimal(0) < cost <= most < CASE.cost_ceiling_usd
    assert basis == ["bounded"]
    assert rows(ledger, "SELECT max(spent) = :cost, max(reserved) FROM budget", cost=cost) == [(True, 0)]
    prompt = load_prompt(CASE)
    assert find_usage(night, pin(night, prompt, night.system("model")), prompt) == Usage()
    said = as_text(collect(ledger.service, night.run_id))
    assert f"{LEADS} calls reported with more tokens than they can have taken" in said


def test_what_was_recorded_before_it_was_bounded_spoils_no_plan(
    make_night: Callable[..., Night], ledger: Ledger
) -> None:
    from include.ledger.audit import record_intents, record_results

    night, prompt = make_night(prompt=PROMPT), load_prompt(CASE)
    pins = pin(night, prompt, night.system("model"))
    for number in range(40):
        tokens = CLAIMED if number < 15 else 400
        message = [{"role": "user", "content": "x" * 600}]
        intent = Intent(uuid4(), f"r{number}", "k", f"i{number}", message, "ask", 1, 300, Decimal(1))
        reply = Reply("answered", 0.1, status=200, text="{}", tokens_in=400, tokens_out=30)
        result = bill(intent, reply, None, PRICE, 0.0, max_output=50)
        with transaction(night.ledger) as connection:
            record_intents(connection, night, pins, [intent])
            send(connection, [record_results(night, [replace(result, outcome="ok")])])
        if tokens == CLAIMED:
            with ledger.owner.begin() as connection:
                connection.execute(text("SET LOCAL session_replication_role = replica"))
                change = text("UPDATE inference_result SET tokens_in = :tokens WHERE inference_id = :id")
                connection.execute(change, {"tokens": tokens, "id": intent.inference_id})
    usage = find_usage(night, pins, prompt)
    assert usage.tokens_in(1, 600 + len(prompt.system.encode())) == pytest.approx(400, rel=0.1)
