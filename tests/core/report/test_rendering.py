"""The report as text and as a page: it fits, it escapes, it needs nothing from elsewhere."""

from __future__ import annotations

import re
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pytest

from include.ledger import tables
from include.models import Mode, Outcome, RunOptions
from include.report.facts import collect
from include.report.html import as_html
from include.report.text import as_text
from include.report.wording import duration, milliseconds, money, percent
from include.run import Night
from include.stages import close
from tests.core.conftest import MakeNight
from tests.core.ledger.nights import ask, decide, end_rows, reject_rows, rows_of, say, stage_raw, write_rows

ATTACK = "<script>alert('x')</script> & \"quoted\" \x1b[31m caf\u00e9"


@pytest.fixture
def night(make_night: MakeNight) -> Night:
    """A night with something in every section, and names that attack the page."""
    made, rows = make_night(options=RunOptions(mode=Mode.AUTO)), rows_of(20)
    stage_raw(made, rows, read={"crm": 20}, files=[{"system": "sftp", "path": f"drop/{ATTACK}", "rows": 1}])
    reject_rows(made, "check", dict.fromkeys(rows[:4], ATTACK))
    reject_rows(made, "extract", {f"file:{at}": f"line {at} {ATTACK}" * 9 for at in range(30)}, counts_as_input=False)
    check: dict[str, Any] = {"run_id": made.run_id, "expectation": "e", "type": "t", "columns": []}
    check |= {"severity": "warning", "threshold": Decimal("0.95")}
    check |= {"meaning": ATTACK, "success": False, "rows_checked": 20, "unexpected_count": 4, "examples": rows[:4]}
    with made.ledger.begin() as connection:
        connection.execute(tables.quality_result.insert().values(check))
    decisions = decide(made, rows[4:], verdict="write", inferences=ask(made, rows[4:]))
    write_rows(made, rows[4:], decisions)
    say(made, "warehouse.upserted", table="scores", inserted=16)
    end_rows(made, dict.fromkeys(rows[4:], Outcome.WRITTEN))
    close(made)
    return made


class Page(HTMLParser):
    """Collects tags, references to other places, and headings."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.attributes: list[dict[str, str | None]] = []
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.append(dict(attrs))
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "action", "srcset", "data")]


def page(night: Night) -> str:
    return as_html(collect(night.ledger, night.run_id, {"5": "Won", "6": "Lost"}))


def test_content_from_outside_is_escaped(night: Night) -> None:
    content = page(night)
    assert "<script" not in content
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &#34;quoted&#34;" in content
    assert "script" not in Page(content).tags


def test_the_page_needs_nothing_from_elsewhere(night: Night) -> None:
    content = page(night)
    assert Page(content).links == ["quality.html"]
    assert not re.search(r"https?:|//[a-z]|url\(|@import", content)
    assert "default-src 'none'" in content


def test_the_page_can_be_read_by_a_machine_for_people(night: Night) -> None:
    content = Page(page(night))
    assert content.tags.count("h1") == 1
    assert {tag for tag in content.tags if re.fullmatch(r"h\d", tag)} == {"h1", "h2"}
    columns = [attrs for tag, attrs in zip(content.tags, content.attributes, strict=True) if tag == "th"]
    assert columns
    assert all(attrs.get("scope") in ("col", "row") for attrs in columns)
    ids = [attrs["id"] for attrs in content.attributes if "id" in attrs]
    assert len(ids) == len(set(ids))
    named = {attrs["aria-labelledby"] for attrs in content.attributes if "aria-labelledby" in attrs}
    assert named <= set(ids)


def test_the_flow_on_the_page_adds_up(night: Night) -> None:
    steps = re.findall(r'<li class="(\w*)"><span>[^<]*</span><b>([\d,]+)</b>', page(night))
    total = 0
    for sign, rows in steps:
        count = int(rows.replace(",", ""))
        if sign == "equals":
            assert count == total
        total += -count if sign == "minus" else count if sign == "" else 0
    assert [rows for _, rows in steps] == ["20", "4", "16", "0", "0", "16"]


def test_the_text_fits_a_terminal(night: Night) -> None:
    told = as_text(collect(night.ledger, night.run_id, {"5": "Won", "6": "Lost"}))
    lines = told.splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) <= 64
    assert told.isascii()
    assert "\x1b" not in told


def test_the_first_three_lines_answer_whether_everything_is_all_right(night: Night) -> None:
    verdict, rows, cost = as_text(collect(night.ledger, night.run_id)).splitlines()[:3]
    assert verdict.startswith("FINISHED, 1 THING TO LOOK AT - crm_lead_scoring, auto, attempt 1")
    assert rows == "Rows  20 in = 16 written, 4 quarantined (adds up)"
    assert cost.startswith("Cost  $0.016 of $5.00 allowed")


def test_a_night_without_findings_is_all_right(make_night: MakeNight) -> None:
    night = make_night()
    stage_raw(night, rows_of(2))
    end_rows(night, dict.fromkeys(rows_of(2), Outcome.SHADOWED))
    close(night)
    facts = collect(night.ledger, night.run_id)
    assert as_text(facts).startswith("ALL RIGHT - ")
    assert '<section class="banner good">' in as_html(facts)


def test_no_record_and_no_prompt_is_in_a_report(night: Night) -> None:
    facts = collect(night.ledger, night.run_id)
    for content in (as_text(facts), as_html(facts)):
        assert "job_title" not in content
        assert "nl_lead_score" not in content


@pytest.mark.parametrize(
    ("dollars", "said"),
    [("0", "$0.00"), ("1234.5", "$1,234.50"), ("0.1", "$0.10"), ("0.016", "$0.016"), ("0.00030", "$0.00030")],
)
def test_money_keeps_two_digits_that_mean_something(dollars: str, said: str) -> None:
    assert money(Decimal(dollars)) == said


@pytest.mark.parametrize(("share", "said"), [(0, "0.0 %"), (0.0001, "<0.1 %"), (0.9999, ">99.9 %"), (1, "100.0 %")])
def test_a_share_is_not_rounded_to_nothing_or_all(share: float, said: str) -> None:
    assert percent(share) == said


def test_times_are_said_in_their_two_largest_units() -> None:
    assert [duration(s) for s in (0.25, 59, 61, 7261)] == ["250 ms", "59 s", "1 min 1 s", "2 h 1 min"]
    assert [milliseconds(ms) for ms in (None, 999.4, 1500)] == ["-", "999 ms", "1.5 s"]
