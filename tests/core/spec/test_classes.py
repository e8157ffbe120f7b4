"""Which class of data a column is of, and that a model which may not be shown it refuses the spec."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from include.errors import ConfigurationError
from include.privacy.classes import CLASSES, refused
from include.settings import ROOT
from include.spec.classes import classes_of, hold_to_classes
from include.spec.contradictions import contradictions
from include.spec.use_case import Failover, UseCase, load
from include.systems.registry import System, read_systems
from include.use_cases.crm_lead_scoring import spec

FILE = ROOT / "include" / "systems.toml"
SYSTEMS = read_systems(FILE)
LEADS, TICKETS = load("crm_lead_scoring"), load("support_triage")


def systems(**changes: Any) -> dict[str, System]:
    """The registry with another entry `model`, and `elsewhere` as it is."""
    return {**SYSTEMS, "model": replace(SYSTEMS["model"], **changes), "elsewhere": SYSTEMS["model"]}


def test_a_column_has_the_class_of_its_source_unless_the_spec_says_another() -> None:
    known = {**SYSTEMS, "sftp": replace(SYSTEMS["sftp"], data_class="special")}
    classes = classes_of(replace(LEADS, data_classes={"country": "public"}), known)
    assert classes["country"] == "public"
    assert classes["job_title"] == "confidential"
    assert set(classes) == {*LEADS.model_sees}
    firm = classes_of(TICKETS, known)
    assert firm["subject"] == "personal"
    assert firm["customer_plan"] == "special", "it comes from a file"


def test_the_model_of_each_use_case_may_see_what_it_is_shown() -> None:
    for name in ("crm_lead_scoring", "support_triage", "crm_enrichment", "ap_invoices"):
        hold_to_classes(load(name), SYSTEMS)


@pytest.mark.parametrize(
    ("case", "known", "words"),
    [
        (replace(TICKETS, tokenise=()), SYSTEMS, "column subject is personal, which `model` .* without tokens"),
        (replace(TICKETS, tokenise=("subject",)), SYSTEMS, "column body is personal"),
        (TICKETS, systems(may_see_as_tokens=()), "column subject is personal, which `model` .sandbox-small. may not"),
        (LEADS, systems(may_see=("public",)), "column job_title is confidential"),
        (replace(LEADS, data_classes={"country": "special"}), SYSTEMS, "column country is special"),
        (replace(LEADS, data_classes={"country": "payment"}), SYSTEMS, "column country is payment.*shown to no model"),
        (
            replace(
                TICKETS,
                model=replace(TICKETS.asked, system="elsewhere", failover=(Failover("model", "gpt-4.1-mini"),)),
            ),
            systems(may_see_as_tokens=()),
            "`model` .gpt-4.1-mini. may not",
        ),
    ],
)
def test_a_model_that_may_not_be_shown_a_column_refuses_the_spec(
    case: UseCase, known: dict[str, System], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        hold_to_classes(case, known)


def test_payment_is_shown_to_nobody_even_as_tokens() -> None:
    case = replace(LEADS, data_classes={"country": "payment"}, tokenise=("country",))
    with pytest.raises(ConfigurationError, match="payment"):
        hold_to_classes(case, SYSTEMS)


def test_payment_is_refused_whatever_an_endpoint_is_said_to_take() -> None:
    assert refused({"card": "payment"}, ("card",), CLASSES, CLASSES) == {"card": "payment"}


def test_a_spec_is_held_to_it_when_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spec, "SPEC", replace(LEADS, data_classes={"country": "special"}))
    with pytest.raises(ConfigurationError, match="column country is special"):
        load("crm_lead_scoring")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tokenise": ("email",)}, "column email in tokenise, which no model sees"),
        ({"data_classes": {"email": "personal"}}, "column email in data_classes, which no model sees"),
        ({"data_classes": {"country": "secret"}}, "country is 'secret'; classes of data are public,"),
    ],
)
def test_what_is_declared_of_no_column_or_no_class_is_a_contradiction(changes: dict[str, Any], words: str) -> None:
    assert words in " ".join(contradictions(replace(LEADS, **changes)))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('may_see = ["public", "secret"]', "`may_see` has secret; known: public,"),
        ('may_see_as_tokens = ["payment"]', "`may_see_as_tokens` has payment, which no model may be shown"),
    ],
)
def test_a_registry_that_allows_what_nobody_may_is_refused(line: str, words: str, tmp_path: Path) -> None:
    name = line.partition(" ")[0]
    lines = [line if one.startswith(f"{name} =") else one for one in FILE.read_text(encoding="utf-8").splitlines()]
    (tmp_path / "systems.toml").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=words):
        read_systems(tmp_path / "systems.toml")


def test_an_entry_that_says_nothing_may_see_what_is_confidential_and_people_as_tokens() -> None:
    plain = replace(SYSTEMS["shop"], name="other")
    assert (plain.may_see, plain.may_see_as_tokens[-1]) == (("public", "internal", "confidential"), "personal")
