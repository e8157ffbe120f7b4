"""Who may call the CRM, and how often: tokens with scopes, and HubSpot's limits per token."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.crm.errors import expired_credential, missing_scope, no_credential, over_limit
from include.demo.sandbox.windows import SlidingWindow

WINDOW_SECONDS = 10.0
_EXPIRED_FOR_MILLIS = 2 * 3_600_000


@dataclass
class Quota:
    """What one token has used; the day is counted from midnight UTC."""

    window: SlidingWindow
    searches: SlidingWindow
    per_day: int
    day: date | None = None
    used_today: int = 0

    def take(self, *, is_search: bool) -> None:
        """Count one request; raises CrmError 429 naming the policy that is exhausted."""
        now, today = time.monotonic(), datetime.now(UTC).date()
        if today != self.day:
            self.day, self.used_today = today, 0
        if self.used_today >= self.per_day:
            raise over_limit("DAILY")
        if self.window.remaining(now) <= 0:
            raise over_limit("TEN_SECONDLY_ROLLING")
        if is_search and self.searches.limit and not self.searches.take(now):
            raise over_limit("SECONDLY")
        self.window.take(now)
        self.used_today += 1

    def headers(self) -> dict[str, str]:
        """`X-HubSpot-RateLimit-*` as of now."""
        return {
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(int(WINDOW_SECONDS * 1000)),
            "X-HubSpot-RateLimit-Max": str(self.window.limit),
            "X-HubSpot-RateLimit-Remaining": str(self.window.remaining(time.monotonic())),
            "X-HubSpot-RateLimit-Daily": str(self.per_day),
            "X-HubSpot-RateLimit-Daily-Remaining": str(max(0, self.per_day - self.used_today)),
        }


@dataclass
class Access:
    """Checks tokens and counts their requests."""

    config: SandboxConfig
    token: str
    expired_token: str
    readonly_token: str
    _quotas: dict[str, Quota] = field(default_factory=dict)

    def identify(self, authorization: str) -> str:
        """The token of an `Authorization` header; raises CrmError 401 if it is missing, unknown or expired."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer" and token == self.expired_token:
            raise expired_credential(time.time_ns() // 1_000_000 - _EXPIRED_FOR_MILLIS)
        if scheme.lower() != "bearer" or token not in (self.token, self.readonly_token):
            raise no_credential()
        return token

    def permit(self, token: str, scope: str) -> None:
        """Raise CrmError 403 unless the token has the scope, such as `crm.objects.contacts.write`."""
        if token == self.readonly_token and scope.endswith(".write"):
            raise missing_scope(scope)

    def quota(self, token: str) -> Quota:
        """The counters of a token."""
        if token not in self._quotas:
            self._quotas[token] = Quota(
                SlidingWindow(self.config.crm_requests_per_10s, WINDOW_SECONDS),
                SlidingWindow(self.config.crm_search_per_second, 1.0),
                self.config.crm_requests_per_day,
            )
        return self._quotas[token]
