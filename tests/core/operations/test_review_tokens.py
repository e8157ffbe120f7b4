"""A person decides on an answer with tokens, and the destination gets the values all the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from include.ledger import door
from include.models import Record
from include.privacy.tokens import Hider
from tests.core.night.gate.answers import answer
from tests.core.night.write.conftest import Crm, outbox_of
from tests.core.night.write.test_restored import TITLE, staged
from tests.core.operations.test_review import CASE, apply_all, choose, holds, say, waiting

__all__ = ["waiting"]


@pytest.mark.parametrize("edited", [False, True])
def test_an_approved_answer_goes_out_with_values(
    waiting: Any,
    crm: Crm,
    monkeypatch: pytest.MonkeyPatch,
    edited: bool,
) -> None:
    (one,) = crm.ids(1)
    case = replace(CASE, tokenise=("job_title",))
    monkeypatch.setattr(door, "load", lambda name: case)
    shown, _ = Hider(CASE.name, "test secret").hide({"job_title": TITLE}, ("job_title",))
    told = answer(summary=f"Talk to {shown['job_title']}")
    night = waiting({one: told}, tokenise=("job_title",))
    staged(night, {one: TITLE})
    output: Record | None = {**told, "summary": f"Not now: {told['summary']}"} if edited else None
    say(night, choose(night, [one], "edit" if edited else "approve", output))
    (done,) = apply_all(night)
    assert done["written"] == 1
    expected = f"Not now: Talk to {TITLE}" if edited else f"Talk to {TITLE}"
    assert crm.read(one)["nl_lead_summary"] == expected
    assert "example.com" not in str(outbox_of(night))
    holds(night)
