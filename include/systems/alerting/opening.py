"""The channels that somebody has stored connections for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from include.errors import ConfigurationError
from include.systems.alerting import chat, mail, pager
from include.systems.alerting.notice import Channel, ChannelFailed, Notice
from include.systems.connections import NO_CONNECTION, Connections, StoredConnection

log = logging.getLogger(__name__)
CHANNELS: Mapping[str, Callable[[StoredConnection], Channel]] = {
    chat.CONNECTION: chat.Chat,
    mail.CONNECTION: mail.Mail,
    pager.CONNECTION: pager.Pager,
}
"""By the connection that makes it one."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A channel whose connection cannot be used; it fails as one that is down, so that it is seen."""

    name: str
    problem: str

    def send(self, notice: Notice) -> None:
        """Raises ChannelFailed."""
        raise ChannelFailed(self.problem, down=True)


def open_channels(connections: Connections) -> list[Channel]:
    """Those there are; one that is not stored is not used. Nothing is reached yet."""
    found: list[Channel] = []
    for conn_id, make in CHANNELS.items():
        try:
            found.append(make(connections.get(conn_id)))
        except ConfigurationError as error:
            if error.problem != NO_CONNECTION:
                log.warning("alerts: %s", error)
                found.append(Broken(conn_id.removeprefix("alert_"), error.problem))
    return found
