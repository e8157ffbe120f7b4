"""Who is asking a question right now: two runs, shards or machines never pay for the same answer at the same time."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import BigInteger, Text

from include.database import SHORTLY, Database, Statement, as_text, transaction
from include.errors import LedgerUnavailable
from include.ledger.leases import LEASE_SECONDS, Lease, beating, sweep

log = logging.getLogger(__name__)
_KEYS = bindparam("keys", type_=ARRAY(Text))
_HOLDERS = bindparam("holders", type_=ARRAY(BigInteger))
# A holder is alive as long as its lease; whoever takes over deletes that row first, and waits for us to be done here.
_ALIVE = (
    "WITH alive AS (SELECT holder FROM nightledger.lease WHERE name = 'claimant/' || CAST(:holder AS bigint) "
    "AND until > clock_timestamp() FOR KEY SHARE) "
)
_CLAIM = text(
    _ALIVE + "INSERT INTO nightledger.claim (inference_key, holder, run_id) "
    "SELECT key, alive.holder, :run_id FROM alive, unnest(string_to_array(:keys, ',')) AS key ORDER BY key "
    "ON CONFLICT (inference_key) DO NOTHING RETURNING inference_key"
)
_HELD = text(
    _ALIVE + f"SELECT inference_key, {SHORTLY} FROM nightledger.claim JOIN alive USING (holder) "
    "WHERE inference_key = ANY (:keys)"
).bindparams(_KEYS)

OF_A_JOB = 0
"""The holder of what a batch job asks: it lives as long as the job, not as a process."""
_LONGEST_JOB = "26 hours"
_HOLD = text(
    "INSERT INTO nightledger.claim AS held (inference_key, holder, run_id) SELECT unnest(:keys), 0, :run_id "
    "ON CONFLICT (inference_key) DO UPDATE SET claimed_at = clock_timestamp(), run_id = excluded.run_id, holder = 0 "
    f"WHERE (held.holder = 0 AND held.run_id = excluded.run_id) OR held.claimed_at < now() - interval '{_LONGEST_JOB}' "
    "RETURNING inference_key"
).bindparams(_KEYS)
_RELEASE = "DELETE FROM nightledger.claim WHERE inference_key = ANY (string_to_array(%s, ',')) AND holder = %s"
_END = text("DELETE FROM nightledger.claim WHERE holder = :holder")

# Ended claims are dead rows until PostgreSQL gets round to them; the last of a night leaves nothing of them behind.
_CLEAR = text(
    """
DO $$ BEGIN
    IF pg_total_relation_size('nightledger.claim') > 1048576 THEN
        LOCK TABLE nightledger.claim IN ACCESS EXCLUSIVE MODE NOWAIT;
        IF NOT EXISTS (SELECT FROM nightledger.claim) THEN TRUNCATE nightledger.claim; END IF;
    END IF;
EXCEPTION WHEN lock_not_available THEN NULL;  -- others are asking
END $$"""
)

_OTHERS = text(
    "SELECT DISTINCT holder FROM nightledger.claim WHERE inference_key = ANY (:keys) AND holder NOT IN (0, :holder)"
).bindparams(_KEYS)
_BURY = text(
    "DELETE FROM nightledger.lease WHERE until < clock_timestamp() "
    "AND name IN (SELECT 'claimant/' || holder FROM unnest(:holders) AS holder)"
).bindparams(_HOLDERS)
_FREE = text(
    "DELETE FROM nightledger.claim c WHERE c.holder = ANY (:holders) "
    "AND NOT EXISTS (SELECT FROM nightledger.lease l WHERE l.name = 'claimant/' || c.holder)"
).bindparams(_HOLDERS)
_FREE_OF_JOBS = text(
    "DELETE FROM nightledger.claim WHERE inference_key = ANY (:keys) AND holder = 0 "
    f"AND claimed_at < clock_timestamp() - interval '{_LONGEST_JOB}'"
).bindparams(_KEYS)


@dataclass(frozen=True)
class Claimant:
    """One process that asks; it is alive as long as its lease is renewed, wherever its sessions are."""

    lease: Lease
    run_id: str

    @property
    def holder(self) -> int:
        """The number under which its claims stand."""
        return self.lease.holder

    @property
    def is_sure(self) -> bool:
        """Whether its claims cannot have been taken over yet, by this machine's clock: worth a look before sending."""
        return self.lease.is_sure

    def claim(self, keys: Collection[str]) -> set[str]:
        """Claim questions; returns those that are now ours. The others are being asked by somebody who is alive.

        A process that was taken for dead comes back to life with this, without what it had claimed before.
        """
        if not self.lease.is_sure:
            self.lease.take()
        with transaction(self.lease.ledger) as connection:
            ours = self._insert(connection, keys)
            rest = set(keys) - ours
            if rest and self._bury_dead(connection, rest):
                ours |= self._insert(connection, rest)
        return ours

    def _insert(self, connection: Connection, keys: Collection[str]) -> set[str]:
        values = {"keys": as_text(keys), "holder": self.holder, "run_id": self.run_id}
        return set(connection.scalars(_CLAIM, values))

    def _bury_dead(self, connection: Connection, keys: Collection[str]) -> bool:
        """Free what processes had claimed whose lease has run out."""
        given = {"keys": sorted(keys), "holder": self.holder}
        others = {"holders": sorted(connection.scalars(_OTHERS, given))}
        connection.execute(_BURY, others)
        freed = connection.execute(_FREE, others).rowcount
        return bool(freed + connection.execute(_FREE_OF_JOBS, given).rowcount)


def held(connection: Connection, keys: Collection[str], holder: int) -> set[str]:
    """Those of `keys` that the holder has claimed and whose lease has not run out.

    They stay its own until the caller's transaction ends: a take-over waits for it.
    """
    return set(connection.scalars(_HELD, {"keys": sorted(keys), "holder": holder}))


def hold_for_job(connection: Connection, keys: Collection[str], run_id: str) -> set[str]:
    """Claim questions for a batch job of a run, which outlives the process; returns those that are now its own."""
    return set(connection.scalars(_HOLD, {"keys": sorted(keys), "run_id": run_id}))


def release(keys: Collection[str], holder: int) -> Statement:
    """Give up claims of a holder: the questions have ended. What others hold by now stays theirs."""
    return _RELEASE, [as_text(keys), holder]


@contextmanager
def claimant(ledger: Database, run_id: str, seconds: float = LEASE_SECONDS) -> Iterator[Claimant]:
    """A claimant for the block, kept alive by a thread; its claims end with it, or `seconds` after its last sign."""
    lease = Lease(ledger, "", seconds)
    lease.name = f"claimant/{lease.holder}"
    ours = Claimant(lease, run_id)
    with transaction(ledger) as connection:
        sweep(connection)
    lease.take()
    try:
        with beating(seconds, lease.renew, run_id):
            yield ours
    finally:
        _end(ours)


def _end(ours: Claimant) -> None:
    try:
        with transaction(ours.lease.ledger) as connection:
            connection.execute(_END, {"holder": ours.holder})
            ours.lease.give_up(connection)
        with transaction(ours.lease.ledger) as connection:
            connection.execute(_CLEAR)
    except LedgerUnavailable as error:
        log.warning("what %s had claimed is free in %.0f s only: %s", ours.run_id, ours.lease.seconds, error)
