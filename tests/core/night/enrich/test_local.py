"""What a fitted model is certain of is decided in the process and on record; the rest is asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from include.ledger.explain import as_text as as_explained
from include.ledger.explain import explain
from include.ledger.verify import verify
from include.models import Column, Manifest, Mode, Record, RunOptions
from include.night.enrich.enrich import enrich
from include.night.gate.gate import gate
from include.night.plan import preview_decided
from include.night.plan.preview import preview
from include.report.facts import collect
from include.report.html import as_html
from include.report.text import as_text
from include.run import Night
from include.spec.prompt import load_prompt
from include.spec.use_case import UseCase, load
from include.systems.fitted import answering
from include.systems.hubspot.declared import HubSpotRecords
from include.use_cases.support_triage.local import LOCAL
from tests.core.conftest import Ledger
from tests.core.night.enrich.test_enrich import Sandbox, connection_to, serving, stage

LEAD = load("crm_lead_scoring")
OF_CUSTOMERS = ("customer_plan", "customer_recent_tickets", "customer_within_days")
TICKETS = HubSpotRecords(
    system="crm",
    object="tickets",
    key=Column("id", "ticket_id"),
    modified=Column("changed", "changed_at", "datetime"),
    columns=tuple(Column(name, name) for name in ("channel", "subject", "body", *OF_CUSTOMERS)),
)
CASE: UseCase = replace(
    LEAD,
    name="support_triage",
    owner="service-desk",
    sources=(TICKETS,),
    joins=(),
    transforms=(),
    model_sees=("channel", "subject", "body", *OF_CUSTOMERS),
    personal=(),
    local=LOCAL,
    mirror=None,
)
CLEAR = "I was charged twice for my subscription this month, please correct the invoice"
STRANGE = "zxq vrrt plomb quuux wibble frobnicate snorgle"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with serving(tmp_path_factory.mktemp("sandbox"), latency=1) as sandbox:
        yield sandbox


@pytest.fixture
def night_of(endpoint: Sandbox, make_night: Callable[..., Night]) -> Callable[..., Night]:
    prompt = load_prompt(CASE)
    pinned = prompt.as_mapping()

    def make(ref: str = "cli", **parts: Any) -> Night:
        given = {"connections": connection_to(endpoint), "prompt": pinned, "options": RunOptions(mode=Mode.SHADOW)}
        return make_night(external_ref=ref, case=CASE, **{**given, **parts})

    return make


def ticket(number: int, body: str) -> Record:
    return {
        "row_id": f"crm/tickets/{number}",
        "row_key": str(number),
        "lineage": json.dumps({"crm": "tickets page 1"}),
        "ticket_id": str(number),
        "channel": "mail",
        "subject": f"Invoice {number}" if body == CLEAR else f"qwop {number}",
        "body": body,
        **dict.fromkeys(OF_CUSTOMERS),
    }


def answered(manifest: Manifest) -> dict[str, Record]:
    from include.staging import read_rows

    return {row["row_key"]: row for row in read_rows(manifest)}


def kinds(ledger: Ledger, run_id: str) -> dict[str, int]:
    query = "SELECT kind, count(*) FROM inference WHERE run_id = :run GROUP BY 1"
    with ledger.owner.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(text(query), {"run": run_id})}


def test_what_is_certain_is_decided_for_nothing_and_the_rest_is_asked(
    night_of: Callable[..., Night], ledger: Ledger
) -> None:
    night = night_of()
    rows = [ticket(n, CLEAR) for n in range(1, 4)] + [ticket(n, f"{STRANGE} {n}") for n in range(4, 7)]
    done = enrich(night, stage(night, rows))
    found = answered(done)
    assert len(found) == 6
    made = kinds(ledger, night.run_id)
    assert made["local"] >= 1
    assert made["ask"] >= 1
    assert made["local"] + made["ask"] == 6
    assert done.facts["decided_rows"] == made["local"]
    model = f"{LOCAL.model}@"
    with ledger.owner.connect() as connection:
        query = text(
            "SELECT i.row_key, i.model, i.messages, i.cost_reserved, r.cost, r.tokens_in, r.parsed ->> 'category' "
            "FROM inference i JOIN inference_result r USING (inference_id) WHERE i.run_id = :run AND kind = 'local'"
        )
        decided = connection.execute(query, {"run": night.run_id}).all()
    for key, name, messages, reserved, cost, tokens, category in decided:
        assert name.startswith(model)
        assert (messages, reserved, cost, tokens) == ([], 0, 0, 0)
        assert json.loads(found[key]["output"])["category"] == category
    assert verify(night.ledger).holds
    words = as_text(collect(night.ledger, night.run_id))
    assert f"{made['local']} decided in the process" in words
    assert f"{made['ask']} asked" in words
    assert f"calls    {made['ask']}," in words


def test_the_same_rows_the_next_night_are_decided_and_asked_by_nobody(
    night_of: Callable[..., Night], ledger: Ledger
) -> None:
    rows = [ticket(1, CLEAR), ticket(2, STRANGE)]
    first, second = night_of(), night_of("again", day=1)
    before = enrich(first, stage(first, rows))
    after = enrich(second, stage(second, rows))
    assert kinds(ledger, second.run_id) == {}
    assert (after.facts["reused"], after.facts["decided_rows"]) == (2, 0)
    outputs = [{key: row["output"] for key, row in answered(one).items()} for one in (before, after)]
    assert outputs[0] == outputs[1]


def test_another_fitted_model_decides_anew(
    night_of: Callable[..., Night], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [ticket(1, CLEAR)]
    first = night_of()
    enrich(first, stage(first, rows))
    opened = answering.open_local

    def newer(folder: Path, declared: Any, output: Any) -> Any:
        return replace(opened(folder, declared, output), name="model.v2@0123456789ab")

    monkeypatch.setattr(answering, "open_local", newer)
    second = night_of("again", day=1)
    enrich(second, stage(second, rows))
    assert kinds(ledger, second.run_id) == {"local": 1}


ALONE: UseCase = replace(
    CASE, model=None, failure_plan=replace(CASE.failure_plan, unavailable="fallback"), why_not_batch=None
)


@pytest.fixture
def alone_of(make_night: Callable[..., Night]) -> Callable[..., Night]:
    pinned = load_prompt(ALONE).as_mapping()

    def make(ref: str = "cli", case: UseCase = ALONE, **parts: Any) -> Night:
        options = RunOptions(mode=Mode.SHADOW)
        return make_night(external_ref=ref, case=case, prompt=pinned, options=options, **parts)

    return make


def test_without_a_model_the_rule_proposes_what_the_engine_leaves(
    alone_of: Callable[..., Night], ledger: Ledger
) -> None:
    rows = [ticket(1, CLEAR), ticket(2, STRANGE), ticket(3, STRANGE) | {"subject": "qwop 2"}]
    night = alone_of()
    done = enrich(night, stage(night, rows))
    found = answered(done)
    assert {key: one["origin"] for key, one in found.items()} == {"1": "model", "2": "rule", "3": "rule"}
    assert kinds(ledger, night.run_id) == {"local": 1}
    assert (done.facts["decided_rows"], done.facts["fallback"], done.facts["reused"]) == (1, 2, 0)
    second = enrich(night, stage(night, rows))
    again = answered(second)
    assert {key: one["output"] for key, one in again.items()} == {key: one["output"] for key, one in found.items()}
    assert verify(night.ledger).holds
    with ledger.owner.connect() as connection:
        assert connection.execute(text("SELECT model, prompt_version FROM run")).one() == ("nobody", "none")
    facts = collect(night.ledger, night.run_id)
    words, page = as_text(facts), as_html(facts)
    assert "no model is asked" in words
    assert "No model is asked" in page
    assert not [one for one in ("calls    ", "tokens   ", "nobody", "a call saved") if one in words]
    assert "nobody" not in page
    gate(night, second)
    told = as_explained(explain(night.ledger, "support_triage", "1"))
    assert f"engine    {LOCAL.model}@" in told
    assert "no model was asked" in told
    assert "prompt" not in told


@pytest.mark.parametrize(
    ("planned", "outcome"), [("dead_letter", "dead_letter"), ("deferred", "deferred"), ("fallback", "dead_letter")]
)
def test_without_a_model_what_is_left_goes_by_the_failure_plan(
    alone_of: Callable[..., Night], ledger: Ledger, planned: Any, outcome: str
) -> None:
    case = replace(ALONE, failure_plan=replace(ALONE.failure_plan, unavailable=planned))
    night = alone_of(case=case)
    left = ticket(2, STRANGE) if planned != "fallback" else ticket(2, "") | {"subject": "", "channel": None}
    done = enrich(night, stage(night, [ticket(1, CLEAR), left]))
    assert list(answered(done)) == ["1"]
    with ledger.owner.connect() as connection:
        ended = connection.execute(text("SELECT row_key, outcome, reason FROM outcome")).all()
    ((key, found, reason),) = ended
    assert (key, found) == ("2", outcome)
    assert "nothing in the process could decide it" in reason


def test_a_plan_counts_what_will_be_decided(night_of: Callable[..., Night]) -> None:
    rows = [ticket(1, CLEAR), ticket(2, STRANGE), ticket(3, CLEAR) | {"subject": "Invoice 1"}]
    night = night_of()
    good = stage(night, rows)
    seen = set[bytes]()
    expected = preview(night, good, seen)
    assert (expected.decided, expected.identical, expected.asked, expected.reused) == (1, 1, 1, 0)
    later = preview(night, good, seen)
    assert (later.decided, later.identical, later.asked) == (0, 3, 0)
    enrich(night, good)
    after = preview(night, good)
    assert (after.decided, after.asked, after.reused) == (0, 0, 3)


def test_a_plan_without_a_model_costs_nothing(alone_of: Callable[..., Night]) -> None:
    night = alone_of()
    expected = preview(night, stage(night, [ticket(1, CLEAR), ticket(2, STRANGE)]))
    assert (expected.decided, expected.dead, expected.asked, expected.calls, expected.cost) == (1, 1, 0, 0, 0)
    assert [one.stage for one in expected.loads] == ["read", "write"]


def test_beyond_the_sample_the_share_that_was_found_holds(
    alone_of: Callable[..., Night], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview_decided, "SAMPLE", 40)
    rows = [ticket(n, CLEAR if n % 2 else f"{STRANGE} {n}") for n in range(1, 401)]
    night = alone_of()
    expected = preview(night, stage(night, rows))
    assert expected.decided + expected.dead == 400
    assert 140 < expected.decided < 260
