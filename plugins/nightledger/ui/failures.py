"""What went wrong, as a page for people and as JSON for machines; never a traceback, and the right status."""

from __future__ import annotations

import logging
import secrets
from typing import Any
from uuid import uuid4

from airflow.api_fastapi.app import get_auth_manager
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException as AnyHTTPException

from include.errors import ConfigurationError, LedgerOutdated, LedgerUnavailable, NightledgerError
from nightledger.ui.asgi import Receive, Scope, Send
from nightledger.ui.headers import POLICY
from nightledger.ui.rendering import STATIC, render

log = logging.getLogger(__name__)
TITLES = {
    400: "That cannot be asked",
    401: "Log in first",
    403: "Not permitted",
    404: "Not found",
    405: "Not possible here",
    409: "Already there",
    422: "That cannot be asked",
    429: "Too many at once",
    500: "Something went wrong",
    502: "Airflow did not answer",
    503: "The ledger cannot be read",
}


def install(app: FastAPI) -> None:
    """Answer every kind of failure."""
    app.add_exception_handler(AnyHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(NightledgerError, _failed)
    app.add_exception_handler(DataError, _unknowable)
    app.add_middleware(_CatchAll)


class _CatchAll:
    """The last net, below the one of the web framework, which would let the error through to Airflow's own app."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; answer for it if it fails before it has answered."""
        started = False

        async def noted(message: Any) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:
            if started or scope["type"] != "http":
                raise
            await _unexpected(Request(scope, receive), error)(scope, receive, send)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, AnyHTTPException)
    words = error.detail if isinstance(error, HTTPException) and isinstance(error.detail, str) else ""
    return _answer(request, error.status_code, words, dict(error.headers or {}))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    wrong = dict.fromkeys(".".join(str(part) for part in one["loc"][1:2]) or "the request" for one in error.errors())
    missing = {one["loc"][1] for one in error.errors() if one["type"] == "missing" and len(one["loc"]) > 1}
    found = [f"{name} is {'missing' if name in missing else 'not what can be used here'}" for name in wrong]
    return _answer(request, 422, f"{'; '.join(found)[:400]}. Go back and correct it.")


async def _failed(request: Request, error: Exception) -> Response:
    if isinstance(error, (LedgerUnavailable, LedgerOutdated)):
        log.warning("a page cannot be shown: %s", error)
        return _answer(request, 503, str(error), {"Retry-After": "10"})
    missing = isinstance(error, ConfigurationError) and error.problem.startswith("no such")
    return _answer(request, 404 if missing else 400, str(error))


async def _unknowable(request: Request, error: Exception) -> Response:
    """A value that PostgreSQL cannot hold, as text with a null character; it came from the address or a form."""
    return _answer(request, 400, "A value of the address or form cannot be looked up.")


def _unexpected(request: Request, error: Exception) -> Response:
    number = uuid4().hex[:12]
    log.error("page %s failed, number %s", request.url.path, number, exc_info=error)
    return _answer(request, 500, f"It is in the api-server's log under number {number}.")


def _here(request: Request) -> str:
    """Where to come back to after the login: the path, since the host is whatever the request says it is."""
    path = "/" + request.url.path.lstrip("/\\")
    return f"{path}?{request.url.query}" if request.url.query else path


def _answer(request: Request, status: int, words: str, headers: dict[str, str] | None = None) -> Response:
    title = TITLES.get(status, "Something went wrong")
    if request.scope["path"].removeprefix(request.scope.get("root_path", "")).startswith("/api"):
        return JSONResponse({"title": title, "detail": words}, status, headers)
    login = get_auth_manager().get_url_login(next_url=_here(request)) if status == 401 else ""
    nonce, sheet = secrets.token_urlsafe(16), (STATIC / "style.css").read_text(encoding="utf-8")
    values = {"title": title, "words": words, "login": login, "nonce": nonce, "sheet": sheet}
    page = render(request, "failure.html.j2", None, http=status, **values)
    policy = POLICY.replace("style-src 'self'", f"style-src 'nonce-{nonce}'")  # the sheet itself is behind the login
    page.headers.update({"Content-Security-Policy": policy, **(headers or {})})
    return page
