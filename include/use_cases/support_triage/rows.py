"""What is made of the columns of a ticket before anybody sees it."""

from __future__ import annotations

_CHANNELS = {"email": "mail", "phone": "phone note"}
_STEPS = ((0, "none"), (3, "1 to 3"), (9, "4 to 9"))


def channel_of(said: str | None) -> str | None:
    """The channel in one word for both sources: the CRM says `EMAIL` and `PHONE`."""
    return _CHANNELS.get(said.strip().lower(), said.strip().lower()) if said else None


def how_many(tickets: int | None) -> str | None:
    """How much a customer writes, in steps, so that one ticket more does not make another question of every other."""
    if tickets is None:
        return None
    return next((words for most, words in _STEPS if tickets <= most), "10 or more")
