"""Every use case is ready: nothing blank, everything it names exists."""

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from include.errors import ConfigurationError
from include.models import Record
from include.night.enrich.questions import response_format
from include.settings import ROOT
from include.spec.names import names
from include.spec.prompt import load_prompt
from include.spec.use_case import UseCase, blanks, load
from include.systems.registry import read_systems

CASES = [load(name) for name in names()]


def examples_of(case: UseCase) -> list[Record]:
    lines = (case.folder / "evals.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_there_are_use_cases() -> None:
    assert "crm_lead_scoring" in names()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
class TestReadiness:
    """The gate before a use case may run at night."""

    def test_no_declaration_is_blank(self, case: UseCase) -> None:
        assert blanks(case) == []

    def test_every_system_is_in_the_registry(self, case: UseCase) -> None:
        used = {one.system for one in (*case.sources, *case.sinks, *case.joins)}
        used |= {case.model.system} if case.model else set()
        used |= {case.mirror.system} if case.mirror else set()
        used |= {one.reads.system for one in case.agent.tools} if case.agent else set()
        assert used <= read_systems(ROOT / "include" / "systems.toml").keys()

    def test_no_personal_column_is_shown_to_the_model(self, case: UseCase) -> None:
        assert not set(case.personal) & set(case.model_sees)

    def test_the_prompt_renders_with_what_the_model_may_see(self, case: UseCase) -> None:
        if case.model is None:
            assert case.local is not None
            assert not list(case.folder.glob("prompt*"))
            return
        assert load_prompt(case).render(dict.fromkeys(case.model_sees))

    def test_the_fallback_fits_the_output(self, case: UseCase) -> None:
        answers = [case.module("fallback").answer(one["input"]) for one in examples_of(case)]
        known = [one for one in answers if one is not None]
        assert known
        for answer in known:
            assert case.module("output").Output.model_validate(answer)

    def test_the_fallback_has_no_opinion_on_nothing(self, case: UseCase) -> None:
        assert case.module("fallback").answer(dict.fromkeys(case.model_sees)) is None

    def test_written_fields_are_fields_of_the_output(self, case: UseCase) -> None:
        for sink in case.sinks:
            known = dict(case.module("output").Output.model_fields)
            if sink.each is not None:
                known |= get_args(known[sink.each].annotation)[0].model_fields
            assert set(sink.fields) - {"origin"} <= set(known)

    def test_the_schema_sent_is_strict(self, case: UseCase) -> None:
        schema = response_format(case.name, case.module("output").Output)["json_schema"]["schema"]
        assert schema["additionalProperties"] is False
        assert set(schema["required"]) == set(schema["properties"])

    def test_labelled_examples_are_enough_and_fit(self, case: UseCase) -> None:
        examples = examples_of(case)
        assert len(examples) >= 20
        for example in examples:
            assert set(example["input"]) == set(case.model_sees)
            assert set(example["expected"]) <= set(case.module("output").Output.model_fields)


def test_a_blank_is_found_wherever_it_hides() -> None:
    case = load("crm_lead_scoring")
    plan = replace(case.failure_plan, in_words=" ")
    assert blanks(replace(case, owner="TBD", failure_plan=plan)) == ["failure_plan.in_words", "owner"]


def test_an_unknown_use_case_is_told_which_exist() -> None:
    with pytest.raises(ConfigurationError, match="crm_lead_scoring"):
        load("crm_lead_scorign")


def test_a_registry_with_a_misspelt_key_is_refused(tmp_path: Path) -> None:
    text = (ROOT / "include" / "systems.toml").read_text(encoding="utf-8").replace("timeout_seconds", "timeout", 1)
    path = tmp_path / "systems.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"systems\.toml \[crm\]"):
        read_systems(path)
