"""Prompts evaluated on the sandbox: judged, on record, asked once, and held to by the next night."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.model.rule import judge
from include.demo.sandbox.process import running_sandbox
from include.errors import ConfigurationError, SystemUnavailable
from include.ledger.control import change_control
from include.ledger.evaluations import newest
from include.ledger.verify import verify
from include.models import Record
from include.night.enrich.enrich import enrich
from include.operations.evaluate_asking import with_values
from include.operations.evaluate_labels import Label, Labels
from include.operations.evaluate_prompt import Evaluated, evaluate_prompt
from include.pages.nights import find_nights
from include.run import Night
from include.settings import Settings
from include.spec.prompt import Prompt, load_prompt
from include.spec.use_case import Failover, UseCase, load
from include.systems.connections import EnvironmentConnections
from tests.core.commands.test_dead_letters import END, environment
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.test_verify import forge_digests, problems, tamper
from tests.core.night.enrich.test_enrich import lead, rows, stage
from tests.core.test_whole_night import Sandbox

__all__ = ["environment"]
CASE = load("crm_lead_scoring")
PROMPT = load_prompt(CASE)
ROWS = 200
LOST = 16
SECRET = "ada.lovelace@private.example"
Evaluate = Callable[..., Evaluated]


def shown(case: UseCase, *left_out: str) -> str:
    """A template that shows the model every column but these."""
    columns = [name for name in case.model_sees if name not in left_out]
    fields = ", ".join(f'"{name}": {{{{ row.{name} | tojson }}}}' for name in columns)
    return f"Score this lead.\n\n```json\n{{{fields}}}\n```"


EQUAL = replace(PROMPT, version="v2", user=shown(CASE))
WORSE = replace(PROMPT, version="v3", user=shown(CASE, "industry"))


def labelled(number: int = ROWS, lost: int = LOST) -> Labels:
    """Rows with the sandbox's own verdict; without the industry, it answers so many of them otherwise."""
    told, same = list[Label](), list[Label]()
    titles = ("Chief Executive Officer", "Buyer", "Head of IT", "Intern", "Sales Manager")
    for at in range(6_000):
        given: Record = dict.fromkeys(CASE.model_sees)
        given |= {"job_title": titles[at % 5], "industry": "manufacturing", "employees": 7 * at, "page_views": at % 41}
        given |= {"last_activity_days": (7, 30, 90, 365, None)[at % 7 % 5], "company_name": f"Firm {at}"}
        tier = judge(given).tier
        differs = judge({**given, "industry": None}).tier != tier
        (told if differs else same).append(Label(at + 1, given, {"tier": tier}, {}, "large" if at % 2 else "small"))
    assert len(told) >= lost
    return Labels("made.jsonl", [*told[:lost], *same[: number - lost]])


@pytest.fixture
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    state = tmp_path_factory.mktemp("sandbox")
    with running_sandbox(SandboxConfig(state=state, anchor=END, days=1, leads_per_day=1, model_latency_ms=1)) as e:
        yield Sandbox(e)


@pytest.fixture
def evaluate(environment: dict[str, str], ledger: Ledger) -> Evaluate:
    def run(prompt: Prompt = PROMPT, labels: Labels | None = None, case: UseCase = CASE, **more: Any) -> Evaluated:
        given = labels or labelled()
        return evaluate_prompt(EnvironmentConnections(), Settings.read(), case, prompt, given, **more)

    return run


@pytest.fixture
def night_of(environment: dict[str, str], make_night: MakeNight) -> Callable[..., Night]:
    def make(prompt: Prompt = PROMPT, **more: Any) -> Night:
        return make_night(prompt=prompt.as_mapping(), connections=EnvironmentConnections(), **more)

    return make


