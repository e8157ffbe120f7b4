"""Histories of deliveries that grow, are replaced, vanish and are cut while a night reads them."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.faults import deliveries
from tests.faults.deliveries import BALLAST, NAMES, Row, bomb, content, draw, folder, keep
from tests.faults.files import SECONDS
from tests.faults.world import HANGS_SECONDS, World, wait_until

ROWS = 40
SEEN = {"growth seen": "is still growing", "loss seen": "was taken away", "bomb seen": "taken for a zip bomb"}
"""What nights have said of the files that they did not take."""
BOMB = "proposals_2026-11-19_z.zip"


def storm(here: World) -> None:
    """Whatever senders, others and the network do to files while they are read, and kill -9 in the middle of it."""
    here.sftp.pace = 0.08
    drawn = dict(zip(NAMES, draw(here, ROWS), strict=True))
    growing, *others = here.chance.sample(NAMES, 3)
    for name in others:
        _drop(here, name, drawn[name])
    grow = threading.Thread(target=_grow, args=(here, growing, drawn[growing]))
    grow.start()
    here.deeds.append("grows")
    night = deliveries.start(here)
    _await_reading(here, night)
    until = time.monotonic() + 2 * SECONDS
    planned = ["kill", "replaced"]
    pool = ["kill", "kill", "replaced", "rewritten", "vanishes", "cut", "refuse", "bomb"]
    while planned or grow.is_alive() or time.monotonic() < until:
        if night.poll() is not None:
            if night.returncode == 0:
                break
            night = deliveries.start(here)
        _await_reading(here, night)
        if not planned and time.monotonic() > until:  # what grows is looked at once more, in peace
            night.wait(HANGS_SECONDS)
            continue
        deed = planned.pop(0) if planned else here.chance.choice(pool)
        here.deeds.append(deed)
        night = _strike(here, night, deed, here.chance.choice(others), drawn)
        time.sleep(here.chance.uniform(0.1, 0.6))
    grow.join()
    here.calm()
    (folder(here) / BOMB).unlink(missing_ok=True)
    deliveries.finish(here, night)
    said = here.log("night").read_text()
    here.effects.update({name: said.count(words) for name, words in SEEN.items()})


def _await_reading(here: World, night: subprocess.Popen[str]) -> None:
    wait_until(lambda: here.sftp.passing > 0 or night.poll() is not None, HANGS_SECONDS)


def _strike(
    here: World, night: subprocess.Popen[str], deed: str, name: str, drawn: dict[str, list[Row]]
) -> subprocess.Popen[str]:
    if deed == "kill":
        flying = here.sftp.passing > 0
        night.kill()
        night.wait()
        here.effects["kill in extract"] += flying
        return deliveries.start(here)
    if deed == "cut":
        here.sftp.script.append(here.chance.randint(5_000, 150_000))
    elif deed == "refuse":
        here.sftp.script.append("refuse")
    elif deed == "bomb":
        _put(folder(here) / BOMB, bomb())
        here.effects["bomb"] += 1
    else:
        _deal(here, deed, folder(here) / name, drawn[name])
    return night


def _deal(here: World, deed: str, place: Path, rows: list[Row]) -> None:
    """Do something to a file that lies there; one that has been read and archived already is left alone."""
    if not place.exists():
        return
    here.effects[deed] += 1
    if deed == "vanishes":
        away = place.with_name(f".{place.name}")
        place.rename(away)
        time.sleep(here.chance.uniform(0.2, 1.5))
        away.rename(place)
        return
    rows[:] = [Row(row.series, row.demand + 1_000, row.note) for row in rows]
    data = keep(here, place.name, content(rows, BALLAST))
    if deed == "replaced":
        _put(place, data)
        return
    with place.open("wb") as file:
        for at in range(0, len(data), 20_000):
            file.write(data[at : at + 20_000])
            file.flush()
            time.sleep(0.05)


def _goes_on(here: World, at: int) -> bool:
    return at > 0 or here.sftp.passing > 0


def _drop(here: World, name: str, rows: Sequence[Row]) -> None:
    _put(folder(here) / name, keep(here, name, content(rows, BALLAST)))


def _put(place: Path, data: bytes) -> None:
    """Write a file under another name, then give it its own in one step."""
    away = place.with_name(f".{place.name}.new")
    away.write_bytes(data)
    away.rename(place)


def _grow(here: World, name: str, rows: Sequence[Row]) -> None:
    """A sender without checksums who goes on with a file once somebody reads, and takes some seconds for it."""
    data = keep(here, name, content(rows, BALLAST))
    size = len(data) // 80 + 1
    with (folder(here) / name).open("wb") as file:
        for at in range(0, len(data), size):
            file.write(data[at : at + size])
            file.flush()
            wait_until(partial(_goes_on, here, at), HANGS_SECONDS)
            if SEEN["growth seen"] in here.log("night").read_text():
                file.write(data[at + size :])
                return
            time.sleep(0.5)


def _goes_on(here: World, at: int) -> bool:
    return at > 0 or here.sftp.passing > 0


def _drop(here: World, name: str, rows: Sequence[Row]) -> None:
    _put(folder(here) / name, keep(here, name, content(rows, BALLAST)))


def _put(place: Path, data: bytes) -> None:
    """Write a file under another name, then give it its own in one step."""
    away = place.with_name(f".{place.name}.new")
    away.write_bytes(data)
    away.rename(place)


def _grow(here: World, name: str, rows: Sequence[Row]) -> None:
    """A sender without checksums who goes on with a file once somebody reads, and takes some seconds for it."""
    data = keep(here, name, content(rows, BALLAST))
    size = len(data) // 24 + 1
    with (folder(here) / name).open("wb") as file:
        for at in range(0, len(data), size):
            file.write(data[at : at + size])
            file.flush()
            wait_until(partial(_goes_on, here, at), HANGS_SECONDS)
            time.sleep(0.5)
