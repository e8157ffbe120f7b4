"""`make faults` plays 200 of all kinds; here are a few of each world."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.history import play
from tests.faults.world import TEMPLATE, make_template


@pytest.fixture(scope="module", autouse=True)
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("faults")
    for place in (folder, *folder.parents[:2]):
        place.chmod(0o755)  # the database server has its own account where tests run as root
    os.environ[TEMPLATE] = str(make_template(folder))
    yield
    del os.environ[TEMPLATE]


@pytest.mark.parametrize(("kind", "seed"), [("storm", 1), ("storm", 2), ("night storm", 1), ("writes", 1)])
def test_whatever_breaks_nothing_is_lost_or_paid_twice(kind: str, seed: int, tmp_path: Path) -> None:
    assert play(kind, seed).problem == ""
