"""Who is asking a question right now: two runs, shards or machines never pay for the same answer at the same time."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, and_, bindparam, delete, func, or_, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import Text

from include.ledger import tables
from include.ledger.database import transaction

_CLAIM = text(
    "INSERT INTO nightledger.claim (inference_key, holder, run_id) "
    "SELECT unnest(:keys), :holder, :run_id ON CONFLICT (inference_key) DO NOTHING RETURNING inference_key"
).bindparams(bindparam("keys", type_=ARRAY(Text)))

OF_A_JOB = 0
"""The holder of what a batch job asks: it lives as long as the job, not as a process."""
_LONGEST_JOB = "26 hours"
_HOLD = text(
    "INSERT INTO nightledger.claim AS held (inference_key, holder, run_id) SELECT unnest(:keys), 0, :run_id "
    "ON CONFLICT (inference_key) DO UPDATE SET claimed_at = clock_timestamp(), run_id = excluded.run_id, holder = 0 "
    f"WHERE (held.holder = 0 AND held.run_id = excluded.run_id) OR held.claimed_at < now() - interval '{_LONGEST_JOB}' "
    "RETURNING inference_key"
).bindparams(bindparam("keys", type_=ARRAY(Text)))
_HELD = text(
    "SELECT inference_key FROM nightledger.claim WHERE inference_key = ANY (:keys) AND holder = :holder FOR UPDATE"
).bindparams(bindparam("keys", type_=ARRAY(Text)))
_RELEASE = text("DELETE FROM nightledger.claim WHERE inference_key = ANY (:keys)").bindparams(
    bindparam("keys", type_=ARRAY(Text))
)


@dataclass(frozen=True)
class Claimant:
    """One process that asks; it is alive as long as its session holds its lock."""

    engine: Engine
    run_id: str
    holder: int

    def claim(self, keys: Collection[str]) -> set[str]:
        """Claim questions; returns those that are now ours. The others are being asked by somebody who is alive."""
        with transaction(self.engine) as connection:
            ours = self._insert(connection, keys)
            rest = set(keys) - ours
            if rest and self._bury_dead(connection, rest):
                ours |= self._insert(connection, rest)
        return ours

    def _insert(self, connection: Connection, keys: Collection[str]) -> set[str]:
        values = {"keys": sorted(keys), "holder": self.holder, "run_id": self.run_id}
        return set(connection.scalars(_CLAIM, values))

    def _bury_dead(self, connection: Connection, keys: Collection[str]) -> bool:
        """Drop the claims of processes that are gone: their lock can be had."""
        c = tables.claim.c
        query = select(c.holder).distinct().where(c.inference_key.in_(list(keys)), c.holder != self.holder)
        alive = query.where(c.holder != OF_A_JOB)
        dead = [h for h in connection.scalars(alive) if connection.scalar(select(func.pg_try_advisory_xact_lock(h)))]
        late = and_(c.holder == OF_A_JOB, c.claimed_at < func.now() - text(f"interval '{_LONGEST_JOB}'"))
        gone = connection.execute(delete(tables.claim).where(or_(c.holder.in_(dead), late)))
        return bool(gone.rowcount)


def held(connection: Connection, keys: Collection[str], holder: int) -> set[str]:
    """The questions whose claim is still ours; it stays so until the transaction ends."""
    return set(connection.scalars(_HELD, {"keys": sorted(keys), "holder": holder}))


def hold_for_job(connection: Connection, keys: Collection[str], run_id: str) -> set[str]:
    """Claim questions for a batch job of a run, which outlives the process; returns those that are now its own."""
    return set(connection.scalars(_HOLD, {"keys": sorted(keys), "run_id": run_id}))


def release(connection: Connection, keys: Collection[str]) -> None:
    """Give up claims: the questions have ended."""
    connection.execute(_RELEASE, {"keys": sorted(keys)})


@contextmanager
def claimant(engine: Engine, run_id: str) -> Iterator[Claimant]:
    """A claimant for the block; its claims end with it, or with the death of this process."""
    holder = random.SystemRandom().getrandbits(62)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as session:
        session.execute(select(func.pg_advisory_lock(holder)))
        try:
            yield Claimant(engine, run_id, holder)
        finally:
            with suppress(DBAPIError):  # a session that is gone has lost its lock, and others take its claims over
                session.execute(delete(tables.claim).where(tables.claim.c.holder == holder))
                session.execute(select(func.pg_advisory_unlock(holder)))
