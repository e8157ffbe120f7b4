"""What a model is shown of a row, under which key, and what it may answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from include.canonical import canonical, digest_of
from include.errors import ConfigurationError
from include.ledger.audit import Pins
from include.models import Manifest, Record
from include.night.enrich.enrich import begin
from include.night.enrich.parse import FOREIGN, parse_reply
from include.night.enrich.questions import address, make_item
from include.run import Night
from include.settings import ROOT
from include.spec.prompt import load_prompt
from include.spec.use_case import load
from include.systems.model.client import Reply
from include.use_cases.support_triage.output import Output
from tests.core.conftest import Ledger

TICKETS = load("support_triage")
PINS = Pins("v1", "a" * 64, "sandbox-small", {"temperature": 0}, "b" * 64)
PLAIN = "The export to CSV has failed since the update, please help"
TOLD = "My name is Siobhan McAllister, write to siobhan@example.com"
GOOD = {"category": "other", "priority": "low", "language": "en", "summary": "x", "confidence": 0.9}


def ticket(body: str) -> Record:
    return {
        **dict.fromkeys(TICKETS.model_sees),
        **{"row_id": "crm/tickets/1", "row_key": "1", "lineage": "{}", "subject": "Help", "body": body},
    }


def answered(**fields: Any) -> Reply:
    return Reply("answered", 0.1, text=json.dumps({**GOOD, **fields}))


def test_a_row_without_people_keeps_the_key_that_it_always_had(make_night: Callable[..., Night]) -> None:
    row = ticket(PLAIN)
    item = make_item(make_night(case=TICKETS), PINS, row)
    seen = {name: row[name] for name in TICKETS.model_sees}
    assert item.seen == seen
    content = canonical(canonical(seen))
    assert item.inference_key == digest_of(f"{PINS.asked[:-1]},{content}]")


def test_a_row_with_people_has_the_same_key_in_every_run_and_no_clear_text_in_it(
    make_night: Callable[..., Night],
) -> None:
    tonight, later = (make_item(make_night(case=TICKETS, day=day), PINS, ticket(TOLD)) for day in (0, 1))
    assert tonight.inference_key == later.inference_key
    assert not any(one in str(tonight.seen) for one in ("Siobhan", "siobhan"))
    other = make_item(make_night(case=TICKETS), PINS, ticket(TOLD.replace("siobhan@", "eve@")))
    assert other.inference_key != tonight.inference_key


def test_no_token_is_made_without_a_secret(make_night: Callable[..., Night]) -> None:
    night = make_night(case=TICKETS, settings={"token_secret": ""})
    with pytest.raises(ConfigurationError, match="NIGHTLEDGER_TOKEN_SECRET"):
        make_item(night, PINS, ticket(TOLD))


def test_cards_and_keys_are_shown_of_no_row_whatever_it_is_of() -> None:
    row: Record = {"note": "card 4111 1111 1111 1111", "number": 4111111111111111, "amount": Decimal("4.5")}
    item = address(PINS, "1", "1", "{}", row, row)
    assert item.seen == {"note": "card [CARD]", "number": "[CARD]", "amount": Decimal("4.5")}
    assert item.record == row


@pytest.mark.parametrize("summary", ["[EMAIL_00000000] is angry", "EMAIL_00000000 is angry", "[email_00000000]!"])
def test_an_answer_with_a_token_that_nobody_gave_it_is_asked_for_again(summary: str) -> None:
    assert parse_reply(answered(summary=summary), Output, {"email_11111111"}).problem == FOREIGN
    assert parse_reply(answered(summary=summary), Output, {"email_00000000"}).outcome == "ok"
    assert parse_reply(answered(summary=summary), Output).outcome == "ok", "a use case without tokens has none"


def test_a_run_with_another_registry_is_held_to_that_one(
    make_night: Callable[..., Night], tmp_path: Path, ledger: Ledger
) -> None:
    registry = (ROOT / "include" / "systems.toml").read_text(encoding="utf-8")
    allowed = 'may_see_as_tokens = ["personal"]'
    assert allowed in registry
    (tmp_path / "systems.toml").write_text(registry.replace(allowed, "may_see_as_tokens = []"), encoding="utf-8")
    prompt = load_prompt(TICKETS).as_mapping()
    night = make_night(case=TICKETS, settings={"systems_file": tmp_path / "systems.toml"}, prompt=prompt)
    with pytest.raises(ConfigurationError, match="column subject is personal"):
        begin(night, Manifest(night.run_id, "good", "", 0, 0, ""))
