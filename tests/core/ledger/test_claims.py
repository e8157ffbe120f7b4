"""One question is asked by one process at a time, and a dead one's questions are free."""

from __future__ import annotations

import subprocess
import sys

from include.ledger.claims import claimant, release
from include.ledger.database import transaction
from include.settings import ROOT
from tests.core.conftest import Ledger


def test_two_claimants_never_hold_the_same_question(ledger: Ledger) -> None:
    with claimant(ledger.service, "one") as one, claimant(ledger.service, "two") as two:
        assert one.claim({"a", "b"}) == {"a", "b"}
        assert two.claim({"b", "c"}) == {"c"}
        assert one.claim({"a"}) == set()  # asked once more in the same process: it is being asked already
        with transaction(ledger.service) as connection:
            release(connection, {"b"})
        assert two.claim({"a", "b"}) == {"b"}


def test_claims_end_with_their_process(ledger: Ledger) -> None:
    with claimant(ledger.service, "one") as one:
        one.claim({"a"})
    with claimant(ledger.service, "two") as two:
        assert two.claim({"a"}) == {"a"}


def test_claims_of_a_killed_process_are_taken_over(ledger: Ledger) -> None:
    program = """
import sys, time
from include.ledger.claims import claimant
from include.ledger.database import open_engine
with claimant(open_engine(sys.argv[1]), "killed") as mine:
    mine.claim({"a", "b"})
    print("held", flush=True)
    time.sleep(60)
"""
    command = [sys.executable, "-c", program, ledger.urls.service]
    with (
        claimant(ledger.service, "two") as two,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert two.claim({"a"}) == set()
        process.kill()
        process.wait()
        for _ in range(100):
            if two.claim({"a"}) == {"a"}:
                break
        assert two.claim({"b"}) == {"b"}
