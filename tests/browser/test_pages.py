"""The pages in a real browser, on a real Airflow with real runs in it: what a data engineer does with them in a day.

One stack for the module, started as a user would start it, in a state folder of its own. The tests follow each other.
Screenshots are kept where NIGHTLEDGER_SCREENSHOTS says.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect
from sqlalchemy import Engine

from include.database import open_database, transaction
from include.demo.stack import processes
from include.demo.stack.api import AirflowApi
from include.demo.stack.home import open_home, open_secrets
from include.ledger.record import note_progress, open_run, record_event
from include.models import Interval, Mode, RunKey, RunOptions
from include.settings import ROOT
from include.spec.use_case import load
from tests.core.conftest import PROMPT
from tests.last_night import last_interval

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
DAG = "crm_lead_scoring"
LONG = 150_000


@dataclass
class Site:
    """A running stack as a browser sees it; `foreign` are requests that would have left the machine.

    `sessions` holds the cookies of those who logged in, so that only the first time goes through the login page.
    """

    base: str
    passwords: dict[str, str]
    shots: Path | None
    environment: dict[str, str]
    browser: Browser
    api: AirflowApi
    foreign: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    sessions: dict[str, Any] = field(default_factory=dict)

    def context(self, scheme: Any = "light", width: int = 1280) -> BrowserContext:
        """A browser that has never been here; every request of its is looked at."""
        context = self.browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 860})
        context.set_default_timeout(20_000)
        context.on("request", self._look_at)
        return context

    def _look_at(self, request: Request) -> None:
        if urlsplit(request.url).hostname not in ("127.0.0.1", None):
            self.foreign.append(request.url)

    def log_in(self, context: BrowserContext, user: str) -> Page:
        """Through Airflow's own login page, as a person does; later with what that left in the browser."""
        if user in self.sessions:
            context.add_cookies(self.sessions[user])
        else:
            self._pass_the_door(context, user)
            self.sessions[user] = context.cookies()
        page = context.new_page()  # Airflow's login page may still be about to lead somewhere
        page.on("console", lambda said: self._note(page, said.type, said.text))
        page.on("pageerror", lambda error: self._fail(page, error))
        page.goto(f"{self.base}/nightledger/nights")
        return page

    def _pass_the_door(self, context: BrowserContext, user: str) -> None:
        door = context.new_page()
        door.goto(f"{self.base}/auth/login?next={self.base}/nightledger/nights")
        door.fill("input[name=username]", user)
        door.fill("input[name=password]", self.passwords[user])
        door.click("button[type=submit]")
        arrived = "/nightledger/nights"  # as a path: the address of the login ends so too
        door.wait_for_url(lambda url: urlsplit(url).path == arrived)

    def _note(self, page: Page, kind: str, words: str) -> None:
        refused = "Failed to load resource" in words and "(" in words  # a status that a test asked for
        if "/nightledger/" in page.url and kind == "error" and not refused:
            self.complaints.append(f"{page.url}: {words}")

    def _fail(self, page: Page, error: Any) -> None:
        if "/nightledger/static/" in (error.stack or ""):  # Airflow's own script is not ours to judge
            self.complaints.append(f"{page.url}: {error.message}")

    def keep(self, page: Page, name: str) -> None:
        """A picture of the whole page; no page is wider than its window."""
        self.shoot(page, name, full_page=True)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{name} is {wide} pixels too wide"

    def shoot(self, page: Page, name: str, *, full_page: bool = False) -> None:
        """Keep a picture where the environment asks for pictures."""
        if self.shots:
            page.screenshot(path=self.shots / f"{name}.png", full_page=full_page)

    def tasks_of(self, dag: str) -> str:
        """Each run's tasks with state, tries and times, for a failure that cannot be had again."""
        found = self.api.call("GET", f"/dags/{dag}/dagRuns/~/taskInstances")["task_instances"]
        return "\n".join(
            f"{one['dag_run_id']} {one['task_id']} {one['state']} try {one['try_number']}, "
            f"{one['scheduled_when']} to {one['start_date']} to {one['end_date']}"
            for one in found
        )

    def query(self, statement: str) -> list[Any]:
        """Rows of the ledger, as superuser."""
        with self._superuser() as connection:
            return connection.execute(statement).fetchall()  # type: ignore[arg-type]

    def execute(self, statements: str) -> None:
        """Change the ledger, as superuser."""
        with self._superuser() as connection:
            connection.execute(statements)  # type: ignore[arg-type]

    def ledger(self) -> Engine:
        """The ledger as the stages open it, as superuser."""
        socket = json.loads(self.environment["AIRFLOW_CONN_NIGHTLEDGER_DB"])["host"]
        return open_database(f"postgresql+psycopg://postgres@/nightledger?host={socket}")

    def _superuser(self) -> psycopg.Connection[Any]:
        socket = json.loads(self.environment["AIRFLOW_CONN_NIGHTLEDGER_DB"])["host"]
        return psycopg.connect(dbname="nightledger", user="postgres", host=socket, autocommit=True)