def test_a_prompt_that_loses_eight_points_is_refused_and_an_equal_one_passes(
    evaluate: Evaluate, sandbox: Sandbox, ledger: Ledger
) -> None:
    labels = labelled()
    equal = evaluate(EQUAL, labels, against=PROMPT)
    assert (equal.ruling.word, equal.ruling.reasons) == ("passed", ())
    assert (equal.scores.right.hits, equal.scores.right.of) == (ROWS, ROWS)
    assert equal.paired is not None
    assert (equal.paired.lost, equal.paired.won) == (0, 0)
    worse = evaluate(WORSE, labels, against=PROMPT)
    assert worse.scores.right.value == pytest.approx(0.92), "above the bar"
    assert worse.paired is not None
    assert (worse.paired.lost, worse.paired.won) == (LOST, 0)
    assert worse.ruling.word == "failed"
    assert "worse, p = 1.5e-05" in worse.ruling.reasons[0]
    kept = "SELECT prompt_version, verdict, rows, correct FROM evaluation ORDER BY recorded_at"
    assert rows(ledger, kept) == [
        *[("v1", "compared", ROWS, ROWS), ("v2", "passed", ROWS, ROWS)],
        *[("v1", "compared", ROWS, ROWS), ("v3", "failed", ROWS, ROWS - LOST)],
    ]
    assert rows(ledger, "SELECT count(*) FROM evaluation_row WHERE verdict = 'wrong'") == [(LOST,)]
    assert sandbox.billed()["calls"] == 3 * ROWS


def test_what_was_asked_is_not_asked_again_by_night_or_evaluation(
    evaluate: Evaluate, night_of: Callable[..., Night], sandbox: Sandbox, ledger: Ledger
) -> None:
    columns = CASE.model_sees
    leads = [{**dict.fromkeys(columns), **lead(number)} for number in range(30)]
    enrich(night := night_of(), stage(night, leads))
    asked = sandbox.billed()["calls"]
    seen = [{name: one[name] for name in columns} for one in leads]
    labels = Labels("leads.jsonl", [Label(at, one, {"tier": judge(one).tier}) for at, one in enumerate(seen, 1)])
    first = evaluate(labels=labels)
    assert (first.calls, first.cost, first.scores.right.hits) == (0, 0, 30)
    assert first.scores.row_cost > 0, "what it took once is known"
    more = labelled(20, 0)
    second = evaluate(labels=more)
    assert (second.calls, sandbox.billed()["calls"]) == (20, asked + 20)
    third = evaluate(labels=more)
    assert (third.calls, sandbox.billed()["calls"]) == (0, asked + 20)
    assert third.scores.as_json() == second.scores.as_json()
    later = night_of(external_ref="later")
    enrich(
        later,
        stage(
            later,
            [
                {**one.given, "row_id": f"crm/contacts/{at}", "row_key": str(at), "lineage": "{}"}
                for at, one in enumerate(more.rows)
            ],
        ),
    )
    assert sandbox.billed()["calls"] == asked + 20
    assert rows(ledger, "SELECT DISTINCT use_case FROM run ORDER BY 1") == [
        ("crm_lead_scoring",),
        ("evals_crm_lead_scoring",),
    ]
    assert rows(
        ledger, "SELECT count(*) FROM outcome JOIN run USING (run_id) WHERE external_ref LIKE 'evaluate/%'"
    ) == [(0,)]


def test_a_failed_evaluation_stops_the_night_before_a_call(
    evaluate: Evaluate, night_of: Callable[..., Night], sandbox: Sandbox, ledger: Ledger
) -> None:
    good, bad = labelled(40, 0), labelled(40, 0)
    bad = Labels("bad.jsonl", [replace(one, expected={"tier": "hot"}) for one in bad.rows])
    failed = evaluate(labels=bad)
    assert failed.ruling.word == "failed"
    asked = sandbox.billed()["calls"]
    leads = [lead(number) for number in range(5)]
    night = night_of()
    staged = stage(night, [{**dict.fromkeys(CASE.model_sees), **one} for one in leads])
    with pytest.raises(ConfigurationError) as refused:
        enrich(night, staged)
    for word in (str(failed.evaluation_id), "crm_lead_scoring v1 by sandbox-small", "are needed", "nothing was paid"):
        assert word in str(refused.value)
    assert sandbox.billed()["calls"] == asked
    few = evaluate(labels=Labels("few.jsonl", good.rows[:3]))
    assert few.ruling.word == "too_few"
    with pytest.raises(ConfigurationError, match=str(failed.evaluation_id)):
        enrich(night, staged)
    assert evaluate(labels=good).ruling.passed
    enrich(night, staged)
    assert sandbox.billed()["calls"] == asked + 5


