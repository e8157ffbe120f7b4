"""The store of limits that every process and machine shares: one row per key, on which they take turns."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import text

from include.database import SHORTLY, Database, to_json, transaction
from include.systems.limits.quota import Quota
from include.systems.limits.turns import Ask, Grant
from include.systems.registry import Window

_OPEN = text("INSERT INTO nightledger.quota (key, state) VALUES (:key, '{}') ON CONFLICT DO NOTHING")
_LOCK = text(f"SELECT state, {SHORTLY} FROM nightledger.quota WHERE key = :key FOR UPDATE")
_NOW = text("SELECT extract(epoch FROM clock_timestamp())::float8")
_LOCK_ALL = text(
    "WITH held AS MATERIALIZED ("
    "SELECT key, state FROM nightledger.quota WHERE key = ANY(:keys) ORDER BY key FOR UPDATE) "
    "SELECT key, state, extract(epoch FROM clock_timestamp())::float8 AS now, "
    f"set_config('synchronous_commit', 'off', true), {SHORTLY} FROM held"
)
"""In one trip. Levels need not outlive a crash of the server, which takes longer than what is lost of them."""
_KEEP = text(
    "UPDATE nightledger.quota SET state = CAST(:state AS jsonb), updated_at = clock_timestamp() WHERE key = :key"
)
_KEEP_ALL = text(
    "UPDATE nightledger.quota SET state = kept.state, updated_at = clock_timestamp() "
    "FROM unnest(CAST(:keys AS text[]), CAST(:states AS jsonb[])) AS kept (key, state) WHERE quota.key = kept.key"
)


@dataclass
class LedgerStore:
    """Levels of one key in the ledger; time is the database's, so clocks of machines may differ.

    Nothing is held between turns: a process that dies takes at most what it was granted and had not sent, and that
    comes back as windows pass and buckets refill.
    """

    ledger: Database
    key: str
    windows: Sequence[Window]
    _opened: bool = False

    async def turn(self, ask: Ask) -> tuple[Grant, float]:
        """Take a turn; raises LedgerUnavailable, upon which nothing may leave."""
        return await asyncio.to_thread(self._turn, ask)

    def _turn(self, ask: Ask) -> tuple[Grant, float]:
        with transaction(self.ledger) as connection:
            if not self._opened:
                connection.execute(_OPEN, {"key": self.key})
                self._opened = True
            state = connection.scalar(_LOCK, {"key": self.key})
            now = float(connection.scalar(_NOW) or 0.0)
            quota = Quota.read(self.windows, state)
            grant = quota.turn(ask, now)
            connection.execute(_KEEP, {"key": self.key, "state": to_json(quota.document())})
        return grant, now


@dataclass
class LedgerLevels:
    """Levels of several limits of one system in the ledger, under its name and `<name>/<kind of call>`."""

    ledger: Database
    name: str
    limits: Mapping[str, Sequence[Window]]
    _opened: bool = False

    @contextmanager
    def open(self, groups: Sequence[str]) -> Iterator[tuple[dict[str, Quota], float]]:
        """Levels and the database's time, locked for the block; raises LedgerUnavailable: nothing may leave then."""
        keys = {group: f"{self.name}/{group}" if group else self.name for group in groups}
        with transaction(self.ledger) as connection:
            if not self._opened:
                everything = (f"{self.name}/{group}" if group else self.name for group in self.limits)
                connection.execute(_OPEN, [{"key": key} for key in sorted(everything)])
            rows = connection.execute(_LOCK_ALL, {"keys": sorted(keys.values())}).all()
            found, now = {row.key: row.state for row in rows}, max(row.now for row in rows)
            quotas = {group: Quota.read(self.limits[group], found[key]) for group, key in keys.items()}
            yield quotas, now
            states = [to_json(quotas[group].document()) for group in keys]
            connection.execute(_KEEP_ALL, {"keys": list(keys.values()), "states": states})
        self._opened = True
