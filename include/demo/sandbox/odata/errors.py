"""Refusals in OData's form (JSON format 4.01, 21.1)."""

from __future__ import annotations

from typing import Any


class ODataError(Exception):
    """A refusal: HTTP status, a code and words."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.headers = status, {name.replace("_", "-"): value for name, value in headers.items()}
        self.body: dict[str, Any] = {"error": {"code": code, "message": message}}


def bad_request(message: str) -> ODataError:
    """400 for what cannot be understood, or a value that is not allowed."""
    return ODataError(400, "BadRequest", message)


def not_spoken(what: str) -> ODataError:
    """501 for a part of the protocol that the stand-in does not speak (protocol, 9.3.1)."""
    return ODataError(501, "NotImplemented", f"{what} is not implemented")


def not_found(what: str) -> ODataError:
    """404 for a set or an entity that is not there."""
    return ODataError(404, "NotFound", f"{what} does not exist")
