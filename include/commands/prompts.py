"""`prompts`: the versions of every use case's prompt: list, check, lock, compare, and draft the next."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from include.errors import ConfigurationError
from include.spec.names import names
from include.spec.prompt import FILE_NAME, parts_of, read_prompt
from include.spec.prompt_lock import NAME, Registry, open_registry
from include.spec.use_case import load


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    _some(actions.add_parser("list", help="every version: in use, locked, hash, model, when and why it came"), _list)
    _some(actions.add_parser("check", help="exit code 1 if a version was edited, or says what is not so"), _check)
    _some(actions.add_parser("lock", help="lock the versions that are not; changes none that is"), _lock)
    diff = actions.add_parser("diff", help="what two versions say otherwise, part by part")
    diff.add_argument("use_case", choices=names())
    diff.add_argument("before", metavar="v1")
    diff.add_argument("after", metavar="v2")
    diff.set_defaults(command=_diff)
    new = actions.add_parser("new", help="the newest version as the next one, to be edited")
    new.add_argument("use_case", choices=names())
    new.set_defaults(command=_new)


def _some(parser: argparse.ArgumentParser, command: Callable[[argparse.Namespace, TextIO], int]) -> None:
    parser.add_argument("use_case", nargs="*", metavar="use_case", help="default: all of them")
    parser.set_defaults(command=command)


def _chosen(given: argparse.Namespace) -> list[str]:
    known = names()
    if unknown := sorted({*given.use_case} - {*known}):
        raise ConfigurationError(f"no use case {', '.join(unknown)}; known: {', '.join(known)}", about="use case")
    return given.use_case or known


def _list(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0; a line for each version."""
    form = "{:24} {:8} {:8} {:7} {:13} {:22} {:11} {}\n"
    out.write(form.format("use case", "version", "in use", "locked", "hash", "model", "changed", "change"))
    for name in _chosen(given):
        case = load(name)
        registry, pinned = open_registry(name, case.folder), case.model.prompt if case.model else None
        for version, path in registry.files.items():
            prompt = read_prompt(path)
            said = prompt.states
            marks = ("yes" if path.name == pinned else "", "yes" if version in registry.locked else "no")
            model, when = said.model or "", str(said.changed or "")
            out.write(form.format(name, f"v{version}", *marks, prompt.hash[:12], model, when, said.change or ""))
    return 0


def _check(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 1 when there is a finding, else 0."""
    from include.operations.check_prompts import check_prompts

    chosen = _chosen(given)
    findings = [f"{name}: {finding}" for name in chosen for finding in check_prompts(name)]
    for finding in findings:
        out.write(finding + "\n")
    if not findings:
        out.write(f"The prompts of {_counted(len(chosen), 'use case')} are as they were locked, and as they say.\n")
    return 1 if findings else 0


def _lock(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0; raises ConfigurationError for a locked version that was edited, or one that is not right yet."""
    from include.operations.check_prompts import lock_prompts

    for name in _chosen(given):
        for version in lock_prompts(name):
            out.write(f"{name} v{version} is locked. Commit {load(name).folder.name}/{NAME}.\n")
    out.write("Nothing is left to be locked.\n")
    return 0


def _diff(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0; the parts that differ, as unified differences."""
    registry = open_registry(given.use_case, load(given.use_case).folder)
    before, after = (_file(registry, version) for version in (given.before, given.after))
    found = list(_differences(before, after))
    out.writelines(f"{line}\n" for line in found or [f"{before.name} and {after.name} say the same."])
    return 0


def _new(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0; raises ConfigurationError where the newest version may still be edited."""
    from include.operations.draft_prompt import draft_prompt

    name = given.use_case
    made = draft_prompt(load(name), datetime.now(UTC).date())
    out.write(
        f"Wrote {made}. Next: edit it, and say in `change` what changed; then\n"
        f'  prompt="{made.name}" in the spec, and what it asks the model for\n'
        f"  nightledger evaluate {name} --prompt {made.stem.removeprefix('prompt.')}\n"
        f"  nightledger prompts lock {name}\n"
    )
    return 0


def _file(registry: Registry, version: str) -> Path:
    found = FILE_NAME.fullmatch(f"prompt.v{version.removeprefix('v')}.md")
    path = registry.files.get(int(found[1])) if found else None
    if path is None:
        known = ", ".join(f"v{one}" for one in registry.files) or "none"
        raise ConfigurationError(f"no version {version}; there are: {known}", system="prompts", about=registry.use_case)
    return path


def _differences(before: Path, after: Path) -> Iterator[str]:
    """Lines of a unified difference for each part that is not the same."""
    one, other = parts_of(before), parts_of(after)
    for part, text in one.items():
        names = (f"{before.name} {part}", f"{after.name} {part}")
        yield from difflib.unified_diff(text.splitlines(), other[part].splitlines(), *names, lineterm="")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
