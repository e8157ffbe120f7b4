"""`validate` on the sandbox: labelled examples under every condition, on record, asked once, and its verdicts."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from include.cli import main
from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.errors import ConfigurationError
from include.ledger.evaluations import newest
from include.ledger.verify import verify
from include.models import Record
from include.operations.evaluate_labels import Label
from include.operations.examples import read_examples
from include.operations.validate import AS_IT_IS, conditions
from include.spec.prompt import load_prompt
from include.use_cases.crm_lead_scoring import spec
from tests.core.commands.test_dead_letters import END, environment
from tests.core.conftest import Ledger
from tests.core.ledger.test_verify import problems, tamper
from tests.core.night.enrich.test_enrich import rows
from tests.core.test_whole_night import Sandbox

__all__ = ["environment"]
Validate = Callable[..., tuple[int, dict[str, list[str]], Record, str]]


@pytest.fixture
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    state = tmp_path_factory.mktemp("sandbox")
    with running_sandbox(SandboxConfig(state=state, anchor=END, days=1, leads_per_day=1, model_latency_ms=1)) as e:
        yield Sandbox(e)


@pytest.fixture
def validate(environment: dict[str, str]) -> Validate:
    def run(*more: str) -> tuple[int, dict[str, list[str]], Record, str]:
        out = io.StringIO()
        code = main(["validate", spec.SPEC.name, *more], out)
        lines = out.getvalue().splitlines()
        end = next(at for at, line in enumerate(lines) if line.startswith("{"))
        table = {line[:40].strip(): line[40:].split() for line in lines[1:end]}
        return code, table, json.loads(lines[end]), "\n".join(lines[end + 1 :])

    return run


def test_every_example_is_asked_under_every_condition_and_once(
    validate: Validate, sandbox: Sandbox, ledger: Ledger
) -> None:
    code, table, counts, said = validate("--at-least", "0")
    assert (code, said) == (0, "")
    examples = len(read_examples(Path("include/use_cases/crm_lead_scoring/evals.jsonl")))
    assert {tuple(cells[:2]) for cells in table.values()} == {(str(examples), str(examples))}
    assert {AS_IT_IS, "without industry", "text cut to 12 characters", "numbers 10 times as large"} <= table.keys()
    assert table[AS_IT_IS][3] == "0"
    assert any(int(cells[3]) > 0 for cells in table.values())
    assert sandbox.billed()["calls"] == counts["calls"]
    kept = "SELECT DISTINCT use_case FROM run"
    assert rows(ledger, kept) == [("evals_crm_lead_scoring",)]
    before = sandbox.billed()["calls"]
    _, again, counts, _ = validate("--at-least", "0")
    assert again == table
    assert (sandbox.billed()["calls"], counts["calls"], counts["cost_usd"]) == (before, 0, "0")


def test_every_condition_is_an_evaluation_on_record_that_holds_no_night(
    validate: Validate, sandbox: Sandbox, ledger: Ledger
) -> None:
    _, table, counts, _ = validate("--at-least", "0")
    kept = rows(
        ledger,
        "SELECT condition, verdict, rows, correct, (scores ->> 'answered_otherwise')::int, run_id FROM evaluation",
    )
    assert {one[0]: (str(one[2]), f"{one[3] / one[2]:.1%}", str(one[4])) for one in kept} == {
        name: (cells[0], cells[2], cells[3]) for name, cells in table.items()
    }
    assert {(one[1], one[5]) for one in kept} == {("compared", counts["run_id"])}
    assert rows(ledger, "SELECT sum(cost)::text FROM evaluation") == [(counts["cost_usd"],)]
    each = rows(ledger, "SELECT count(*) FROM evaluation_row GROUP BY evaluation_id")
    assert set(each) == {(24,)}
    assert rows(ledger, "SELECT count(DISTINCT row_sha256) FROM evaluation_row")[0][0] > 24, "rows as they were asked"
    case = spec.SPEC
    with ledger.service.connect() as connection:
        assert newest(connection, case.name, load_prompt(case).hash, case.model_name) is None
    calls = sandbox.billed()["calls"]
    assert main(["evaluate", case.name], io.StringIO()) == 0
    assert sandbox.billed()["calls"] == calls, "the rows as they are were asked"
    assert verify(ledger.service).findings == ()


@pytest.mark.parametrize("change", ["condition = NULL", "condition = 'as it was'"])
def test_a_condition_that_was_changed_afterwards_is_found(validate: Validate, ledger: Ledger, change: str) -> None:
    validate("--at-least", "0")
    row = str(rows(ledger, "SELECT evaluation_id FROM evaluation WHERE condition = 'as it is'")[0][0])
    tamper(ledger.owner, f"UPDATE evaluation SET {change} WHERE evaluation_id = '{row}'")
    assert ("evaluation", row) in problems(verify(ledger.service))


def test_no_condition_stops_or_lifts_a_night(validate: Validate, ledger: Ledger) -> None:
    validate("--at-least", "0")
    with pytest.raises(IntegrityError, match="evaluation_under_condition"):
        tamper(ledger.owner, "UPDATE evaluation SET verdict = 'failed'")


def test_a_model_that_is_not_right_enough_or_does_not_answer_is_said(validate: Validate, sandbox: Sandbox) -> None:
    sandbox.fail("model", refusal=0.3)
    code, table, _, said = validate("--at-least", "1")
    assert code == 1
    assert "NOT BORNE" in said
    assert "NOT RIGHT ENOUGH" in said
    assert any(int(cells[1]) < int(cells[0]) for cells in table.values())
    assert main(["validate", spec.SPEC.name, "--at-least", "7"]) == 2


def test_conditions_change_what_they_say_and_nothing_else() -> None:
    given = {"job_title": "Head of Procurement", "industry": None, "page_views": 3, "employees": 7}
    found = dict(conditions(spec.SPEC, [Label(1, given, {})]))
    assert found[AS_IT_IS](given) == given
    assert found["without job_title"](given) == {**given, "job_title": None}
    assert "without industry" not in found
    assert found["text cut to 12 characters"](given)["job_title"] == "Head of Proc"
    assert found["numbers 10 times as large"](given) == {**given, "page_views": 30, "employees": 70}


@pytest.mark.parametrize("content", ["", "nonsense\n", '{"input": {}}\n'])
def test_examples_that_cannot_be_read_are_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "evals.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"evals\.jsonl"):
        read_examples(tmp_path / "evals.jsonl")
    with pytest.raises(ConfigurationError):
        read_examples(tmp_path / "none.jsonl")
