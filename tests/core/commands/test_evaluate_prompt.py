"""`evaluate` of prompts from the command line: what it prints, its exit codes, models side by side."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from include.cli import main
from include.commands import needs_connections
from include.database import transaction
from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.errors import ConfigurationError
from include.ledger.closing import close_run
from include.ledger.control import change_control
from include.ledger.verify import verify
from include.night.enrich.evaluated import hold_to_evaluation
from include.spec import use_case
from include.spec.names import folder_of
from include.spec.prompt import load_prompt
from tests.core.commands.test_dead_letters import END, environment
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.test_verify import problems, tamper
from tests.core.night.enrich.test_enrich import rows
from tests.core.test_whole_night import Sandbox

__all__ = ["environment"]
NAME = "crm_lead_scoring"
ZERO = "00000000-0000-0000-0000-000000000000"
Evaluate = Callable[..., tuple[int, str]]


@pytest.fixture
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    state = tmp_path_factory.mktemp("sandbox")
    with running_sandbox(SandboxConfig(state=state, anchor=END, days=1, leads_per_day=1, model_latency_ms=1)) as e:
        yield Sandbox(e)


@pytest.fixture
def evaluate(environment: dict[str, str]) -> Evaluate:
    def run(name: str = NAME, *more: str) -> tuple[int, str]:
        out = io.StringIO()
        return main(["evaluate", name, *more], out), out.getvalue()

    return run


@pytest.fixture
def two_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The use case with a second version, which hardly shows anything."""
    folder = tmp_path / NAME
    shutil.copytree(folder_of(NAME), folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(use_case, "folder_of", lambda name: folder if name == NAME else folder_of(name))
    text = (folder / "prompt.v1.md").read_text().replace('version = "v1"', 'version = "v2"')
    columns = [name for name in use_case.load(NAME).model_sees if name in ("country", "segment")]
    fields = ", ".join(f'"{name}": {{{{ row.{name} | tojson }}}}' for name in columns)
    (folder / "prompt.v2.md").write_text(text.replace("{{ record }}", f"{{{fields}}}"))
    return folder


def test_the_version_of_the_spec_passes_on_its_own_examples_and_costs_nothing_twice(
    evaluate: Evaluate, sandbox: Sandbox
) -> None:
    code, said = evaluate()
    assert code == 0
    for line in ("evals.jsonl: 24 rows, crm_lead_scoring v1 by sandbox-small", "tier   ", "macro F1", "PASSED"):
        assert line in said
    asked = sandbox.billed()["calls"]
    assert json.loads(said.splitlines()[-1])["calls"] == asked == 24
    code, said = evaluate()
    assert (code, json.loads(said.splitlines()[-1])["calls"], sandbox.billed()["calls"]) == (0, 0, asked)


def test_another_version_is_held_against_the_one_in_use(
    evaluate: Evaluate, two_versions: Path, ledger: Ledger, tmp_path: Path
) -> None:
    code, said = evaluate(NAME, "--prompt", "v2", "--predictions", str(tmp_path / "out.jsonl"))
    assert code == 1
    assert "v2 by sandbox-small" in said
    assert "Against v1: " in said
    assert "NOT PASSED: " in said
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(lines) == 24
    assert lines[0].keys() == {"id", "labels", "verdict", "decided_by"}
    kept = rows(ledger, "SELECT prompt_version, verdict FROM evaluation ORDER BY recorded_at")
    assert kept == [("v1", "compared"), ("v2", "failed")]
    found = "SELECT a.prompt_version FROM evaluation e JOIN evaluation a ON a.evaluation_id = e.against"
    assert rows(ledger, found) == [("v1",)]


def test_the_version_in_use_is_the_one_that_people_have_set(
    evaluate: Evaluate, two_versions: Path, ledger: Ledger
) -> None:
    change_control(ledger.service, use_case.load(NAME), "ada", "v1 drifted", {"prompt": "v2"})
    assert "Against v2: 0 rows lost" in evaluate()[1]


def test_the_version_of_the_spec_is_held_against_that_of_the_last_night(
    evaluate: Evaluate, two_versions: Path, make_night: MakeNight, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = use_case.load(NAME)
    choice = replace(case.asked, prompt="prompt.v2.md")
    monkeypatch.setattr("include.operations.evaluate_asked.load", lambda name: replace(case, model=choice))
    assert "Against" not in evaluate()[1]
    for number, status in enumerate(("failed", "succeeded")):
        night = make_night(prompt=load_prompt(case).as_mapping(), day=number)
        with transaction(night.ledger) as connection:
            close_run(connection, night.run_id, status, {}, rows_in=0)
        assert ("Against v1: " in evaluate()[1]) == (status == "succeeded")


def test_models_are_asked_side_by_side_and_judged_by_nobody(evaluate: Evaluate, ledger: Ledger) -> None:
    code, said = evaluate(NAME, "--models", "sandbox-small,sandbox-large")
    assert code == 0
    lines = said.splitlines()
    assert [line.split()[0] for line in lines] == ["model", "sandbox-small", "sandbox-large"]
    assert "US$ a row" in lines[0]
    costs = [float(line.split()[-3]) for line in lines[1:]]
    assert 0 < costs[0] < costs[1]
    assert rows(ledger, "SELECT model, verdict FROM evaluation ORDER BY recorded_at") == [
        ("sandbox-small", "compared"),
        ("sandbox-large", "compared"),
    ]


def test_an_engine_in_the_process_is_evaluated_alone_or_with_what_it_leaves(
    evaluate: Evaluate, sandbox: Sandbox, ledger: Ledger
) -> None:
    said = evaluate("support_triage")[1]
    assert "nothing was asked" in said
    assert sandbox.billed()["calls"] == 0
    _, said = evaluate("support_triage", "--ask")
    assert "slice decided in the process: " in said
    assert "slice asked: " in said
    decided = rows(ledger, "SELECT count(*) FROM inference WHERE kind = 'local'")[0][0]
    assert 0 < decided < 86
    assert sandbox.billed()["calls"] == 86 - decided
    assert rows(ledger, "SELECT (scores ->> 'by_engine')::int FROM evaluation") == [(decided,)]


def test_a_failed_evaluation_is_set_aside_by_a_person_and_holds_no_night_any_more(
    evaluate: Evaluate, make_night: MakeNight, ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate()[0] == 0
    labels = tmp_path / "wrong.jsonl"
    lines = (folder_of(NAME) / "evals.jsonl").read_text().splitlines()
    labels.write_text("\n".join(json.dumps({**json.loads(one), "expected": {"score": -1}}) for one in lines))
    code, said = evaluate(NAME, "--labels", str(labels))
    assert code == 1
    failed = json.loads(said.splitlines()[-1])["evaluation_id"]
    assert f"--set-aside {failed} --because" in said
    prompt = load_prompt(use_case.load(NAME))
    night = make_night(prompt=prompt.as_mapping())
    with pytest.raises(ConfigurationError, match=f"--set-aside {failed} --because"):
        hold_to_evaluation(night, prompt)
    for more, why in ((("--because", " "), "needs a reason"), (("--because", "x", "--set-aside", ZERO), "is none of")):
        assert evaluate(NAME, "--set-aside", failed, *more)[0] == 2
        assert why in capsys.readouterr().err
    assert evaluate("crm_enrichment", "--set-aside", failed, "--because", "x")[0] == 2, "another use case's"
    with pytest.raises(ConfigurationError):
        hold_to_evaluation(night, prompt)
    code, said = evaluate(NAME, "--set-aside", failed, "--because", "the labels were made up")
    assert (code, said.split(" counts now: ")[1]) == (0, "passed\n")
    hold_to_evaluation(night, prompt)
    assert evaluate(NAME, "--set-aside", failed, "--because", "again")[0] == 2
    assert "was set aside by" in capsys.readouterr().err
    found = rows(ledger, "SELECT details FROM event WHERE type = 'evaluation.set_aside'")
    assert [one[0]["evaluation_id"] for one in found] == [failed]
    assert (found[0][0]["verdict"], found[0][0]["reason"]) == ("failed", "the labels were made up")
    assert verify(ledger.service).findings == ()
    change = "UPDATE event SET details = details || '{\"reason\": \"none\"}' WHERE type = 'evaluation.set_aside'"
    tamper(ledger.owner, change)
    assert any(table == "event" for table, _ in problems(verify(ledger.service)))


def test_a_pass_that_is_set_aside_lifts_nothing(
    evaluate: Evaluate, make_night: MakeNight, capsys: pytest.CaptureFixture[str]
) -> None:
    passed = json.loads(evaluate()[1].splitlines()[-1])["evaluation_id"]
    prompt = load_prompt(use_case.load(NAME))
    night = make_night(prompt=prompt.as_mapping(), evaluated="required")
    hold_to_evaluation(night, prompt)
    assert "none counts now" in evaluate(NAME, "--set-aside", passed, "--because", "too kind")[1]
    with pytest.raises(ConfigurationError, match="the spec requires one"):
        hold_to_evaluation(night, prompt)
    compared = json.loads(evaluate(NAME, "--list", "--json")[1].splitlines()[0])
    assert (compared["evaluation_id"], compared["set_aside"]["because"]) == (passed, "too kind")
    evaluate(NAME, "--models", "sandbox-small,sandbox-large")
    looked_at = json.loads(evaluate(NAME, "--list", "--json")[1].splitlines()[0])
    assert looked_at["verdict"] == "compared"
    assert evaluate(NAME, "--set-aside", looked_at["evaluation_id"], "--because", "x")[0] == 2
    assert "holds no night" in capsys.readouterr().err


def test_evaluations_are_listed_newest_first_for_people_and_machines(evaluate: Evaluate, ledger: Ledger) -> None:
    assert "No evaluation is on record" in evaluate(NAME, "--list")[1]
    evaluate()
    evaluate(NAME, "--models", "sandbox-large,sandbox-small")
    listed = [json.loads(line) for line in evaluate(NAME, "--list", "--json")[1].splitlines()]
    assert [(one["model"], one["verdict"]) for one in listed] == [
        ("sandbox-small", "compared"),
        ("sandbox-large", "compared"),
        ("sandbox-small", "passed"),
    ]
    assert listed[0]["scores"]["right"]["of"] == 24
    told = evaluate(NAME, "--list")[1].splitlines()
    assert len(told) == 4
    for part in (listed[0]["evaluation_id"], "v1", "sandbox-small", "95.8%", "79.8% to 99.3%", "compared"):
        assert part in told[1]
    out = io.StringIO()
    assert main(["evaluate", "--list", "--json"], out) == 0
    assert [json.loads(line) for line in out.getvalue().splitlines()] == listed
    assert evaluate("crm_enrichment", "--list", "--json")[1] == ""


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--prompt", "v9"), "no version v9; there are: v1"),
        (("--models", "a,b", "--against", "v1"), "goes with neither --against nor --model"),
        (("--labels", "none.jsonl"), "none.jsonl"),
    ],
)
def test_what_cannot_be_done_is_said(
    evaluate: Evaluate, sandbox: Sandbox, more: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(NAME, *more)[0] == 2
    assert said in capsys.readouterr().err
    assert sandbox.billed()["calls"] == 0


def test_a_use_case_that_asks_nobody_has_no_prompt_to_evaluate(
    evaluate: Evaluate, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate("erp_demand_forecast", "--ask")[0] == 2
    assert "asks no model" in capsys.readouterr().err


def test_only_what_asks_needs_connections() -> None:
    assert needs_connections(["evaluate", NAME])
    assert not needs_connections(["evaluate", "support_triage", "--labels", "x.csv"])
    assert needs_connections(["evaluate", "support_triage", "--prompt=v1"])
    assert needs_connections(["evaluate", "support_triage", "--list"])
    assert needs_connections(["evaluate", "support_triage", f"--set-aside={ZERO}"])
    assert needs_connections(["run", "all"])
    assert not needs_connections(["train", "support_triage"])
