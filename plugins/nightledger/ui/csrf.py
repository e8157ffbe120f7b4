"""A change has to come from one of our own forms: a token bound to user and browser, and the page's own origin.

Airflow's session cookie is sent along with any request that a browser makes, so it proves who, but not that they meant
it. A request that carries a bearer token instead was put together on purpose and needs no other proof.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from urllib.parse import urlsplit

from airflow.configuration import conf
from fastapi import HTTPException, Request, Response

COOKIE = "nightledger_form"
FIELD, HEADER = "csrf_token", "X-CSRF-Token"
_NONCE = re.compile(r"[A-Za-z0-9_-]{43}")


def nonce_of(request: Request) -> str:
    """The random part that this browser keeps; made anew where there is none. The same for the whole request."""
    if not hasattr(request.state, "form_nonce"):
        given = request.cookies.get(COOKIE, "")
        request.state.form_nonce = given if _NONCE.fullmatch(given) else secrets.token_urlsafe(32)
    return str(request.state.form_nonce)


def token_for(user_id: str, nonce: str) -> str:
    """What a form of this user in this browser carries."""
    secret = hashlib.sha256(b"nightledger forms\0" + conf.get("api", "secret_key").encode()).digest()
    digest = hmac.new(secret, f"{user_id}\0{nonce}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def keep_nonce(request: Request, response: Response) -> None:
    """Leave the random part with the browser, unreadable for scripts and unsent by other sites."""
    nonce = nonce_of(request)
    if request.cookies.get(COOKIE) != nonce:
        path = request.scope.get("root_path") or "/"
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, nonce, path=path, httponly=True, secure=secure, samesite="strict")


async def require_own_form(request: Request, user_id: str) -> None:
    """Raise HTTPException 403 unless the change was sent by a form of ours, in this browser, for this user."""
    _require_origin(request)
    given = request.headers.get(HEADER) or ""
    if not given and "form" in request.headers.get("content-type", ""):
        field = (await request.form()).get(FIELD)
        given = field if isinstance(field, str) else ""
    wanted = token_for(user_id, nonce_of(request)) if COOKIE in request.cookies else ""
    if not wanted or not hmac.compare_digest(given.encode(), wanted.encode()):
        raise HTTPException(403, "The form is out of date or not ours. Open the page again and repeat the change.")


def _require_origin(request: Request) -> None:
    origin = request.headers.get("origin") or request.headers.get("referer") or ""
    known = {request.headers.get("host", ""), urlsplit(conf.get("api", "base_url", fallback="")).netloc} - {""}
    site = request.headers.get("sec-fetch-site", "same-origin")
    if site != "same-origin" or urlsplit(origin).netloc not in known:
        raise HTTPException(403, "The change did not come from this site.")
