"""E-mail by SMTP, with the fields of Airflow's own SMTP connection."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any

from include.errors import ConfigurationError
from include.systems.alerting.notice import ChannelFailed, Notice
from include.systems.connections import StoredConnection
from include.systems.network import Network

CONNECTION = "alert_smtp"
_SECONDS = 10
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Mail:
    """One mail server, one sender, some recipients.

    The extra holds `from_email`, `to` (addresses, as a list or with commas between them), and `disable_ssl` or
    `disable_tls` as Airflow has them: TLS from the first byte by default, STARTTLS with `disable_ssl`, and nothing with
    both, which no login and no host but this machine's may go without. `verify` is as for HTTP.
    """

    name = "smtp"

    def __init__(self, connection: StoredConnection) -> None:
        """Nothing is reached yet; raises ConfigurationError naming what of the connection cannot be used."""
        extra, name = connection.extra, connection.conn_id
        self._connection, self._network = connection, Network.read(name, extra)
        self._sender, self._to = str(extra.get("from_email") or ""), _addresses(extra.get("to"))
        self._ssl, self._starttls = not _is_true(extra.get("disable_ssl")), not _is_true(extra.get("disable_tls"))
        wrong = [one for one in (self._sender, *self._to) if "@" not in one or any(c in one for c in "\r\n")]
        if not connection.host or not self._to or wrong:
            action = "Set the host, and `from_email` and `to` in the extra"
            raise ConfigurationError("host, sender or recipients are missing or wrong", system=name, action=action)
        if not (self._ssl or self._starttls) and (connection.login or connection.host not in _LOOPBACK):
            action = "Leave out `disable_tls`"
            raise ConfigurationError("would send in clear over the network", system=name, action=action)

    def send(self, notice: Notice) -> None:
        """Hand one message to the server; raises ChannelFailed."""
        try:
            with self._open() as server:
                if self._connection.login:
                    server.login(self._connection.login, self._connection.password)
                server.send_message(self._message(notice), self._sender, list(self._to))
        except smtplib.SMTPResponseException as error:
            down = not isinstance(error, (smtplib.SMTPDataError, smtplib.SMTPSenderRefused))
            raise ChannelFailed(f"answered {error.smtp_code}", down=down) from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = ", ".join(sorted({str(code) for code, _ in error.recipients.values()}))
            raise ChannelFailed(f"refused every recipient ({codes})", down=True) from None
        except (smtplib.SMTPException, OSError) as error:
            raise ChannelFailed(f"did not take it ({type(error).__name__})", down=True) from None

    def _open(self) -> smtplib.SMTP:
        host, port = self._connection.host, self._connection.port
        if self._ssl:
            return smtplib.SMTP_SSL(host, port or smtplib.SMTP_SSL_PORT, timeout=_SECONDS, context=self._context())
        server = smtplib.SMTP(host, port or 587, timeout=_SECONDS)
        if self._starttls:
            try:
                server.starttls(context=self._context())
            except BaseException:
                server.close()
                raise
        return server

    def _context(self) -> ssl.SSLContext:
        return self._network.configure(ssl.create_default_context(), self._connection.conn_id)

    def _message(self, notice: Notice) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = notice.subject
        message["From"], message["To"] = self._sender, ", ".join(self._to)
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=self._sender.rpartition("@")[2])
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
        message.set_content(f"{notice.sentence}\n\n{notice.page}\n")
        return message


def _addresses(given: Any) -> tuple[str, ...]:
    listed = given if isinstance(given, (list, tuple)) else str(given or "").split(",")
    return tuple(str(one).strip() for one in listed if str(one).strip())


def _is_true(given: Any) -> bool:
    return str(given).strip().lower() in ("true", "1", "yes")
