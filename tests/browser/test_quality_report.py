"""The data-quality report in a browser: it asks for nothing, complains about nothing, and can be read by everyone."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from include.cli import main
from tests.core.conftest import MakeNight, ledger, ledger_template, ledger_urls, make_night, postgres
from tests.core.report.histories import live
from tests.core.report.test_quality import ATTACK, shift

__all__ = ["ledger", "ledger_template", "ledger_urls", "make_night", "postgres"]  # fixtures
FILE_RULES = """
from datetime import timedelta
from include.quality.rules import *
EXPECTATIONS = [
    unique("id", severity="critical"), accepted_values("city", ["Berlin"]), between("amount", 0, 1000),
    not_null("city"), row_count(1, 100), fresh("ordered", timedelta(days=3), severity="info"), not_null("gone"),
]
"""
SIZES = {"desk": (1280, 900), "phone": (390, 844)}
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the reports are kept for all tests here."""
    return tmp_path_factory.mktemp("reports")


@pytest.fixture
def report(kept: Path, request: pytest.FixtureRequest) -> Path:
    """The report of the last of nine nights, which is shifted; hostile text of over 10,000 characters is everywhere."""
    if not (kept / "quality.html").exists():
        make: MakeNight = request.getfixturevalue("make_night")
        night = live(make, 9, last=shift, meaning=ATTACK * 200, owner=ATTACK * 3, reason=ATTACK * 200 + "{id}")
        for name in ("quality.html", "report.html"):
            (kept / name).write_text(night.path(name).read_text())
    return kept / "quality.html"


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Open]:
    """Opens a file with the network shut; at the end, nothing was asked for and nothing was complained about."""
    contexts, complaints, asked = [], list[str](), list[str]()

    def shut(route: Any) -> None:
        if route.request.url.startswith("file:"):
            route.continue_()
        else:
            asked.append(route.request.url)
            route.abort()

    def open_file(file: Path, size: str = "desk", **options: Any) -> Any:
        width, height = SIZES[size]
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        context.route("**/*", shut)
        page.goto(file.as_uri())
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert (asked, complaints) == ([], [])