def test_a_night_that_requires_an_evaluation_has_one_of_its_own_prompt_and_model(
    evaluate: Evaluate, night_of: Callable[..., Night], sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    rows_of_night = [{**dict.fromkeys(CASE.model_sees), **lead(1)}]
    night = night_of(evaluated="required")
    staged = stage(night, rows_of_night)
    for made in (
        lambda: evaluate(EQUAL, labelled(20, 0)),
        lambda: evaluate(PROMPT, labelled(20, 0), model="sandbox-large"),
        lambda: evaluate(PROMPT, labelled(20, 0), judged=False),
    ):
        made()
        asked = sandbox.billed()["calls"]
        with pytest.raises(ConfigurationError, match="the spec requires one"):
            enrich(night, staged)
        assert sandbox.billed()["calls"] == asked
    noted = night_of(external_ref="noted")
    with caplog.at_level("INFO", "include.night.enrich.evaluated"):
        enrich(noted, stage(noted, rows_of_night))
    assert "no evaluation of this prompt and model is on record" in caplog.text
    evaluate(PROMPT, labelled(20, 0))
    enrich(night, staged)


def test_a_model_that_takes_over_is_not_held_to_its_evaluation(
    evaluate: Evaluate, night_of: Callable[..., Night], caplog: pytest.LogCaptureFixture
) -> None:
    bad = [replace(one, expected={"tier": "hot"}) for one in labelled(20, 0).rows]
    failed = evaluate(labels=Labels("bad.jsonl", bad), model="sandbox-large")
    assert failed.ruling.word == "failed"
    choice = replace(CASE.asked, failover=(Failover("model", "sandbox-large"),))
    night = night_of(model=choice)
    enrich(night, stage(night, [{**dict.fromkeys(CASE.model_sees), **lead(1)}]))
    assert f"though evaluation {failed.evaluation_id} failed it" in caplog.text


def test_nothing_of_a_row_is_in_the_tables_but_its_hash(evaluate: Evaluate, ledger: Ledger) -> None:
    labels = labelled(20, 0)
    given = [
        replace(one, given={**one.given, "company_name": f"Firm {one.number}, {SECRET}"}, slice=SECRET)
        for one in labels.rows
    ]
    evaluate(labels=Labels("personal.jsonl", given))
    assert find_nights(ledger.service, [CASE.name]).days == (), "it is no night on the pages"
    for table in ("evaluation", "evaluation_row"):
        text = json.dumps(rows(ledger, f"SELECT to_jsonb(x) FROM {table} x")[0][0]) + str(
            rows(ledger, f"SELECT string_agg(to_jsonb(x)::text, ' ') FROM {table} x")
        )
        assert SECRET not in text
        assert "Firm" not in text
    kept = str(rows(ledger, "SELECT string_agg(messages::text, ' ') FROM inference"))
    assert "Firm" in kept, "messages are kept as a night keeps them"
    assert SECRET not in kept
    assert verify(ledger.service).findings == ()


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("evaluation", "verdict = 'passed'"),
        ("evaluation", "correct = correct + 1"),
        ("evaluation", "scores = scores || '{\"right\": 1}'"),
        ("evaluation_row", "verdict = 'right'"),
    ],
)
def test_a_verdict_that_was_changed_afterwards_is_found(
    evaluate: Evaluate, ledger: Ledger, table: str, change: str
) -> None:
    bad = [replace(one, expected={"tier": "hot"}) for one in labelled(20, 0).rows]
    evaluate(labels=Labels("bad.jsonl", bad))
    assert verify(ledger.service).holds
    where = f"{table}_id = (SELECT {table}_id FROM {table} WHERE verdict IN ('failed', 'wrong') LIMIT 1)"
    row = str(rows(ledger, f"SELECT {table}_id FROM {table} WHERE {where}")[0][0])
    tamper(ledger.owner, f"UPDATE {table} SET {change} WHERE {where}")
    assert (table, row) in problems(verify(ledger.service))
    forge_digests(ledger.owner, table, f"{table}_id = '{row}'")
    assert any(name == table for name, _ in problems(verify(ledger.service)))


def test_answers_that_do_not_fit_are_counted_and_not_asked_again(
    evaluate: Evaluate, sandbox: Sandbox, ledger: Ledger
) -> None:
    labels = labelled(20, 0)
    sandbox.fail("model", prose=1.0)
    found = evaluate(labels=labels)
    assert found.scores.schema_failures == 20
    assert found.ruling.word == "failed"
    asked = sandbox.billed()["calls"]
    assert asked == 20 * (1 + CASE.asked.reasks)
    sandbox.fail("model", prose=0.0)
    again = evaluate(labels=labels)
    assert (again.calls, sandbox.billed()["calls"]) == (0, asked)
    assert again.scores.schema_failures == 20
    assert rows(ledger, "SELECT count(*) FROM dead_letter") == [(0,)]


