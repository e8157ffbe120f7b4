"""The system registry: what `systems.toml` says, as typed values."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from include.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Window:
    """At most `requests` and `tokens` (None: no such limit) in any span of `per_seconds`.

    With `refills` it is a bucket instead: full at first, refilled evenly, so that a burst of `requests` may leave at
    once and the span after it sees as many again. Vendors that count so say it (OpenAI does); without it every
    vendor's way of counting is kept.
    """

    per_seconds: float
    requests: int | None = None
    tokens: int | None = None
    refills: bool = False

    def __post_init__(self) -> None:
        """Refuse a window that would let nothing through, or everything."""
        numbers = {"per_seconds": self.per_seconds, "requests": self.requests, "tokens": self.tokens}
        for name, number in numbers.items():
            if number is not None and (isinstance(number, bool) or not isinstance(number, (int, float)) or number <= 0):
                raise ConfigurationError(
                    f"`{name}` of a limit must be a number above 0, not {number!r}", about="limits"
                )
        if self.requests is None and self.tokens is None:
            raise ConfigurationError("a limit needs `requests`, `tokens` or both", about="limits")


@dataclass(frozen=True, slots=True)
class System:
    """One entry of the registry; times in seconds, sizes in rows or tokens.

    `first_byte_seconds` is how long a call may stay silent (default: `timeout_seconds`). The budgets are ceilings in
    US dollars for everything that uses this entry. `batch_*` are the limits of the provider's batch API: requests of
    one batch, tokens that may wait in it at once, and how often it is asked whether a batch is done. `owner` is the
    team that can mend what the system holds. `call_limits` are the windows of one kind of call, on top of `limits`.
    `calls_at_once` are in the air at most from one stage.
    """

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
    first_byte_seconds: float | None = None
    budget_usd_per_day: float | None = None
    budget_usd_per_month: float | None = None
    batch_max_requests: int = 50_000
    batch_queue_tokens: int | None = None
    batch_poll_seconds: float = 60.0
    page_rows: int = 100
    batch_rows: int = 100
    max_search_results: int = 10_000
    context_tokens: Mapping[str, int] = field(default_factory=dict)
    owner: str = ""
    call_limits: Mapping[str, tuple[Window, ...]] = field(default_factory=dict)
    calls_at_once: int = 4


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
            kinds = entry.pop("call_limits", {}).items()
            entry["call_limits"] = {kind: tuple(Window(**window) for window in listed) for kind, listed in kinds}
            systems[name] = System(name=name, limits=windows, scopes=tuple(entry.pop("scopes")), **entry)
        except (TypeError, KeyError, AttributeError, ConfigurationError) as error:
            place = f"{path.name} [{name}]"
            problem = error.problem if isinstance(error, ConfigurationError) else str(error)
            raise ConfigurationError(f"entry is not valid: {problem}", system="registry", about=place) from error
    return systems