@pytest.fixture(scope="module")
def site(chromium: Browser) -> Iterator[Site]:
    folder = Path(tempfile.mkdtemp(prefix="nightledger-pages-"))
    folder.chmod(0o755)  # the database server has its own account where tests run as root
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "NIGHTLEDGER"))}
    environment = {
        **kept,
        "NIGHTLEDGER_HOME": str(folder),
        "NIGHTLEDGER_AIRFLOW_PORT": "0",
        "NIGHTLEDGER_USERS": "viewer:viewer,editor:user",
    }
    stack = [sys.executable, "-W", "ignore", "-m", "include.demo.stack"]
    first = f"{last_interval()[0]:%Y-%m-%d}"
    command = [*stack, "night", "--date", first]
    up = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        yield open_site(folder, chromium)
    finally:
        subprocess.run([*stack, "down"], env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    shutil.rmtree(folder)


def open_site(folder: Path, browser: Browser) -> Site:
    """A site of a stack that is up."""
    home = open_home({"NIGHTLEDGER_HOME": str(folder)})
    server, scheduler = processes.find(home, "api-server"), processes.find(home, "scheduler")
    assert server is not None
    assert scheduler is not None
    process = scheduler.process()
    assert process is not None
    wanted = os.environ.get("NIGHTLEDGER_SCREENSHOTS")
    shots = Path(wanted) if wanted else None
    if shots:
        shots.mkdir(parents=True, exist_ok=True)
    api = AirflowApi(f"http://127.0.0.1:{server.port}", "admin", open_secrets(home)["admin"])
    api.pause(DAG, False)
    passwords = json.loads(home.password_file.read_text(encoding="utf-8"))
    return Site(f"http://127.0.0.1:{server.port}", passwords, shots, process.environ(), browser, api)


@pytest.fixture(scope="module")
def engineer(site: Site) -> Iterator[Page]:
    """A data engineer who may change things, logged in for the whole day."""
    context = site.context()
    yield site.log_in(context, "editor")
    context.close()


def newest_run(site: Site) -> str:
    return str(site.query("SELECT run_id FROM nightledger.run ORDER BY started_at DESC LIMIT 1")[0][0])


def test_last_night_is_seen_at_a_glance_and_its_run_adds_up(site: Site, engineer: Page) -> None:
    expect(engineer.get_by_role("heading", name="Nights", level=1)).to_be_visible()
    site.keep(engineer, "nights-light")
    engineer.locator("tbody a").first.click()
    expect(engineer.get_by_text("adds up")).to_be_visible()
    expect(engineer.get_by_role("heading", name="Steps")).to_be_visible()
    site.keep(engineer, "run-light")


def test_the_reports_open_and_lead_to_the_failing_rows(site: Site, engineer: Page) -> None:
    engineer.get_by_role("link", name="Morning report").click()
    expect(engineer.get_by_role("heading", level=1)).to_contain_text("All right")
    engineer.go_back()
    engineer.get_by_role("link", name="Quality report").click()
    expect(engineer.get_by_role("heading", level=1)).to_be_visible()
    site.keep(engineer, "quality-report-light")
    engineer.locator("a[href*='/nightledger/quarantine']").first.click()
    expect(engineer.get_by_role("heading", name="Quarantine", level=1)).to_be_visible()
    expect(engineer.locator("input[name=number]").first).to_be_visible()
    site.keep(engineer, "failing-rows-light")


def test_answers_are_decided_by_keyboard_alone_and_written(site: Site, engineer: Page) -> None:
    queue = f"{site.base}/nightledger/review?use_case={DAG}"
    context = site.context()
    other = site.log_in(context, "admin")
    other.goto(queue)
    engineer.goto(queue)
    waiting = engineer.locator("tr[data-item]").count()
    assert waiting > 10
    for key in ("j", "x", "j", "x", "r"):
        engineer.keyboard.press(key)
    expect(engineer.locator(".chosen")).to_have_text("2 chosen")
    engineer.keyboard.type("wrong company")
    engineer.keyboard.press("Enter")
    expect(engineer.get_by_role("status")).to_contain_text("2 answers rejected")
    engineer.keyboard.press("j")
    engineer.keyboard.press("Enter")
    expect(engineer.get_by_role("heading", name="What it was answered from")).to_be_visible()
    engineer.keyboard.press("n")
    expect(engineer.get_by_role("heading", name="crm/contacts")).to_be_visible()
    site.keep(engineer, "review-item-light")
    engineer.keyboard.press("a")
    expect(engineer.get_by_role("status")).to_contain_text("1 answer approved")
    engineer.keyboard.press("j")
    engineer.keyboard.press("c")
    engineer.keyboard.type("a word")
    engineer.keyboard.press("Enter")  # in a field it presses no button
    engineer.keyboard.press("Escape")
    for key in ("X", "a"):
        engineer.keyboard.press(key)
    expect(engineer.get_by_role("status")).to_contain_text(f"{waiting - 3} answers approved")
    site.keep(engineer, "review-light")
    other.keyboard.press("j")
    other.keyboard.press("a")
    expect(other.get_by_role("heading", level=1)).to_have_text("Not all was done")
    expect(other.get_by_text("was rejected by editor")).to_be_visible()
    context.close()
    now = datetime.now(UTC)
    site.api.trigger("review", "apply-now", now - timedelta(hours=1), now, now, {})
    decided = "SELECT outcome, count(*) FROM nightledger.outcome WHERE stage IN ('review', 'write') GROUP BY 1"
    try:
        wait_until(lambda: dict(site.query(decided)).get("rejected") == 2, engineer)
    except AssertionError:
        raise AssertionError(site.tasks_of("review")) from None
    assert site.query("SELECT count(*) FROM nightledger.outcome WHERE outcome = 'in_review'") == [(0,)]
    assert dict(site.query(decided))["written"] >= waiting - 3


def test_a_trend_has_a_scale_and_shows_each_night_to_those_who_open_it(site: Site, engineer: Page) -> None:
    engineer.goto(f"{site.base}/nightledger/quality?failing=rows")
    trend = engineer.locator("details.trend").first
    expect(trend.locator("summary")).to_contain_text(re.compile(r"0 to [\d.]+ %"))
    expect(trend.locator("li").first).to_be_hidden()
    trend.locator("summary").press("Enter")
    expect(trend.locator("li").first).to_contain_text(re.compile(r"^\d{4}-\d\d-\d\d [\d.]+ %$"))
    site.keep(engineer, "trend-light")
    trend.locator("li a").first.click()
    expect(engineer.get_by_role("heading", level=1)).to_contain_text("Failing rows")


def test_a_columns_page_is_one_click_from_its_expectation_and_shows_values_on_focus(site: Site, engineer: Page) -> None:
    engineer.goto(f"{site.base}/nightledger/quality")
    engineer.get_by_role("link", name="page_views", exact=True).first.click()
    expect(engineer.get_by_role("heading", level=1)).to_have_text("Column page_views")
    night = engineer.get_by_role("link", name=re.compile(r"^\d{4}-\d\d-\d\d: [\d.]+ %$")).first
    value = night.locator(".value")
    expect(value).to_be_hidden()
    night.focus()
    engineer.keyboard.press("Shift+Tab")
    engineer.keyboard.press("Tab")
    expect(value).to_be_visible()
    site.keep(engineer, "column-light")
    night.press("Enter")
    expect(engineer.get_by_role("heading", name="Steps")).to_be_visible()


def test_personal_values_are_shown_once_it_is_on_record_who_looks(site: Site, engineer: Page) -> None:
    found = "SELECT quarantine_id, row_id FROM nightledger.quarantine WHERE stage = 'check' ORDER BY 1 LIMIT 1"
    number, row_id = site.query(found)[0]
    engineer.goto(f"{site.base}/nightledger/quarantine/{number}")
    expect(engineer.get_by_text("Personal values as tokens")).to_be_visible()
    assert site.query("SELECT 1 FROM nightledger.event WHERE type = 'personal.viewed'") == []
    engineer.get_by_role("button", name="Show email").click()
    expect(engineer.get_by_text("that you looked is on record")).to_be_visible()
    said = site.query("SELECT actor, details ->> 'row_id' FROM nightledger.event WHERE type = 'personal.viewed'")
    assert said == [("editor", row_id)]
    site.keep(engineer, "personal-values-light")


def test_a_row_is_dismissed_with_a_reason_that_is_kept(site: Site, engineer: Page) -> None:
    engineer.goto(f"{site.base}/nightledger/quarantine?use_case={DAG}&status=open")
    before = site.query("SELECT count(*) FROM nightledger.quarantine WHERE status = 'dismissed'")
    engineer.locator("input[name=number]").first.check()
    engineer.get_by_role("button", name="Dismiss").click()
    expect(engineer.get_by_text("Say why")).to_be_visible()
    engineer.go_back()
    engineer.locator("input[name=number]").first.check()
    engineer.fill("input[name=reason]", "The <b>lead</b> left; =SUM(1)")
    engineer.get_by_role("button", name="Dismiss").click()
    expect(engineer.get_by_role("status")).to_contain_text("Dismissed")
    expect(engineer.get_by_text("The <b>lead</b> left; =SUM(1)")).to_be_visible()
    assert before == [(0,)]
    assert site.query("SELECT count(*) FROM nightledger.quarantine WHERE status = 'dismissed'") == [(1,)]


def test_a_row_is_replayed_and_its_history_says_so(site: Site, engineer: Page) -> None:
    number = site.query(
        "SELECT min(quarantine_id) FROM nightledger.quarantine WHERE status = 'open' AND stage = 'check'"
    )
    engineer.goto(f"{site.base}/nightledger/quarantine/{number[0][0]}")
    engineer.get_by_role("button", name="Replay").click()
    expect(engineer.get_by_role("status")).to_contain_text("The replay is")
    expect(engineer.get_by_role("link", name="its run in Airflow")).to_be_visible()
    wait_until(lambda: engineer.locator("h1 + .lead").get_by_text("replayed").count() > 0, engineer)
    site.keep(engineer, "replayed-light")
    replays = "SELECT status FROM nightledger.run WHERE external_ref LIKE 'quarantine/%'"
    wait_until(lambda: site.query(replays) == [("succeeded",)], engineer)
    expect(engineer.get_by_text("airflow/page__editor__").first).to_be_visible()


def test_dead_letters_are_replayed_and_the_page_says_how_far_it_is_by_itself(site: Site, engineer: Page) -> None:
    start, end = (moment - timedelta(days=5) for moment in last_interval()[:2])
    fail_model(site, {"refusal": 0.2})
    run_dag(site, "refused", start, end, {"mode": "auto", "model": "sandbox-large"})
    fail_model(site, {})
    still_open = "SELECT count(*) FROM nightledger.dead_letter WHERE status = 'open'"
    died = site.query(still_open)[0][0]
    assert died > 5
    engineer.goto(f"{site.base}/nightledger/dead-letters?cause=refused")
    expect(engineer.locator("section[aria-labelledby=letters] caption")).to_contain_text(f"{min(died, 50)} letters")
    site.keep(engineer, "dead-letters-light")
    letter = engineer.locator("section[aria-labelledby=letters] tbody th a").first
    row, path = letter.inner_text(), letter.get_attribute("href")
    engineer.get_by_role("button", name="Replay all of this cause").click()
    expect(engineer.get_by_role("status")).to_contain_text("The replay is")
    expect(engineer.get_by_role("link", name="its run in Airflow")).to_have_attribute(
        "href", re.compile("/dags/dead_letters/runs/page__editor__")
    )
    site.keep(engineer, "dead-letters-on-their-way-light")
    expect(engineer.get_by_role("status")).to_contain_text("The replay is through", timeout=LONG)  # nobody reloads it
    expect(engineer.get_by_text("no letter matches")).to_be_visible()
    assert site.query(still_open) == [(0,)]
    engineer.goto(f"{site.base}{path}")
    expect(engineer.locator("h1 + .lead")).to_contain_text("replayed")
    expect(engineer.get_by_text("airflow/page__editor__").first).to_be_visible()
    site.keep(engineer, "dead-letter-light")
    engineer.get_by_role("link", name="Every night of this row").click()
    expect(engineer.get_by_role("heading", level=1)).to_have_text(f"Why row {row} has its value")
    ends = engineer.locator("section h2 .tag").all_inner_texts()
    assert ends == ["written", "dead letter"]


def fail_model(site: Site, rates: dict[str, float]) -> None:
    place = Path(site.environment["NIGHTLEDGER_HOME"]) / "sandbox" / "endpoints.json"
    model = json.loads(place.read_text(encoding="utf-8"))["model_url"].removesuffix("/v1")
    requests.post(f"{model}/sandbox/faults", json={"seed": 3, "rates": rates}, timeout=30).raise_for_status()


def test_a_row_is_searched_and_its_page_says_why_it_has_its_value(site: Site, engineer: Page) -> None:
    key = site.query("SELECT row_key FROM nightledger.outbox WHERE status = 'written' ORDER BY 1 LIMIT 1")[0][0]
    engineer.goto(f"{site.base}/nightledger/nights")
    engineer.fill("input[name=key]", "no-such-lead")
    engineer.get_by_role("button", name="Explain").click()
    expect(engineer.get_by_role("status")).to_contain_text("has met a row with the key no-such-lead")
    engineer.fill("input[name=key]", key)
    engineer.get_by_role("button", name="Explain").click()
    expect(engineer.get_by_role("heading", level=1)).to_have_text(f"Why row {key} has its value")
    expect(engineer.get_by_text("Written to crm contacts").first).to_be_visible()
    expect(engineer.get_by_text("Shown to the model")).to_have_count(0)
    site.keep(engineer, "explain-light")
    engineer.get_by_role("button", name="Show what the model was shown").click()
    expect(engineer.get_by_text("Shown to the model").first).to_be_visible()
    seen = "SELECT actor FROM nightledger.event WHERE type = 'personal.viewed' AND details ->> 'row_key' = "
    assert site.query(f"{seen}'{key}'") == [("editor",)]
    site.keep(engineer, "explain-shown-light")


def test_the_ledger_is_verified_and_a_changed_row_is_named(site: Site, engineer: Page) -> None:
    engineer.goto(f"{site.base}/nightledger/verify")
    engineer.get_by_role("button", name="Verify the whole ledger").click()
    expect(engineer.get_by_role("status").first).to_contain_text("The verification is through", timeout=LONG)
    expect(engineer.get_by_role("heading", name="The ledger holds")).to_be_visible()
    expect(engineer.get_by_text("by editor")).to_be_visible()
    site.keep(engineer, "ledger-holds-light")
    past = "SET session_replication_role = replica; UPDATE nightledger.decision SET rule = {} WHERE decision_id = '{}'"
    key, rule = site.query("SELECT decision_id, rule FROM nightledger.decision ORDER BY recorded_at LIMIT 1")[0]
    site.execute(past.format("rule || '!'", key))
    engineer.get_by_role("button", name="Verify the whole ledger").click()
    expect(engineer.get_by_role("status").first).to_contain_text("The verification failed", timeout=LONG)
    expect(engineer.get_by_role("heading", name="The ledger does NOT hold")).to_be_visible()
    expect(engineer.locator("tr", has_text=str(key))).to_contain_text("its content does not match its digest")
    site.keep(engineer, "ledger-finding-light")
    engineer.goto(f"{site.base}/nightledger/nights")
    expect(engineer.get_by_role("status").first).to_contain_text("The ledger does NOT hold")
    site.execute(past.format(f"'{rule}'", key))
    engineer.get_by_role("link", name="What was found").click()
    engineer.get_by_role("button", name="Only what is new").click()  # after a finding everything is checked again
    expect(engineer.get_by_role("status").first).to_contain_text("The verification is through", timeout=LONG)
    expect(engineer.get_by_role("heading", name="The ledger holds")).to_be_visible()


def test_what_cannot_be_planned_is_said_beside_its_field_and_the_form_stays(site: Site, engineer: Page) -> None:
    newest = last_interval()[0].date()
    plan_nights(site, engineer, newest + timedelta(days=1), newest + timedelta(days=1), re_infer="failed")
    expect(engineer.get_by_role("alert")).to_contain_text("Nothing was planned")
    expect(engineer.locator("#wrong-first")).to_contain_text("is not over yet")
    assert engineer.input_value("select[name=re_infer]") == "failed"
    assert engineer.input_value("input[name=last]") == str(newest + timedelta(days=1))
    site.keep(engineer, "backfill-refused-light")
    plan_nights(site, engineer, newest, newest - timedelta(days=2))
    expect(engineer.locator("#wrong-last")).to_contain_text("before the first")
    assert site.query("SELECT count(*) FROM nightledger.backfill_plan") == [(0,)]


def plan_nights(site: Site, page: Page, first: date, last: date, **chosen: str) -> None:
    """Fill the form as a person does, but past what the browser itself would refuse, and send it."""
    page.goto(f"{site.base}/nightledger/backfill")
    page.locator("form[action$=plans]").evaluate("form => { form.noValidate = true }")
    page.fill("input[name=first]", str(first))
    page.fill("input[name=last]", str(last))
    for name, value in {"mode": "auto", **chosen}.items():
        page.select_option(f"select[name={name}]", value)
    page.get_by_role("button", name="Work out the plan").click()


def start_backfill(page: Page, name: str, budget: str | None = None, behaviour: str | None = None) -> None:
    page.fill("input[name=name]", name)
    if budget:
        page.fill("input[name=budget_usd]", budget)
    if behaviour:
        page.check(f"input[name=behaviour][value={behaviour}]")
    page.get_by_role("button", name="Start the backfill").click()


def test_a_backfill_is_planned_steered_and_leaves_out_the_night_that_ran(site: Site, engineer: Page) -> None:
    newest = last_interval()[0].date()
    plan_nights(site, engineer, newest - timedelta(days=2), newest)
    expect(engineer.get_by_text("Expected cost")).to_be_visible(timeout=LONG)
    expect(engineer.get_by_text(re.compile(r"as the last \d+ full nights? took"))).to_be_visible()
    expect(engineer.get_by_text("only nights that have not run: 2 of 3")).to_be_visible()
    expect(engineer.get_by_text("all, also those that succeeded: 3 of 3")).to_be_visible()
    site.keep(engineer, "plan-light")
    assert len(engineer.locator("section[aria-labelledby=nights] tbody tr").all()) == 3

    engineer.fill("input[name=max_active_runs]", "2")
    start_backfill(engineer, "two_nights", budget="0.000001")
    expect(engineer.locator("#wrong-budget_usd")).to_contain_text("Expected are $")
    assert engineer.input_value("input[name=max_active_runs]") == "2"
    site.keep(engineer, "plan-refused-light")
    assert site.api.call("GET", f"/backfills?dag_id={DAG}")["backfills"] == []
    start_backfill(engineer, "two_nights", budget="1")

    expect(engineer.get_by_role("heading", level=1)).to_contain_text("of crm_lead_scoring")
    engineer.get_by_role("button", name="Pause").click()
    expect(engineer.get_by_role("status")).to_contain_text("Paused")
    engineer.get_by_role("button", name="Go on").click()
    expect(engineer.get_by_role("status")).to_contain_text("Going on")
    site.keep(engineer, "backfill-running-light")
    wait_until(lambda: engineer.locator("tbody").get_by_text("success", exact=True).count() == 2, engineer)
    expect(engineer.get_by_text("2 of 2")).to_be_visible()
    expect(engineer.get_by_text("skipped: already ran")).to_have_count(1)
    expect(engineer.get_by_text("of a budget of $1.00")).to_be_visible()
    expect(engineer.get_by_role("link", name="the plan")).to_be_visible()
    site.keep(engineer, "backfill-light")
    done = "SELECT count(*) FROM nightledger.run WHERE options ->> 'backfill' = 'two_nights' AND status = 'succeeded'"
    assert site.query(done) == [(2,)]
    assert site.query("SELECT count(*) FROM nightledger.budget WHERE scope LIKE 'backfill/%/two_nights'") == [(1,)]


def test_asking_again_means_nights_that_ran_and_a_cancelled_backfill_starts_no_further_one(
    site: Site, engineer: Page
) -> None:
    wait_until(lambda: not open_backfills(site), engineer)
    newest = last_interval()[0].date()
    plan_nights(site, engineer, newest - timedelta(days=1), newest, re_infer="all")
    expect(engineer.get_by_text("Expected cost")).to_be_visible(timeout=LONG)
    expect(engineer.locator("input[name=behaviour][value=completed]")).to_be_checked()
    expect(engineer.get_by_text("none of 2, nothing would happen").first).to_be_visible()
    start_backfill(engineer, "again", behaviour="none")
    expect(engineer.locator("#wrong-behaviour")).to_contain_text("No night would run: each has a run already")
    start_backfill(engineer, "again", behaviour="completed")
    expect(engineer.get_by_role("heading", level=1)).to_contain_text("of crm_lead_scoring")
    wait_until(lambda: engineer.locator("tbody").get_by_text("running", exact=True).count() > 0, engineer)
    engineer.get_by_role("button", name="Cancel").click()
    expect(engineer.get_by_role("status")).to_contain_text("Cancelled")
    wait_until(lambda: engineer.get_by_text("2 of 2").count() == 1, engineer)
    assert engineer.locator("tbody").get_by_text("did not begin").count() == 1
    site.keep(engineer, "backfill-cancelled-light")
    assert site.query("SELECT count(*) FROM nightledger.run WHERE options ->> 'backfill' = 'again'") == [(1,)]


def open_backfills(site: Site) -> list[Any]:
    found = site.api.call("GET", f"/backfills?dag_id={DAG}")["backfills"]
    return [one for one in found if not one["completed_at"]]


def wait_until(seen: Callable[[], bool], page: Page) -> None:
    deadline = time.monotonic() + LONG / 1000
    while not seen():
        assert time.monotonic() < deadline, page.locator("main").inner_text()
        time.sleep(2)  # a page costs far more than a look at it
        page.reload()


def test_who_may_only_read_is_refused_every_change(site: Site) -> None:
    context = site.context()
    page = site.log_in(context, "viewer")
    page.goto(f"{site.base}/nightledger/quarantine")
    expect(page.get_by_role("heading", name="Rows")).to_be_visible()
    assert page.locator("input[name=number]").count() == 0
    page.goto(f"{site.base}/nightledger/review?status=approved")
    expect(page.locator("tr[data-item]").first).to_be_visible()
    assert page.locator("input[name=item]").count() == 0
    page.goto(f"{site.base}/nightledger/backfill")
    expect(page.get_by_text("not start a backfill")).to_be_visible()
    token = page.request.get(f"{site.base}/nightledger/nights")  # the page's cookies, and none of its forms
    assert token.ok
    answer = page.request.post(
        f"{site.base}/nightledger/quarantine/changes",
        form={"use_case": DAG, "action": "dismiss", "number": "2", "reason": "mine"},
        headers={"Origin": site.base},
    )
    assert answer.status == 403
    site.keep(page, "viewer-light")
    context.close()


def test_pages_open_inside_airflow_and_lead_out_of_their_frame(site: Site) -> None:
    context = site.context(width=1400)
    page = site.log_in(context, "admin")
    page.goto(f"{site.base}/plugin/nightledger-nights")
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="Nights", level=1)).to_be_visible()
    frame.locator("tbody th a").nth(1).click()  # the newest attempt of the newest night is a replay
    expect(frame.get_by_role("heading", name="Steps")).to_be_visible()
    site.shoot(page, "inside-airflow")
    frame.get_by_role("link", name="Run in Airflow").click()
    page.wait_for_url(f"**/dags/{DAG}/runs/**")
    page.goto(f"{page.url.split('?')[0].rstrip('/')}/plugin/nightledger-dag_run")
    expect(page.frame_locator("iframe").get_by_role("heading", name="Steps")).to_be_visible()
    context.close()


