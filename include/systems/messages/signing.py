"""Signatures of webhooks as Standard Webhooks has them, version 1.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import requests

from include.errors import ConfigurationError
from include.systems.connections import OPENERS, open_http

if TYPE_CHECKING:
    from include.systems.connections import StoredConnection

OPENERS["webhook"] = f"{__name__}:open_webhook"
SECRET = "signing_secret"  # noqa: S105 - the name of the field
_PREFIX = "whsec_"
_LEAST = 24
"""Bytes of a secret, as the specification asks for."""


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """A kept session, the URL that paths are appended to, and the key of signatures (None: none is stored)."""

    session: requests.Session
    base_url: str
    key: bytes | None = field(repr=False)


def open_webhook(connection: StoredConnection) -> WebhookEndpoint:
    """As `open_http`, with the extra's `signing_secret` (`whsec_` and base64) kept out of the headers.

    Raises ConfigurationError for a secret that is no such text, or is too short.
    """
    extra = {name: value for name, value in connection.extra.items() if name != SECRET}
    endpoint = open_http(replace(connection, extra=extra))
    secret = connection.extra.get(SECRET)
    return WebhookEndpoint(endpoint.session, endpoint.base_url, _key(connection.conn_id, secret) if secret else None)


def _key(conn_id: str, secret: object) -> bytes:
    try:
        key = base64.b64decode(str(secret).removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not str(secret).startswith(_PREFIX) or len(key) < _LEAST:
        problem = f"extra `{SECRET}` is not `{_PREFIX}` and the base64 of {_LEAST} bytes at least"
        raise ConfigurationError(problem, system=conn_id, action="Make one: openssl rand -base64 32")
    return key


def message_id(once: str) -> str:
    """The id under which a write is sent, however often; no character of a row is in it."""
    return f"msg_{hashlib.sha256(once.encode()).hexdigest()[:32]}"


def signed(key: bytes, number: str, seconds: int, body: bytes) -> Mapping[str, str]:
    """The three headers for a body sent at that time (Unix seconds)."""
    mac = hmac.new(key, f"{number}.{seconds}.".encode() + body, hashlib.sha256)
    signature = base64.b64encode(mac.digest()).decode()
    return {"webhook-id": number, "webhook-timestamp": str(seconds), "webhook-signature": f"v1,{signature}"}
