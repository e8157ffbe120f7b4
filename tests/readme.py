"""What the README tells a reader to type, and the file that it shows."""

from __future__ import annotations

import re
import shlex
from datetime import date

from include.settings import ROOT

NIGHT = date(2026, 11, 20)
"""The night that the README speaks of."""


def shown_commands(night: date) -> list[list[str]]:
    """Every command of the README as words, in their order; its dates are moved as if it spoke of `night`."""
    text = "".join(_blocks("")).replace("\\\n", " ")
    text = re.sub(r"20\d\d-\d\d-\d\d", lambda found: str(date.fromisoformat(found[0]) + (night - NIGHT)), text)
    typed = (line for line in text.splitlines() if line.startswith((".venv/bin/", "make ", "export ")))
    return [shlex.split(line, comments=True) for line in typed]


def shown_rules() -> str:
    """The file `rules.py` of the README."""
    return next(block for block in _blocks("python") if block not in shown_use_case().values())


def shown_use_case() -> dict[str, str]:
    """The files of the use case that the README adds, by their names: each block after the last name before it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("\n## Add a use case\n")[2].partition("\n## ")[0]
    names = re.compile(r"`((?:include|dags)/[\w./]+\.(?:py|md))`")
    blocks = re.findall(r"(.*?)^```\w*\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    found = {names.findall(before)[-1]: block for before, block in blocks if names.search(before)}
    found |= dict.fromkeys(re.findall(r"an empty `([\w./]+)`", section), "")
    return found


def _blocks(language: str) -> list[str]:
    """What stands between the README's fences of a language."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [block for name, block in found if name == language]
