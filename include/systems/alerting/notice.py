"""What is said over a channel, and what every channel promises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

Kind = Literal["new", "worse", "reminder", "over"]
_BEGINS = {"new": "", "worse": "Worse: ", "reminder": "Still: ", "over": "Over: "}


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell somebody. `page` is an address, or a path where nobody said where Airflow is."""

    kind: Kind
    key: str
    severity: Literal["warning", "severe"]
    use_case: str
    cause: str
    title: str
    sentence: str
    page: str

    @property
    def subject(self) -> str:
        """One line without a line break: `Severe: crm_lead_scoring: A night failed`."""
        about = f"{self.use_case}: " if self.use_case else ""
        return " ".join(f"{_BEGINS[self.kind]}{self.severity.capitalize()}: {about}{self.title}".split())


class ChannelFailed(Exception):
    """A channel did not take a notice; the message holds no address, key or answer of it.

    `down` says that it will not take the next one either.
    """

    def __init__(self, problem: str, *, down: bool) -> None:
        """`problem` is what happened, in a few words of ours."""
        super().__init__(problem)
        self.down = down


class Channel(Protocol):
    """One way to reach people."""

    @property
    def name(self) -> str:
        """What it is called on record."""

    def send(self, notice: Notice) -> None:
        """Hand the notice over; raises ChannelFailed where it was not taken."""
