"""Closing a run: its counts add up or it fails, and in every case there is a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from include.errors import CountsDoNotAddUp
from include.ledger import tables
from include.ledger.record import find_manifest
from include.ledger.verify import verify
from include.models import Outcome
from include.run import Night
from include.stages import close
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import end_rows, reject_rows, rows_of, say, stage_raw


@pytest.fixture
def night(make_night: MakeNight) -> Night:
    """Ten rows in: eight staged and ended, two rejected while extracting, and three bad lines of a file."""
    made, rows = make_night(), rows_of(10)
    stage_raw(made, rows[:8], input_rows=10)
    reject_rows(made, "extract", dict.fromkeys(rows[8:], "no modified time"))
    reject_rows(made, "extract", dict.fromkeys(rows_of(3, "file"), "ragged"), counts_as_input=False)
    reject_rows(made, "check", {rows[0]: "no country"})
    end_rows(made, dict.fromkeys(rows[1:8], Outcome.SHADOWED))
    return made


def run_row(night: Night) -> Any:
    with night.ledger.connect() as connection:
        return connection.execute(select(tables.run).where(tables.run.c.run_id == night.run_id)).one()


def forget(ledger: Ledger, night: Night, row_id: str) -> None:
    with ledger.owner.begin() as connection:
        query = text("DELETE FROM outcome WHERE run_id = :run AND row_id = :row")
        assert connection.execute(query, {"run": night.run_id, "row": row_id}).rowcount == 1


def test_a_complete_run_succeeds_with_its_counts(night: Night, ledger: Ledger) -> None:
    summary = close(night)
    assert summary["status"] == "succeeded"
    assert summary["counts"] == {"shadowed": 7, "quarantined": 3}
    row = run_row(night)
    assert (row.status, row.counts, row.detail) == ("succeeded", summary["counts"], None)
    assert row.finished_at >= row.started_at
    assert "<!doctype html>" in Path(summary["report"]).read_text()
    assert "10 in = 7 shadowed, 3 quarantined (adds up)" in Path(summary["report_text"]).read_text()


def test_the_head_of_a_closed_run_is_anchored(night: Night, ledger: Ledger) -> None:
    close(night)
    with ledger.service.connect() as connection:
        event = tables.event.c
        anchors = select(event.details).where(event.stream == "ledger").order_by(event.seq.desc())
        anchored = connection.scalars(anchors).first()
        closed = connection.execute(select(event.seq, event.hash).where(event.type == "run.closed")).one()
    assert anchored == {"run_id": night.run_id, "seq": closed.seq, "hash": closed.hash}


def test_a_row_without_an_outcome_fails_the_run(night: Night, ledger: Ledger) -> None:
    forget(ledger, night, "crm/contacts/5")
    with pytest.raises(CountsDoNotAddUp, match=r"1 rows have no outcome \(e\.g\. crm/contacts/5\)"):
        close(night)
    assert run_row(night).status == "failed"
    assert "1 not finished" in night.path("report.txt").read_text()
    assert verify(ledger.service).holds


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda file: file.unlink(), "the staged file is gone"),
        (lambda file: file.write_bytes(bytes(file.stat().st_size)), "was changed or damaged"),
        (lambda file: file.write_bytes(file.read_bytes()[:-9]), "was changed or damaged"),
    ],
)
def test_rows_whose_file_is_gone_or_damaged_cannot_be_counted(
    night: Night, spoil: Callable[[Path], Any], said: str
) -> None:
    manifest = find_manifest(night.ledger, night.run_id, "raw")
    assert manifest is not None
    spoil(Path(manifest.uri))
    with pytest.raises(CountsDoNotAddUp, match=f"the rows cannot be counted: .*{said}"):
        close(night)
    row = run_row(night)
    assert (row.status, row.counts["shadowed"]) == ("failed", 7)
    assert said in night.path("report.txt").read_text()


def test_an_outcome_of_no_input_row_fails_the_run(night: Night) -> None:
    end_rows(night, {"crm/contacts/invented": Outcome.WRITTEN})
    with pytest.raises(CountsDoNotAddUp, match=r"1 outcomes belong to no input row \(e\.g\. crm/contacts/invented\)"):
        close(night)
    assert "DOES NOT ADD UP" in night.path("report.txt").read_text()


def test_one_row_swapped_for_another_does_not_pass_as_equal_counts(night: Night, ledger: Ledger) -> None:
    forget(ledger, night, "crm/contacts/5")
    end_rows(night, {"crm/contacts/invented": Outcome.SHADOWED})
    with pytest.raises(CountsDoNotAddUp, match="1 rows have no outcome, 1 outcomes belong to no input row"):
        close(night)


def test_a_row_id_that_occurs_twice_fails_the_run(make_night: MakeNight) -> None:
    night = make_night()
    stage_raw(night, [*rows_of(2), *rows_of(1)])
    end_rows(night, dict.fromkeys(rows_of(2), Outcome.SHADOWED))
    with pytest.raises(CountsDoNotAddUp, match="1 row ids occur more than once"):
        close(night)


def test_rows_lost_between_source_and_staging_fail_the_run(make_night: MakeNight) -> None:
    night = make_night()
    stage_raw(night, rows_of(2), input_rows=3)
    end_rows(night, dict.fromkeys(rows_of(2), Outcome.SHADOWED))
    with pytest.raises(CountsDoNotAddUp, match="1 rows lie between"):
        close(night)


def test_at_most_five_examples_are_named(make_night: MakeNight) -> None:
    night = make_night()
    stage_raw(night, rows_of(30))
    with pytest.raises(CountsDoNotAddUp, match="30 rows have no outcome") as caught:
        close(night)
    assert str(caught.value).count("crm/contacts/") == 5


def test_a_night_without_rows_succeeds(make_night: MakeNight) -> None:
    night = make_night()
    stage_raw(night, [])
    assert close(night)["status"] == "succeeded"
    assert "0 in = 0 (adds up)" in night.path("report.txt").read_text()


def test_a_failed_stage_leaves_rows_not_finished_and_a_report(night: Night, ledger: Ledger) -> None:
    for row in ("crm/contacts/5", "crm/contacts/6"):
        forget(ledger, night, row)
    summary = close(night, failed={"enrich": "failed"})
    assert summary["status"] == "failed"
    assert run_row(night).detail.startswith("enrich: failed; 2 rows have no outcome")
    report = night.path("report.txt").read_text()
    assert "2 not finished" in report
    assert report.startswith("FAILED")


def test_a_night_that_never_extracted_still_reports(make_night: MakeNight) -> None:
    night = make_night()
    assert close(night, failed={"extract": "failed"})["status"] == "failed"
    assert "Nothing was extracted" in night.path("report.txt").read_text()
    assert "Nothing was extracted" in night.path("report.html").read_text()


def test_a_stopped_night_is_stopped_and_adds_up(make_night: MakeNight) -> None:
    night = make_night()
    stage_raw(night, rows_of(4))
    say(night, "check.stopped", failed=["freshness"])
    end_rows(night, dict.fromkeys(rows_of(4), Outcome.DEFERRED), stage="check")
    summary = close(night, failed={"check": "failed", "enrich": "upstream_failed"})
    assert (summary["status"], summary["counts"]) == ("stopped", {"deferred": 4})
    assert night.path("report.txt").read_text().startswith("STOPPED BEFORE THE MODEL")


def test_a_stop_that_was_overcome_counts_no_more(make_night: MakeNight) -> None:
    night = make_night()
    stage_raw(night, rows_of(1))
    say(night, "check.stopped")
    say(night, "check.completed")
    end_rows(night, {rows_of(1)[0]: Outcome.SHADOWED})
    assert close(night)["status"] == "succeeded"


def test_closing_again_after_a_clear_replaces_the_first_word(night: Night, ledger: Ledger) -> None:
    forget(ledger, night, "crm/contacts/5")
    assert close(night, failed={"write": "failed"})["status"] == "failed"
    end_rows(night, {"crm/contacts/5": Outcome.WRITTEN})
    assert close(night)["status"] == "succeeded"
    assert run_row(night).detail is None
    with ledger.service.connect() as connection:
        closed = tables.event.c.type == "run.closed"
        assert len(connection.execute(select(tables.event).where(closed)).all()) == 2
    assert verify(ledger.service).holds
