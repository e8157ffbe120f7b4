"""Why a night did not finish: on record, in the report, and with the next action."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from include import errors
from include.database import transaction
from include.errors import AccessDenied, NightledgerError, QualityStop, SystemUnavailable
from include.ledger.cause import HEADINGS, KINDS, explain_failure, until_when
from include.ledger.failures import Failure, failures_on_record, find_failures
from include.links import anchor
from include.models import Outcome
from include.report.facts import collect
from include.report.text import as_text
from include.run import Night
from include.settings import ROOT
from include.stages import close
from tests.core.conftest import MakeNight
from tests.core.ledger.nights import end_rows, rows_of, say, stage_raw

DENIED = AccessDenied(
    "the key is wrong or expired (401)", system="model", action="Renew the key in the connection of this system"
)


def fail(night: Night, stage: str, error: Exception) -> None:
    with pytest.raises(type(error)), failures_on_record(night, stage):
        raise error


def found(night: Night) -> Failure | None:
    with transaction(night.ledger) as connection:
        return find_failures(connection, [night.run_id]).get(night.run_id)


def test_a_denied_key_is_the_first_thing_the_report_says(make_night: MakeNight) -> None:
    night = make_night(external_ref="crm_lead_scoring/scheduled__1")
    stage_raw(night, rows_of(6))
    end_rows(night, dict.fromkeys(rows_of(2), Outcome.QUARANTINED), stage="check")
    fail(night, "enrich", DENIED)
    summary = close(night, failed={"enrich": "failed", "gate": "upstream_failed", "write": "upstream_failed"})
    assert summary["why"].startswith("enrich: model: the key is wrong or expired (401)")
    told = " ".join(night.path("report.txt").read_text().split())
    head = told[: told.index("Cost")]
    assert "Access was denied. model: the key is wrong or expired (401)." in head
    assert "6 rows came in, 2 are in quarantine, 4 have no outcome yet; answers on record are kept" in head
    assert "Renew the key in the connection of this system. Then run the night on from enrich." in head
    assert "airflow tasks clear crm_lead_scoring -t '^enrich$' --downstream" in head
    assert "upstream_failed" not in told
    page = night.path("report.html").read_text()
    assert 'href="/nightledger/runbooks/night#access-was-denied"' in page
    assert 'href="/nightledger/systems#system-model"' in page


def test_a_stop_names_the_expectation_and_where_to_begin_again(make_night: MakeNight) -> None:
    night = make_night()
    stage_raw(night, rows_of(4))
    say(night, "check.stopped", failed=["freshness"])
    end_rows(night, dict.fromkeys(rows_of(4), Outcome.DEFERRED), stage="check")
    fail(night, "check", QualityStop("Leads are fresh: 4 of 4 are not", system="crm", about="leads", action="Fix it"))
    assert close(night, failed={"check": "failed"})["status"] == "stopped"
    told = " ".join(night.path("report.txt").read_text().split())
    assert "A critical expectation failed. crm leads: Leads are fresh: 4 of 4 are not." in told
    assert "4 wait for the next run of this night" in told
    assert "run all crm_lead_scoring --from 2026-11-20T02:00 --to 2026-11-21T02:00" in told


def test_a_run_that_waits_for_another_try_says_why(make_night: MakeNight) -> None:
    night = make_night()
    assert as_text(collect(night.ledger, night.run_id)).startswith("STILL RUNNING")
    fail(night, "extract", SystemUnavailable("no answer after 5 attempts", system="crm"))
    told = " ".join(as_text(collect(night.ledger, night.run_id)).split())
    assert told.startswith("NOT FINISHED: STEP EXTRACT IS TO BE TRIED AGAIN")
    assert "A system did not answer. crm: no answer after 5 attempts. Means No row was read" in told


def test_a_failure_that_was_overcome_is_none(make_night: MakeNight) -> None:
    night = make_night()
    fail(night, "check", SystemUnavailable("no answer", system="crm"))
    assert found(night) is not None
    say(night, "check.completed", rows_in=1)
    assert found(night) is None
    fail(night, "enrich", DENIED)
    say(night, "enrich.completed")  # another shard
    assert found(night) is not None


def test_an_error_nobody_foresaw_keeps_its_class_and_none_of_its_words(make_night: MakeNight) -> None:
    night = make_night()
    fail(night, "gate", KeyError("anna@example.com"))
    known = found(night)
    assert known is not None
    assert (known.error, known.problem, known.action) == ("KeyError", "", "")


def test_personal_values_in_a_problem_are_tokens_on_record(make_night: MakeNight) -> None:
    night = make_night()
    fail(night, "write", AccessDenied("refused for x", about="anna@example.com"))
    known = found(night)
    assert known is not None
    assert "anna@example.com" not in str(known)


def test_the_error_counts_where_the_ledger_takes_no_record(make_night: MakeNight, monkeypatch: Any) -> None:
    night = make_night()
    night.ledger.dispose()
    monkeypatch.setattr("include.ledger.failures.transaction", _unreachable)
    fail(night, "check", DENIED)


def _unreachable(engine: Any) -> Any:
    raise errors.LedgerUnavailable("cannot be reached")


def test_silence_is_said_to_be_silence(make_night: MakeNight) -> None:
    night = make_night()
    stage_raw(night, rows_of(2))
    close(night, failed={"enrich": "failed"})
    told = " ".join(night.path("report.txt").read_text().split())
    assert "The task ended without a word. Step enrich ended" in told


def test_every_kind_of_error_has_a_name_and_every_name_a_section_of_the_runbook() -> None:
    kinds = {one.__name__ for one in NightledgerError.__subclasses__() if one.__module__ == errors.__name__}
    assert kinds == KINDS.keys()
    sections = {anchor(line[3:]) for line in _runbook().splitlines() if line.startswith("## ")}
    assert sections == {anchor(heading) for heading in HEADINGS}


def _runbook() -> str:
    return (ROOT / "docs" / "runbooks" / "night.md").read_text(encoding="utf-8")


def test_no_row_was_read_is_said_as_that() -> None:
    moment = datetime(2026, 11, 20, 2, tzinfo=UTC)
    run: dict[str, Any] = {
        "run_id": "r",
        "use_case": "c",
        "interval_start": moment,
        "interval_end": moment,
        "mode": "auto",
        "external_ref": "cli",
        "detail": None,
    }
    cause = explain_failure(Failure("r", "extract", "AccessDenied", "401", "crm"), run, {}, None)
    assert cause.rows == "No row was read, so nothing was checked, asked or written"
    by_hand = explain_failure(
        Failure("r", "check", "AccessDenied", "401"), run | {"external_ref": "c/manual__1"}, {}, 2
    )
    assert (by_hand.retry_from, by_hand.command) == ("check", "")
    lost = explain_failure(Failure("r", "close", "CountsDoNotAddUp", "2 rows"), run, {}, 2)
    assert (lost.retry_from, lost.command) == ("", "")


@pytest.mark.parametrize(
    ("reason", "until"),
    [
        ("the budget day/crm/2026-11-30 of 5 USD is used up", "until 2026-12-01 00:00 UTC"),
        ("the budget month/crm/2026-12 of 5 USD is used up", "until 2027-01-01 00:00 UTC"),
        ("the budget key/model/2026-11-20 of 5 USD is used up", "until 2026-11-21 00:00 UTC"),
        ("the budget run/crm-1 of 5 USD is used up", "until that budget is raised"),
        ("the model did not answer", "until this night is run again"),
    ],
)
def test_rows_that_wait_say_until_when(reason: str, until: str) -> None:
    assert re.match(re.escape(until), until_when(reason))
