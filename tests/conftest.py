"""The order of tests, longest files first, so that no worker is left with a long one at the end."""

from __future__ import annotations

import gc

import pytest

LONGEST = (
    "tests/browser/test_pages.py",
    "tests/e2e/test_one_night.py",
    "tests/e2e/test_week.py",
    "tests/core/demo/stack/test_whole_stack.py",
    "tests/faults/test_histories.py",
    "tests/core/commands/test_quarantine.py",
    "tests/core/test_whole_night.py",
    "tests/core/commands/test_dead_letters.py",
    "tests/adapters/test_ui_safety.py",
    "tests/core/commands/test_plan.py",
    "tests/core/quality/test_by_value.py",
    "tests/core/night/enrich/test_enrich.py",
    "tests/core/operations/test_evaluate_prompt.py",
    "tests/core/test_injection.py",
    "tests/core/operations/test_backfill_plan.py",
    "tests/core/report/test_quality.py",
    "tests/core/operations/suggest/test_suggest_dirty.py",
    "tests/core/test_pooled_night.py",
    "tests/core/test_start_up.py",
    "tests/core/quality/test_exact.py",
    "tests/core/quality/test_like.py",
    "tests/core/quality/test_sql_rules.py",
    "tests/core/operations/test_check_page.py",
    "tests/adapters/test_ui_fuzz.py",
    "tests/dags/test_dags.py",
    "tests/core/test_readme_use_case.py",
    "tests/core/systems/fitted/test_public_sets.py",
    "tests/core/commands/test_enrich.py",
    "tests/browser/test_quality_report.py",
    "tests/core/quality/test_public_tables.py",
)
"""Files that take more than ten seconds, longest first; the rest in any order fills what is left."""
_RANK = {name: rank for rank, name in enumerate(LONGEST)}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long files first; the order within a file stays."""
    items.sort(key=lambda item: _RANK.get(item.path.relative_to(config.rootpath).as_posix(), len(_RANK)))


def pytest_collection_finish() -> None:
    """Look less often for garbage, and never among what was imported: it stays."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


def pytest_unconfigure() -> None:
    """At the end everything is let go of again; some libraries count what is left."""
    gc.unfreeze()
