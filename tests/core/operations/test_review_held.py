"""A decision taken on what a record held is not applied in silence once the record holds something else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from include.ledger import door
from include.ledger.reviews import Choice
from include.models import Record
from include.operations import review
from include.operations.review import held_now, held_sha256
from include.run import Night
from include.systems.hubspot.writing import HubSpotWriter
from tests.core.night.gate.answers import answer
from tests.core.night.write.conftest import WRITTEN, Crm, outcomes_of
from tests.core.operations.test_review import apply_all, choose, holds, items, say, waiting

__all__ = ["waiting"]
AGAIN = "the record has changed since it was shown; nothing was written"


def looked(night: Night, key: str, action: Any = "approve", output: Record | None = None) -> Choice:
    """What somebody says who has read what the record holds now."""
    (choice,), item = choose(night, [key], action, output), items(night)[key]
    row = {"row_id": item["row_id"], "row_key": key, "origin": "model", "output": json.dumps(item["proposed"])}
    return replace(choice, held_sha256=held_sha256(held_now(night, row)))


def test_a_record_that_changed_since_it_was_shown_is_shown_again_and_not_written(
    waiting: Any, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed, same, unseen = crm.ids(3)
    night = waiting({one: answer() for one in (changed, same, unseen)})
    say(night, [looked(night, changed), looked(night, same), *choose(night, [unseen])])
    for one in (changed, unseen):
        crm.edit(one, nl_lead_score="3")
    read, asked = HubSpotWriter.read, list[set[str]]()
    monkeypatch.setattr(HubSpotWriter, "read", lambda self, ids: asked.append(set(ids)) or read(self, ids))
    (done,) = apply_all(night)
    assert asked == [{changed, same}, {changed}, {same, unseen}], "one call for all, one by its proposal, one to write"
    assert (done["written"], done["shown_again"]) == (2, 1)
    assert crm.read(changed)["nl_lead_score"] == "3"
    assert crm.read(same) == crm.read(unseen) == WRITTEN
    item = items(night)[changed]
    assert (item["status"], item["decided_by"], item["applied_at"], item["comment"]) == ("waiting", None, None, AGAIN)
    assert outcomes_of(night)[changed][0] == "in_review"
    with night.ledger.connect() as connection:
        said = "SELECT decided_by, verdict, rule FROM decision WHERE row_key = :key ORDER BY recorded_at DESC LIMIT 1"
        last = connection.execute(text(said), {"key": changed}).one()
        events = "SELECT details -> 'held' FROM event WHERE type = 'review.decided' AND actor = 'person ada'"
        (held,) = connection.scalars(text(events))
    assert tuple(last) == ("conflict", "review", AGAIN)
    assert set(held) == {str(items(night)[one]["review_item_id"]) for one in (changed, same)}
    assert apply_all(night) == []
    say(night, [looked(night, changed)])
    apply_all(night)
    assert crm.read(changed) == WRITTEN
    holds(night)


def test_an_edit_is_held_to_what_was_shown_too(waiting: Any, crm: Crm) -> None:
    one, other = crm.ids(2)
    night = waiting({one: answer(), other: answer()})
    say(night, [looked(night, key, "edit", answer(score=12)) for key in (one, other)])
    crm.edit(other, nl_lead_tier="warm")
    (done,) = apply_all(night)
    assert (done["written"], done["shown_again"]) == (1, 1)
    assert crm.read(one)["nl_lead_score"] == "12"
    assert crm.read(other)["nl_lead_score"] is None


@pytest.mark.parametrize("by_second", [False, True])
def test_an_edit_that_goes_to_fewer_places_is_held_to_those_that_were_shown(
    waiting: Any, crm: Crm, monkeypatch: pytest.MonkeyPatch, by_second: bool
) -> None:
    """A person who edits was shown the places of the proposal, a second one who agrees those of the edit."""
    one, other = crm.ids(2)
    night = waiting({one: answer(), other: answer()})
    hot_too = replace(night.case.sinks[0], object="companies", when=lambda output: output["tier"] == "hot")
    case = replace(night.case, sinks=(*night.case.sinks, hot_too))
    monkeypatch.setattr(door, "load", lambda _: case)
    shown, edited = replace(night, case=case), answer(score=12, tier="cold")

    def held(key: str, output: Record) -> Any:
        row = {"row_id": f"crm/contacts/{key}", "row_key": key, "origin": "model", "output": json.dumps(output)}
        return held_now(shown, row)

    assert [len(held(one, answer())), len(held(one, edited))] == [2, 1]
    choices = [
        replace(choice, held_sha256=held_sha256(held(key, edited if by_second else answer())))
        for key in (one, other)
        for choice in choose(night, [key], "edit", edited)
    ]
    say(night, choices)
    crm.edit(other, nl_lead_tier="warm")
    (done,) = apply_all(night)
    assert (done["written"], done["shown_again"]) == (1, 1)
    assert crm.read(one)["nl_lead_score"] == "12"
    assert crm.read(other)["nl_lead_score"] is None


def test_what_was_written_before_a_kill_is_no_change_since_it_was_shown(
    waiting: Any, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = crm.ids(1)
    night = waiting({one: answer()})
    say(night, [looked(night, one)])

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(review, "close_again", killed)
        with pytest.raises(KeyboardInterrupt):
            apply_all(night)
    assert crm.read(one) == WRITTEN
    (done,) = apply_all(night)
    assert (done["failed"], done.get("shown_again", 0)) == (0, 0)
    assert outcomes_of(night)[one][0] == "written"
    holds(night)
