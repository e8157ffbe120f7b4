"""A use case that contradicts itself is refused when it is read."""

from dataclasses import replace
from typing import Any

import pytest

from include.errors import ConfigurationError
from include.models import Column, Mode
from include.spec.contradictions import contradictions
from include.spec.rollout import Rollout
from include.spec.transforms import Coalesce
from include.spec.use_case import UseCase, load
from include.systems.fitted.declared import Local
from include.systems.hubspot.declared import HubSpotSink
from include.systems.messages.declared import Message
from include.use_cases.crm_lead_scoring import spec

CASE = load("crm_lead_scoring")
FIRST: Any = CASE.sources[0]
READS_SCORE = replace(FIRST, columns=(*FIRST.columns, Column("nl_lead_score", "last_score", "integer")))
AGAIN = HubSpotSink(system="crm", object="contacts", fields={"tier": "other"})
TWICE = replace(CASE.sinks[0], fields={"score": "nl_lead_score", "confidence": "nl_lead_score"})
TO_CUSTOMERS = Message(system="chat", object="letters", fields={"summary": "text"}, outsiders=True)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (replace(CASE, sources=()), "has no source"),
        (replace(CASE, sinks=()), "has no sink"),
        (replace(CASE, sources=(READS_SCORE,), model_sees=("last_score",)), "last_score, which holds what it writes"),
        (
            replace(
                CASE,
                sources=(READS_SCORE,),
                transforms=(
                    *CASE.transforms,
                    Coalesce("known", ("last_score", "page_views")),
                    Coalesce("x", ("known",)),
                ),
                model_sees=("x",),
            ),
            "shows the model column x",
        ),
        (replace(CASE, sinks=(*CASE.sinks, AGAIN)), "has 2 sinks for crm contacts"),
        (replace(CASE, local=Local("model.v1", 0.9, ("notes",), ("tier",))), "answers by column notes"),
        (replace(CASE, sinks=(replace(CASE.sinks[0], only_from="sftp/drop"),)), "only what comes from sftp/drop"),
        (replace(CASE, mode=Mode.AUTO, never_alone="money"), "is declared auto, though never alone"),
        (replace(CASE, sinks=(TO_CUSTOMERS,)), "sends chat letters to outsiders by itself"),
        (replace(CASE, rollout=Rollout(people_keep={"tier": "jobtitle"})), "which the model sees as job_title"),
        (replace(CASE, sinks=(TWICE,)), "writes 2 fields of an answer to crm contacts `nl_lead_score`"),
    ],
)
def test_a_contradiction_is_named_and_refused(case: UseCase, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert words in " ".join(contradictions(case))
    monkeypatch.setattr(spec, "SPEC", case)
    with pytest.raises(ConfigurationError, match=words.split("`")[0]):
        load("crm_lead_scoring")


def test_a_message_to_outsiders_that_a_person_decides_on_is_fine() -> None:
    assert list(contradictions(replace(CASE, sinks=(TO_CUSTOMERS,), never_alone="a letter to a customer"))) == []


def test_what_is_read_and_not_shown_may_be_written() -> None:
    assert list(contradictions(replace(CASE, sources=(READS_SCORE,)))) == []
