"""`prompts.lock` beside a use case's prompts: what each version was when it was locked, so that none changes unseen.

A version that a night may have used is named by the ledger, by its hash: it is neither edited nor taken away, a change
is the next version. The lock lies in the folder of the use case, so that it goes where the folder goes, into another
package too.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from include.errors import ConfigurationError
from include.spec.prompt import FILE_NAME, Prompt, label

NAME = "prompts.lock"
_HEAD = (
    "# Hash of what each prompt version sends, and the model that it was written for.\n"
    "# `nightledger prompts lock` adds a version; none is changed or taken out, since the ledger may name it.\n"
)


@dataclass(frozen=True, slots=True)
class Locked:
    """What a version was when it was locked; the hash is that of the ledger, sha256 in hex."""

    hash: str
    model: str


@dataclass(frozen=True, slots=True)
class Registry:
    """The prompts of one use case: the files there are and what is locked, by the number of the version."""

    use_case: str
    folder: Path
    files: Mapping[int, Path]
    locked: Mapping[int, Locked]

    def path(self, version: int) -> Path:
        """Where a version's file is, or was."""
        return self.folder / f"prompt.v{version}.md"

    @property
    def unlocked(self) -> list[int]:
        """Versions that have a file and are not in the lock."""
        return sorted(self.files.keys() - self.locked.keys())


def open_registry(use_case: str, folder: Path) -> Registry:
    """What is in a use case's folder; raises ConfigurationError for a lock that cannot be read."""
    found = {int(name[1]): path for path in folder.glob("prompt*.md") if (name := FILE_NAME.fullmatch(path.name))}
    return Registry(use_case, folder, dict(sorted(found.items())), _read(folder / NAME))


def strangers(registry: Registry) -> list[str]:
    """Names of files that look like prompts and are no version."""
    return sorted(path.name for path in registry.folder.glob("prompt*.md") if not FILE_NAME.fullmatch(path.name))


def breaches(registry: Registry, prompts: Mapping[int, Prompt]) -> Iterator[str]:
    """Where the lock differs from files and the prompts that were read of them: a sentence each, with what to do."""
    again = f"nightledger prompts new {registry.use_case}"
    newest = max((*registry.files, *registry.locked), default=0)
    for version in range(1, newest + 1):
        path, locked = registry.path(version), registry.locked.get(version)
        if version not in registry.files:
            why = "is locked, and the ledger may name it" if locked else f"is missing before v{newest}"
            yield f"{label(path)} {why}: bring it back from git"
        elif locked and (prompt := prompts.get(version)):
            if prompt.hash != locked.hash:
                yield (
                    f"{label(path)} was changed after it was locked (hash {locked.hash[:12]}, now {prompt.hash[:12]}): "
                    f"put its text back, and make a change as v{newest + 1}: {again}"
                )
            if prompt.states.model not in (None, locked.model):
                yield (
                    f"{label(path)} was locked for model {locked.model} and now says {prompt.states.model}: "
                    f"put `model` back, and make v{newest + 1} for the other one: {again}"
                )


def lock(registry: Registry, prompts: Mapping[int, Prompt]) -> list[int]:
    """Put every version that is not locked into the lock; returns their numbers. What is locked stays as it is.

    Whoever calls has found nothing wrong with the prompts: what is locked cannot be put right.
    """
    added = {one: Locked(prompts[one].hash, prompts[one].states.model or "") for one in registry.unlocked}
    if added:
        _write(registry.folder / NAME, {**added, **registry.locked})
    return sorted(added)


def _read(path: Path) -> dict[int, Locked]:
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
        return {int(name.removeprefix("v")): Locked(entry["hash"], entry["model"]) for name, entry in entries.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(
            f"cannot be read ({type(error).__name__})", system="prompts", about=label(path), action="Restore it"
        ) from error


def _write(path: Path, entries: Mapping[int, Locked]) -> None:
    lines = [
        f'v{version} = {{ hash = "{one.hash}", model = {json.dumps(one.model)} }}\n'
        for version, one in sorted(entries.items())
    ]
    made = path.with_name(f"{NAME}.new")
    try:
        made.write_text(_HEAD + "".join(lines), encoding="utf-8")
        os.replace(made, path)
    except OSError as error:
        raise ConfigurationError(f"cannot be written: {error.strerror}", system="prompts", about=label(path)) from error
