"""The floors of the house: what is above may import what is below, and nothing imports upwards."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.settings import ROOT

FLOORS = (
    {
        "errors",
        "models",
        "settings",
        "canonical",
        "retry",
        "personal",
        "plain",
        "privacy",
        "private",
        "storage",
        "staging",
    }
    | {"intervals", "database", "refusals", "links", "addresses"},
    {"systems"},
    {"spec"},
    {"quality"},
    {"run"},
    {"ledger"},
    {"night"},
    {"report"},
    {"stages"},
    {"operations"},
    {"pages", "commands"},
    {"cli"},
    {"use_cases", "demo"},
)
"""From the ground up; a room imports from floors below its own, and from itself."""
HEIGHT = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
STEPS = ("addressing", "datasets", "shards", "extract", "check", "enrich", "plan", "gate", "write", "close")
"""Rooms of `night`, each above those that it may import: `plan` prices what `enrich` would ask."""


def modules(base: Path, package: str) -> dict[str, Path]:
    """Every module below a folder by its dotted name."""
    found = {}
    for path in base.rglob("*.py"):
        parts = path.relative_to(base).with_suffix("").parts
        found[".".join((package, *(part for part in parts if part != "__init__")))] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Modules of ours that a file imports, at its top, within functions and for types alike."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in known else node.module for name in names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


CORE = modules(ROOT / "include", "include")
PLUGIN = modules(ROOT / "plugins" / "nightledger", "nightledger")


def room(module: str) -> str:
    return [*module.split("."), ""][1]


def test_every_room_has_a_floor() -> None:
    assert {room(name) for name in CORE} - {""} == set(HEIGHT)


def test_no_import_runs_up() -> None:
    arrows = [
        (name, found)
        for name, path in CORE.items()
        for found in imports(path, CORE)
        if found.startswith("include.") and room(name) and room(found) != room(name)
    ]
    assert len(arrows) > 500
    ground = FLOORS[0]
    upwards = [
        f"{name} -> {found}"
        for name, found in arrows
        if HEIGHT[room(found)] >= HEIGHT[room(name)] and not {room(name), room(found)} <= ground
    ]
    assert upwards == []


def test_a_step_of_the_night_imports_none_that_comes_after_it() -> None:
    upwards = [
        f"{name} -> {found}"
        for name, path in CORE.items()
        for found in imports(path, CORE)
        if (ours := name.split(".")[1:3])[:1] == ["night"] == (theirs := found.split(".")[1:3])[:1]
        and len(ours) == len(theirs) == 2
        and STEPS.index(theirs[1]) > STEPS.index(ours[1])
    ]
    assert upwards == []


@pytest.mark.parametrize("known", [CORE, PLUGIN], ids=["include", "plugins"])
def test_no_modules_import_each_other_in_a_circle(known: dict[str, Path]) -> None:
    needs = {name: {found for found in imports(path, known) if found in known} - {name} for name, path in known.items()}
    for name in needs:  # a declaration opens its adapter, which is beside it
        if name.endswith(".declared"):
            needs[name] = {found for found in needs[name] if found.rpartition(".")[0] != name.rpartition(".")[0]}
    packages = {name for name, path in known.items() if path.name == "__init__.py"}
    left = {name: found - packages for name, found in needs.items() if name not in packages}
    while free := [name for name, found in left.items() if not found & left.keys()]:
        for name in free:
            del left[name]
    assert left == {}
