"""A bounded agent on real PostgreSQL, CRM, ERP and SDK: it reads only what is the row's, and always ends on record."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
from pydantic import BaseModel
from sqlalchemy import text

from include.demo.sandbox.config import Endpoints, SandboxConfig, last_night
from include.demo.sandbox.faults import TOOL_FAULTS
from include.demo.sandbox.process import running_sandbox
from include.errors import AccessDenied, ConfigurationError, ContractBroken
from include.ledger.control import change_control
from include.ledger.verify import verify
from include.models import Column, Manifest, Mode, Record, ReInfer, RunOptions
from include.night.enrich.enrich import enrich
from include.night.plan.preview import preview
from include.operations.alerts.calls import find_calls
from include.run import Night
from include.settings import ROOT
from include.spec.agent import Agent, Tool
from include.spec.classes import hold_to_classes
from include.spec.contradictions import contradictions
from include.spec.prompt import load_prompt
from include.spec.use_case import UseCase, load
from include.staging import read_rows
from include.systems.hubspot.belonging import HubSpotBelonging, _Associated
from include.systems.odata.belonging import ODataBelonging
from include.systems.registry import read_systems
from tests.core.conftest import Ledger
from tests.core.night.enrich.test_enrich import kill_when, run, stage
from tests.core.scripted_model import ScriptedModel, calls, given, scripted, shown

CASE = load("account_brief")
PROMPT = load_prompt(CASE).as_mapping()
TICKETS, INVOICES = ("list_tickets", {}), ("list_invoices", {"status": None})
NOTE = "Tickets and invoices were read and are in order."


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    config = SandboxConfig(
        state=tmp_path_factory.mktemp("sandbox"), days=1, leads_per_day=1, crm_latency_ms=0, crm_requests_per_10s=10_000
    )
    with running_sandbox(config) as endpoints:
        yield endpoints


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.night.enrich.dispatch.wait_seconds", lambda *args, **more: 0.01)
    monkeypatch.setattr("include.systems.http.wait_seconds", lambda *args, **more: 0.01)


def crm(endpoints: Endpoints, method: str, path: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {endpoints.crm_token}"}
    reply = requests.request(method, f"{endpoints.crm_url}{path}", json=body, headers=headers, timeout=10)
    reply.raise_for_status()
    return reply.json()


@pytest.fixture(scope="module")
def accounts(endpoints: Endpoints) -> list[Record]:
    """Two accounts with tickets, as they are staged."""
    filters = [{"propertyName": "customer_number", "operator": "HAS_PROPERTY"}]
    body = {"filterGroups": [{"filters": filters}], "properties": ["customer_number"], "limit": 2}
    found = crm(endpoints, "POST", "/crm/v3/objects/companies/search", body)["results"]
    assert len(found) == 2
    return [account(one["id"], one["properties"]["customer_number"]) for one in found]


def account(number: str, customer: str) -> Record:
    return {
        "row_id": f"crm/companies/{number}",
        "row_key": number,
        "lineage": json.dumps({"crm": "page 1 row 1"}),
        "company_id": number,
        "customer_number": customer,
        "name": "Works",
        "industry": None,
        "country": "Germany",
        "active_at": last_night(),
    }


def reaching(endpoints: Endpoints, model: ScriptedModel, **others: Record) -> dict[str, str]:
    login = {"login": endpoints.erp_login, "password": endpoints.erp_password}
    reach = {
        "CRM_DEFAULT": {"host": endpoints.crm_url, "password": endpoints.crm_token},
        "ERP_DEFAULT": {"conn_type": "http", "host": endpoints.erp_url, **login},
        "OPENAI_DEFAULT": {"host": model.url, "password": "key"},
    }
    return {f"AIRFLOW_CONN_{name}": json.dumps(value) for name, value in {**reach, **others}.items()}


Agents = Callable[..., Night]


@pytest.fixture
def night_of(endpoints: Endpoints, make_night: Callable[..., Night]) -> Agents:
    """A night whose model is a script, and whose agent has other limits."""

    def make(
        model: ScriptedModel,
        ref: str = "cli",
        re_infer: ReInfer = ReInfer.NONE,
        reach: Record | None = None,
        case: UseCase = CASE,
        **limits: Any,
    ) -> Night:
        assert case.agent is not None
        return make_night(
            case=replace(case, agent=replace(case.agent, **limits)),
            prompt=PROMPT,
            connections=reaching(endpoints, model, **(reach or {})),
            settings={"outage_seconds": 1.0},
            options=RunOptions(mode=Mode.SHADOW, re_infer=re_infer),
            external_ref=ref,
        )

    return make


def answer(body: Record, **changes: Any) -> Record:
    """An answer that cites the first record of what was read."""
    ids = [one["id"] for one in shown(given(body))]
    said = {"note": NOTE, "health": "good", "sources": ids[:1], "confidence": 0.9, **changes}
    return {"content": json.dumps(said)}


def steps(*turns: Any) -> Callable[[Record], Record]:
    """A model that makes these calls, one a turn, then answers."""

    def says(body: Record) -> Record:
        turn = sum(one["role"] == "assistant" for one in body["messages"])
        return calls(turns[turn]) if turn < len(turns) else answer(body)

    return says


def rows(ledger: Ledger, query: str, **values: Any) -> list[Any]:
    with ledger.owner.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query), values).all()]


def dismiss(ledger: Ledger) -> None:
    """Let dead rows be asked again."""
    with ledger.owner.begin() as connection:
        connection.execute(text("UPDATE dead_letter SET status = 'dismissed'"))


def kinds(ledger: Ledger) -> Counter[str]:
    return Counter(kind for (kind,) in rows(ledger, "SELECT kind FROM inference"))


def causes(ledger: Ledger) -> list[tuple[str, str]]:
    return rows(ledger, "SELECT cause, detail FROM dead_letter ORDER BY row_key")


def outputs(enriched: Manifest) -> list[Record]:
    return [json.loads(row["output"]) for row in read_rows(enriched)]


def test_it_reads_with_tools_then_answers_and_every_step_and_read_is_on_record(
    night_of: Agents, accounts: Sequence[Record], ledger: Ledger
) -> None:
    with scripted(steps(TICKETS, INVOICES)) as model:
        enriched = run(night_of(model), accounts[:1])
    (said,) = outputs(enriched)
    assert said["sources"][0].startswith("crm/tickets/")
    assert kinds(ledger) == {"ask": 1, "step": 2, "tool": 2}
    assert [len(one["tools"]) for one in model.asked] == [3, 3, 3]
    found = rows(
        ledger,
        "SELECT i.model, i.messages, r.outcome, r.parsed, r.cost, r.latency_ms >= 0, i.recorded_at <= r.recorded_at "
        "FROM inference i JOIN inference_result r USING (inference_id) WHERE kind = 'tool' ORDER BY i.recorded_at",
    )
    (who, messages, outcome, parsed, cost, timed, first), _ = found
    assert (who, outcome, cost, timed, first) == ("tool list_tickets of crm", "ok", 0, True, True)
    assert messages == [{"role": "tool", "name": "list_tickets", "reads": "crm/tickets", "arguments": {}}]
    assert [parsed["text"], found[1][3]["text"]] == given(model.asked[-1])
    assert said["sources"][0] in parsed["ids"]
    watched = replace(CASE, alerts=replace(CASE.alerts, least_calls=1, error_rate=0.01))
    with ledger.service.begin() as connection:
        assert list(find_calls(connection, [watched], datetime.now(UTC))) == [], "a step is no failed call"
    (spent,) = rows(ledger, "SELECT sum(cost) FROM inference_result")[0]
    assert (spent > 0, enriched.facts["answered_rows"]) == (True, 1)
    assert verify(ledger.service).findings == ()


def test_a_second_run_of_the_night_asks_and_reads_nothing_and_another_night_asks_anew(
    night_of: Agents, accounts: Sequence[Record], ledger: Ledger, make_night: Callable[..., Night]
) -> None:
    with scripted(steps(TICKETS)) as model:
        first = run(night_of(model), accounts)
        before = kinds(ledger)
        again = run(night_of(model, "another start"), accounts)
        assert (kinds(ledger), len(model.asked)) == (before, 4)
        assert [row["reused"] for row in read_rows(again)] == [True, True]
        assert outputs(first) == outputs(again)
        other = night_of(model, "cli")
        later = make_night(case=other.case, day=5, prompt=PROMPT, connections=other.connections)
        run(later, accounts[:1])
    assert len(model.asked) == 6, "what belongs to an account may have changed by another night"


def test_two_accounts_that_look_alike_do_not_share_an_answer(
    night_of: Agents, accounts: Sequence[Record], ledger: Ledger
) -> None:
    alike = [{**one, "customer_number": "C-1001"} for one in accounts]
    with scripted(steps(TICKETS)) as model:
        enriched = run(night_of(model), alike)
    one, other = (said["sources"] for said in outputs(enriched))
    assert one != other


def test_a_run_that_was_cut_off_goes_on_from_the_record_and_pays_only_what_is_missing(
    night_of: Agents, accounts: Sequence[Record], ledger: Ledger
) -> None:
    whole = steps(TICKETS, INVOICES)

    def dies(body: Record) -> Record:
        if len(given(body)) == 2:
            raise ConnectionAbortedError
        return whole(body)

    with scripted(dies) as model, pytest.MonkeyPatch.context() as patched:
        patched.setattr("include.night.enrich.dispatch.MAX_ATTEMPTS", 1)
        run(night_of(model), accounts[:1])
    assert kinds(ledger) == {"ask": 1, "step": 2, "tool": 2}
    with scripted(whole) as model:
        enriched = run(night_of(model, "again"), accounts[:1])
    assert len(outputs(enriched)) == 1
    assert len(model.asked) == 1, "the two questions before it are on record"
    assert kinds(ledger) == {"ask": 1, "step": 3, "tool": 2}, "nothing was read again"


def test_a_killed_run_reads_and_asks_again_at_most_what_was_in_flight(
    endpoints: Endpoints, night_of: Agents, accounts: Sequence[Record], ledger: Ledger, tmp_path: Path
) -> None:
    many = [{**accounts[at % 2], "row_id": f"crm/companies/{at}", "row_key": str(at)} for at in range(12)]
    with scripted(steps(TICKETS, INVOICES), seconds=0.15) as model:
        night = night_of(model)
        good, briefly = stage(night, many), {"NIGHTLEDGER_LEASE_SECONDS": "3"}
        kill_when(
            lambda: kinds(ledger)["tool"] >= 8, night, {**reaching(endpoints, model), **briefly}, ledger, tmp_path
        )
        without = rows(
            ledger,
            "SELECT count(*) FROM inference LEFT JOIN inference_result r USING (inference_id) "
            "WHERE r.inference_id IS NULL",
        )[0][0]
        enriched = enrich(night_of(model), good)
    assert len(outputs(enriched)) == 12
    done = "SELECT i.kind, count(*) FROM inference i JOIN inference_result USING (inference_id) GROUP BY 1"
    assert dict(rows(ledger, done)) == {"ask": 12, "step": 24, "tool": 24}, "what was answered was not asked again"
    assert sum(kinds(ledger).values()) == 60 + without
    assert verify(ledger.service).findings == ()


LIMITS: list[tuple[str, Record, Record]] = [
    ("agent_steps", {"steps": 2}, {}),
    ("agent_tool_calls", {"tool_calls": 1}, {}),
    ("agent_tokens", {"tokens": 2_500}, {}),
    ("agent_money", {"usd": Decimal("0.0000001")}, {}),
    ("agent_seconds", {"seconds": 0.15}, {"seconds": 0.1}),
]


@pytest.mark.parametrize(("cause", "limits", "slow"), LIMITS, ids=[one[0] for one in LIMITS])
def test_a_row_that_exceeds_a_limit_ends_on_record_without_an_answer(
    night_of: Agents, accounts: Sequence[Record], ledger: Ledger, cause: str, limits: Record, slow: Record
) -> None:
    read = ("read_ticket", {"ticket_id": "1"})
    with scripted(steps(TICKETS, INVOICES, read), **slow) as model:
        enriched = run(night_of(model, **limits), accounts[:1])
    assert (outputs(enriched), [one for one, _ in causes(ledger)]) == ([], [cause])
    tokens, cost = rows(ledger, "SELECT sum(tokens_in + tokens_out), sum(cost) FROM inference_result")[0]
    assert (tokens or 0) <= limits.get("tokens", 10**9)
    assert (cost or 0) <= limits.get("usd", 1)
    assert kinds(ledger)["ask"] + kinds(ledger)["step"] <= limits.get("steps", 9)
    assert kinds(ledger)["tool"] <= limits.get("tool_calls", 9)
    with scripted(steps(TICKETS, INVOICES, read), **slow) as other:
        run(night_of(other, "again", **limits), accounts[:1])
    assert other.asked == [], "a dead row is not asked again unasked"


def test_limits_count_what_an_earlier_attempt_of_the_night_has_taken(
    night_of: Agents, accounts: Sequence[Record], ledger: Ledger
) -> None:
    with scripted(steps(TICKETS, INVOICES), tokens=(900, 100)) as model:
        run(night_of(model, steps=2), accounts[:1])
    dismiss(ledger)
    with scripted(steps(TICKETS, INVOICES)) as model:
        run(night_of(model, "again", steps=9, tokens=4_000), accounts[:1])
    assert (model.asked, causes(ledger)[-1][0]) == ([], "agent_tokens")


CIRCLES: dict[str, Callable[[Record], Record]] = {
    "the same": lambda body: calls(TICKETS),
    "by turns": lambda body: calls((TICKETS, INVOICES)[len(given(body)) % 2]),
    "in other words": lambda body: calls(
        ("list_invoices", ('{"status":null}', ' {"status" : null} ')[len(given(body)) % 2])
    ),
}


@pytest.mark.parametrize("name", CIRCLES)
def test_an_agent_in_circles_is_told_once_then_ended_and_nothing_is_read_twice(
    night_of: Agents, accounts: Sequence[Record], ledger: Ledger, name: str
) -> None:
    with scripted(CIRCLES[name]) as model:
        run(night_of(model, steps=50, tool_calls=50), accounts[:1])
    assert [one for one, _ in causes(ledger)] == ["agent_loop"]
    assert any("You have had this already" in said for said in given(model.asked[-1]))
    assert kinds(ledger)["tool"] == (2 if name == "by turns" else 1)


WRONG = {
    "no such tool": ("send_email", {"to": "x@evil.example"}),
    "another account": ("list_tickets", {"company_id": "70000002"}),
    "an address": ("list_invoices", {"status": None, "url": "https://evil.example"}),
    "another value": ("list_invoices", {"status": "all' or 1 eq 1"}),
    "no JSON": ("list_tickets", "{"),
    "no name": ("", {}),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_call_that_fits_no_declared_tool_reads_nothing_and_ends_the_row_when_it_goes_on(
    night_of: Agents, accounts: Sequence[Record], ledger: Ledger, name: str
) -> None:
    with scripted(lambda body: calls(WRONG[name])) as model:
        run(night_of(model, steps=50, tool_calls=50), accounts[:1])
    assert [one for one, _ in causes(ledger)] == ["agent_misused_tool"]
    assert kinds(ledger) == {"ask": 1, "step": 2}, "no tool was touched"
    kept = json.dumps([causes(ledger), rows(ledger, "SELECT messages FROM inference")])
    assert "x@evil.example" not in kept
    assert given(model.asked[-1])[0].startswith("Nothing was read")


def test_what_a_model_gives_a_tool_only_chooses_among_the_rows_own_records(
    endpoints: Endpoints, night_of: Agents, accounts: Sequence[Record], ledger: Ledger
) -> None:
    with scripted(steps(TICKETS)) as model:
        run(night_of(model), accounts)
    (theirs,) = rows(
        ledger,
        "SELECT r.parsed->'ids' FROM inference i JOIN inference_result r USING (inference_id) "
        "WHERE kind = 'tool' AND row_key = :key",
        key=accounts[1]["row_key"],
    )[0]
    wanted = theirs[0].rpartition("/")[2]
    with scripted(steps(("read_ticket", {"ticket_id": wanted}), TICKETS)) as model:
        run(night_of(model, "other", ReInfer.ALL), accounts[:1])
    found = given(model.asked[-1])
    assert (shown(found[:1]), bool(shown(found[1:]))) == ([], True)
    assert theirs[0] not in json.dumps(found)


UNFOUNDED: dict[str, tuple[Callable[[Record], Record], str]] = {
    "nothing was read": (lambda body: answer(body, sources=["crm/tickets/1"]), "nothing was read"),
    "a record that was not shown": (
        lambda body: answer(body, sources=["crm/tickets/1"]) if given(body) else calls(TICKETS),
        "1 of 1 are no ids",
    ),
    "no record at all": (lambda body: answer(body, sources=[]) if given(body) else calls(TICKETS), "names no record"),
}


@pytest.mark.parametrize("name", UNFOUNDED)
def test_an_answer_that_rests_on_nothing_that_was_read_does_not_count(
    night_of: Agents, accounts: Sequence[Record], ledger: Ledger, name: str
) -> None:
    says, problem = UNFOUNDED[name]
    with scripted(says) as model:
        enriched = run(night_of(model), accounts[:1])
    assert outputs(enriched) == []
    ((cause, detail),) = causes(ledger)
    assert (cause, problem in detail, kinds(ledger)["re-ask"]) == ("invalid_output", True, 2)
    assert problem in model.asked[-1]["messages"][-1]["content"]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("goes_on", ["asks again", "answers without"])
def test_a_tool_that_fails_is_said_once_and_then_ends_the_row(
    endpoints: Endpoints, night_of: Agents, accounts: Sequence[Record], ledger: Ledger, goes_on: str
) -> None:
    def says(body: Record) -> Record:
        if goes_on == "asks again" and not any(one["id"].startswith("crm") for one in shown(given(body))):
            return calls(TICKETS if given(body) else INVOICES)
        return steps(INVOICES, TICKETS)(body)

    with scripted(says) as model:
        night = night_of(model)
        faults = f"{endpoints.crm_url}/sandbox/crm/faults"
        with failing(faults, {"http_500": 1.0}):
            enriched = run(night, accounts[:1])
        assert outputs(enriched) == []
        assert [one for one, _ in causes(ledger)] == ["agent_tool_failed"]
        assert any("could not be read now" in said for said in given(model.asked[-1]))
        failed = rows(
            ledger, "SELECT outcome FROM inference_result JOIN inference USING (inference_id) WHERE kind = 'tool'"
        )
        assert ("http_error",) in failed
        dismiss(ledger)
        assert len(outputs(run(night_of(model, "again"), accounts[:1]))) == 1, "read anew where the read had failed"


class failing:
    """The CRM fails from the moment that its contract has been looked at."""

    def __init__(self, url: str, rates: dict[str, float]) -> None:
        self.url, self.rates, self.patched = url, rates, pytest.MonkeyPatch()

    def __enter__(self) -> None:
        whole = _Associated.check_contract

        def then_fail(lookup: _Associated) -> None:
            requests.post(self.url, json={"rates": {}}, timeout=10).raise_for_status()
            whole(lookup)
            requests.post(self.url, json={"rates": self.rates}, timeout=10).raise_for_status()

        self.patched.setattr(_Associated, "check_contract", then_fail)

    def __exit__(self, *error: object) -> None:
        self.patched.undo()
        requests.post(self.url, json={"rates": {}}, timeout=10).raise_for_status()


def renamed(tool: Tool) -> Tool:
    assert isinstance(tool.reads, HubSpotBelonging)
    columns = (*tool.reads.columns[1:], Column("subjekt", "subject"))
    return replace(tool, reads=replace(tool.reads, columns=columns))


def test_a_tool_that_cannot_work_stops_the_night_before_anything_is_paid(
    endpoints: Endpoints, night_of: Agents, accounts: Sequence[Record], ledger: Ledger
) -> None:
    assert CASE.agent is not None
    first, *rest = CASE.agent.tools
    wrong = {"host": endpoints.crm_url, "password": "wrong"}
    with scripted(steps(TICKETS)) as model:
        with pytest.raises(ContractBroken, match="subjekt"):
            run(night_of(model, tools=(renamed(first), *rest)), accounts)
        with pytest.raises(AccessDenied):
            run(night_of(model, "other", reach={"CRM_DEFAULT": wrong}), accounts)
    assert (model.asked, kinds(ledger)) == ([], {})


def test_people_switch_an_agent_off_between_two_of_its_steps(
    night_of: Agents, accounts: Sequence[Record], ledger: Ledger
) -> None:
    case = replace(CASE, failure_plan=replace(CASE.failure_plan, unavailable="dead_letter"))

    def says(body: Record) -> Record:
        change_control(ledger.service, CASE, "ada", "it reads too much", {"off": True})
        return calls(TICKETS)

    with scripted(says) as model:
        run(night_of(model, case=case), accounts[:1])
    assert (len(model.asked), kinds(ledger)) == (1, {"ask": 1}), "neither a read nor a question left after that"
    ((cause, detail),) = causes(ledger)
    assert (cause, "switched the asking off" in detail) == ("model_unavailable", True)


def test_a_budget_holds_within_a_conversation(night_of: Agents, accounts: Sequence[Record], ledger: Ledger) -> None:
    case = replace(CASE, cost_ceiling_usd=Decimal("0.0018"))
    with scripted(steps(TICKETS, INVOICES), tokens=(1_000, 500)) as model:
        enriched = run(night_of(model, case=case), accounts[:1])
    (spent,) = rows(ledger, "SELECT sum(cost) FROM inference_result")[0]
    assert (outputs(enriched), 0 < spent <= case.cost_ceiling_usd) == ([], True)
    (reason,) = rows(ledger, "SELECT reason FROM outcome")[0]
    assert "of 0.0018 USD is used up" in reason


def test_personal_values_in_what_a_tool_reads_are_tokens_for_the_model_and_on_record(
    endpoints: Endpoints, night_of: Agents, accounts: Sequence[Record], ledger: Ledger
) -> None:
    with scripted(steps(TICKETS)) as model:
        run(night_of(model), accounts[:1])
    number = shown(given(model.asked[-1]))[0]["ticket_id"]
    said = f"Write to ada.lovelock@private.example or call +49 30 5550199, card 4111 1111 1111 1111. {'x' * 9_000}"
    crm(endpoints, "PATCH", f"/crm/v3/objects/tickets/{number}", {"properties": {"content": said}})
    with scripted(steps(("read_ticket", {"ticket_id": number}))) as model:
        run(night_of(model, "other", ReInfer.ALL), accounts[:1])
    (text_given,) = given(model.asked[-1])
    kept = json.dumps(rows(ledger, "SELECT messages::text FROM inference"))
    kept += json.dumps(rows(ledger, "SELECT parsed::text FROM inference_result"))
    for value in ("ada.lovelock", "5550199", "4111"):
        assert value not in text_given
        assert value not in kept
    assert len(text_given) < 4_600, "capped at what the tool may show"


def test_what_a_tool_may_show_is_held_against_what_the_model_may_see() -> None:
    assert CASE.agent is not None
    tool = replace(CASE.agent.tools[1], data_classes={"content": "personal"}, tokenise=())
    systems = read_systems(ROOT / "include" / "systems.toml")
    with pytest.raises(ConfigurationError, match="column content of crm/tickets is personal"):
        hold_to_classes(replace(CASE, agent=replace(CASE.agent, tools=(tool,))), systems)
    hold_to_classes(replace(CASE, agent=replace(CASE.agent, tools=(replace(tool, tokenise=("content",)),))), systems)


class Loose(BaseModel):
    """Takes what nobody declared."""

    ticket_id: str


TOOL = CASE.agent.tools[1] if CASE.agent else None
CONTRADICTIONS: list[tuple[Record, str]] = [
    ({"agent": {"tools": ()}}, "0 tools"),
    ({"agent": {"tools": (TOOL,) * 6}}, "6 tools"),
    ({"agent": {"tools": (TOOL, TOOL)}}, "two tools called read_ticket"),
    ({"agent": {"steps": 0}}, "limit of zero"),
    ({"as_of_now": None}, "`as_of_now`"),
    ({"asking": "batch"}, "batch API"),
    ({"model": None}, "asks no model"),
    ({"tool": {"name": "Read Ticket"}}, "which is no name"),
    ({"tool": {"purpose": " "}}, "without a purpose"),
    ({"tool": {"arguments": Loose}}, "extra='forbid'"),
    ({"tool": {"narrows": {}}}, "narrow nothing"),
    ({"tool": {"shows": ("price",)}}, "does not read price"),
    ({"tool": {"shows": ()}}, "shows nothing"),
    ({"owner": "account"}, "by column account, which no source gives"),
]


@pytest.mark.parametrize(("changes", "said"), CONTRADICTIONS, ids=[said for _, said in CONTRADICTIONS])
def test_an_agent_that_contradicts_itself_is_refused(changes: Record, said: str) -> None:
    assert CASE.agent is not None
    assert TOOL is not None
    assert isinstance(TOOL.reads, HubSpotBelonging)
    assert list(contradictions(CASE)) == []
    given, agent = dict(changes), CASE.agent
    agent = replace(agent, **given.pop("agent", {}))
    if "tool" in given:
        agent = replace(agent, tools=(replace(TOOL, **given.pop("tool")),))
    if "owner" in given:
        agent = replace(agent, tools=(replace(TOOL, reads=replace(TOOL.reads, owner=given.pop("owner"))),))
    assert any(said in one for one in contradictions(replace(CASE, agent=agent, **given)))


def test_an_agent_may_not_read_what_it_writes() -> None:
    assert CASE.agent is not None
    reads = HubSpotBelonging(
        system="crm",
        object="companies",
        to="tickets",
        owner="company_id",
        key=Column("hs_object_id", "id"),
        columns=(Column("nl_brief", "brief"),),
    )
    tool = Tool(name="own", purpose="Reads its own words", reads=reads, shows=("brief",))
    case = replace(CASE, agent=Agent(tools=(tool,)))
    assert any("read what it writes itself" in one for one in contradictions(case))


def test_tools_are_part_of_the_contract_and_limits_are_not() -> None:
    assert CASE.agent is not None
    first, *rest = CASE.agent.tools
    other = replace(CASE, agent=replace(CASE.agent, tools=(replace(first, purpose="Something else"), *rest)))
    longer = replace(CASE, agent=replace(CASE.agent, steps=99))
    assert len({CASE.contract_hash, other.contract_hash, replace(CASE, agent=None).contract_hash}) == 3
    assert longer.contract_hash == CASE.contract_hash


MISBEHAVES = {
    "unknown_tool": "agent_misused_tool",
    "wrong_arguments": "agent_misused_tool",
    "same_call": "agent_loop",
    "circling": "agent_loop",
    "hasty": "invalid_output",
    "invented_source": "invalid_output",
}


def test_every_way_in_which_the_sandboxs_model_goes_wrong_with_tools_ends_on_record(
    endpoints: Endpoints, night_of: Agents, accounts: Sequence[Record], ledger: Ledger
) -> None:
    assert set(MISBEHAVES) == set(TOOL_FAULTS)
    reach = {"OPENAI_DEFAULT": {"host": endpoints.model_url, "password": endpoints.model_key}}
    faults, unused = f"{endpoints.model_root}/sandbox/faults", ScriptedModel(lambda body: {})
    found = dict[str, str]()
    for fault in MISBEHAVES:
        requests.post(faults, json={"rates": {fault: 1.0}}, timeout=10).raise_for_status()
        night = night_of(unused, fault, ReInfer.ALL, reach)
        assert outputs(run(night, accounts[:1])) == []
        ((found[fault],),) = rows(ledger, "SELECT cause FROM dead_letter WHERE run_id = :run", run=night.run_id)
    requests.post(faults, json={"rates": {}}, timeout=10).raise_for_status()
    assert found == MISBEHAVES
    assert len(outputs(run(night_of(unused, "well", ReInfer.ALL, reach), accounts[:1]))) == 1


def test_the_estimate_of_a_night_counts_the_steps_and_the_reads(
    night_of: Agents, accounts: Sequence[Record], ledger: Ledger
) -> None:
    night = night_of(ScriptedModel(lambda body: {}))
    expected = preview(night, stage(night, accounts))
    assert (expected.asked, expected.calls) == (2, 2 * (1 + len(CASE.agent.tools if CASE.agent else ())))
    assert {load.name: load.requests for load in expected.loads if load.stage == "tools"} == {
        "crm tools": 8,
        "erp tools": 4,
    }
    plain = replace(night, case=replace(night.case, agent=None))
    assert expected.tokens_in > 4 * preview(plain, stage(plain, accounts)).tokens_in


def test_what_belongs_to_an_owner_is_read_newest_first_and_of_no_other(
    night_of: Agents, accounts: Sequence[Record]
) -> None:
    assert CASE.agent is not None
    night, (tickets, _, invoices) = night_of(ScriptedModel(lambda body: {})), (one.reads for one in CASE.agent.tools)
    company, customer = accounts[0]["row_key"], accounts[0]["customer_number"]
    lookup = tickets.open(night)
    every, two = lookup.read(company, 200), lookup.read(company, 2)
    numbers = [int(row["ticket_id"]) for row in every.rows]
    assert numbers == sorted(numbers, reverse=True)
    assert (two.rows, two.more, every.more) == (every.rows[:2], len(numbers) > 2, False)
    assert [list(lookup.read(owner, 5).rows) for owner in ("1", "x", "", f"{company}' or '1")] == [[]] * 4
    assert isinstance(invoices, ODataBelonging)
    lookup = invoices.open(night)
    every, one = lookup.read(customer, 200), lookup.read(customer, 1)
    changed = [row["modified_at"] for row in every.rows]
    assert (len(changed) > 1, changed) == (True, sorted(changed, reverse=True))
    assert (one.rows, one.more, every.more) == (every.rows[:1], True, False)
    assert [list(lookup.read(owner, 5).rows) for owner in ("C-9", "' or '1' eq '1", "")] == [[]] * 3
    by_number = replace(invoices, of="InvoiceNumber").open(night)
    assert list(by_number.read("no number", 5).rows) == []
    with pytest.raises(ContractBroken, match="Custmer"):
        replace(invoices, of="Custmer").open(night).check_contract()
