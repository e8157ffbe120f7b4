"""Runs that nobody works on any more are closed as abandoned; one that is alive never is."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select, text

from include.database import transaction
from include.ledger import tables
from include.ledger.closing import close_run
from include.ledger.orphans import abandon_orphans, hear
from include.ledger.record import note_progress
from include.ledger.verify import verify
from include.models import Outcome
from include.report.facts import collect
from include.report.text import as_text
from include.run import Night
from include.stages import close
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import end_rows, rows_of, stage_raw


@pytest.fixture
def first(make_night: MakeNight) -> Night:
    """The first attempt of a night, three of whose five rows have ended."""
    night = make_night(external_ref="scheduled")
    stage_raw(night, rows_of(5), input_rows=5)
    end_rows(night, dict.fromkeys(rows_of(5)[:3], Outcome.SHADOWED))
    return night


def fall_silent(ledger: Ledger, night: Night, hours: float) -> None:
    with ledger.owner.begin() as connection:
        query = text("UPDATE run SET heard_at = now() - make_interval(secs => :seconds) WHERE run_id = :run")
        connection.execute(query, {"seconds": hours * 3600, "run": night.run_id})


def run_row(ledger: Ledger, night: Night) -> Any:
    with ledger.service.connect() as connection:
        return connection.execute(select(tables.run).where(tables.run.c.run_id == night.run_id)).one()


def finish(make_night: MakeNight) -> Night:
    """A second attempt that is brought to its end."""
    night = make_night(external_ref="manual")
    stage_raw(night, rows_of(5), input_rows=5)
    end_rows(night, dict.fromkeys(rows_of(5), Outcome.SHADOWED))
    assert close(night)["status"] == "succeeded"
    return night


def test_a_silent_run_is_abandoned_when_a_later_attempt_has_ended(
    first: Night, make_night: MakeNight, ledger: Ledger
) -> None:
    fall_silent(ledger, first, 1.1)
    second = finish(make_night)
    row = run_row(ledger, first)
    assert (row.status, row.counts) == ("abandoned", {"shadowed": 3})
    assert row.detail.startswith("nothing was heard of it since ")
    assert row.detail.endswith(f", and {second.run_id} of the same date has succeeded")
    with transaction(ledger.service) as connection:
        said = connection.scalar(text("SELECT details FROM event WHERE type = 'run.abandoned'"))
        of_first = (tables.event.c.type == "run.closed") & (tables.event.c.stream == first.run_id)
        closed = connection.scalar(select(tables.event.c.details).where(of_first))
    assert (said["reason"], said["newer"]) == (row.detail, second.run_id)
    assert closed == {"status": "abandoned", "counts": {"shadowed": 3}, "rows_in": 5, "not_finished": 2}
    report = as_text(collect(ledger.service, first.run_id))
    assert "ABANDONED" in report
    assert row.detail in " ".join(report.split())
    assert verify(ledger.owner).holds


def test_a_run_that_is_heard_of_is_never_abandoned(first: Night, make_night: MakeNight, ledger: Ledger) -> None:
    fall_silent(ledger, first, 30)
    with transaction(ledger.service) as connection:
        hear(connection, first.run_id)
    finish(make_night)
    assert run_row(ledger, first).status == "running"
    fall_silent(ledger, first, 30)
    note_progress(ledger.service, first.run_id, "enrich", {"rows": 5})
    assert abandon_orphans(ledger.service, first.case.name) == []


@pytest.mark.parametrize(("hours", "abandoned"), [(11.9, False), (12.1, True)])
def test_a_run_alone_is_abandoned_after_half_a_day(
    first: Night, ledger: Ledger, hours: float, *, abandoned: bool
) -> None:
    fall_silent(ledger, first, hours)
    assert abandon_orphans(ledger.service, "another_use_case") == []
    assert abandon_orphans(ledger.service, first.case.name) == ([first.run_id] if abandoned else [])
    assert abandon_orphans(ledger.service, first.case.name) == []


def test_a_later_attempt_that_only_began_ends_no_run(first: Night, make_night: MakeNight, ledger: Ledger) -> None:
    fall_silent(ledger, first, 2)
    make_night(external_ref="manual")
    assert abandon_orphans(ledger.service, first.case.name) == []


def test_a_run_whose_batch_is_at_the_provider_is_alive(first: Night, ledger: Ledger) -> None:
    fall_silent(ledger, first, 20)
    job = {"batch_job_id": uuid4(), "run_id": first.run_id, "status": "submitted", "cost_reserved": 0}
    job |= dict.fromkeys(("shard", "round", "chunk", "requests", "bytes", "tokens_estimated"), 1)
    with transaction(ledger.service) as connection:
        connection.execute(tables.batch_job.insert().values(**job, system="model", model="m", fingerprint="f"))
    assert abandon_orphans(ledger.service, first.case.name) == []
    with transaction(ledger.owner) as connection:
        connection.execute(text("UPDATE batch_job SET updated_at = now() - interval '27 hours'"))
    assert abandon_orphans(ledger.service, first.case.name) == [first.run_id]


def test_a_run_that_comes_back_has_the_last_word_and_a_retry_opens_a_new_one(
    first: Night, make_night: MakeNight, ledger: Ledger
) -> None:
    fall_silent(ledger, first, 20)
    abandon_orphans(ledger.service, first.case.name)
    assert make_night(external_ref="scheduled").run_id.endswith("-2")
    end_rows(first, dict.fromkeys(rows_of(5), Outcome.SHADOWED))
    assert close(first)["status"] == "succeeded"
    assert run_row(ledger, first).status == "succeeded"
    assert verify(ledger.owner).holds


def test_a_retry_goes_on_with_its_own_run_though_another_was_opened_since(make_night: MakeNight) -> None:
    scheduled, manual = make_night(external_ref="scheduled"), make_night(external_ref="manual")
    assert make_night(external_ref="scheduled").run_id == scheduled.run_id
    assert make_night(external_ref="manual").run_id == manual.run_id
    with transaction(manual.ledger) as connection:
        close_run(connection, manual.run_id, "succeeded", {}, rows_in=0)
    assert make_night(external_ref="scheduled").run_id == scheduled.run_id
    assert make_night(external_ref="manual").run_id.endswith("-3")
