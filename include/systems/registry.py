"""The system registry: what `systems.toml` says, as typed values."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from include.errors import ConfigurationError
from include.privacy.classes import CLASSES, DataClass, require_classes

FORMS = ("json_schema", "json_object", "none")
TOKEN_LIMITS = ("max_completion_tokens", "max_tokens")
_OURS = frozenset(("model", "messages", "response_format", "stream", "n", "tools", *TOKEN_LIMITS))
_MERGED = ("always", "headers", "query")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """How a model is asked: `[<system>.request]` for all of a system, `[<system>.models."<name>"]` for one of them.

    `token_limit` names the field that bounds an answer. `structured_output` is how the schema of an answer is asked
    for, in the order of preference: by `json_schema`; by `json_object` or `none` with the schema in the prompt. A form
    that the endpoint refuses is replaced by the next one. `parameters` are those of a use case that the model takes
    (None: all for the model that the use case names, none for any other); `always` is sent beside them. `headers` and
    `query` go with every call and hold no secret; `key_header` carries the key if it is no bearer token. Times in
    seconds.
    """

    token_limit: str = TOKEN_LIMITS[0]
    structured_output: tuple[str, ...] = FORMS[:1]
    parameters: tuple[str, ...] | None = None
    always: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    organization: str | None = None
    project: str | None = None
    key_header: str | None = None
    timeout_seconds: float | None = None
    first_byte_seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no call could be made of."""
        if self.token_limit not in TOKEN_LIMITS:
            raise ConfigurationError(f"`token_limit` must be one of {', '.join(TOKEN_LIMITS)}")
        if not self.structured_output or set(self.structured_output) - set(FORMS):
            raise ConfigurationError(f"`structured_output` must be of {', '.join(FORMS)}")
        ours = sorted(_OURS & {*self.always, *(self.parameters or ())})
        if ours:
            raise ConfigurationError(f"{', '.join(ours)} cannot be set: every call has its own")
        for name in ("timeout_seconds", "first_byte_seconds"):
            seconds = getattr(self, name)
            if seconds is not None and not (isinstance(seconds, (int, float)) and 0 < seconds < float("inf")):
                raise ConfigurationError(f"`{name}` must be a number above 0, not {seconds!r}")

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> ModelSettings:
        """From a table of the registry; raises TypeError or ConfigurationError for what is no such table."""
        forms, taken = entry.get("structured_output"), entry.get("parameters")
        given = dict(entry)
        if forms is not None:
            given["structured_output"] = (forms,) if isinstance(forms, str) else tuple(forms)
        if taken is not None:
            given["parameters"] = tuple(taken)
        return cls(**given)


@dataclass(frozen=True, slots=True)
class System:
    """One entry of the registry; times in seconds, sizes in rows or tokens.

    `first_byte_seconds` is how long a call may stay silent (default: `timeout_seconds`). The budgets are ceilings in
    US dollars for everything that uses this entry. `batch_*` are the limits of the provider's batch API: requests of
    one batch, tokens that may wait in it at once, and how often it is asked whether a batch is done. `owner` is the
    team that can mend what the system holds. `request` and `models` are how models are asked. Answers belong to the
    system that gave them; those of another entry are as good as its own where `answers_as` names that entry.
    `call_limits` are the windows of one kind of call, on top of `limits`. `calls_at_once` are in the air at most from
    one stage. `data_class` is that of what is read from it, where a spec says nothing else. A model's entry says which
    classes it may be shown (`may_see`), which ones with tokens in the place of personal values (`may_see_as_tokens`),
    and how long its vendor keeps what it was shown, in words (`retention`: "zero", "30 days", "self-hosted").
    `expires` is the last day of the credential, where the connection's extra does not say it.
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
    request: ModelSettings = field(default_factory=ModelSettings)
    models: Mapping[str, ModelSettings] = field(default_factory=dict)
    answers_as: str = ""
    call_limits: Mapping[str, tuple[Window, ...]] = field(default_factory=dict)
    calls_at_once: int = 4
    data_class: DataClass = "confidential"
    may_see: tuple[DataClass, ...] = CLASSES[:3]
    may_see_as_tokens: tuple[DataClass, ...] = CLASSES[:4]
    retention: str = ""
    expires: date | None = None

    def __post_init__(self) -> None:
        """Refuse classes of data that are none."""
        require_classes((self.data_class,), "data_class")
        for name in ("may_see", "may_see_as_tokens"):
            object.__setattr__(self, name, require_classes(getattr(self, name), name))

    def settings_for(self, model: str) -> ModelSettings:
        """How a model is asked; a dated snapshot like the model that it is a snapshot of."""
        names = [name for name in self.models if model == name or model.startswith(f"{name}-20")]
        return self.models[max(names, key=len)] if names else self.request


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
            scopes, models = tuple(entry.pop("scopes")), entry.pop("models", {})
            request = entry.pop("request", {})
            asked = {model: ModelSettings.read(_over(request, own)) for model, own in models.items()}
            general = ModelSettings.read(request)
            if not isinstance(entry.get("expires"), date | None):
                raise ConfigurationError("`expires` must be a date, such as 2027-01-31 without quotes")
            systems[name] = System(name=name, limits=windows, scopes=scopes, request=general, models=asked, **entry)
        except (TypeError, KeyError, ValueError, AttributeError, ConfigurationError) as error:
            place = f"{path.name} [{name}]"
            problem = error.problem if isinstance(error, ConfigurationError) else str(error)
            raise ConfigurationError(f"entry is not valid: {problem}", system="registry", about=place) from error
    return systems


def _over(request: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A model's table over that of its system; what is a table itself is merged."""
    merged = {
        name: {**request.get(name, {}), **own.get(name, {})} for name in _MERGED if name in request or name in own
    }
    return {**request, **own, **merged}