def test_the_frame_follows_the_theme_that_is_chosen_in_airflow(site: Site) -> None:
    context = site.context(width=1400)
    page = site.log_in(context, "admin")
    alone = page.locator("html").evaluate(BACKGROUND)
    page.goto(f"{site.base}/plugin/nightledger-nights")
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="Nights", level=1)).to_be_visible()
    assert frame.locator("html").evaluate(BACKGROUND) == alone
    choose_theme(page, "Dark Mode")
    expect(frame.locator("html")).to_have_attribute("data-theme", "dark")
    dark = frame.locator("html").evaluate(BACKGROUND)
    assert dark != alone
    site.shoot(page, "inside-airflow-dark")
    frame.locator("tbody th a").first.click()  # the next page is dark from its first paint on
    expect(frame.get_by_role("heading", name="Steps")).to_be_visible()
    assert frame.locator("html").evaluate(BACKGROUND) == dark
    page.emulate_media(color_scheme="dark")
    choose_theme(page, "Light Mode")
    expect(frame.locator("html")).to_have_attribute("data-theme", "light")
    assert frame.locator("html").evaluate(BACKGROUND) == alone
    page.goto(f"{site.base}/nightledger/nights")
    assert page.locator("html").evaluate(BACKGROUND) == dark, "alone it follows the system"
    context.close()


