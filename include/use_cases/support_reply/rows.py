"""Which tickets get a draft, and what is made of their columns before anybody sees it."""

from __future__ import annotations

import re
from typing import get_args

from include.use_cases.support_reply.output import Language, Tone

PREFIX = "HD-"
"""What stands before the desk's number in a ticket's id."""
TONE: Tone = "plain"
"""The tone of every draft but those below; a change of it asks anew."""
TONES: dict[str, Tone] = {"complaint": "warm", "data_privacy": "formal", "cancellation": "formal"}
_NAME = re.compile(r"[^\W\d_][^\W\d_.'\u2019-]*(?:[ .'\u2019-]{1,2}[^\W\d_]+){0,5}\.?")
_HOST = re.compile(r"[^\W\d_]\.[^\W\d_]{2}")
_BINDS = re.compile(
    r"(?i)\b(?:refund|approved|granted|paid|voucher|credit|free|guarante|erstatt|genehmigt|gutsch|rembours|approuv|reembols"
    r"|aprobad|urgent|click|call)"
)
"""Words of sentences that a greeting must not hold; a customer who is called so is greeted without a name."""
_LONGEST_NAME = 60


def is_at_desk(ticket_id: str) -> bool:
    """Whether the ticket is one of the desk's; those that are in the CRM alone are answered there."""
    number = ticket_id.removeprefix(PREFIX)
    return ticket_id.startswith(PREFIX) and number.isascii() and number.isdecimal()


def wants_reply(category: str, language: str) -> bool:
    """Whether somebody waits for a reply that guidelines can give: no advertising, and a language that we write."""
    return category != "other" and language in get_args(Language)


def tone_of(category: str) -> str:
    """The tone that a draft is to have."""
    return TONES.get(category, TONE)


def name_of(said: str | None) -> str | None:
    """A customer's name that can stand in a greeting; None for what is no name: it would be put there unseen."""
    name = " ".join((said or "").split())
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name) or _HOST.search(name) or _BINDS.search(name):
        return None
    return name
