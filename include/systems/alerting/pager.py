"""Pagers that take PagerDuty's Events API v2.

https://developer.pagerduty.com/docs/send-alert-event
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from include.errors import ConfigurationError
from include.systems.alerting.notice import Notice
from include.systems.alerting.posting import open_bare, post
from include.systems.connections import StoredConnection

CONNECTION = "alert_pagerduty"
HOST = "https://events.pagerduty.com"
PATH = "/v2/enqueue"
_SEVERITIES = {"severe": "critical", "warning": "warning"}
_LONGEST_KEY, _LONGEST_SUMMARY = 255, 1024  # as the vendor has it


class Pager:
    """One service of the pager, by its routing key; told again under the same key, it is still one incident."""

    name = "pagerduty"

    def __init__(self, connection: StoredConnection) -> None:
        """Nothing is reached yet; raises ConfigurationError without a routing key."""
        if not connection.password:
            action = "Put the integration key of the service into its password"
            raise ConfigurationError("has no routing key", system=connection.conn_id, action=action)
        host = (
            connection.host.rstrip("/").removesuffix(PATH) or HOST
        )  # the vendor's page gives the address with the path
        stored = replace(connection, host=host)
        self._endpoint, self._key = open_bare(stored), connection.password

    def send(self, notice: Notice) -> None:
        """Trigger an incident, or resolve it; raises ChannelFailed."""
        post(self._endpoint, PATH, event_of(notice, self._key))


def event_of(notice: Notice, routing_key: str) -> dict[str, Any]:
    """The event as the API takes it."""
    said: dict[str, Any] = {"routing_key": routing_key, "dedup_key": _dedup_key(notice.key)}
    if notice.kind == "over":
        return {**said, "event_action": "resolve"}
    payload = {
        "summary": f"{notice.subject}: {notice.sentence}"[:_LONGEST_SUMMARY],
        "source": "nightledger",
        "severity": _SEVERITIES[notice.severity],
        "component": notice.use_case or "nightledger",
        "class": notice.cause,
        "custom_details": {"page": notice.page},
    }
    links = [{"href": notice.page, "text": "Page"}] if "://" in notice.page else []
    return {**said, "event_action": "trigger", "client": "Nightledger", "payload": payload, "links": links}


def _dedup_key(key: str) -> str:
    return key if len(key) <= _LONGEST_KEY else hashlib.sha256(key.encode()).hexdigest()
