"""The data-quality report: counted from stored rows, safe with any content, the same for people and machines."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select, text

from include.errors import ConfigurationError
from include.ledger import tables
from include.models import Mode, Outcome, RunOptions
from include.report import quality_html, quality_parts
from include.report.charts import spark
from include.report.quality_facts import collect_quality
from include.report.quality_html import as_html, cell
from include.report.quality_json import as_json
from include.report.quality_parts import Point, QualityFacts
from include.report.quality_text import verdict
from include.run import Night
from include.stages import close
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import ask, end_rows, reject_rows, rows_of, say, stage_raw
from tests.core.report.histories import MONDAY, RULES, Rule, live, record_result
from tests.core.report.test_rendering import Page

ATTACK = '<script>alert("x")</script> {{ 7*7 }} =HYPERLINK("http://evil") \u202eتجربة \x00\x1b 👩‍🚀'


def shift(columns: dict[str, Any], random: np.random.Generator, rows: int) -> None:
    columns["annual_revenue"] = [value * 4 for value in columns["annual_revenue"]]
    columns["country"] = [None if at % 3 == 0 else value for at, value in enumerate(columns["country"])]
    columns["lifecycle_stage"] = [ATTACK if value == "subscriber" else value for value in columns["lifecycle_stage"]]
    del columns["job_title"]


DAYS = 10


@pytest.fixture
def history(make_night: MakeNight) -> Night:
    """Nights one after the other, the last of them shifted."""
    return live(make_night, DAYS, last=shift)


def facts_of(night: Night) -> QualityFacts:
    return collect_quality(night.ledger, night.run_id)


def test_every_expectation_has_its_trend_and_what_became_of_its_rows(history: Night) -> None:
    facts = facts_of(history)
    assert {one.id for one in facts.expectations} == {rule.id for rule in RULES}
    assert [night.start for night in facts.nights] == [night.start for night in sorted(facts.nights, key=_start)]
    assert (len(facts.nights), facts.nights[-1].run_id) == (DAYS, history.run_id)
    for one in facts.expectations:
        assert len(one.trend) == DAYS
        assert one.trend[-1].failing == one.failing
        share = None if one.needed is None else pytest.approx(1 - one.failing / one.checked)
        assert one.pass_share == share
    by_id = {one.id: one for one in facts.expectations}
    with history.ledger.connect() as connection:
        query = text("SELECT count(*) FROM quarantine WHERE run_id = :run AND expectations @> ARRAY['email_format']")
        assert connection.scalar(query, {"run": history.run_id}) == by_id["email_format"].failing
    assert by_id["email_format"].states == {"open": by_id["email_format"].failing}
    assert by_id["country_known"].states == {}
    assert [one.stage for one in facts.expectations[-2:]] == ["answers", "answers"]


def _start(night: quality_parts.Brought) -> Any:
    return night.start


def test_drift_is_drawn_and_columns_are_ranked(history: Night) -> None:
    facts = facts_of(history)
    assert {(one.signal, one.column) for one in facts.drifted} == {
        ("schema", "job_title"),
        ("null_share", "country"),
        ("category_share", "lifecycle_stage"),
        ("values", "lifecycle_stage"),
        ("distribution", "annual_revenue"),
        ("level", "annual_revenue"),
    }
    drawn = {one.column: one for one in facts.drawings}
    assert set(drawn) == {"country", "lifecycle_stage", "annual_revenue"}
    for name in ("lifecycle_stage", "annual_revenue"):
        assert isinstance(drawn[name], quality_parts.Compared)
        assert sum(drawn[name].tonight) == pytest.approx(1)
        assert sum(drawn[name].usual) == pytest.approx(1)
    course = drawn["country"]
    assert isinstance(course, quality_parts.Course)
    assert (len(course.values), course.nights[-1]) == (DAYS, facts.run.interval_start)
    assert course.high is not None
    assert course.values[-1] > course.high > max(course.values[:-1])
    assert facts.worst[0].name == "country"
    assert facts.worst[0].drifted == ("null_share",)


def test_rows_set_aside_are_counted_by_reason_and_owner_with_their_states(history: Night, ledger: Ledger) -> None:
    with ledger.owner.begin() as connection:
        newest = "(SELECT max(quarantine_id) FROM quarantine)"
        connection.execute(text(f"UPDATE quarantine SET status = 'dismissed' WHERE quarantine_id = {newest}"))
    facts = facts_of(history)
    (owner,) = facts.owners
    set_aside = facts.rows.counts[Outcome.QUARANTINED]
    assert (owner.owner, owner.rows, owner.states["dismissed"]) == ("sales-operations", set_aside, 1)
    with_reasons = sum(one.failing for one in facts.expectations if one.handling == "quarantine")
    assert sum(reason.rows for reason in facts.reasons) == with_reasons >= set_aside


def test_totals_are_summed_once_at_closing(history: Night) -> None:
    with history.ledger.connect() as connection:
        totals = connection.scalar(select(tables.run.c.totals).where(tables.run.c.run_id == history.run_id))
    facts = facts_of(history)
    assert totals.pop("answers") == {}
    assert totals == {
        "rows_in": facts.rows.rows_in,
        "seconds": totals["seconds"],
        "calls": 20,
        "tokens_in": 800,
        "tokens_out": 200,
        "cost_usd": "0.020000",
        "reused": 0,
        "failed_expectations": sum(not one.success for one in facts.expectations),
        "quarantined_open": facts.rows.counts[Outcome.QUARANTINED],
        "drifted": 6,
    } | {"cost_usd": totals["cost_usd"]}
    assert float(totals["cost_usd"]) == 0.02
    assert totals["seconds"] >= 0


def test_the_page_escapes_what_comes_from_outside_and_needs_nothing_from_elsewhere(make_night: MakeNight) -> None:
    night = live(make_night, 9, last=shift, meaning=ATTACK * 200, owner=ATTACK, reason=ATTACK + " {id}")
    content = night.path("quality.html").read_text()
    page = Page(content)
    assert "script" not in page.tags
    assert "\u202e" not in content
    assert "\x00" not in content
    assert "{{ 7*7 }}" in content
    assert len(content) < 400_000
    local = [link for link in page.links if not link.startswith(("/nightledger/", "#", "quality.json", "report.html"))]
    assert local == []
    assert not re.search(r"url\(|@import|<link|<img|<iframe|src=", content)
    assert "default-src 'none'" in content


def test_a_cell_shows_what_is_invisible_and_keeps_emoji() -> None:
    assert cell("a\u202eb\x00c\nd") == "a�b�c d"
    assert cell("👩‍🚀") == "👩‍🚀"
    assert cell("x" * 10_001) == "x" * 400 + "…"


def test_the_page_can_be_heard(history: Night) -> None:
    content = history.path("quality.html").read_text()
    page = Page(content)
    headings = [int(tag[1]) for tag in page.tags if re.fullmatch(r"h\d", tag)]
    assert headings[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))
    assert page.tags.count("caption") == page.tags.count("table") > 5
    assert all(one.get("scope") for tag, one in zip(page.tags, page.attributes, strict=True) if tag == "th")
    pictures = [one for tag, one in zip(page.tags, page.attributes, strict=True) if tag == "svg"]
    assert all(one.get("aria-hidden") or (one.get("role") == "img" and one.get("aria-label")) for one in pictures)
    ids = [one["id"] for one in page.attributes if one.get("id")]
    assert len(ids) == len(set(ids))
    assert all(one[1:] in ids for one in page.links if one.startswith("#"))
    assert "style=" not in "".join(re.findall(r"<script.*", content))


def test_the_json_says_what_the_page_says(history: Night) -> None:
    facts, document = facts_of(history), json.loads(history.path("quality.json").read_text())
    assert document["format"] == "nightledger/data-quality/1"
    assert document["verdict"] == verdict(facts) == "3 of 9 expectations failed, 6 signals drifted"
    assert document["verdict"] in history.path("quality.html").read_text()
    by_id = {one["id"]: one for one in document["expectations"]}
    assert by_id["email_format"]["quarantine_page"] == (
        f"/nightledger/quarantine?use_case=crm_lead_scoring&run_id={history.run_id}&expectation=email_format"
    )
    assert document["rows"]["in"] == sum(document["rows"]["outcomes"].values())
    documented = Path("docs/quality_report.md").read_text()
    missing = [name for name in _names(document) if f"`{name}`" not in documented]
    assert missing == []


def _names(value: Any) -> set[str]:
    """Names of all fields; keys that are data (states, outcomes) are not fields."""
    if isinstance(value, list):
        return set().union(*map(_names, value))
    if not isinstance(value, dict):
        return set()
    inner = (_names(item) for name, item in value.items() if name not in ("states", "outcomes"))
    return set(value).union(*inner)


def test_the_morning_report_names_what_drifted_and_links_to_the_page(history: Night) -> None:
    page, said = history.path("report.html").read_text(), history.path("report.txt").read_text()
    assert '<a href="quality.html">' in page
    assert "distribution of annual_revenue" in page
    assert "Drifted against earlier nights: category share of lifecycle_stage" in said
    assert all(len(line) <= 100 for line in said.splitlines())


@pytest.mark.parametrize("broken", [lambda night: None, lambda night: stage_raw(night, [])])
def test_a_night_without_rows_or_results_has_a_page(make_night: MakeNight, broken: Callable[[Night], Any]) -> None:
    night = make_night()
    broken(night)
    close(night)
    facts = facts_of(night)
    assert verdict(facts) in ("Nothing was extracted", "Not checked")
    assert "No expectation was held" in night.path("quality.html").read_text()
    json.loads(night.path("quality.json").read_text())


def test_an_expectation_that_could_not_run_is_said_and_never_counted_as_held(make_night: MakeNight) -> None:
    night = make_night()
    stage_raw(night, rows_of(3))
    record_result(night, RULES[2], 3, [], success=False, could_not_run="column 'email' is missing")
    end_rows(night, dict.fromkeys(rows_of(3), Outcome.DEFERRED))
    close(night)
    (one,) = facts_of(night).expectations
    assert (one.pass_share, one.trend[-1].failing_share) == (None, None)
    page = night.path("quality.html").read_text()
    assert "critical, could not run" in page
    assert "column &#39;email&#39; is missing" in page


def test_lines_that_could_not_be_read_are_listed(make_night: MakeNight) -> None:
    night = make_night()
    stage_raw(night, rows_of(1), input_rows=2)
    reject_rows(night, "extract", {"crm/contacts/9": "no modified time"})
    reject_rows(night, "extract", {f"file:{at}": f"line {at}: ragged" for at in range(600)}, counts_as_input=False)
    end_rows(night, dict.fromkeys(rows_of(1), Outcome.SHADOWED))
    close(night)
    facts = facts_of(night)
    assert (facts.rejected_lines, len(facts.reasons)) == (600, 500)
    assert "and 470 more reasons" in as_html(facts)


def test_a_purged_or_unknown_run_is_an_error_in_words(ledger: Ledger) -> None:
    with pytest.raises(ConfigurationError, match="no such run"):
        collect_quality(ledger.service, "crm_lead_scoring-19990101T0200-19990102T0200-1")


def test_later_nights_and_other_attempts_are_no_part_of_the_trend(make_night: MakeNight) -> None:
    runs = [make_night(day=day, external_ref=ref) for day, ref in ((0, "a"), (0, "b"), (1, "a"), (1, "b"), (2, "a"))]
    for night in runs:
        stage_raw(night, rows_of(2))
        record_result(night, RULES[2], 2, [])
        end_rows(night, dict.fromkeys(rows_of(2), Outcome.SHADOWED))
        ask(night, rows_of(2))
        close(night)
    (one,) = facts_of(runs[2]).expectations
    assert [point.run_id for point in one.trend] == [runs[1].run_id, runs[2].run_id]


def test_a_trial_is_no_night_of_the_trend(make_night: MakeNight) -> None:
    for day, limit in ((0, None), (1, 5), (2, None)):
        night = make_night(day=day, options=RunOptions(mode=Mode.SHADOW, limit=limit))
        stage_raw(night, rows_of(6))
        record_result(night, RULES[0], 6, [])
        end_rows(night, dict.fromkeys(rows_of(6), Outcome.SHADOWED))
        close(night)
    assert [one.start.day for one in facts_of(night).nights] == [20, 22]


def test_a_small_chart_says_in_words_what_it_shows() -> None:
    trend = [Point("a", MONDAY, 1, 0.01, True), Point("b", MONDAY, 0, None, False), Point("c", MONDAY, 9, 0.09, False)]
    drawn = spark(trend, 0.95)
    assert 'aria-label="Failing share of 3 nights: 0.00% to 9.00%, tonight 9.00%; did not hold in 2"' in drawn
    assert [drawn.count(f'class="{kind}"') for kind in ("fine", "off", "bad", "limit")] == [1, 1, 1, 1]
    assert "no night on record" in spark([], None)
    for needed in (None, 1.0, 0.99, 0.95, 0.5):
        tops = [float(y) for y in re.findall(r' y1?="([-\d.]+)"', spark(trend, needed))]
        assert 0 <= min(tops) <= max(tops) < 29


@pytest.mark.parametrize(("rule", "said"), [(RULES[2], "before the model"), (RULES[8], "answers were held back")])
def test_a_stopped_night_says_where(make_night: MakeNight, rule: Rule, said: str) -> None:
    night, rows = make_night(), rows_of(3)
    stage_raw(night, rows)
    record_result(night, rule._replace(severity="critical"), 3, rows)
    say(night, "check.stopped")
    end_rows(night, dict.fromkeys(rows, Outcome.DEFERRED))
    assert close(night)["status"] == "stopped"
    assert said in verdict(facts_of(night))
    assert 'class="banner bad"' in night.path("quality.html").read_text()


def test_many_drifted_columns_are_drawn_up_to_a_limit(history: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality_html.charts, "MOST_DRAWN", 1)
    assert "2 more are in the table only" in as_html(facts_of(history))
    assert json.loads(as_json(facts_of(history)))["drawings"]
