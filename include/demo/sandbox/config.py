"""What a stand-in is started with, and what a caller needs to reach it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any, Self

from include.demo.sandbox.faults import NO_FAULTS, FaultPlan
from include.demo.sandbox.seed.mess import MESS_RATES
from include.errors import ConfigurationError

SCENARIOS = (
    "renamed_column",
    "empty_file",
    "growing_file",
    "mostly_missing_industry",
    "stale_sizes",
    "zero_rows",
)
NIGHT_HOUR_UTC = 2


def last_night(now: datetime | None = None) -> datetime:
    """The last 02:00 UTC that is not after `now`: the end of the latest complete nightly interval."""
    now = (now or datetime.now(UTC)).astimezone(UTC)
    today = datetime.combine(now.date(), time(NIGHT_HOUR_UTC), UTC)
    return today if today <= now else today - timedelta(days=1)


@dataclass(frozen=True)
class SandboxConfig:
    """Everything about one sandbox. Latencies and jitter in milliseconds, `rpm` and `tpm` per model key and minute.

    `state` is the folder that outlives the process. `anchor` is the end of the newest interval with data (default: the
    last 02:00 UTC). A batch of the model takes `batch_seconds` and has the limits of the other `batch_*`. `data` is a
    folder of data to take in place of generated ones. `mess` overrides some of `MESS_RATES` (share of rows).
    `scenarios` makes days bad: UTC date of the interval's start, or `last`, to a name of
    `SCENARIOS`. `crm_search_per_second` 0 means that searches have no limit of their own; of one record, at most
    `crm_associations_per_page` associations come at a time. The ERP has `erp_products` products and gives at most
    `erp_page_rows` rows a page.
    """

    state: Path
    host: str = "127.0.0.1"
    crm_port: int = 0
    model_port: int = 0
    sftp_port: int = 0
    erp_port: int = 0
    webhook_port: int = 0
    desk_port: int = 0
    seed: int = 7
    anchor: datetime | None = None
    leads_per_day: int = 240
    days: int = 8
    erp_products: int = 24
    data: Path | None = None
    mess: Mapping[str, float] = field(default_factory=dict)
    scenarios: Mapping[str, str] = field(default_factory=dict)
    model_latency_ms: float = 60.0
    model_jitter_ms: float = 20.0
    crm_latency_ms: float = 10.0
    crm_jitter_ms: float = 4.0
    rpm: int = 3_000
    tpm: int = 2_000_000
    batch_seconds: float = 2.0
    batch_max_requests: int = 50_000
    batch_max_bytes: int = 200 * 2**20
    batch_queue_tokens: int = 200_000_000
    crm_requests_per_10s: int = 100
    crm_requests_per_day: int = 250_000
    crm_search_per_second: int = 0
    crm_associations_per_page: int = 500
    erp_latency_ms: float = 10.0
    erp_page_rows: int = 200
    model_faults: FaultPlan = NO_FAULTS
    crm_faults: FaultPlan = NO_FAULTS
    erp_faults: FaultPlan = NO_FAULTS
    webhook_faults: FaultPlan = NO_FAULTS
    desk_faults: FaultPlan = NO_FAULTS
    fresh: bool = False

    def __post_init__(self) -> None:
        """Raise ConfigurationError naming the value that is wrong."""
        if not 0 <= self.leads_per_day <= 40_000 or self.days < 1:
            raise _wrong("leads_per_day must be 0 to 40,000 and days at least 1")
        if not 1 <= self.erp_products <= 10_000 or self.erp_page_rows < 1:
            raise _wrong("erp_products must be 1 to 10,000 and erp_page_rows at least 1")
        if self.anchor is not None and self.anchor.tzinfo is None:
            raise _wrong("anchor needs a time zone, e.g. 2026-11-20T02:00:00+00:00")
        if unknown := set(self.scenarios.values()) - set(SCENARIOS):
            raise _wrong(f"unknown scenario {sorted(unknown)}; known: {', '.join(SCENARIOS)}")
        if unknown := set(self.mess) - set(MESS_RATES):
            raise _wrong(f"unknown kind of mess {sorted(unknown)}; known: {', '.join(MESS_RATES)}")

    @property
    def end(self) -> datetime:
        """The anchor in UTC: given, or the last 02:00 UTC."""
        return self.anchor.astimezone(UTC) if self.anchor else last_night()

    @property
    def mess_rates(self) -> dict[str, float]:
        """Share of rows per kind of mess, defaults included."""
        return {**MESS_RATES, **self.mess}


@dataclass(frozen=True)
class Endpoints:
    """Where a running sandbox is and how to log in; as `endpoints.json` in its state folder, readable by its owner."""

    crm_url: str
    crm_port: int
    model_url: str
    model_port: int
    sftp_host: str
    sftp_port: int
    sftp_login: str
    sftp_key_file: str
    sftp_host_key: str
    erp_url: str
    erp_port: int
    erp_login: str
    shop_database: str
    webhook_url: str
    webhook_port: int
    desk_url: str
    desk_port: int
    desk_login: str
    state: str
    anchor: str
    pid: int
    crm_token: str = field(repr=False)
    expired_token: str = field(repr=False)
    readonly_token: str = field(repr=False)
    model_key: str = field(repr=False)
    sftp_password: str = field(repr=False)
    erp_password: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    desk_token: str = field(repr=False)

    @property
    def model_root(self) -> str:
        """The model endpoint's URL without `/v1`, for its control routes."""
        return self.model_url.removesuffix("/v1")

    def to_json(self) -> dict[str, Any]:
        """Plain values, secrets included: for a file that only its owner can read."""
        return asdict(self)

    @classmethod
    def read(cls, state: Path) -> Self:
        """The endpoints of the sandbox that runs on this state folder; raises ConfigurationError if none does."""
        try:
            return cls(**json.loads((state / "endpoints.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise ConfigurationError(
                "no sandbox is running on this state folder",
                system="sandbox",
                about=str(state),
                action="Start it with python -m include.demo.sandbox --state",
            ) from error


def _wrong(problem: str) -> ConfigurationError:
    return ConfigurationError(problem, system="sandbox", about="configuration")
