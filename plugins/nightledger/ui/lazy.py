"""Stands for the app until somebody opens a page, since plugins load in every component of Airflow."""

from __future__ import annotations

import asyncio
from typing import Any

from nightledger.ui.asgi import AIRFLOW, Receive, Scope, Send


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
