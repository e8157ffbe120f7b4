"""The page on attacks names tests that exist, for every risk and control."""

from __future__ import annotations

import re

from include.settings import ROOT

PAGE = ROOT / "docs" / "security.md"
_NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def test_every_named_test_exists() -> None:
    named = _NAMED.findall(PAGE.read_text(encoding="utf-8"))
    assert len(named) > 30
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (ROOT / file).is_file() or (name and f"\ndef {name}(" not in (ROOT / file).read_text(encoding="utf-8"))
    ]
    assert missing == []


def test_every_risk_and_family_has_its_line() -> None:
    text = PAGE.read_text(encoding="utf-8")
    lines = {name: next((line for line in text.splitlines() if line.startswith(f"| {name} ")), "") for name in _risks()}
    assert [name for name, line in lines.items() if not line] == []
    assert [name for name, line in lines.items() if not _NAMED.search(line)] == ["LLM08"]
    assert all(re.search(rf"^\| {family}-\d", text, re.MULTILINE) for family in ("AC", "AU", "SC"))


def _risks() -> list[str]:
    return [f"LLM{number:02}" for number in range(1, 11)]
