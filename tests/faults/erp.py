"""Histories of nights that write to an ERP which others use too: kills, lost answers, late writes, and other people."""

from __future__ import annotations

import subprocess
import time
from base64 import b64encode
from typing import Any

from sqlalchemy import text

from include.database import open_database
from tests.faults import deliveries
from tests.faults.planner import change_by_hand, changes
from tests.faults.world import HANGS_SECONDS, World, wait_until

FAULTS = {
    "5xx": {"http_500": 0.2, "http_503": 0.2},
    "resets": {"reset": 0.3},
    "429": {"rate_limited": 0.3},
    "late": {"timeout": 0.2},
    "links": {"repeated_link": 0.4},
}
LOST, MEDDLE = {"after": 0.2, "cut": 0.2}, {"meddle": 0.3}
DEEDS = 5
MIXED = {"after": 0.1, "cut": 0.1, "meddle": 0.1}
_OPEN = "SELECT external_id FROM nightledger.outbox WHERE status = 'intended' ORDER BY 1"


def by_hand(here: World, key: str) -> bool:
    """Somebody changes a record while nobody is looking."""
    login = f"{here.endpoints.erp_login}:{here.endpoints.erp_password}"
    return change_by_hand(here.endpoints.erp_url, f"Basic {b64encode(login.encode()).decode()}", key)


def journal(here: World) -> Any:
    """What the ERP itself has on record."""
    return changes(here.folder / "sandbox" / "erp" / "journal.jsonl")


def writes(here: World) -> None:
    """A change is carried out and the night killed before it knows; in the gap others change what it was about to.

    Then 503 after a change, a connection cut after one, and somebody who is quicker by a moment.
    """
    deliveries.deliver(here, 12)
    faults = here.chance.sample(["after", "cut", "meddle"], 3)
    here.erp.script.extend(["hold", *faults])
    here.deeds.extend(["kill between send and confirm", *faults])
    night = deliveries.start(here)
    wait_until(lambda: here.erp.held.is_set() or night.poll() is not None, HANGS_SECONDS)
    assert here.erp.held.is_set(), f"nothing was written: {here.said('night')}"
    night.kill()
    night.wait()
    here.effects["kill between send and confirm"] += 1
    here.erp.let_go.set()
    _change_in_the_gap(here)
    deliveries.finish(here, deliveries.start(here))
    here.calm()


def _change_in_the_gap(here: World) -> None:
    """Others change a record that the night has written without knowing, and one that it has not written yet."""
    wait_until(lambda: here.erp.in_flight == 0, 5)
    engine = open_database(here.server.url("nightledger"))
    with engine.connect() as connection:
        waiting = list(connection.scalars(text(_OPEN)))
    engine.dispose()
    arrived = {one.key for one in journal(here) if not one.by_hand}
    kinds = {
        "changed after an unknown write": [key for key in waiting if key in arrived],
        "changed before its write": [key for key in waiting if key not in arrived],
    }
    for name, keys in kinds.items():
        if keys:
            here.effects[name] += by_hand(here, here.chance.choice(keys))


def storm(here: World) -> None:
    """Kills in the air, lost answers, late writes, other people, restarts of the ledger, and a broken ERP."""
    rows = [row for of_file in deliveries.deliver(here, 30) for row in of_file]
    odd = here.chance.choice(["late", "links"])
    here.erp.script.extend(here.chance.sample(["meddle", "after", "cut"], 3))
    here.erp.rates = MIXED
    if odd == "late":
        here.fail(FAULTS[odd], "erp", "write")
    here.deeds.extend(["mixed", odd])
    night = deliveries.start(here)
    wait_until(lambda: here.erp.first.is_set() or night.poll() is not None, HANGS_SECONDS)
    assert here.erp.first.is_set(), f"nothing was written: {here.said('night')}"
    pool = ["kill", "kill", "5xx", "resets", "429", odd, "lost", "somebody else", "by hand", "ledger"]
    planned = ["somebody else", "kill", "lost", "by hand"]
    for deed in [*planned, *here.chance.choices(pool, k=DEEDS)]:
        _await_write(here, night)
        if night.poll() == 0:
            break
        if night.poll() is not None:
            here.gave_up.append(here.said("night"))
            night = deliveries.start(here)
            _await_write(here, night)
        here.deeds.append(deed)
        if deed == "kill":
            if here.kill(night, here.erp):
                night = deliveries.start(here)
        elif deed == "by hand":
            here.effects["by hand"] += by_hand(here, here.chance.choice(rows).series)
        elif deed == "ledger":
            here.restart_ledger()
        elif deed in FAULTS:
            here.fail(FAULTS[deed], "erp")
        else:
            here.erp.rates = {"lost": LOST, "somebody else": MEDDLE}[deed]
        time.sleep(here.chance.uniform(0.2, 0.8))
    here.calm()
    deliveries.finish(here, night)


def _await_write(here: World, night: subprocess.Popen[str]) -> None:
    """What the nemesis did while nothing is written would hit nothing."""
    wait_until(lambda: here.erp.in_flight > 0 or night.poll() is not None, HANGS_SECONDS)
