"""What waits for people, as the pages show it."""

from __future__ import annotations

from include.database import Database
from include.ledger import review_queue
from include.ledger.review_queue import ItemPage, Queue, Wanted
from include.pages.reading import reading


def show_queue(ledger: Database, wanted: Wanted, after: str | None, limit: int) -> Queue:
    """One page of a queue; `after` is the place of the last item seen."""
    with reading(ledger) as connection:
        return review_queue.list_items(connection, wanted, after, limit)


def show_item(ledger: Database, number: int) -> ItemPage | None:
    """One item with all that helps to decide; None if there is none."""
    with reading(ledger) as connection:
        return review_queue.show_item(connection, number)


def count_waiting(ledger: Database, use_cases: list[str]) -> dict[str, int]:
    """How many items wait, by use case; those with none are left out."""
    with reading(ledger) as connection:
        return review_queue.count_waiting(connection, use_cases)
