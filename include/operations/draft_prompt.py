"""The next version of a prompt: the newest one's text, under a front matter of what the spec asks by now."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from include.errors import ConfigurationError
from include.spec.prompt import label, read_prompt, shown_columns
from include.spec.prompt_lock import open_registry
from include.spec.prompt_template import TemplateProblem
from include.spec.use_case import UseCase

_WIDTH = 120
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BODY = re.compile(r"\A\+\+\+\n.*?\n\+\+\+\n+", re.DOTALL)


def draft_prompt(case: UseCase, today: date) -> Path:
    """Write the next version of a use case's prompt, and return its file.

    Model, parameters, columns, output and owner are the spec's; what changed is left to be said. Raises
    ConfigurationError where there is no version to start from, or the newest is not locked and so may still be edited.
    """
    registry = open_registry(case.name, case.folder)
    newest = max(registry.files, default=None)
    if newest is None:
        raise ConfigurationError("has no prompt.vN.md to start from", system="prompts", about=case.name)
    before = registry.files[newest]
    if newest not in registry.locked:
        action = f"Edit it; once it is right: nightledger prompts lock {case.name}"
        raise ConfigurationError("is not locked yet", system="prompts", about=label(before), action=action)
    prompt, choice = read_prompt(before), case.asked
    try:
        shown = shown_columns(prompt, case)
    except TemplateProblem as problem:
        raise ConfigurationError(f"# user, {problem}", system="prompt", about=label(before)) from problem
    front = {
        "name": case.name,
        "version": f"v{newest + 1}",
        "model": choice.name,
        "parameters": dict(choice.parameters),
        "attached": list(prompt.attached) or None,
        "inputs": [name for name in case.model_sees if name in shown],
        "output": prompt.states.output or "Output",
        "data": list(prompt.states.data or ()),
        "owner": case.owner,
        "changed": today,
        "change": "",
        "stricter": prompt.stricter,
    }
    made = registry.path(newest + 1)
    _write(made, front_matter(front) + _BODY.sub("", before.read_text(encoding="utf-8"), count=1))
    return made


def front_matter(front: Mapping[str, Any]) -> str:
    """Fields as TOML between two lines of +++, long lists over several lines; None is left out."""
    lines = [_line(name, value) for name, value in front.items() if value is not None]
    return "+++\n" + "\n".join(lines) + "\n+++\n\n"


def _line(name: str, value: Any) -> str:
    line = f"{name} = {_toml(value)}"
    if len(line) <= _WIDTH or not isinstance(value, list):
        return line
    rows = [""]
    for one in map(_toml, value):
        if rows[-1] and len(rows[-1]) + len(one) > _WIDTH - 6:
            rows.append("")
        rows[-1] += f" {one}," if rows[-1] else f"{one},"
    return "\n".join((f"{name} = [", *(f"    {row}" for row in rows), "]"))


def _toml(value: Any) -> str:
    """A value as TOML; a text as JSON writes it, which TOML reads too."""
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(name)} = {_toml(one)}" for name, one in value.items() if one is not None)
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, date):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name)


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigurationError(f"cannot be written: {error.strerror}", system="prompts", about=label(path)) from error
