"""The app: its routes, each behind Airflow's login, and what all answers have in common."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, RedirectResponse

from include import __version__
from nightledger.ui import failures
from nightledger.ui.access import get_viewer
from nightledger.ui.headers import SafeHeaders
from nightledger.ui.rendering import STATIC
from nightledger.ui.routes import (
    alerts,
    api,
    backfill,
    control,
    dead_letters,
    evaluations,
    explain,
    explain_record,
    nights,
    quality,
    quarantine,
    review,
    review_api,
    runbooks,
    runs,
    systems,
    verify,
)
from nightledger.ui.store import Store

_FILES = {"style.css": "text/css", "frame.js": "text/javascript", "review.js": "text/javascript"}


def create_app(store: Store | None = None) -> FastAPI:
    """The app with all routes; `store` is where the ledger comes from, by default Airflow's connection."""
    app = FastAPI(
        title="Nightledger",
        version=__version__,
        description="Nights, review, quality, quarantine, dead letters, backfills, systems, as the user may see them.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(get_viewer)],
    )
    app.state.store = store or Store()
    pages = (
        nights,
        runs,
        review,
        quality,
        quarantine,
        dead_letters,
        explain,
        explain_record,
        backfill,
        control,
        evaluations,
        systems,
        alerts,
        verify,
        runbooks,
    )
    for module in pages:
        app.include_router(module.router, include_in_schema=False)
    app.include_router(api.router)
    app.include_router(review_api.router)
    app.add_api_route("/", _home, include_in_schema=False)
    app.add_api_route("/static/{name}", _static, include_in_schema=False)
    app.add_api_route("/api/openapi.json", _describe, include_in_schema=False)
    failures.install(app)
    app.add_middleware(SafeHeaders)
    return app


def _home() -> RedirectResponse:
    return RedirectResponse("nights", 307)


def _describe(request: Request) -> dict[str, Any]:
    return {**request.app.openapi(), "servers": [{"url": request.scope.get("root_path", "")}]}


def _static(name: str) -> FileResponse:
    if name not in _FILES:
        raise HTTPException(404, "There is no such file.")
    headers = {"Cache-Control": "private, max-age=86400"}
    return FileResponse(STATIC / name, media_type=_FILES[name], headers=headers)
