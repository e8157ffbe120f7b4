"""The order in which files of tests begin."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.settings import ROOT
from tests.conftest import LONGEST


def test_the_longest_files_are_there_under_their_names_and_stacks_begin_first(request: pytest.FixtureRequest) -> None:
    assert [name for name in LONGEST if not (ROOT / name).is_file()] == []
    assert len(set(LONGEST)) == len(LONGEST)
    found = {path for path in (ROOT / "tests").rglob("test_*.py") if starts_a_stack(path)} - {request.path}
    assert {path.relative_to(ROOT).as_posix() for path in found} == set(LONGEST[: len(found)])


def starts_a_stack(path: Path) -> bool:
    marks = path.read_text(encoding="utf-8").partition("pytestmark = [pytest.mark.e2e")
    return bool(marks[1]) and "pytest.mark.slow" not in marks[2].partition("]")[0]
