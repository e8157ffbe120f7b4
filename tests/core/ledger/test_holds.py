"""What is held is not erased, a hold is lifted with a word only, and one that was taken away is found."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from include.errors import ConfigurationError
from include.ledger import erasure
from include.ledger.erasure import Target
from include.ledger.holds import holds, lift_hold, set_hold
from include.ledger.verify import verify
from include.run import Night
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.test_seals import run_night
from tests.core.ledger.test_verify import problems, tamper

NAME = "crm_lead_scoring"
_DAY = {"starts_at": datetime(2026, 11, 20, tzinfo=UTC), "ends_at": datetime(2026, 11, 21, tzinfo=UTC)}
OVER: dict[str, dict[str, Any]] = {
    "everything": {},
    "the use case": {"use_case": NAME},
    "the row": {"use_case": NAME, "row_key": "1"},
    "the night": _DAY,
    "the row on that night": {"use_case": NAME, "row_key": "1", **_DAY},
}
BESIDE: dict[str, dict[str, Any]] = {
    "another use case": {"use_case": "erp_reorder"},
    "another row": {"use_case": NAME, "row_key": "2"},
    "another night": {"starts_at": datetime(2026, 12, 1, tzinfo=UTC)},
}


@pytest.fixture
def night(make_night: MakeNight) -> Night:
    return run_night(make_night)


def erase(ledger: Ledger, key: str = "1") -> dict[str, int]:
    request = erasure.ask(ledger.service, Target({NAME: [key]}), "kim", "asked by letter")
    return erasure.erase(ledger.owner, request)


@pytest.mark.parametrize("what", OVER)
def test_what_is_held_is_not_erased_until_it_is_lifted(night: Night, ledger: Ledger, what: str) -> None:
    hold = set_hold(ledger.service, "ada", "a lawsuit", **OVER[what])
    with pytest.raises(ConfigurationError, match=f"under legal hold {hold.hold_id}"):
        erase(ledger)
    lift_hold(ledger.service, hold.hold_id, "ada", "settled")
    assert erase(ledger)["inference"] == 1
    found = verify(ledger.service)
    assert found.holds, found.as_text()


@pytest.mark.parametrize("what", BESIDE)
def test_what_is_not_held_is_erased(night: Night, ledger: Ledger, what: str) -> None:
    set_hold(ledger.service, "ada", "a lawsuit", **BESIDE[what])
    assert erase(ledger)["inference"] == 1


def test_an_answer_that_a_held_row_was_given_too_is_held(night: Night, ledger: Ledger) -> None:
    """Row 2 was decided on the answer to row 1, since it shows the same."""
    given = "UPDATE decision SET inference_id = (SELECT inference_id FROM inference WHERE row_key = '1') "
    tamper(ledger.owner, given + "WHERE row_key = '2'")
    hold = set_hold(ledger.service, "ada", "a lawsuit", use_case=NAME, row_key="2")
    with pytest.raises(ConfigurationError, match=f"under legal hold {hold.hold_id}"):
        erase(ledger)


TAKEN_AWAY = {
    "deleted": "DELETE FROM legal_hold",
    "lifted": "UPDATE legal_hold SET lifted_by = 'x', lifted_at = now(), lifted_why = 'x'",
    "made smaller": "UPDATE legal_hold SET row_key = '2'",
    "moved": "UPDATE legal_hold SET ends_at = '2027-01-01'",
}


@pytest.mark.parametrize("how", TAKEN_AWAY)
def test_a_hold_that_was_taken_away_without_a_word_is_found(ledger: Ledger, how: str) -> None:
    hold = set_hold(ledger.service, "ada", "a lawsuit", use_case=NAME, row_key="1", **_DAY)
    assert verify(ledger.service).holds
    tamper(ledger.owner, TAKEN_AWAY[how])
    assert problems(verify(ledger.service)) == {("legal_hold", str(hold.hold_id))}


def test_the_service_narrows_no_hold(ledger: Ledger) -> None:
    set_hold(ledger.service, "ada", "a lawsuit", use_case=NAME)
    for change in ("UPDATE legal_hold SET row_key = '2'", "DELETE FROM legal_hold"):
        with ledger.service.connect() as connection, pytest.raises(ProgrammingError, match="permission denied"):
            connection.execute(text(change))


def test_a_hold_needs_a_reason_and_a_row_its_use_case(ledger: Ledger) -> None:
    with pytest.raises(ConfigurationError, match="reason"):
        set_hold(ledger.service, "ada", " ")
    with pytest.raises(ConfigurationError, match="use case"):
        set_hold(ledger.service, "ada", "a lawsuit", row_key="1")
    with pytest.raises(ConfigurationError, match="no hold of this number"):
        lift_hold(ledger.service, 7, "ada", "settled")
    hold = set_hold(ledger.service, "ada", "a lawsuit")
    assert [str(one) for one in holds(ledger.service)] == [str(hold)]
    lift_hold(ledger.service, hold.hold_id, "ada", "settled")
    assert holds(ledger.service) == []
    with pytest.raises(ConfigurationError, match="no hold of this number"):
        lift_hold(ledger.service, hold.hold_id, "ada", "again")
