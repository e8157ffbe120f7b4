"""Airflow's own API, called inside the api-server as the user who is looking, so that Airflow decides what they may."""

from __future__ import annotations

from typing import Any

import httpx
from anyio import from_thread
from fastapi import HTTPException, Request

from nightledger.ui.access import Viewer
from nightledger.ui.asgi import AIRFLOW


def call_airflow(request: Request, viewer: Viewer, method: str, path: str, body: Any = None) -> Any:
    """The JSON of a call under `/api/v2`, from a route that runs in a thread.

    Raises HTTPException with Airflow's status and words where it refuses.
    """
    app = request.scope.get(AIRFLOW)
    if app is None:
        raise HTTPException(503, "Airflow's API is not served by this process. Run the api-server with all its apps.")
    answer = from_thread.run(_call, app, viewer.token, method, f"{_origin(request)}/api/v2{path}", body)
    if answer.is_error:
        raise HTTPException(answer.status_code if answer.status_code < 500 else 502, _words(answer))
    return answer.json() if answer.content else None


async def _call(app: Any, token: str, method: str, url: str, body: Any) -> httpx.Response:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, headers={"Authorization": f"Bearer {token}"}) as client:
        return await client.request(method, url, json=body)


def _origin(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"


def _words(answer: httpx.Response) -> str:
    """What Airflow says, in one line."""
    try:
        detail = answer.json().get("detail", "")
    except (ValueError, AttributeError):
        detail = ""
    if isinstance(detail, list):
        detail = "; ".join(str(one.get("msg", one)) if isinstance(one, dict) else str(one) for one in detail)
    return f"Airflow refused ({answer.status_code}): {detail or 'no reason given'}"
