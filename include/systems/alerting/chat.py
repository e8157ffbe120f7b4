"""Chats that take Slack's incoming webhooks: Slack, Mattermost, Rocket.Chat and others.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/
"""

from __future__ import annotations

from include.systems.alerting.notice import Notice
from include.systems.alerting.posting import open_bare, post
from include.systems.connections import StoredConnection

CONNECTION = "alert_slack"


class Chat:
    """One webhook; the password, where there is one, is the secret end of its address, as Airflow's Slack has it."""

    name = "slack"

    def __init__(self, connection: StoredConnection) -> None:
        """Nothing is reached yet; raises ConfigurationError naming what of the connection cannot be used."""
        self._endpoint = open_bare(connection)
        secret = connection.password.strip("/")
        self._path = f"/{secret}" if secret else ""

    def send(self, notice: Notice) -> None:
        """Post the text; raises ChannelFailed."""
        post(self._endpoint, self._path, {"text": text_of(notice)})


def text_of(notice: Notice) -> str:
    """The message; the three characters that the format gives a meaning are escaped."""
    page = f"<{notice.page}>" if "://" in notice.page else _escaped(notice.page)
    return f"*{_escaped(notice.subject)}*\n{_escaped(notice.sentence)}\n{page}"


def _escaped(text: str) -> str:
    """https://docs.slack.dev/messaging/formatting-message-text/#escaping"""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
