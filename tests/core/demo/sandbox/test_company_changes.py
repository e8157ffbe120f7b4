"""Companies that were changed within a day: enough of them need something, and some are odd."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.crm.store import Store
from include.demo.sandbox.seed.beside import seed_beside
from include.demo.sandbox.seed.company_changes import ODD, change_companies
from include.demo.sandbox.seed.prepare import prepare
from tests.core.demo.sandbox.conftest import ANCHOR


def configure(tmp_path: Path, **options: Any) -> SandboxConfig:
    return SandboxConfig(**{"state": tmp_path, "anchor": ANCHOR, "days": 1, "leads_per_day": 60, **options})


def test_a_share_of_the_days_companies_changed_within_it_beside_odd_ones(tmp_path: Path) -> None:
    config = configure(tmp_path)
    prepare(config)
    store = Store(tmp_path / "crm")
    end = ANCHOR.timestamp() * 1000
    changed = [one for one in store.items("companies") if end - 86_400_000 <= one.modified < end]
    odd = [one for one in changed if one.values.get("name") in {each["name"] for each in ODD}]
    store.close()
    assert (len(changed), len(odd)) == (14, 2)
    assert all(one.created < one.modified for one in changed)
    assert {one.values.get("industry") is None for one in changed} == {True, False}


def test_the_same_seed_and_day_give_the_same_changes(tmp_path: Path) -> None:
    config = configure(tmp_path)
    assert change_companies(config, ANCHOR) == change_companies(config, ANCHOR)
    assert change_companies(config, ANCHOR) != change_companies(config, ANCHOR - timedelta(days=1))


def test_a_folder_of_leads_and_a_day_without_leads_have_none(tmp_path: Path) -> None:
    for name in ("accounts.csv", "sales_pipeline.csv"):
        (tmp_path / name).touch()
    assert not seed_beside("companies", configure(tmp_path, data=tmp_path), ANCHOR).entries
    assert not change_companies(configure(tmp_path, scenarios={"last": "zero_rows"}), ANCHOR).entries
    assert not change_companies(configure(tmp_path, leads_per_day=0), ANCHOR).entries
