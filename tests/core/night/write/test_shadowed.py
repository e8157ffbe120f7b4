"""What mode shadow would have written beside what people put into the CRM themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from include.database import transaction
from include.ledger.comparisons import Asking, Counted, Shadowed, measure_shadow
from include.ledger.verify import verify
from include.models import Mode, Record, RunOptions
from include.night.gate.gate import gate
from include.night.write.shadowed import comparable, compare_shadowed
from include.night.write.write import write
from include.run import Night
from include.spec.rollout import Rollout
from include.spec.use_case import load
from include.systems.sql.declared import Table
from tests.core.conftest import PROMPT, Ledger
from tests.core.ledger.test_verify import problems, tamper
from tests.core.night.gate.answers import answer, stage_enriched
from tests.core.night.write.conftest import Begin, Crm, approve, nights_events

CASE = load("crm_lead_scoring")
ASKING = Asking(CASE.name, PROMPT["hash"], CASE.model_name)
SHADOW = RunOptions(mode=Mode.SHADOW)
Shade = Callable[..., Night]


@pytest.fixture
def shade(begin: Begin) -> Shade:
    """A night in mode shadow with these answers by contact, written (which sends nothing) and closed as succeeded."""

    def run(outputs: Mapping[str, Record], *, origin: str = "model", **more: Any) -> Night:
        night = begin(options=SHADOW, **more)
        write(night, gate(night, stage_enriched(night, outputs, origin=origin)))
        with transaction(night.ledger) as connection:
            done = "UPDATE nightledger.run SET status = 'succeeded' WHERE run_id = :run"
            connection.execute(text(done), {"run": night.run_id})
        return night

    return run


def measured(night: Night, asking: Asking = ASKING) -> Shadowed:
    with transaction(night.ledger) as connection:
        return measure_shadow(connection, asking, 500)


def test_what_people_filled_in_is_held_against_what_shadow_would_have_written(shade: Shade, crm: Crm) -> None:
    same, other, empty = crm.ids(3)
    crm.edit(same, nl_lead_tier="hot")
    crm.edit(other, nl_lead_tier="cold", nl_next_action="call")
    written = crm.seen()["records_written"]
    night = shade(dict.fromkeys((same, other, empty), answer()))
    assert measured(night) == Shadowed(1, Counted(2, 1), Counted())
    assert crm.seen()["records_written"] == written, "nothing is written"
    (told,) = nights_events(night, "shadow.compared")
    assert told == {
        "looked_at": 3,
        "problem": None,
        "person": {"compared": 2, "agreed": 1},
        "version": {"compared": 0, "agreed": 0},
    }
    with night.ledger.connect() as connection:
        query = text("SELECT external_id, fields, differs FROM comparison ORDER BY fields")
        found = {row[0]: (set(row[1]), row[2]) for row in connection.execute(query)}
    assert found == {same: ({"tier"}, []), other: ({"tier", "next_action"}, ["tier"])}


def test_fields_that_nobody_has_filled_in_are_no_agreement(shade: Shade, crm: Crm) -> None:
    night = shade(dict.fromkeys(crm.ids(30), answer()))
    assert measured(night) == Shadowed(1)
    with night.ledger.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM comparison")) == 0


def test_what_we_wrote_ourselves_is_no_persons_word_unless_a_person_had_decided_it(
    shade: Shade, begin: Begin, crm: Crm, ledger: Ledger
) -> None:
    alone, decided, mended = crm.ids(3)
    before = begin(prompt={**PROMPT, "hash": "e" * 64})
    write(before, approve(before, dict.fromkeys((alone, decided, mended), answer())))
    crm.edit(mended, nl_lead_tier="cold")
    with ledger.owner.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        said = "UPDATE decision SET decided_by = 'person/ada' WHERE row_key = :key AND run_id = :run"
        connection.execute(text(said), {"key": decided, "run": before.run_id})
    night = shade(dict.fromkeys((alone, decided, mended), answer()), day=1)
    assert measured(night) == Shadowed(1, Counted(2, 1), Counted(1, 1))
    crm.edit(alone, nl_next_action="email")
    assert (compare_shadowed(night) or {})["person"] == {"compared": 1, "agreed": 0}
    assert measured(night) == Shadowed(1, Counted(3, 1), Counted(1, 1))


def test_what_a_version_wrote_is_on_record_once_however_often_it_is_looked_at(
    shade: Shade, begin: Begin, crm: Crm
) -> None:
    (one,) = crm.ids(1)
    before = begin(prompt={**PROMPT, "hash": "e" * 64})
    write(before, approve(before, {one: answer()}))
    night = shade({one: answer()}, day=1)
    assert measured(night).version == Counted(1, 1)
    compare_shadowed(night)
    assert measured(night).version == Counted(1, 1)


def test_a_later_night_looks_again_at_what_was_empty_and_counts_each_record_once(shade: Shade, crm: Crm) -> None:
    known, late = crm.ids(2)
    crm.edit(known, nl_lead_tier="hot")
    night = shade(dict.fromkeys((known, late), answer()))
    crm.edit(late, nl_lead_tier="hot")
    crm.edit(known, nl_lead_tier="cold")
    after = shade({known: answer()}, day=1)
    assert measured(after) == Shadowed(2, Counted(2, 2), Counted())
    (told,) = nights_events(after, "shadow.compared")
    assert told["looked_at"] == 1, "what people have said is not read again"
    compare_shadowed(night)
    assert measured(night) == Shadowed(2, Counted(2, 2), Counted())


def test_a_rules_answers_and_another_prompts_say_nothing_of_this_one(shade: Shade, crm: Crm) -> None:
    by_rule, by_other = crm.ids(2)
    crm.edit(by_rule, nl_lead_tier="hot")
    crm.edit(by_other, nl_lead_tier="hot")
    shade({by_rule: answer()}, origin="rule")
    night = shade({by_other: answer()}, day=1, prompt={**PROMPT, "hash": "e" * 64})
    assert measured(night).people == Counted()
    assert measured(night, ASKING._replace(prompt_hash="e" * 64)).people == Counted(1, 1)


def test_answers_of_another_contract_are_not_looked_at(shade: Shade, crm: Crm, ledger: Ledger) -> None:
    """What a sink asks of an answer, they need not have."""
    before, now = crm.ids(2)
    night = shade({before: answer()})
    tamper(ledger.owner, "UPDATE run SET contract_hash = 'other' WHERE run_id = :run", run=night.run_id)
    after = shade({now: answer()}, day=1)
    (told,) = nights_events(after, "shadow.compared")
    assert told["looked_at"] == 1


def test_a_night_that_may_write_compares_nothing(begin: Begin, crm: Crm) -> None:
    (one,) = crm.ids(1)
    crm.edit(one, nl_lead_tier="hot")
    night = begin()
    write(night, approve(night, {one: answer()}))
    assert nights_events(night, "shadow.compared") == []


def test_a_destination_that_cannot_be_read_costs_the_night_nothing(shade: Shade, crm: Crm, begin: Begin) -> None:
    (one,) = crm.ids(1)
    night = shade({one: answer()})
    refused = begin(options=SHADOW, token="another", day=1)
    assert compare_shadowed(refused) == {
        "looked_at": 1,
        "problem": "AccessDenied",
        "person": {"compared": 0, "agreed": 0},
        "version": {"compared": 0, "agreed": 0},
    }
    crm.edit(one, nl_lead_tier="hot")
    compare_shadowed(night)
    assert measured(night).people == Counted(1, 1)


def test_a_use_case_says_where_people_keep_theirs(shade: Shade, crm: Crm) -> None:
    one, blank = crm.ids(2)
    crm.edit(one, nl_lead_tier="cold", jobtitle="hot")
    crm.edit(blank, jobtitle=" ")
    night = shade(dict.fromkeys((one, blank), answer()), rollout=Rollout(people_keep={"tier": "jobtitle"}))
    assert measured(night).people == Counted(1, 1)


def test_compared_are_closed_lists_of_a_sink_that_can_be_read() -> None:
    sink = comparable(CASE)
    assert sink is not None
    assert dict(sink.fields) == {"tier": "nl_lead_tier", "next_action": "nl_next_action"}
    assert comparable(replace(CASE, sinks=(replace(CASE.sinks[0], guard="append_once"),))) is None
    told = replace(CASE.sinks[0], fields={"summary": "nl_lead_summary"})
    assert comparable(replace(CASE, sinks=(told,))) is None
    beside = Table(system="warehouse", object="x", key=("id",), fields={"tier": "tier"})
    found = comparable(replace(CASE, sinks=(told, beside)))
    assert found is not None
    assert (found.system, found.object) == ("warehouse", "x")


@pytest.mark.parametrize("change", ["differs = '{}'", "held_by = 'version'", "fields = fields || ARRAY['score']"])
def test_a_comparison_that_was_changed_afterwards_is_found(shade: Shade, crm: Crm, ledger: Ledger, change: str) -> None:
    (one,) = crm.ids(1)
    crm.edit(one, nl_lead_tier="cold")
    night = shade({one: answer()})
    assert measured(night).people == Counted(1, 0)
    assert verify(ledger.service).holds
    tamper(ledger.owner, f"UPDATE comparison SET {change}")
    assert any(table == "comparison" for table, _ in problems(verify(ledger.service)))
