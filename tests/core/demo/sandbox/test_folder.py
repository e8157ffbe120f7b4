"""A folder of CSVs becomes companies, deals and leads, and no lead knows how its opportunity ended."""

from __future__ import annotations

import csv
import io
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.crm.properties import PROPERTIES
from include.demo.sandbox.crm.store import Store
from include.demo.sandbox.seed.folder import domain_of, load_folder
from include.demo.sandbox.seed.prepare import prepare, read_truth
from include.errors import ConfigurationError
from include.settings import ROOT
from tests.core.demo.sandbox.conftest import ANCHOR

PUBLIC = ROOT.parent / "shared/data/crm_maven_sales_opportunities"
ACCOUNTS = """account,sector,year_established,revenue,employees,office_location,subsidiary_of
Gekko & Co,retail,1990,2520.83,3502,United States,
Acme Corporation,technolgy,1996,1100.04,2822,Kenya,
"""
PIPELINE = """opportunity_id,sales_agent,product,account,deal_stage,engage_date,close_date,close_value
AAA,Moses Frase,GTXPro,Gekko & Co,Won,2016-10-20,2017-03-01,1054
BBB,Nobody,GTX Basic,Acme Corporation,Lost,2016-10-25,2017-03-11,0
CCC,Moses Frase,GTX Basic,,Engaging,2016-11-25,,
DDD,Moses Frase,,Acme Corporation,Prospecting,,,
"""
TEAMS = "sales_agent,manager,regional_office\nMoses Frase,Dustin Brinkmann,Central\n"
PRODUCTS = "product,series,sales_price\nGTX Basic,GTX,550\n"
OUTCOME = {"won", "lost", "closedwon", "closedlost", "1054", "2017-03-01", "2017-03-11"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two accounts, four opportunities."""
    place = tmp_path / "data"
    place.mkdir()
    for name, text in (
        ("accounts.csv", ACCOUNTS),
        ("sales_pipeline.csv", PIPELINE),
        ("sales_teams.csv", TEAMS),
        ("products.csv", PRODUCTS),
    ):
        (place / name).write_text(text)
    return place


def values(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [entry["values"] for entry in load_folder(folder, ANCHOR).entries if entry["object"] == kind]


def test_accounts_become_companies(folder: Path) -> None:
    gekko, acme = values(folder, "companies")
    assert gekko["domain"] == domain_of("Gekko & Co") == "gekko-co.example"
    assert gekko["annualrevenue"] == "2520830000"
    assert (acme["industry"], acme["country"], acme["founded_year"]) == ("technolgy", "Kenya", "1996")


def test_opportunities_become_deals_with_their_outcome(folder: Path) -> None:
    deals = values(folder, "deals")
    assert [deal["dealstage"] for deal in deals] == ["closedwon", "closedlost", "engaging", "prospecting"]
    assert (deals[0]["amount"], deals[0]["sales_manager"], deals[2]["closedate"]) == ("1054", "Dustin Brinkmann", None)


def test_every_opportunity_has_one_lead_that_does_not_know_the_outcome(folder: Path) -> None:
    leads = values(folder, "contacts")
    assert [lead["opportunity_id"] for lead in leads] == ["AAA", "BBB", "CCC", "DDD"]
    assert leads[0]["product_interest"] == "GTXPro"
    assert leads[0]["lead_segment"] is None
    assert leads[0]["country"] == "Central"
    assert str(leads[0]["email"]).endswith("@gekko-co.example")
    assert leads[2]["associatedcompanyid"] is None
    for lead in leads:
        assert not OUTCOME & {str(value).lower()[:10] for value in lead.values()}


def test_the_truth_is_kept_apart(folder: Path) -> None:
    assert list(load_folder(folder, ANCHOR).truth.values()) == ["won", "lost", "open", "open"]


def test_all_properties_are_defined(folder: Path) -> None:
    for entry in load_folder(folder, ANCHOR).entries:
        assert set(entry["values"]) <= set(PROPERTIES[entry["object"]])


def test_accounts_become_a_vendors_file(folder: Path) -> None:
    files = load_folder(folder, ANCHOR).files
    rows = list(csv.DictReader(io.StringIO(files["firmographics_2026-11-19.csv"].decode())))
    assert (rows[0]["domain"], rows[0]["employees"]) == ("gekko-co.example", "3502")
    assert "firmographics_2026-11-19.csv.sha256" in files


def test_another_night_on_the_same_folder_changes_the_leads_again(folder: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    for night in (ANCHOR, ANCHOR + timedelta(days=1)):
        prepare(SandboxConfig(state, anchor=night, data=folder))
        store = Store(state / "crm")
        end = night.timestamp() * 1000
        assert all(end - 86_400_000 <= item.modified < end for item in store.items("contacts"))
        store.close()
    assert len(read_truth(state)) == 4
    assert (state / "sftp" / "drop" / "firmographics_2026-11-20.csv").exists()


def test_a_file_without_its_columns_is_refused_by_name(folder: Path) -> None:
    (folder / "accounts.csv").write_text(ACCOUNTS.replace("sector", "industry"))
    with pytest.raises(ConfigurationError, match=r"accounts\.csv: has no column sector; found account, industry"):
        load_folder(folder, ANCHOR)


@pytest.mark.skipif(not PUBLIC.is_dir(), reason="the public data set is not on this machine")
def test_the_public_set_loads_whole() -> None:
    seeded = load_folder(PUBLIC, ANCHOR)
    kinds = Counter(entry["object"] for entry in seeded.entries)
    assert kinds == {"contacts": 4_394, "deals": 4_394, "companies": 85}
    assert Counter(seeded.truth.values()) == {"won": 2_280, "lost": 1_171, "open": 943}
    leads = [entry["values"] for entry in seeded.entries if entry["object"] == "contacts"]
    assert sum(lead["product_interest"] == "GTXPro" for lead in leads) > 0
    assert sum(lead["associatedcompanyid"] is None for lead in leads) == 636
