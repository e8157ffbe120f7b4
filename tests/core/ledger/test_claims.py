"""One question is asked by one process at a time, and a dead or paused one's questions are free after its lease."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from sqlalchemy import text

from include.database import open_database, send, transaction
from include.ledger.claims import Claimant, claimant, held, hold_for_job, release
from include.settings import ROOT
from tests.core.conftest import Ledger

SHORT = 1.0  # seconds of a lease in these tests
HOLDS = """
import sys, time
from include.ledger.claims import claimant, held
from include.database import open_database, send, transaction
engine = open_database(sys.argv[1])
with claimant(engine, "other", 1.0) as mine:
    mine.claim({"a", "b"})
    print("held", flush=True)
    sys.stdin.readline()
    with transaction(engine) as connection:
        print(sorted(held(connection, {"a", "b"}, mine.holder)), flush=True)
    print(sorted(mine.claim({"c"})), flush=True)
"""


@contextmanager
def other_process(ledger: Ledger) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDS, ledger.urls.service]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def take_over(ours: Claimant, keys: Collection[str]) -> set[str]:
    """What is claimed once it is free."""
    until, found = time.monotonic() + 30, set[str]()
    while found != set(keys) and time.monotonic() < until:
        found |= ours.claim(set(keys) - found)
        time.sleep(0.05)
    return found


def held_now(ledger: Ledger, keys: Collection[str], holder: int) -> set[str]:
    with transaction(ledger.service) as connection:
        return held(connection, keys, holder)


def test_two_claimants_never_hold_the_same_question(ledger: Ledger) -> None:
    with claimant(ledger.service, "one") as one, claimant(ledger.service, "two") as two:
        assert one.claim({"a", "b"}) == {"a", "b"}
        assert two.claim({"b", "c"}) == {"c"}
        assert one.claim({"a"}) == set()  # asked once more in the same process: it is being asked already
        with transaction(ledger.service) as connection:
            send(connection, [release({"b", "c"}, one.holder)])  # c is not its own to give up
        assert two.claim({"a", "b"}) == {"b"}
        assert held_now(ledger, {"a", "b", "c"}, one.holder) == {"a"}
        assert held_now(ledger, {"a", "b", "c"}, two.holder) == {"b", "c"}


def test_claims_end_with_their_process(ledger: Ledger) -> None:
    with claimant(ledger.service, "one") as one:
        one.claim({"a"})
    with claimant(ledger.service, "two") as two:
        assert two.claim({"a"}) == {"a"}
    with transaction(ledger.service) as connection:
        assert connection.scalar(text("SELECT count(*) FROM lease")) == 0


def test_the_last_claimant_leaves_nothing_behind(ledger: Ledger) -> None:
    """Ended claims of a large night would be dead rows, and as much again in the indexes over them."""

    def size() -> int:
        with transaction(ledger.service) as connection:
            return int(connection.scalar(text("SELECT pg_total_relation_size('nightledger.claim')")) or 0)

    many = {f"{at:064}" for at in range(6_000)}
    with claimant(ledger.service, "one") as one:
        with claimant(ledger.service, "two") as two:
            assert two.claim(many) == many
            assert one.claim({"mine"}) == {"mine"}
        assert size() > 1_000_000, "the other still asks"
        assert held_now(ledger, {"mine"}, one.holder) == {"mine"}
    assert size() < 100_000
    with claimant(ledger.service, "three") as three:
        assert three.claim({"mine"}) == {"mine"}


def test_claims_of_a_killed_process_are_taken_over(ledger: Ledger) -> None:
    with claimant(ledger.service, "two") as two, other_process(ledger) as process:
        assert two.claim({"a"}) == set()
        process.kill()
        process.wait()
        assert take_over(two, {"a"}) == {"a"}
        assert two.claim({"b"}) == {"b"}


def test_a_paused_process_loses_its_claims_and_finds_out_when_it_wakes_up(ledger: Ledger) -> None:
    with claimant(ledger.service, "two") as two, other_process(ledger) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        os.kill(process.pid, signal.SIGSTOP)
        assert take_over(two, {"a", "b"}) == {"a", "b"}
        os.kill(process.pid, signal.SIGCONT)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "[]\n"  # held() says no, before anything is sent
        assert process.stdout.readline() == "['c']\n"  # and it goes on with what nobody else has
        assert held_now(ledger, {"a", "b"}, two.holder) == {"a", "b"}


def test_a_process_that_lives_keeps_its_claims_for_many_leases(ledger: Ledger) -> None:
    with claimant(ledger.service, "one", SHORT) as one, claimant(ledger.service, "two") as two:
        one.claim({"a"})
        until = time.monotonic() + 3 * SHORT
        while time.monotonic() < until:
            assert two.claim({"a"}) == set()
            time.sleep(0.1)
        assert held_now(ledger, {"a"}, one.holder) == {"a"}
        assert one.is_sure


def test_a_take_over_waits_for_a_group_that_is_being_committed(ledger: Ledger) -> None:
    taken, own = list[set[str]](), open_database(ledger.urls.service)
    with claimant(ledger.service, "one") as one, claimant(own, "two") as two:
        one.claim({"a"})
        with transaction(ledger.service) as connection:
            assert held(connection, {"a"}, one.holder) == {"a"}
            with transaction(ledger.owner) as clock:  # its time passes while its group is on the way
                clock.execute(text("SET LOCAL lock_timeout = '5s'"))
                name = {"name": f"claimant/{one.holder}"}
                clock.execute(text("UPDATE lease SET until = now() - interval '1 s' WHERE name = :name"), name)
            other = threading.Thread(target=lambda: taken.append(two.claim({"a"})))
            other.start()
            other.join(0.5)
            assert taken == []
        other.join(30)
        assert taken == [{"a"}]
    own.dispose()


def test_a_heartbeat_survives_a_ledger_that_is_away_for_a_while(ledger: Ledger) -> None:
    with claimant(ledger.service, "one", 2.0) as one:
        one.claim({"a"})
        with ledger.owner.connect() as connection:
            connection.execute(text("ALTER ROLE nightledger_service NOLOGIN"))
            connection.commit()
            gone = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'nightledger_service'")
            connection.execute(gone)
            time.sleep(1.0)
            connection.execute(text("ALTER ROLE nightledger_service LOGIN"))
            connection.commit()
        time.sleep(2.0)
        assert held_now(ledger, {"a"}, one.holder) == {"a"}


def test_nothing_is_held_once_the_lease_has_run_out(ledger: Ledger) -> None:
    with claimant(ledger.service, "one") as one:
        one.claim({"a"})
        assert held_now(ledger, {"a"}, one.holder) == {"a"}
        with transaction(ledger.owner) as connection:
            connection.execute(text("UPDATE lease SET until = now() - interval '1 s'"))
        assert held_now(ledger, {"a"}, one.holder) == set()


def test_a_claim_for_a_batch_outlives_every_process(ledger: Ledger) -> None:
    with transaction(ledger.service) as connection:
        assert hold_for_job(connection, {"a"}, "one") == {"a"}
    with claimant(ledger.service, "two") as two:
        assert two.claim({"a"}) == set()
        with transaction(ledger.owner) as connection:
            connection.execute(text("UPDATE claim SET claimed_at = now() - interval '27 hours'"))
        assert two.claim({"a"}) == {"a"}


def test_a_process_that_is_paused_while_others_wait_for_its_budgets_holds_them_shortly(ledger: Ledger) -> None:
    with claimant(ledger.service, "one") as one:
        one.claim({"a"})
        with transaction(ledger.service) as connection:
            assert held(connection, {"a"}, one.holder) == {"a"}
            assert connection.scalar(text("SHOW idle_in_transaction_session_timeout")) == "10s"
