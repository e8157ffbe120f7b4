"""Which system the answers of a use case and model came from before answers were kept by system."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from include.database import Database, transaction
from include.ledger import tables


def find_home(ledger: Database, use_case: str, model: str, identity: str, *, claim: bool) -> str | None:
    """The system whose answers need no name in their key: the first that was asked; None while there is none.

    With `claim`, `identity` becomes that system if none is yet. Once on record it never changes.
    """
    h = tables.answer_home
    found = select(h.c.system).where(h.c.use_case == use_case, h.c.model == model)
    with transaction(ledger) as connection:
        home: str | None = connection.scalar(found)
        if home is None and claim:
            row = insert(h).values(use_case=use_case, model=model, system=identity)
            connection.execute(row.on_conflict_do_nothing())
            home = connection.scalar(found)
    return home
