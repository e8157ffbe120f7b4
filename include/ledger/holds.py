"""Legal holds: what nobody may erase or remove until the hold is lifted; set and lifted on record, with who and why."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import insert, select, text, update

from include.database import Database, transaction
from include.errors import ConfigurationError
from include.ledger import tables
from include.ledger.record import record_event

STREAM = "holds"


@dataclass(frozen=True, slots=True)
class Hold:
    """What is held: a row of a use case, a use case, or everything (empty), of nights within [starts_at, ends_at).

    A time that is None is open. `lifted_at` is None while it stands.
    """

    hold_id: int
    use_case: str
    row_key: str
    starts_at: datetime | None
    ends_at: datetime | None
    reason: str
    set_by: str
    set_at: datetime
    lifted_by: str | None
    lifted_at: datetime | None
    lifted_why: str | None

    def __str__(self) -> str:
        what = f"row {self.row_key} of {self.use_case}" if self.row_key else self.use_case or "everything"
        begin, end = (f"{one:%Y-%m-%d}" if one else "" for one in (self.starts_at, self.ends_at))
        when = f" of nights from {begin or 'ever'} to {end or 'ever'}" if begin or end else ""
        lifted = f"; lifted by {self.lifted_by}: {self.lifted_why}" if self.lifted_at else ""
        return f"{self.hold_id:>5}  {what}{when}: {self.reason} ({self.set_by}, {self.set_at:%Y-%m-%d}){lifted}"


def set_hold(
    ledger: Database,
    who: str,
    why: str,
    *,
    use_case: str = "",
    row_key: str = "",
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
) -> Hold:
    """Hold what is named; raises ConfigurationError without a reason, for a row of no use case, or an empty time."""
    if not why.strip():
        raise ConfigurationError("needs a reason, which is kept", about="a hold")
    if row_key and not use_case:
        raise ConfigurationError("a row is one of a use case: give it too", about="a hold")
    if starts_at and ends_at and starts_at >= ends_at:
        raise ConfigurationError("ends before it starts, so it would hold nothing", about="a hold")
    held = {"use_case": use_case, "row_key": row_key, "starts_at": starts_at, "ends_at": ends_at}
    h = tables.legal_hold
    with transaction(ledger) as connection:
        put = insert(h).values(**held, reason=why.strip(), set_by=who).returning(h.c.hold_id)
        number = int(connection.execute(put).scalar_one())
        times = {name: one.isoformat() if isinstance(one, datetime) else one for name, one in held.items()}
        record_event(connection, STREAM, "hold.set", {"hold_id": number, **times, "reason": why.strip()}, who)
    return next(one for one in holds(ledger) if one.hold_id == number)


def lift_hold(ledger: Database, number: int, who: str, why: str) -> Hold:
    """Lift a hold; raises ConfigurationError without a reason, or where none of that number stands."""
    if not why.strip():
        raise ConfigurationError("needs a reason, which is kept", about="lifting a hold")
    h = tables.legal_hold
    values = {"lifted_by": who, "lifted_at": text("clock_timestamp()"), "lifted_why": why.strip()}
    with transaction(ledger) as connection:
        standing = update(h).where(h.c.hold_id == number, h.c.lifted_at.is_(None)).values(values)
        if not connection.execute(standing).rowcount:
            raise ConfigurationError("no hold of this number stands", system="ledger", about=str(number))
        record_event(connection, STREAM, "hold.lifted", {"hold_id": number, "reason": why.strip()}, who)
    return next(one for one in holds(ledger, lifted=True) if one.hold_id == number)


def holds(ledger: Database, *, lifted: bool = False) -> list[Hold]:
    """Holds that stand, and those that were lifted as well; oldest first."""
    h = tables.legal_hold
    query = select(*(h.c[one.name] for one in fields(Hold))).order_by(h.c.hold_id)
    with transaction(ledger) as connection:
        rows = connection.execute(query if lifted else query.where(h.c.lifted_at.is_(None))).mappings().all()
    return [Hold(**row) for row in rows]
