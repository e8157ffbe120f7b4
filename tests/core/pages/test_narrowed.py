"""What pages leave out and put first: filters, values as people write them, why one row was set aside, sentences."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from include.database import transaction
from include.ledger.quarantine import Filter, list_rows, show
from include.ledger.record import quarantine
from include.ledger.sentences import in_words
from include.models import RejectedRow
from include.night.enrich.answering import progress_line
from include.pages.quality import narrow, show_quality
from include.pages.quarantined import explain_reasons
from include.report.wording import observed
from include.settings import ROOT
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import say
from tests.core.pages.test_pages import CASE, expect


def test_expectations_are_narrowed_by_severity_result_owner_and_words(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night()
    expect(ledger, night, "email_format", 7, success=False)
    expect(ledger, night, "country_known", 2, column="country")
    expect(ledger, night, "phone_known", 0, column="phone")
    row = RejectedRow("crm/1", "1", "page 1", ("not met",), {}, expectations=("email_format",), owner="sales")
    with transaction(ledger.service) as connection:
        quarantine(connection, night, "check", [row])
    page = show_quality(ledger.service, CASE)
    assert (page.held, len(page.trends)) == (2, 3)

    def names(**asked: str) -> list[str]:
        return [one.expectation for one in narrow(page.trends, **asked)]

    assert names() == ["email_format", "country_known", "phone_known"]
    assert names(failing="rows") == ["email_format", "country_known"]
    assert names(failing="unmet") == ["email_format"]
    assert names(severity="critical") == []
    assert names(owner="sales") == ["email_format"]
    assert names(words="holds PHONE") == ["phone_known"]


def test_a_row_says_what_was_expected_and_what_was_found(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night()
    expect(ledger, night, "email_format", 1)
    record = {"country": "France", "email": "anna.example.com"}
    reason = "not met: It holds (email_format)"
    row = RejectedRow("crm/1", "1", "page 1", (reason,), record, expectations=("email_format",))
    unread = RejectedRow("sftp/2", None, "line 2", ("has 5 fields, the header has 8",), {})
    with transaction(ledger.service) as connection:
        quarantine(connection, night, "check", [row, unread])
    entries = {
        one.row_id: show(ledger.service, one.number) for one in list_rows(ledger.service, Filter(run_id=night.run_id))
    }
    (told,) = explain_reasons(ledger.service, entries["crm/1"])
    assert (told.expected, told.severity, told.columns) == ("It holds", "warning", ("email",))
    assert str(told.held["email"]).startswith("token:")
    (told,) = explain_reasons(ledger.service, entries["sftp/2"])
    assert (told.expected, told.columns) == ("has 5 fields, the header has 8", ())


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ("51.60909090909091", "51.6"),
        ("0.6863636363636364", "0.686"),
        ("240, allowed at least 0", "240, allowed at least 0"),
        ("12345.678901", "12,346"),
        (
            "{'quantiles': [0.1, 0.5, 0.9], 'values': [32, 52.25, 70]}",
            "10 % lie below 32, 50 % lie below 52.2, 90 % lie below 70",
        ),
        (
            "2026-11-21 01:48:31.936000+00:00, allowed at least 2026-11-20 14:00:00+00:00",
            "2026-11-21 01:48 UTC, allowed at least 2026-11-20 14:00 UTC",
        ),
        (None, "nothing"),
    ],
)
def test_observed_values_are_written_for_people(raw: str | None, told: str) -> None:
    assert observed(raw) == told


@pytest.mark.parametrize(
    ("kind", "said", "told"),
    [
        ("check.completed", {"rows_in": 240, "expectations": 28, "quarantined": 20}, "20 set aside"),
        ("enrich.planned", {"rows": 9, "to_ask": 7, "reused": 2}, "Of 9 rows 7 were to be asked, 2 answers reused"),
        ("gate.completed", {"verdicts": {"write": 191, "review": 29}}, "Decided: 191 to be written, 29 for review"),
        ("check.stopped", {"failed": ["freshness"], "deferred": 4}, "Stopped by freshness: 4 rows wait"),
        ("enrich.completed", {}, "- rows answered"),
        ("something.new", {"x": 1}, "something new"),
    ],
)  # fmt: skip
def test_events_are_sentences_whatever_version_wrote_them(kind: str, said: dict[str, object], told: str) -> None:
    assert told in in_words(kind, said)


def test_progress_is_one_readable_line() -> None:
    facts = {"done": 120, "rows": 220, "calls_per_minute": 96, "spent_usd": "0.0121", "seconds_left": 125}
    assert progress_line(facts) == "enrich 120 of 220, 96 calls/min, $0.012, about 2 min left"
    assert progress_line({**facts, "seconds_left": 0}).endswith("$0.012")
    assert progress_line({**facts, "seconds_left": 45}).endswith("about 45 s left")


@pytest.mark.parametrize("library", ["great_expectations", "alembic", "paramiko"])
def test_libraries_say_nothing_about_themselves_in_the_log_of_a_task(library: str) -> None:
    modules = "include.quality.gx, include.ledger.schema, include.systems.sftp, logging"
    script = f"import {modules}; logging.root.setLevel(20); print(logging.getLogger('{library}').getEffectiveLevel())"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert told.stdout.strip() == str(logging.WARNING)


def test_what_a_step_puts_on_record_is_a_line_of_its_log(
    make_night: MakeNight, caplog: pytest.LogCaptureFixture
) -> None:
    night = make_night()
    with caplog.at_level(logging.INFO, "include.ledger.record"):
        say(night, "check.completed", rows_in=240, expectations=28, quarantined=20)
        say(night, "chain.anchored", hash="x")
    assert caplog.messages == ["check: Held 240 rows against 28 expectations, 20 set aside"]
