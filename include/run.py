"""What every stage of a run is given, whether a task or the command line starts it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from upath import UPath

from include.database import Database
from include.errors import ConfigurationError
from include.models import Interval, RunOptions
from include.private import close_folder, make_folder
from include.retry import MAX_ATTEMPTS
from include.settings import Settings
from include.spec.use_case import Enrichment, UseCase
from include.systems.connections import Connections
from include.systems.registry import System, read_systems

if TYPE_CHECKING:
    from include.privacy.tokens import Hider
    from include.systems.http import RestClient
    from include.systems.limits.pace import Pace


@dataclass(frozen=True)
class Run:
    """One run in progress: what is asked, its interval and options, and the ways to reach everything else.

    `only` are the ids of the rows that a replay decides on; None: all rows. `limits` is the ledger that limits are
    shared in, where it is not `ledger`: what a rehearsal records is rolled back. `patient` is whether calls that fail
    are made again: somebody who waits for a page is not to wait for that.
    """

    case: Enrichment
    interval: Interval
    run_id: str
    options: RunOptions
    ledger: Database
    connections: Connections
    settings: Settings
    only: frozenset[str] | None = None
    limits: Database | None = None
    patient: bool = True

    def decides_on(self, row_id: str) -> bool:
        """Whether the row is one that this run decides on; the others keep what a finished run gave them."""
        return self.only is None or row_id in self.only

    def system(self, name: str) -> System:
        """An entry of the registry; raises ConfigurationError if there is none."""
        systems = read_systems(self.settings.systems_file)
        if name not in systems:
            raise ConfigurationError(f"not in the registry; known: {', '.join(systems)}", system=name)
        return systems[name]

    def pace(self, system: str) -> Pace:
        """Leave for calls to a system of the registry, within the limits that every process on this ledger shares."""
        from include.systems.limits.pace import Pace, limits_of
        from include.systems.limits.shared import LedgerLevels

        entry = self.system(system)
        levels = LedgerLevels(self.limits or self.ledger, entry.name, limits_of(entry)) if entry.limits else None
        return Pace(entry, levels)

    def client(self, system: str) -> RestClient:
        """A client of a REST system of the registry, within those limits."""
        from include.systems.http import RestClient

        entry = self.system(system)
        first, *more = (self.connections.open("http", entry.connection) for _ in range(entry.calls_at_once))
        tries = MAX_ATTEMPTS if self.patient else 1
        return RestClient(first, entry, more=more, pace=self.pace(system), tries=tries)

    def path(self, *names: str) -> UPath:
        """A place in this run's staging folder; parents are made, for this account alone."""
        ours = UPath(self.settings.staging).joinpath(self.case.name)
        place = ours.joinpath(self.run_id, *names)
        make_folder(place.parent)
        close_folder(ours)
        return place

    @cached_property
    def hider(self) -> Hider:
        """Makes the tokens for what a model is shown; raises ConfigurationError where there is no secret for them."""
        from include.privacy.tokens import Hider

        if not self.settings.token_secret:
            raise ConfigurationError(
                "is not set, so no tokens can be made of what a model is shown", about="NIGHTLEDGER_TOKEN_SECRET"
            )
        return Hider(self.case.name, self.settings.token_secret)

    @property
    def personal(self) -> tuple[str, ...]:
        """Columns that are never quoted."""
        return self.case.personal

    @property
    def asking(self) -> Literal["live", "batch"]:
        """How the model is asked in this run: the option's, else the one declared in the spec."""
        return self.options.asking or self.case.asking

    @property
    def model_name(self) -> str:
        """The model asked in this run: the option's, else the one pinned in the spec."""
        return self.options.model or self.case.model_name


@dataclass(frozen=True)
class Night(Run):
    """A run of a use case with sources and sinks."""

    case: UseCase
