"""When somebody is called, as a use case declares it: every threshold in one place."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from include.errors import ConfigurationError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """A window that comes again, in which alerts are put on record and told afterwards if they still stand.

    `start` and `end` are times of day (`22:00`) on the clocks of time zone `tz`; an `end` before its `start` is on the
    next day. `days` are those it begins on (`mon` to `sun`; none: every day). `why` is shown on the page.
    """

    start: str
    end: str
    tz: str
    why: str
    days: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a window that no clock has."""
        try:
            begins, ends = time.fromisoformat(self.start), time.fromisoformat(self.end)
            ZoneInfo(self.tz)
        except (ValueError, ZoneInfoNotFoundError) as error:
            problem = f"needs times of day and a time zone, not {self.start!r} to {self.end!r} in {self.tz!r}"
            raise ConfigurationError(problem, about="Quiet") from error
        if begins == ends or begins.tzinfo or ends.tzinfo or set(self.days) - set(DAYS):
            problem = f"needs two times of day without an offset, and days of {', '.join(DAYS)}"
            raise ConfigurationError(problem, about="Quiet")

    def covers(self, moment: datetime) -> bool:
        """Whether a time lies in the window; its start belongs to it, its end does not."""
        local = moment.astimezone(ZoneInfo(self.tz))
        begins, ends, now = time.fromisoformat(self.start), time.fromisoformat(self.end), local.time()
        if begins < ends:
            return begins <= now < ends and self._begins_on(local)
        return (now >= begins and self._begins_on(local)) or (now < ends and self._begins_on(local - timedelta(days=1)))

    def _begins_on(self, day: datetime) -> bool:
        return not self.days or DAYS[day.weekday()] in self.days


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerts:
    """From where on somebody is called about a use case.

    A night that its schedule starts must have succeeded `deadline_hours` after the end of its interval (None: never
    late); so must every night where `every_night` says that something other than Airflow's schedule starts it. A night
    that failed stands for `failed_days`, or until it is run again.
    Calls to a model are counted over the last `window_minutes`, from `least_calls` on: more than `error_rate` of them
    failed (a share of 0 to 1), or 95 % took up to more than `latency_p95_seconds`.
    Spend of the day (UTC, backfills apart) is held against `spend_factor` times the mean of those of the `spend_days`
    before on which a night asked, from `spend_least_days` of them and `spend_least_usd` US dollars on. Budgets of day
    and month tell from `budget_share` (0 to 1) of the ceiling on.
    `credential_days` before a credential expires it is said. `drift` says whether a night that drifted is told.
    An answer that waited for a person longer than `review_hours` is told.
    What is severe is told again every `remind_hours`. What has gone for `gone_minutes` is over, and with
    `tell_resolved` that is said once. `quiet` are the windows in which nobody is called.
    """

    deadline_hours: float | None = 6.0
    every_night: bool = False
    failed_days: int = 7
    window_minutes: int = 15
    least_calls: int = 50
    error_rate: float = 0.02
    latency_p95_seconds: float = 5.0
    spend_factor: float = 1.5
    spend_days: int = 30
    spend_least_days: int = 7
    spend_least_usd: Decimal = Decimal("0.01")
    budget_share: float = 0.8
    credential_days: int = 14
    drift: bool = True
    review_hours: float = 24.0
    remind_hours: float = 24.0
    gone_minutes: float = 10.0
    tell_resolved: bool = True
    quiet: tuple[Quiet, ...] = ()

    def __post_init__(self) -> None:
        """Refuse thresholds that would always or never tell."""
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool) and not 0 < value < 1e9:
                raise ConfigurationError(f"must be a number above 0, not {value!r}", about=f"Alerts.{item.name}")
        for name in ("error_rate", "budget_share"):
            if getattr(self, name) >= 1:
                raise ConfigurationError("must be a share below 1", about=f"Alerts.{name}")

    def is_quiet(self, moment: datetime) -> bool:
        """Whether a declared window covers the time."""
        return any(one.covers(moment.astimezone(UTC)) for one in self.quiet)
