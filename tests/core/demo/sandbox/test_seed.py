"""Generated data: equal for equal seeds, as messy as asked, good enough by default, bad where a scenario says so."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from include.demo.sandbox.config import SCENARIOS, SandboxConfig, last_night
from include.demo.sandbox.crm.store import Store
from include.demo.sandbox.seed.days import Seeded, generate_day
from include.demo.sandbox.seed.firmographics import COLUMNS, encoding_of
from include.demo.sandbox.seed.mess import LONG_TITLE_CHARACTERS, MESS_RATES, quota
from include.demo.sandbox.seed.prepare import prepare, read_truth
from include.errors import ConfigurationError
from tests.core.demo.sandbox.conftest import ANCHOR

LAST = (ANCHOR - timedelta(days=1)).date()


def configure(tmp_path: Path, **options: Any) -> SandboxConfig:
    return SandboxConfig(**{"state": tmp_path, "anchor": ANCHOR, **options})


def contacts(day: Seeded) -> list[dict[str, Any]]:
    return [entry for entry in day.entries if entry["object"] == "contacts"]


def companies(day: Seeded) -> list[dict[str, Any]]:
    return [entry for entry in day.entries if entry["object"] == "companies"]


def table(day: Seeded, start: date = LAST) -> list[list[str]]:
    csv.field_size_limit(1_000_000)
    text = day.files[f"firmographics_{start}.csv"].decode(encoding_of(start))
    return list(csv.reader(io.StringIO(text)))


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> list[Seeded]:
    """Eight days of the default size."""
    config = configure(tmp_path_factory.mktemp("unused"))
    return [generate_day(config, ANCHOR - timedelta(days=back)) for back in range(8)]


def test_the_same_seed_and_day_give_the_same_data(tmp_path: Path) -> None:
    config = configure(tmp_path, leads_per_day=40)
    assert generate_day(config, ANCHOR) == generate_day(config, ANCHOR)
    assert generate_day(config, ANCHOR) != generate_day(configure(tmp_path, leads_per_day=40, seed=8), ANCHOR)
    assert not set(generate_day(config, ANCHOR).truth) & set(generate_day(config, ANCHOR - timedelta(days=1)).truth)


def test_a_day_does_not_depend_on_the_days_generated_before(tmp_path: Path) -> None:
    config = configure(tmp_path, leads_per_day=40)
    alone = generate_day(config, ANCHOR)
    generate_day(config, ANCHOR - timedelta(days=1))
    assert generate_day(config, ANCHOR) == alone


def test_leads_change_inside_their_interval_and_were_made_before(week: list[Seeded]) -> None:
    for back, day in enumerate(week):
        end = (ANCHOR - timedelta(days=back)).timestamp() * 1000
        assert len(contacts(day)) == 240
        assert len(companies(day)) == 80
        assert all(end - 86_400_000 <= entry["modified"] < end for entry in contacts(day))
        assert all(entry["created"] < entry["modified"] for entry in day.entries)


def mess_of(values: dict[str, str | None]) -> list[str]:
    """What is visibly wrong with a lead."""
    email, title = values["email"], values["jobtitle"] or ""
    views = float(values["hs_analytics_num_page_views"] or 0)
    found = {
        "missing_email": not email,
        "malformed_email": (bool(email) and (email or "").count("@") != 1)
        or " " in (email or "")
        or "," in (email or ""),
        "negative_views": views < 0,
        "absurd_views": views > 1_000_000,
        "future_activity": (values["notes_last_updated"] or "") > (ANCHOR + timedelta(days=1)).isoformat(),
        "long_title": len(title) == LONG_TITLE_CHARACTERS,
        "html_title": "<" in title,
        "formula_title": title[:1] in "=+@" and bool(title),
        "injection_title": "gnore all previous" in title or "System:" in title,
        "whitespace_title": bool(title) and not title.strip(),
        "dangling_company": values["associatedcompanyid"] == "999999999",
    }
    return [name for name, is_so in found.items() if is_so]


def test_mess_comes_at_the_promised_rates(week: list[Seeded]) -> None:
    found = Counter(name for day in week for entry in contacts(day) for name in mess_of(entry["values"]))
    for name in ("missing_email", "negative_views", "absurd_views", "html_title", "dangling_company", "formula_title"):
        assert abs(found[name] - MESS_RATES[name] * 8 * 240) <= 2, name
    assert 1 <= found["long_title"] <= 2
    assert found["injection_title"] >= 7
    assert found["future_activity"] >= 15
    for day in week:
        emails = Counter(str(entry["values"]["email"]).lower() for entry in contacts(day) if entry["values"]["email"])
        assert sum(1 for count in emails.values() if count > 1) in (2, 3)


def test_titles_come_in_many_scripts(week: list[Seeded]) -> None:
    titles = "".join(entry["values"]["jobtitle"] or "" for day in week for entry in contacts(day))
    for mark in ("Ã", "🚀", "\u202e", "\x00", "<", "="):
        assert mark in titles, mark


def test_rates_can_be_set(tmp_path: Path) -> None:
    clean = generate_day(configure(tmp_path, mess=dict.fromkeys(MESS_RATES, 0.0), leads_per_day=60), ANCHOR)
    assert not [name for entry in contacts(clean) for name in mess_of(entry["values"])]
    messy = generate_day(configure(tmp_path, mess={"missing_email": 0.5}, leads_per_day=60), ANCHOR)
    assert sum(not entry["values"]["email"] for entry in contacts(messy)) == 30
    with pytest.raises(ConfigurationError, match="nosuch"):
        configure(tmp_path, mess={"nosuch": 0.5})


def test_quotas_add_up_to_the_rate_over_many_days() -> None:
    assert sum(quota(0.001, 240, day) for day in range(1_000)) == 240
    assert {quota(0.015, 240, day) for day in range(100)} == {3, 4}


def test_every_day_is_good_enough_by_default(week: list[Seeded]) -> None:
    for day in week:
        records = list(day.records.values())
        assert sum(bool(record["industry"]) for record in records) / len(records) >= 0.8
        assert sum(bool(record["employees"]) for record in records) / len(records) >= 0.85
        bad = ("email", "views", "future", "long")
        spoilt = [
            entry for entry in contacts(day) if any(kind in name for name in mess_of(entry["values"]) for kind in bad)
        ]
        assert len(spoilt) / len(records) <= 0.10


def test_the_crm_lacks_about_a_quarter_of_industries(week: list[Seeded]) -> None:
    every = [entry["values"]["industry"] for day in week for entry in companies(day)]
    assert 0.18 <= every.count(None) / len(every) <= 0.32


def test_the_vendors_file_is_messy_but_mostly_usable(week: list[Seeded]) -> None:
    rows = table(week[0])
    assert rows[0] == list(COLUMNS)
    widths = Counter(len(row) for row in rows)
    assert set(widths) == {0, 5, len(COLUMNS), len(COLUMNS) + 2}
    full = [row for row in rows[1:] if len(row) == len(COLUMNS)]
    assert len(full) >= 0.9 * (len(rows) - 1 - widths[0])
    assert max(len(row[6]) for row in full) == 200_000
    assert any("\n" in row[6] for row in full)
    domains = Counter(row[0].lower().removeprefix("www.") for row in full)
    assert 1 <= sum(1 for count in domains.values() if count > 1) <= 2
    stale = sum(row[7] < (ANCHOR - timedelta(days=730)).isoformat() for row in full)
    assert 0 < stale / len(full) < 0.2


def test_encodings_change_over_the_week(week: list[Seeded]) -> None:
    starts = [LAST - timedelta(days=back) for back in range(8)]
    assert Counter(map(encoding_of, starts)) == {"utf-8": 6, "latin-1": 1, "utf-8-sig": 1}
    for start, day in zip(starts, week, strict=True):
        content = day.files[f"firmographics_{start}.csv"]
        assert content.startswith(b"\xef\xbb\xbf") == (encoding_of(start) == "utf-8-sig")
        if encoding_of(start) == "latin-1":
            with pytest.raises(UnicodeDecodeError):
                content.decode()


def test_checksums_are_in_the_form_of_sha256sum(week: list[Seeded]) -> None:
    name = f"firmographics_{LAST}.csv"
    digest = hashlib.sha256(week[0].files[name]).hexdigest()
    assert week[0].files[f"{name}.sha256"].decode() == f"{digest}  {name}\n"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenarios_make_one_day_bad(tmp_path: Path, scenario: str) -> None:
    config = configure(tmp_path, scenarios={LAST.isoformat(): scenario})
    day, name = generate_day(config, ANCHOR), f"firmographics_{LAST}.csv"
    content = day.files[name]
    matches = day.files[f"{name}.sha256"].decode().split()[0] == hashlib.sha256(content).hexdigest()
    assert matches == (scenario != "growing_file")
    assert bool(content) == (scenario != "empty_file")
    assert (len(contacts(day)) == 0) == (scenario == "zero_rows")
    if scenario == "renamed_column":
        assert "sector" in table(day)[0]
    if scenario == "mostly_missing_industry":
        assert sum(not record["industry"] for record in day.records.values()) > 0.8 * len(day.records)
    if scenario == "stale_sizes":
        old = (ANCHOR - timedelta(days=730)).isoformat()
        rows = [row for row in table(day)[1:] if len(row) == len(COLUMNS)]
        assert sum(row[7] < old for row in rows) > 0.8 * len(rows)


def test_last_stands_for_the_newest_day_only(tmp_path: Path) -> None:
    config = configure(tmp_path, scenarios={"last": "empty_file"})
    assert generate_day(config, ANCHOR).files[f"firmographics_{LAST}.csv"] == b""
    before = LAST - timedelta(days=1)
    assert generate_day(config, ANCHOR - timedelta(days=1)).files[f"firmographics_{before}.csv"]
    with pytest.raises(ConfigurationError, match="nosuch"):
        configure(tmp_path, scenarios={"last": "nosuch"})


def test_seeding_again_keeps_everything_and_the_next_night_adds_one_day(tmp_path: Path) -> None:
    options: dict[str, Any] = {"leads_per_day": 12, "days": 2}
    prepare(configure(tmp_path, **options))
    seeds = {path.name: path.read_bytes() for path in (tmp_path / "crm").iterdir()}
    archived = tmp_path / "sftp" / "drop" / f"firmographics_{LAST}.csv"
    archived.unlink()
    prepare(configure(tmp_path, **options))
    assert not archived.exists()
    prepare(configure(tmp_path, **{**options, "anchor": ANCHOR + timedelta(days=1)}))
    after = {path.name: path.read_bytes() for path in (tmp_path / "crm").iterdir()}
    assert {name[:18] for name in after.keys() - seeds.keys()} == {"seed-20261121T0200"}
    assert {name: after[name] for name in seeds} == seeds
    assert len(read_truth(tmp_path)) == 36
    store = Store(tmp_path / "crm")
    assert len(list(store.items("contacts"))) == 36
    store.close()


def test_other_parameters_on_a_seeded_folder_are_refused(tmp_path: Path) -> None:
    prepare(configure(tmp_path, leads_per_day=12, days=1))
    with pytest.raises(ConfigurationError, match="leads_per_day"):
        prepare(configure(tmp_path, leads_per_day=13, days=1))
    prepare(configure(tmp_path, leads_per_day=13, days=1, fresh=True))
    assert json.loads((tmp_path / "seed.json").read_text())["parameters"]["leads_per_day"] == 13


def test_a_seed_that_was_cut_short_is_made_again(tmp_path: Path) -> None:
    config = configure(tmp_path, leads_per_day=12, days=1)
    prepare(config)
    whole = (tmp_path / "crm" / "seed-20261120T0200.jsonl").read_bytes()
    (tmp_path / "seed.json").unlink()
    (tmp_path / "crm" / "seed-20261120T0200.jsonl").write_bytes(whole[:100])
    prepare(config)
    assert (tmp_path / "crm" / "seed-20261120T0200.jsonl").read_bytes() == whole


def test_truth_needs_a_seeded_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"truth\.json"):
        read_truth(tmp_path)


def test_the_anchor_is_the_last_two_oclock() -> None:
    for hour, expected in ((1, 19), (2, 20), (23, 20)):
        assert last_night(datetime(2026, 11, 20, hour, tzinfo=ANCHOR.tzinfo)) == ANCHOR.replace(day=expected)