BACKGROUND = "() => getComputedStyle(document.body).backgroundColor"


def choose_theme(page: Page, name: str) -> None:
    """As a person does, in Airflow's side bar."""
    page.get_by_role("button", name="User").click()
    page.get_by_role("menuitem", name="Appearance").click()
    page.get_by_role("menuitemradio", name=name).click()


def test_times_stand_in_the_zone_that_is_chosen_in_airflow_too(site: Site) -> None:
    context = site.context(width=1400)
    page = site.log_in(context, "admin")
    page.evaluate("localStorage.setItem('timezone', JSON.stringify('Asia/Kolkata'))")
    page.goto(f"{site.base}/plugin/nightledger-nights")
    frame = page.frame_locator("iframe")
    frame.locator("tbody th a").first.click()
    interval = frame.locator("h1 + .lead .utc")
    expect(interval).to_contain_text("02:00 UTC (07:30 to 07:30 Asia/Kolkata)")
    started = frame.locator("dd small time").first
    expect(started).to_have_text(re.compile(r"^20\d\d-\d\d-\d\d \d\d:\d\d$"))
    expect(started.locator("xpath=following-sibling::*[1]")).to_contain_text("Asia/Kolkata")
    page.evaluate("localStorage.setItem('timezone', JSON.stringify('America/Los_Angeles'))")
    expect(interval).to_contain_text(re.compile(r" UTC \(\S+ 1[89]:00 to \S+ 1[89]:00 America/Los_Angeles\)"))
    expect(frame.get_by_text("Asia/Kolkata")).to_have_count(0)
    site.shoot(page, "inside-airflow-zone")
    for kept in ("UTC", "No/Such_Zone"):
        page.evaluate("zone => localStorage.setItem('timezone', JSON.stringify(zone))", kept)
        expect(frame.locator(".zone")).to_have_count(0)
    context.close()
    plain = site.browser.new_context(java_script_enabled=False)
    plain.add_cookies(site.log_in(site.context(), "viewer").context.cookies())
    page = plain.new_page()
    page.goto(f"{site.base}/nightledger/runs/{newest_run(site)}")
    expect(page.locator("h1 + .lead .utc")).to_have_text(re.compile(r"02:00 to \S+ 02:00 UTC$"))
    plain.close()


