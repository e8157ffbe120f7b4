"""A name of the whole ledger has one holder, which loses it when it is not heard of."""

from __future__ import annotations

import threading
import time

import pytest
from sqlalchemy import text

from include.database import open_database, transaction
from include.errors import LedgerUnavailable
from include.ledger.leases import Lease, exclusive
from tests.core.conftest import Ledger


def test_a_name_has_one_holder_at_a_time(ledger: Ledger) -> None:
    inside, most, count = threading.Lock(), list[bool](), list[int]()

    def work(number: int) -> None:
        engine = open_database(ledger.urls.service)
        with exclusive(engine, "replay/x"):
            most.append(inside.acquire(blocking=False))
            time.sleep(0.05)
            inside.release()
            count.append(number)
        engine.dispose()

    threads = [threading.Thread(target=work, args=[number]) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [True, True, True]
    assert sorted(count) == [0, 1, 2]


def test_a_name_stays_held_for_many_leases_and_is_free_afterwards(ledger: Ledger) -> None:
    other = Lease(ledger.service, "replay/x", 1.0)
    with exclusive(ledger.service, "replay/x", 1.0) as lease:
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            assert not other.take()
            time.sleep(0.1)
        lease.require()
    assert other.take()


def test_whoever_was_overtaken_is_told_before_it_goes_on(ledger: Ledger) -> None:
    with exclusive(ledger.service, "replay/x") as lease:
        with transaction(ledger.owner) as connection:
            connection.execute(text("UPDATE lease SET until = now() - interval '1 s'"))
        with exclusive(ledger.service, "replay/x") as second:
            with pytest.raises(LedgerUnavailable, match="replay/x"):
                lease.require()
            second.require()
        with pytest.raises(LedgerUnavailable, match="another took its place"):  # also after the other has ended
            lease.require()


def test_leases_that_ran_out_long_ago_are_forgotten(ledger: Ledger) -> None:
    from include.ledger.claims import claimant

    assert Lease(ledger.service, "old").take()
    with transaction(ledger.owner) as connection:
        connection.execute(text("UPDATE lease SET until = now() - interval '2 days'"))
    with claimant(ledger.service, "one"), transaction(ledger.service) as connection:
        assert connection.scalar(text("SELECT count(*) FROM lease WHERE name = 'old'")) == 0
