"""The order in which files of tests begin."""

from __future__ import annotations

from include.settings import ROOT
from tests.conftest import LONGEST


def test_the_longest_files_are_there_under_their_names_and_stacks_begin_first() -> None:
    assert [name for name in LONGEST if not (ROOT / name).is_file()] == []
    assert len(set(LONGEST)) == len(LONGEST)
    stacks = {name for name in LONGEST if "mark.e2e" in (ROOT / name).read_text(encoding="utf-8")}
    found = {path for path in (ROOT / "tests").rglob("test_*.py") if "pytest.mark.e2e," in path.read_text("utf-8")}
    assert {path.relative_to(ROOT).as_posix() for path in found} == stacks == set(LONGEST[: len(stacks)])