def test_a_task_says_what_it_does_and_the_form_what_it_takes(site: Site) -> None:
    context = site.context(width=1400)
    page = site.log_in(context, "admin")
    page.goto(f"{site.base}/dags/{DAG}/tasks/enrich")
    page.get_by_role("button", name="Documentation").first.click()
    told = page.get_by_role("dialog")
    expect(told).to_contain_text("Asks the model about each row of a shard")
    link = told.get_by_role("link", name="Runbook")
    with context.expect_page() as opened:
        link.click()
    expect(opened.value.locator("h2:target")).to_have_text("A system did not answer")
    page.goto(f"{site.base}/dags/{DAG}")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    form.get_by_role("button", name="Model", exact=True).click()
    expect(form).to_contain_text("as declared in the spec")
    form.locator("#element_asking").click()
    expect(page.get_by_role("option")).to_have_count(3)
    assert "null" not in page.get_by_role("option").all_inner_texts()
    site.shoot(page, "trigger-form")
    context.close()


def failing_of(site: Site) -> list[tuple[str, str]]:
    """Paths of pages of failing rows, each with a column that its expectation is about; the last one's is personal."""
    held = "SELECT run_id, expectation, columns[1] FROM nightledger.quality_result WHERE unexpected_count > 0"
    found = site.query(f"{held} AND stage = 'check' ORDER BY columns[1] = 'email', cardinality(columns), run_id")
    assert found[-1][2] == "email"
    return [(f"runs/{run_id}/failing/{expectation}", column) for run_id, expectation, column in found]


