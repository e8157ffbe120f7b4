"""What passes between the server and an app."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AIRFLOW = "nightledger.airflow"
"""Where a request's scope holds Airflow's own app, which the pages call on behalf of the user."""
