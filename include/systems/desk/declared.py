"""Drafts of replies at a service desk, as a use case declares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.errors import ConfigurationError
from include.systems.port import Guard, Sink, Surroundings

if TYPE_CHECKING:
    from include.systems.desk.writing import DeskDrafts

MOST_TICKETS = 100
"""Tickets of one look-up: `show_many` takes no more."""
REPLY_FIELDS = ("subject", "body")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskReply(Sink):
    """One private comment on each answer's ticket, which an agent reads, changes and sends; the customer never sees it.

    `fields` give `body` and, if wanted, `subject`. The id is the ticket's number behind `prefix`. `mark` is the number
    of a ticket field of type text, made for this alone: it says which draft a ticket has, so that none is put there
    twice. Only the addresses in `links` may stand in a draft, whatever was put in the place of tokens; a ticket that
    is solved or closed gets none. At most `longest` characters.
    """

    guard: Guard = "append_once"
    mark: int
    prefix: str = ""
    links: tuple[str, ...] = ()
    longest: int = 5_000

    def open(self, here: Surroundings) -> DeskDrafts:
        """The adapter; raises ConfigurationError for a declaration that cannot work."""
        unknown = sorted(set(self.fields.values()) - set(REPLY_FIELDS))
        problem = f"a reply has no {', '.join(unknown)}; known: {', '.join(REPLY_FIELDS)}" if unknown else ""
        if not problem and "body" not in self.fields.values():
            problem = "`fields` must give the `body`"
        if problem:
            raise ConfigurationError(problem, system=self.system, about=self.object)
        from include.systems.desk.writing import DeskDrafts

        return DeskDrafts(self, here.client(self.system), min(here.system(self.system).batch_rows, MOST_TICKETS))