def test_failing_rows_show_what_they_held(site: Site, engineer: Page) -> None:
    pages = failing_of(site)
    for name, (path, column) in (("failing", pages[0]), ("failing-personal", pages[-1])):
        engineer.goto(f"{site.base}/nightledger/{path}")
        expect(engineer.get_by_role("columnheader", name=column)).to_be_visible()
        expect(engineer.locator("td.held").first).not_to_contain_text("not kept")
        site.keep(engineer, f"{name}-light")


def test_a_trial_replaces_no_night(site: Site, engineer: Page) -> None:
    key = RunKey(DAG, Interval(*last_interval()), "cli")
    ledger = site.ledger()
    trial = open_run(ledger, key, load(DAG), RunOptions(mode=Mode.SHADOW, limit=20), prompt=PROMPT, git_sha="")
    site.query(f"UPDATE nightledger.run SET status = 'succeeded' WHERE run_id = '{trial}' RETURNING 1")
    engineer.goto(f"{site.base}/nightledger/nights?use_case={DAG}")
    night = engineer.locator("tbody tr").first
    expect(night).to_contain_text("240")
    expect(night).to_contain_text("auto")
    expect(night).to_contain_text("1 trial")
    engineer.goto(f"{site.base}/nightledger/runs/{trial}")
    expect(engineer.locator("h1 + .lead")).to_contain_text("trial, at most 20 rows")
    site.keep(engineer, "trial-light")


