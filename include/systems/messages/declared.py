"""Messages as sinks of a use case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.errors import ConfigurationError
from include.systems.port import Guard, Sink, Surroundings

if TYPE_CHECKING:
    from include.systems.messages.drafts import DraftFolder
    from include.systems.messages.webhook import Webhook

DRAFT_FIELDS = ("to", "subject", "body")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message(Sink):
    """One POST of JSON for each answer, to `object` below the connection's URL; nothing is there to read back.

    It is signed as Standard Webhooks has it, with the secret in the connection's extra `signing_secret`. A POST whose
    answer is lost is not sent again and ends as `unknown_ending`, unless the endpoint is `idempotent`: it takes a
    message once, however often the same `webhook-id` comes. `event` is the type in the envelope `{type, timestamp, id,
    data}`; None posts the values alone, unsigned, as chats want them. `outsiders` says that it reaches people outside
    the house: then a person decides on every answer, which the spec says in `never_alone`.
    """

    guard: Guard = "append_once"
    event: str | None = "answer.approved"
    outsiders: bool = False

    def open(self, here: Surroundings) -> Webhook:
        """The adapter; raises ConfigurationError for a declaration or connection that cannot work."""
        from include.systems.messages.webhook import Webhook

        return Webhook(self, here.system(self.system), here.connections, here.pace(self.system))


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft(Sink):
    """One `.eml` file for each answer in the folder `object`, which a person opens, reads and sends.

    `fields` give `to`, `subject` and `body`. `sender` and, unless a field gives it, `to` are the spec's; an address of
    another domain than `domains` is refused. At most `longest` characters. The file is named after the write, so that
    the same one is never there twice.
    """

    guard: Guard = "append_once"
    sender: str
    to: str = ""
    domains: tuple[str, ...] = ()
    longest: int = 20_000

    def open(self, here: Surroundings) -> DraftFolder:
        """The adapter; raises ConfigurationError for a declaration that cannot work."""
        from include.systems.messages.drafts import DraftFolder

        unknown = sorted(set(self.fields.values()) - set(DRAFT_FIELDS))
        problem = f"a draft has no {', '.join(unknown)}; known: {', '.join(DRAFT_FIELDS)}" if unknown else ""
        if not problem and "body" not in self.fields.values():
            problem = "`fields` must give the `body`"
        if not problem and "to" in self.fields.values() and not self.domains:
            problem = "a recipient that an answer names needs `domains` that it may be of"
        if problem:
            raise ConfigurationError(problem, system=self.system, about=self.object)
        return DraftFolder(self, here.system(self.system), here)
