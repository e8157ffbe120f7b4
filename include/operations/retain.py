"""Keep what nights leave for as long as the policy says: what is older is named, and removed on record if asked."""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import text
from upath import UPath

from include.database import Database, transaction
from include.errors import ConfigurationError
from include.ledger.erasure import STREAM
from include.ledger.leases import exclusive
from include.ledger.record import record_event
from include.ledger.removal import GROUPS, Old, drop_empty_months, find_old, remove
from include.operations.erase import open_as_owner
from include.settings import Settings
from include.spec.names import names
from include.storage import reaching
from include.systems.connections import Connections

log = logging.getLogger(__name__)
STAGED = "staged"
KINDS = (STAGED, *GROUPS)
MOST_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class Due:
    """Runs of a use case that are older than its policy for a group; those `held` stay."""

    use_case: str
    group: str
    days: int
    runs: Sequence[Old]
    held: Sequence[Old]

    @property
    def policy(self) -> str:
        """The policy in words."""
        return f"{self.group} are kept for {self.days:,} days"


@dataclass
class Removed:
    """What was removed: rows by table, files, tables of months, and runs that were refused, with the reason."""

    rows: dict[str, int] = field(default_factory=dict)
    files: int = 0
    months: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)


def read_policy(place: Path) -> dict[str, dict[str, int]]:
    """Days by group, of all use cases (empty) and of single ones; raises ConfigurationError naming what is wrong."""
    try:
        found = tomllib.loads(place.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"cannot be read: {error}", about=str(place)) from error
    for name in found.keys() - {"all", "use_cases"}:
        raise ConfigurationError(f"there is no table `{name}`; known: all, use_cases", about=str(place))
    cases = {"": found.get("all", {}), **found.get("use_cases", {})}
    for name, days in cases.items():
        _check(place, name or "all", days)
    return cases


def _check(place: Path, name: str, days: Any) -> None:
    for group, number in days.items() if isinstance(days, dict) else [("", days)]:
        if group not in KINDS:
            raise ConfigurationError(f"`{name}` has no group {group!r}; known: {', '.join(KINDS)}", about=str(place))
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= MOST_DAYS:
            raise ConfigurationError(f"`{name}.{group}` must be a number of days, 1 to {MOST_DAYS}", about=str(place))


def find_due(ledger: Database, settings: Settings) -> list[Due]:
    """What is older than the policy lets it be, without any change.

    Raises ConfigurationError where the policy cannot be read, or names a use case that never was: a misspelt one would
    let everything of the right one stay.
    """
    policy = read_policy(settings.retention_file)
    with transaction(ledger) as connection:
        cases = list(connection.scalars(text("SELECT DISTINCT use_case FROM nightledger.run ORDER BY 1")))
    if unknown := sorted(policy.keys() - {"", *cases, *names()}):
        problem = f"there is no use case {', '.join(unknown)}; known: {', '.join(names())}"
        raise ConfigurationError(problem, about=str(settings.retention_file))
    return [due for case in cases for due in _due(ledger, settings, case, {**policy[""], **policy.get(case, {})})]


def _due(ledger: Database, settings: Settings, case: str, days: Mapping[str, int]) -> Iterator[Due]:
    for group, number in sorted(days.items()):
        old = find_old(ledger, group, case, number)
        if group == STAGED:
            old = [one for one in old if _folder(settings, one).exists()]
        if old:
            yield Due(case, group, number, [o for o in old if not o.held], [o for o in old if o.held])


def retain(ledger: Database, connections: Connections, settings: Settings, who: str) -> Removed:
    """Remove what is older than the policy lets it be, run by run. Safe to repeat and to kill.

    A run under hold, and one that does not prove itself, is left and named. Raises ConfigurationError where the policy
    cannot be read or the owner's login is missing.
    """
    owner, done = open_as_owner(connections), Removed()
    try:
        with exclusive(ledger, "privacy/retain", settings.lease_seconds):
            for due in find_due(ledger, settings):
                done.problems |= {one.run_id: f"under legal hold {', '.join(map(str, one.held))}" for one in due.held}
                removed = [one for one in due.runs if _remove(owner, settings, due, one, who, done)]
                _say(ledger, due, len(removed), who)
            done.months = drop_empty_months(owner)
    finally:
        owner.dispose()
    return done


def _remove(owner: Database, settings: Settings, due: Due, run: Old, who: str, done: Removed) -> bool:
    try:
        if due.group == STAGED:
            done.files += _remove_files(owner, settings, due, run)
        else:
            for table, rows in remove(owner, run.run_id, due.group, due.policy, who).items():
                done.rows[table] = done.rows.get(table, 0) + rows
    except ConfigurationError as error:
        done.problems[run.run_id] = str(error)
        return False
    log.info("%s: %s", run.run_id, due.policy)
    return True


def _remove_files(owner: Database, settings: Settings, due: Due, run: Old) -> int:
    """Delete what a run staged, but for files that younger runs go on with."""
    with transaction(owner) as connection:
        needed = set(connection.scalars(_NEEDED, {"days": due.days, "use_case": due.use_case}))
    folder, removed = _folder(settings, run), 0
    with reaching(folder, "write"):
        for place in [one for one in folder.rglob("*") if one.is_file()]:
            if str(place) not in needed:
                place.unlink()
                removed += 1
        if not any(folder.rglob("*")) and folder.exists():
            folder.rmdir()
    return removed


def _folder(settings: Settings, run: Old) -> UPath:
    return UPath(settings.staging) / run.use_case / run.run_id


def _say(ledger: Database, due: Due, runs: int, who: str) -> None:
    if runs:
        said = {"use_case": due.use_case, "group": due.group, "days": due.days, "runs": runs}
        with transaction(ledger) as connection:
            record_event(connection, STREAM, "retention.applied", said, who)


_NEEDED = text("""
SELECT m.uri FROM nightledger.manifest m JOIN nightledger.run u USING (run_id)
 WHERE u.use_case = :use_case
   AND (u.finished_at IS NULL OR u.finished_at >= clock_timestamp() - make_interval(days => :days))""")