def test_a_failed_night_says_why_first_and_is_run_on_from_its_page(site: Site, engineer: Page) -> None:
    start, end = (moment - timedelta(days=4) for moment in last_interval()[:2])
    run_dag(site, "wrong_model", start, end, {"mode": "auto", "model": "no-such-model"}, "failed")
    engineer.goto(f"{site.base}/nightledger/nights?use_case={DAG}")
    expect(engineer.get_by_text("A setting is missing or wrong: model no-such-model").first).to_be_visible()
    engineer.locator("tr", has_text="no-such-model").get_by_role("link").first.click()
    cause = engineer.locator("section.said.bad")
    expect(cause).to_contain_text("Why it failed at step enrich")
    expect(cause).to_contain_text("rows came in")
    expect(cause).to_contain_text("nothing was decided or written")
    expect(cause.get_by_role("link", name="System model")).to_be_visible()
    site.keep(engineer, "failed-light")
    engineer.get_by_role("link", name="Morning report").click()
    expect(engineer.locator(".banner")).to_contain_text("Next: Correct what the message names")
    site.keep(engineer, "failed-report-light")
    engineer.go_back()
    cause.get_by_role("link", name="Runbook").click()
    expect(engineer.locator("h2:target")).to_have_text("A setting is missing or wrong")
    engineer.go_back()
    engineer.get_by_role("button", name="Run on from enrich").click()
    expect(engineer.get_by_role("status").first).to_contain_text("Airflow runs it on")
    failures = "SELECT count(*) FROM nightledger.event WHERE type = 'stage.failed' AND details ->> 'stage' = 'enrich'"
    wait_until(lambda: site.query(failures) == [(2,)], engineer)
    wait_until(lambda: site.api.state(DAG, "wrong_model") == "failed", engineer)