def shoot(page: Any, name: str) -> None:
    """Keep a picture where the environment asks for pictures."""
    if folder := os.environ.get("NIGHTLEDGER_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


CONTRAST = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (v) => v / 255 <= .03928 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => [r, g, b].map(linear)
    .reduce((sum, v, at) => sum + v * [.2126, .7152, .0722][at], 0);
  const behind = (node) => { for (; node; node = node.parentElement) {
    const found = rgb(getComputedStyle(node).backgroundColor); if (found.length < 4 || found[3] > 0) return found; }
    return [255, 255, 255]; };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || parent.closest("title, desc, style") || !parent.checkVisibility()) continue;
    const style = getComputedStyle(parent);
    const ink = parent.closest("svg") ? style.fill : style.color;
    const [a, b] = [light(rgb(ink)), light(behind(parent))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) poor.push([walker.currentNode.data.trim().slice(0, 40), ink, Math.round(ratio * 100) / 100]);
  }
  return poor;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_it_fits_and_every_text_has_contrast(report: Path, open_page: Open, scheme: str, size: str) -> None:
    page = open_page(report, size, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    assert page.evaluate(CONTRAST) == []
    shoot(page, f"quality-{scheme}-{size}")


def test_both_schemes_differ_down_to_the_charts(report: Path, open_page: Open) -> None:
    colours = """() => [getComputedStyle(document.body).backgroundColor,
                        getComputedStyle(document.querySelector('.chart text')).fill]"""
    light, dark = (open_page(report, color_scheme=scheme).evaluate(colours) for scheme in ("light", "dark"))
    assert all(one != other for one, other in zip(light, dark, strict=True))


def test_headings_tables_and_pictures_have_names(report: Path, open_page: Open) -> None:
    page = open_page(report)
    assert page.evaluate("document.querySelectorAll('h1').length") == 1
    assert page.get_by_role("table").count() == page.get_by_role("caption").count() > 5
    assert all(
        name.strip() for name in page.eval_on_selector_all("svg[role=img]", "all => all.map((one) => one.ariaLabel)")
    )
    assert page.evaluate(
        "[...document.querySelectorAll('a, [tabindex]')].every((one) => one.textContent.trim() || one.ariaLabel)"
    )
    assert page.evaluate("getComputedStyle(document.querySelector('th[scope=col]')).display") == "table-cell"
    assert page.evaluate("document.dir + document.documentElement.lang") == "en"


def test_on_a_phone_tables_stay_tables_for_screen_readers(report: Path, open_page: Open) -> None:
    page = open_page(report, "phone")
    held = page.get_by_role("table").filter(has=page.get_by_role("columnheader", name="Failing", exact=True)).first
    assert held.get_by_role("rowheader").count() >= 1
    assert held.get_by_role("cell").count() >= 4


def test_all_of_it_can_be_reached_with_the_keyboard(report: Path, open_page: Open) -> None:
    page = open_page(report)
    inside = "all => all.filter((one) => one.checkVisibility()).length"
    stops = page.eval_on_selector_all('a[href], summary, [tabindex="0"]', inside)
    reached = set()
    for _ in range(stops):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert len(reached) == stops
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details").first.get_attribute("open") is not None


def test_nothing_hostile_runs_or_turns_the_text_around(report: Path, open_page: Open) -> None:
    page = open_page(report)
    assert page.evaluate("document.scripts.length") == 0
    text = page.evaluate("document.body.innerText")
    assert '<script>alert("x")</script> {{ 7*7 }} =HYPERLINK' in text
    assert "\u202e" not in text
    assert "👩‍🚀" in text


def test_paper_shows_what_is_folded_away(report: Path, open_page: Open) -> None:
    page = open_page(report, color_scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("document.querySelector('details table').checkVisibility()")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(28, 29, 31)"
    assert page.pdf(format="A4").startswith(b"%PDF")


@pytest.fixture(scope="module")
def file_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the last of three checks of files with hostile names and values."""
    folder = tmp_path_factory.mktemp("file")
    (folder / "rules.py").write_text(FILE_RULES, encoding="utf-8")
    for day in (1, 2, 3):
        with (folder / f"orders {day}.csv").open("w", encoding="utf-8", newline="") as handle:
            write = csv.writer(handle)
            write.writerow(["id", "city", "amount", "ordered", ATTACK])
            for at in range(60 * day):
                city = ATTACK * 3 if at % 9 == 0 else "Bonn" * 300 if at % 9 == 1 else "Berlin"
                write.writerow([at % 50, city, at * at / 7, f"2026-0{at % 9 + 1}-11", "x@y.org"])
            handle.write("1,2\n")
        given = [
            f"--{name}={folder / place}" for name, place in (("input", f"orders {day}.csv"), ("report", f"{day}.html"))
        ]
        given += [
            f"--expectations={folder / 'rules.py'}",
            f"--history={folder / 'kept'}",
            f"--failures={folder / 'f.csv'}",
        ]
        dates = [f"--from=2026-11-0{day}", f"--to=2026-11-0{day + 1}"]
        assert main(["check", *given, *dates, "--show-values", "--key=id"], io.StringIO()) == 1
    return folder / "3.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_of_a_file_fits_and_every_text_has_contrast(
    file_page: Path, open_page: Open, scheme: str, size: str
) -> None:
    page = open_page(file_page, size, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    assert page.evaluate(CONTRAST) == []
    shoot(page, f"file-{scheme}-{size}")


def test_numbers_on_the_page_of_a_file_lead_to_their_rows(file_page: Path, open_page: Open) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = open_page(file_page)
    page.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)")
    found = axe.run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
    page.locator("td a[href^='#rows']").first.click()
    section = page.locator("section:has(:target)")
    assert section.get_by_role("columnheader", name="Key").first.is_visible()
    assert "\u202e" not in page.evaluate("document.body.innerText")
    page.get_by_role("link", name="orders 1.csv").click()
    assert page.url.endswith("/1.html")


def test_the_morning_report_leads_there(report: Path, open_page: Open) -> None:
    page = open_page(report.with_name("report.html"))
    page.get_by_role("link", name="Data quality in full").click()
    assert page.title().startswith("Data quality of crm_lead_scoring")
