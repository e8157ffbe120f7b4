"""The system registry: what `systems.toml` says, as typed values."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from include.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Window:
    """At most `requests` and `tokens` (None: no such limit) in any span of `per_seconds`."""

    per_seconds: float
    requests: int | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class System:
    """One entry of the registry; times in seconds, sizes in rows or tokens."""

    name: str
    purpose: str
    data: str
    api: str
    connection: str
    auth: str
    network: str
    scopes: tuple[str, ...]
    timeout_seconds: float
    limits: tuple[Window, ...]
    page_rows: int = 100
    batch_rows: int = 100
    max_search_results: int = 10_000
    context_tokens: Mapping[str, int] = field(default_factory=dict)


def read_systems(path: Path) -> dict[str, System]:
    """Read the registry; raises ConfigurationError naming the file, the system and the key that is wrong."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"cannot be read: {error}", system="registry", about=path.name) from error
    systems = {}
    for name, entry in content.items():
        try:
            windows = tuple(Window(**window) for window in entry.pop("limits"))
            systems[name] = System(name=name, limits=windows, scopes=tuple(entry.pop("scopes")), **entry)
        except (TypeError, KeyError) as error:
            place = f"{path.name} [{name}]"
            raise ConfigurationError(f"entry is not valid: {error}", system="registry", about=place) from error
    return systems