def test_a_model_that_is_down_says_nothing_of_the_prompt(
    evaluate: Evaluate, sandbox: Sandbox, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.night.enrich.dispatch.wait_seconds", lambda *args, **more: 0.01)
    monkeypatch.setenv("NIGHTLEDGER_OUTAGE_SECONDS", "1")
    sandbox.fail("model", http_500=1.0)
    with pytest.raises(SystemUnavailable, match="20 of 20 labelled rows were not asked"):
        evaluate(labels=labelled(20, 0))
    assert rows(ledger, "SELECT count(*) FROM evaluation") == [(0,)]
    assert rows(ledger, "SELECT status FROM run") == [("failed",)]
    sandbox.fail("model")
    assert evaluate(labels=labelled(20, 0)).ruling.passed


def test_the_budgets_of_the_use_case_hold(evaluate: Evaluate, ledger: Ledger) -> None:
    case = replace(CASE, cost_ceiling_usd=CASE.cost_ceiling_usd * 0 + type(CASE.cost_ceiling_usd)("0.000001"))
    with pytest.raises(ConfigurationError, match="were not asked"):
        evaluate(labels=labelled(20, 0), case=case)
    assert rows(ledger, "SELECT count(*) FROM evaluation") == [(0,)]
    scopes = [scope for (scope,) in rows(ledger, "SELECT scope FROM budget")]
    assert any(scope.startswith("run/evals_crm_lead_scoring") for scope in scopes)
    assert any(scope.startswith("day/crm_lead_scoring/") for scope in scopes)


def test_where_people_have_switched_the_asking_off_nothing_is_evaluated(
    evaluate: Evaluate, sandbox: Sandbox, ledger: Ledger
) -> None:
    change_control(ledger.service, CASE, "ada", "a trial", {"off": True})
    with pytest.raises(ConfigurationError, match="people have switched the asking off"):
        evaluate(labels=labelled(20, 0))
    assert sandbox.billed()["calls"] == 0
    change_control(ledger.service, CASE, "ada", "over", {"off": False})
    assert evaluate(labels=labelled(20, 0)).ruling.passed


def test_what_a_model_may_not_be_shown_is_not_shown_for_an_evaluation(evaluate: Evaluate, sandbox: Sandbox) -> None:
    case = replace(CASE, data_classes={"company_name": "payment"})
    with pytest.raises(ConfigurationError, match="company_name"):
        evaluate(labels=labelled(20, 0), case=case)
    assert sandbox.billed()["calls"] == 0


def test_tokens_in_an_answer_are_told_as_what_they_stand_for(night_of: Callable[..., Night]) -> None:
    night = night_of(tokenise=("company_name",))
    row = {**dict.fromkeys(CASE.model_sees), "company_name": f"write to {SECRET}"}
    seen, values = night.hider.hide(row, night.case.tokenise)
    assert SECRET not in str(seen)
    (token,) = values
    assert with_values(night, row, {"summary": f"Ask {token}."}) == {"summary": f"Ask {SECRET}."}


def test_the_newest_evaluation_that_judged_is_found(evaluate: Evaluate, ledger: Ledger) -> None:
    labels = labelled(20, 0)
    first, second = evaluate(labels=labels), evaluate(labels=labels)
    with ledger.service.connect() as connection:
        found = newest(connection, CASE.name, PROMPT.hash, "sandbox-small")
        assert found is not None
        assert found.evaluation_id == second.evaluation_id != first.evaluation_id
        assert newest(connection, CASE.name, PROMPT.hash, "sandbox-large") is None
        assert newest(connection, "another", PROMPT.hash, "sandbox-small") is None


def test_a_prompt_that_shows_what_the_spec_does_not_is_refused_unasked(evaluate: Evaluate, sandbox: Sandbox) -> None:
    with pytest.raises(ConfigurationError, match="reads email, which `model_sees` of the spec does not list"):
        evaluate(replace(PROMPT, user="{{ row.email }}"), labelled(20, 0))
    with pytest.raises(ConfigurationError, match="name: says 'another'"):
        evaluate(replace(PROMPT, name="another"), labelled(20, 0))
    assert sandbox.billed()["calls"] == 0


def _numbers(labels: Labels) -> Sequence[int]:
    return [one.number for one in labels.rows]


def test_generated_rows_differ(tmp_path: Path) -> None:
    assert len({one.sha256 for one in labelled().rows}) == ROWS == len(set(_numbers(labelled())))
