"""Nights that have not run, one after the other: what they ask together, and which window or budget stops them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from include.database import Database
from include.errors import LedgerUnavailable, NightledgerError
from include.ledger import budget
from include.models import Interval, RunKey, RunOptions
from include.night.plan.preview import COUNTS, Preview, preview
from include.night.plan.preview_capacity import merge
from include.operations.rehearse import good_rows, rehearsal
from include.run import Run
from include.settings import Settings
from include.systems.connections import Connections


@dataclass(frozen=True, slots=True)
class Room:
    """One ceiling in US dollars: what is spent or set aside under it now, and what the plan would add."""

    scope: str
    ceiling: Decimal
    used: Decimal
    expected: Decimal

    @property
    def is_kept(self) -> bool:
        """Whether the plan fits, or costs nothing."""
        return not self.expected or self.used + self.expected <= self.ceiling


def cut(whole: Interval, hours: float) -> Iterator[Interval]:
    """The nights of a span, each so long, from its start on; the last may be shorter."""
    start = whole.start
    while start < whole.end:
        end = min(start + timedelta(hours=hours), whole.end)
        yield Interval(start, end)
        start = end


def preview_interval(
    ledger: Database, key: RunKey, options: RunOptions, connections: Connections, settings: Settings, seen: set[bytes]
) -> Preview:
    """Estimate a night from its recorded rows, or from the sources if it has not run; leaves nothing behind.

    `seen` is as in `preview`. What would stop the night is said in `problem`; LedgerUnavailable is raised.
    """
    if key.interval.end > datetime.now(UTC):
        return Preview(problem="the interval is not over yet, so its rows are not known")
    try:
        with rehearsal(ledger, key, options, connections, settings) as night:
            return preview(night, good_rows(night), seen)
    except LedgerUnavailable:
        raise
    except NightledgerError as error:
        return Preview(problem=str(error))


def add_up(nights: Sequence[Preview]) -> Preview:
    """The sum of nights; what each asks of a system counts against the system's limits together."""
    return Preview(
        **{name: sum(getattr(night, name) for night in nights) for name in COUNTS},
        cost=sum((night.cost for night in nights), Decimal(0)),
        loads=merge(load for night in nights for load in night.loads),
    )


def find_rooms(run: Run, nights: Sequence[Preview]) -> list[Room]:
    """Every ceiling that the nights count against; that of a run holds for the dearest, those of days for all as today.

    Several nights are a backfill.
    """
    if len(nights) > 1 and not run.options.backfill:
        run = replace(run, options=replace(run.options, backfill="plan"))
    asked = run.system(run.case.model.system) if run.case.model else None
    dearest, total = max(night.cost for night in nights), add_up(nights).cost
    return [
        Room(
            scope,
            ceiling,
            sum(budget.spent(run.ledger, scope), Decimal(0)),
            dearest if scope.startswith("run/") else total,
        )
        for scope, ceiling in budget.ceilings(run, asked).items()
    ]


def find_problems(
    whole: Run, nights: Sequence[Interval], found: Sequence[Preview], rooms: Sequence[Room], window: float | None = None
) -> Iterator[str]:
    """Every night that would stop, every window and every ceiling that would not hold, with what to do."""
    named = [(f"the night of {night.start:%Y-%m-%d}", one) for night, one in zip(nights, found, strict=True)]
    yield from (f"{name} would stop: {one.problem}" for name, one in named if one.problem)
    if window is not None:
        yield from _exceed("all nights together", add_up(found), window, whole.asking)
    elif whole.asking == "live":
        for name, one in named:
            yield from _exceed(name, one, whole.case.window_hours, whole.asking)
    for room in rooms:
        if not room.is_kept:
            yield (
                f"{room.expected:.4f} USD with {room.used:.4f} used pass the ceiling {room.ceiling} of `{room.scope}`; "
                "raise it with the owner, or plan fewer nights: what passes it would be deferred"
            )


def _exceed(name: str, one: Preview, hours: float, asking: str) -> Iterator[str]:
    minutes = sum(one.minutes.values())
    if minutes > hours * 60:
        other = "ask live" if asking == "batch" else "raise that limit in the registry, or use --asking batch"
        yield (
            f"{name}: {minutes:,.1f} minutes, mostly {one.slowest}, do not fit {hours:,.1f} hours; widen the window, "
            f"or {other}"
        )
