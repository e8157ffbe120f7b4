"""People switch the asking off while a night asks: no call leaves after that, and rows end by the failure plan."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from include.database import transaction
from include.ledger.control import change_control, set_control
from include.run import Night
from include.staging import read_rows
from tests.core.conftest import Ledger
from tests.core.night.enrich.test_enrich import CASE, NightOf, ended, night_of, run, serving
from tests.core.test_whole_night import Sandbox

__all__ = ["night_of"]
OFF = {"off": True}


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """A model that takes its time, so that a night can be caught in the middle of its questions."""
    with serving(tmp_path / "sandbox", latency=60) as sandbox:
        yield sandbox


def calls(ledger: Ledger) -> int:
    with ledger.service.connect() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM inference")) or 0)


def test_between_two_groups_of_questions(night_of: NightOf, sandbox: Sandbox, ledger: Ledger) -> None:
    night = night_of()

    def switch_off() -> None:
        while calls(ledger) < 16:
            time.sleep(0.005)
        change_control(ledger.service, CASE, "ada", "it answers nonsense", OFF)

    switching = threading.Thread(target=switch_off)
    switching.start()
    enriched = run(night)
    switching.join()
    with ledger.service.connect() as connection:
        late = connection.scalar(
            text(
                "SELECT count(*) FROM inference WHERE recorded_at > (SELECT changed_at FROM control) + interval '50 ms'"
            )
        )
    made = calls(ledger)
    assert late == 0
    assert 16 <= made < 80
    assert sandbox.billed()["calls"] == made
    origins = Counter(row["origin"] for row in read_rows(enriched))
    assert origins == {"model": made, "rule": 80 - made}
    assert ended(ledger, night) == {}


def test_before_the_night_nothing_is_asked_and_nothing_paid(
    night_of: NightOf, sandbox: Sandbox, ledger: Ledger
) -> None:
    change_control(ledger.service, CASE, "ada", "holiday", OFF)
    enriched = run(night_of())
    assert sandbox.billed()["calls"] == calls(ledger) == 0
    assert {row["origin"] for row in read_rows(enriched)} == {"rule"}


def test_a_use_case_that_waits_is_asked_once_it_is_on_again(
    night_of: NightOf, sandbox: Sandbox, ledger: Ledger
) -> None:
    waiting = {"failure_plan": replace(CASE.failure_plan, unavailable="deferred")}
    change_control(ledger.service, CASE, "ada", "holiday", OFF)
    off = night_of(**waiting)
    assert run(off).rows == 0
    assert set(ended(ledger, off).values()) == {"deferred"}
    reasons = reasons_of(ledger, off)
    assert reasons == {"people have switched the asking off"}
    change_control(ledger.service, CASE, "ada", "back", {"off": False})
    assert run(night_of("again", **waiting)).rows == 80


def test_another_use_case_is_not_concerned(night_of: NightOf, sandbox: Sandbox, ledger: Ledger) -> None:
    with transaction(ledger.service) as connection:
        set_control(connection, "support_triage", "ada", "holiday", OFF)
    run(night_of())
    assert sandbox.billed()["calls"] == 80


def reasons_of(ledger: Ledger, night: Night) -> set[str]:
    with ledger.service.connect() as connection:
        query = text("SELECT DISTINCT reason FROM outcome WHERE run_id = :run")
        return set(connection.scalars(query, {"run": night.run_id}))