def test_a_running_night_says_how_far_it_is_and_asks_again_by_itself(site: Site, engineer: Page) -> None:
    ledger = site.ledger()
    start, end = (moment - timedelta(days=6) for moment in last_interval()[:2])
    key = RunKey(DAG, Interval(start, end), "cli")
    run_id = open_run(ledger, key, load(DAG), RunOptions(mode=Mode.SHADOW), prompt=PROMPT, git_sha="")
    with transaction(ledger) as connection:
        record_event(connection, run_id, "enrich.planned", {"rows": 220})
    facts = {"done": 120, "rows": 220, "calls_per_minute": 96, "spent_usd": "0.012", "seconds_left": 125}
    note_progress(ledger, run_id, "enrich", facts)
    told = "Step enrich: 120 of 220 rows, 96 calls a minute, $0.012, about 2 min 5 s left"
    engineer.goto(f"{site.base}/nightledger/nights?use_case={DAG}")
    expect(engineer.get_by_text(told)).to_be_visible()
    engineer.goto(f"{site.base}/nightledger/runs/{run_id}")
    expect(engineer.get_by_role("status")).to_contain_text(told)
    site.keep(engineer, "running-light")
    note_progress(ledger, run_id, "enrich", {**facts, "done": 200})
    expect(engineer.get_by_role("status")).to_contain_text("200 of 220 rows", timeout=20_000)  # without being asked to
    site.query(f"UPDATE nightledger.run SET status = 'abandoned' WHERE run_id = '{run_id}' RETURNING 1")


def run_dag(site: Site, run_id: str, start: Any, end: Any, conf: Any, ends: str = "success") -> None:
    site.api.trigger(DAG, run_id, start, end, datetime.now(UTC), conf)
    deadline = time.monotonic() + LONG / 1000
    while (state := site.api.state(DAG, run_id)) not in ("success", "failed"):
        assert time.monotonic() < deadline, state
        time.sleep(1)
    assert state == ends


def pages_of(site: Site) -> tuple[str, ...]:
    failed = site.query("SELECT run_id FROM nightledger.run WHERE status = 'failed' LIMIT 1")
    return (
        "nights",
        f"nights?use_case={DAG}",
        f"runs/{newest_run(site)}",
        *(f"runs/{run_id}" for (run_id,) in failed),
        *(path for path, _ in failing_of(site)[::-1][:2]),
        "quality",
        "quality/column?name=page_views",
        "quality/column?name=email",
        "quarantine",
        "quarantine/2",
        "review",
        "review?status=rejected",
        "review/1",
        "dead-letters",
        "dead-letters/1",
        "explain",
        f"explain?key={written_key(site)}",
        "explain?key=nothing",
        f"explain/record?system=crm&object=contacts&id={written_key(site)}",
        f"explain/record?system=crm&object=contacts&id={written_key(site)}&field=nl_lead_tier",
        "backfill",
        "control",
        "evaluations",
        "alerts",
        "systems",
        "verify",
        "runbooks/night",
        "runbooks/quarantine",
        "runbooks/ledger",
        "nothing",
    )


def written_key(site: Site) -> str:
    return str(site.query("SELECT row_key FROM nightledger.outbox WHERE status = 'written' ORDER BY 1 LIMIT 1")[0][0])


@pytest.mark.parametrize(("scheme", "width"), [("dark", 1280), ("light", 390), ("dark", 390)])
def test_every_page_is_readable_in_both_schemes_and_on_a_phone(site: Site, scheme: str, width: int) -> None:
    """On the phone axe looks for barriers too."""
    context = site.context(scheme, width)
    page = site.log_in(context, "editor")
    for path in pages_of(site):
        answer = page.goto(f"{site.base}/nightledger/{path}")
        assert answer is not None
        assert answer.status == (404 if path == "nothing" else 200), path
        assert page.locator("h1").count() == 1
        assert page.locator("main").count() == 1
        assert path.startswith("runbooks") or page.locator("table:not(:has(caption))").count() == 0, path
        assert page.locator("input:visible:not([aria-label]):not(label input)").count() == 0
        site.keep(page, f"{re.sub('[^a-z_]+', '-', path)}-{scheme}-{width}")
        violations = Axe().run(page).response["violations"] if width == 390 else []
        assert [(path, one["id"], one["nodes"][0]["html"]) for one in violations] == []
    context.close()


def test_nothing_left_the_machine_and_no_page_broke_its_own_policy(site: Site) -> None:
    assert site.foreign == []
    assert site.complaints == []
