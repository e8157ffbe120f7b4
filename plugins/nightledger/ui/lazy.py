"""Stands for the app until somebody opens a page, since plugins load in every component of Airflow."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AIRFLOW = "nightledger.airflow"
"""Where a request's scope holds Airflow's own app, which the pages call on behalf of the user."""


class LazyApp:
    """An ASGI app that is imported by its first request, off the event loop."""

    def __init__(self) -> None:
        self._app: Any = None
        self._lock: asyncio.Lock | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on."""
        if self._app is None:
            self._lock = self._lock or asyncio.Lock()
            async with self._lock:
                if self._app is None:
                    self._app = await asyncio.to_thread(_create)
        scope[AIRFLOW] = scope.get("app")
        await self._app(scope, receive, send)


def _create() -> Any:
    from nightledger.ui.app import create_app

    return create_app()
