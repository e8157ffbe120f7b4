"""Receivers on loopback: a mail server, and an endpoint that takes what is posted."""

from __future__ import annotations

import email
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiohttp import web
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.core.odd_server import OddServer, Seen, odd_server


@dataclass
class MailServer:
    """Where it listens, what it took, and what it says to a recipient instead of taking a message."""

    port: int = 0
    taken: list[EmailMessage] = field(default_factory=list)
    logins: list[bytes] = field(default_factory=list)
    refuses: str = ""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.refuses:
            return self.refuses
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        message = email.message_from_bytes(envelope.content, policy=default)
        message["X-To"] = ", ".join(envelope.rcpt_tos)
        self.taken.append(message)
        return "250 OK"


class _Anywhere(Controller):
    """Listens on a port of the machine's choice."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def mail_server(
    tls: ssl.SSLContext | None = None, starttls: ssl.SSLContext | None = None, password: bytes | None = None
) -> Iterator[MailServer]:
    """A mail server; with `password` it takes nothing without that login."""
    server = MailServer()

    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        server.logins.append(given.login)
        return AuthResult(success=given.password == password, handled=False)

    needs = {"authenticator": check, "auth_required": True, "auth_require_tls": bool(starttls)} if password else {}
    more: dict[str, Any] = {**needs, "tls_context": starttls, "require_starttls": starttls is not None}
    controller = _Anywhere(server, hostname="127.0.0.1", port=0, ssl_context=tls, **more)
    controller.start()
    try:
        server.port = controller.port
        yield server
    finally:
        controller.stop(no_assert=True)


@dataclass
class Endpoint:
    """An endpoint that answers with `statuses` one after the other, the last of them for good."""

    server: OddServer
    statuses: list[int]

    @property
    def said(self) -> list[Any]:
        """The bodies that came."""
        return [one.json for one in self.server.seen]


@contextmanager
def endpoint(*statuses: int, location: str = "") -> Iterator[Endpoint]:
    """An endpoint that takes everything unless statuses are given."""
    left = list(statuses or (200,))

    def answer(seen: Seen) -> web.Response:
        status = left.pop(0) if len(left) > 1 else left[0]
        return web.Response(status=status, text="ok", headers={"Location": location} if location else None)

    with odd_server(answer) as server:
        yield Endpoint(server, left)
