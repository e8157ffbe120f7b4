"""Histories of whole nights: CRM, file drop, model, CRM again, from the command line."""

from __future__ import annotations

import json
import subprocess
import time

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import requests

from tests.faults.files import DAY, MODEL_FAULTS, SECONDS
from tests.faults.world import HANGS_SECONDS, SECRETS, World, wait_until

WHEN = ["crm_lead_scoring", "--from", "2026-11-19T02:00", "--to", "2026-11-20T02:00", "--mode", "auto"]
CRM_FAULTS = {
    "crm 5xx": {"http_500": 0.2, "http_503": 0.2},
    "crm resets": {"reset": 0.3},
    "crm 429": {"rate_limited": 0.3},
}
STAGES = ("extract", "check", "enrich", "gate", "write", "close")
READ_BY = {"raw": "check", "good": "enrich", "enriched": "gate", "approved": "write"}
_FORGE = "UPDATE nightledger.inference_result SET parsed = '{\"score\": 1}'"


def start(here: World, name: str = "night", *, stage: str = "all", clock: float = 0.0) -> subprocess.Popen[str]:
    """Start a night, or a stage of it."""
    return here.command(name, ["run", stage, *WHEN], clock=clock)


def finish(here: World, process: subprocess.Popen[str], name: str = "night") -> None:
    """Let a night come to its end; one that gave up is started again, as Airflow would."""
    here.finish(name, process, lambda: start(here, name))


def again(here: World) -> None:
    """The same night once more, in peace."""
    finish(here, start(here))


def await_first_call(here: World, night: subprocess.Popen[str]) -> None:
    """The model is being asked: what the nemesis did before would have hit nothing."""
    wait_until(lambda: here.model.first.is_set() or night.poll() is not None, HANGS_SECONDS)
    assert here.model.first.is_set(), f"no call arrived: {here.said('night')}"


def storm(here: World) -> None:
    """Kills in the air, restarts of the ledger, and whatever the model and the CRM can do wrong."""
    night = start(here)
    await_first_call(here, night)
    until, deeds = time.monotonic() + SECONDS, ["kill", *MODEL_FAULTS, *CRM_FAULTS, "ledger"]
    deed = "kill"
    while time.monotonic() < until and night.poll() is None:
        here.deeds.append(deed)
        if deed == "kill":
            if here.kill(night):
                night = start(here)
        elif deed == "ledger":
            here.restart_ledger()
        else:
            where = "crm" if deed in CRM_FAULTS else "model"
            here.fail({**MODEL_FAULTS, **CRM_FAULTS}[deed], where)
        time.sleep(here.chance.uniform(0.2, 1.0))
        deed = here.chance.choice(deeds)
    here.calm()
    finish(here, night)


def writes(here: World) -> None:
    """A write is carried out and the night killed before it knows; then 503 after a write, and a batch done in part."""
    faults = here.chance.sample(["after", "part"], 2)
    here.crm.script.extend(["hold", *faults])
    here.deeds.extend(["kill between send and confirm", *faults])
    night = start(here)
    held = (
        wait_until(lambda: here.crm.held.is_set() or night.poll() is not None, HANGS_SECONDS) and here.crm.held.is_set()
    )
    assert held, f"nothing was written: {here.said('night')}"
    night.kill()
    night.wait()
    here.effects["kill between send and confirm"] += 1
    here.crm.let_go.set()
    finish(here, start(here))
    here.calm()


def drops(here: World) -> None:
    """The file server refuses, cuts connections, and the file's writer pauses in the middle of it."""
    drop = here.folder / "sandbox" / "sftp" / "drop"
    (file,) = drop.glob("*.csv")
    whole, digest = file.read_bytes(), file.with_name(f"{file.name}.sha256")
    digest.unlink(missing_ok=True)  # a sender without checksums
    file.write_bytes(whole[: len(whole) // 2])
    here.sftp.script.extend(here.chance.sample(["refuse", here.chance.randint(5_000, 100_000), "refuse"], 3))
    here.deeds.extend(["the writer pauses", *map(str, here.sftp.script)])
    night = start(here)
    wait_until(lambda: bool(here.sftp.effects) or night.poll() is not None, HANGS_SECONDS)
    while here.sftp.script and night.poll() is None:
        time.sleep(0.05)
    time.sleep(2)
    file.write_bytes(whole)
    here.effects["the writer paused"] += 1
    finish(here, night)
    here.calm()
    with psycopg.connect(here.server.url("nightledger", driver="postgresql")) as connection:
        (size,) = connection.execute("SELECT max(bytes) FROM nightledger.source_file").fetchone() or (None,)
    assert size == len(whole), f"{size} of {len(whole)} bytes of the file were taken"


def twice(here: World) -> None:
    """Two ordinary runs of one date at once: everything is asked, paid and written once, and both are closed."""
    one = start(here, "one")
    time.sleep(here.chance.uniform(0.0, 2.0))
    other = start(here, "other")
    here.effects["two runs of a date"] += 1
    finish(here, one, "one")
    finish(here, other, "other")


def clocks(here: World) -> None:
    """A night whose clock is a day off spends from the ceilings of the day that it is."""
    finish(here, start(here, clock=here.chance.choice([-DAY, DAY])))
    assert not here.gave_up, f"the night gave up: {here.gave_up[0]}"
    here.effects["wrong clock"] += 1


def tampered(here: World) -> None:
    """Somebody on the machine changes what is staged between two stages: the next one refuses it."""
    chosen = here.chance.sample(sorted(READ_BY), 2)
    for stage in STAGES:
        dataset = next((name for name in chosen if READ_BY[name] == stage), None)
        if dataset is not None:
            _tamper(here, dataset, stage)
        night = start(here, stage, stage=stage)
        assert night.wait(HANGS_SECONDS) in (0, 1), f"{stage}: {here.said(stage)}"
    _forge_answers(here)


def _tamper(here: World, dataset: str, stage: str) -> None:
    (place,) = (file for file in here.folder.glob(f"staging/**/{dataset}*.parquet"))
    kept, calls, written = place.read_bytes(), len(here.calls()), here.crm_counts()["records_written"]
    table = pq.read_table(place)
    at = table.column_names.index("output" if "output" in table.column_names else "job_title")
    forged = [_forge(value) for value in table.column(at).to_pylist()]
    pq.write_table(table.set_column(at, table.column_names[at], pa.array(forged, table.schema.field(at).type)), place)
    here.deeds.append(f"{dataset} changed")
    night = start(here, stage, stage=stage)
    ended = night.wait(HANGS_SECONDS)
    place.write_bytes(kept)
    assert ended == 2, f"{stage} took a changed {dataset} (exit code {ended})"
    assert len(here.calls()) == calls, f"a changed {dataset} reached the model"
    assert here.crm_counts()["records_written"] == written, f"a changed {dataset} reached the CRM"
    here.effects[f"{dataset} changed"] += 1


def _forge(value: str | None) -> str | None:
    if value is None or not value.startswith("{"):
        return "Forged"
    return json.dumps({**json.loads(value), "score": 1})


def _forge_answers(here: World) -> None:
    """With the service's login, every answer on record; a night again must not write what nobody answered."""
    service = here.server.url("nightledger", "nightledger_service", SECRETS["nightledger_service"], "postgresql")
    here.deeds.append("answers changed")
    here.effects["answers changed"] += 1
    before = records(here)
    try:
        with psycopg.connect(service) as connection:
            connection.execute(_FORGE)
    except psycopg.errors.InsufficientPrivilege:
        return
    start(here).wait(HANGS_SECONDS)
    assert records(here) == before, "a forged answer was written"


def records(here: World) -> dict[str, dict[str, str]]:
    """What the CRM holds of the properties that nights write, by id."""
    names = "nl_lead_score,nl_lead_tier,nl_next_action,nl_score_origin"
    place = f"{here.endpoints.crm_url}/crm/v3/objects/contacts?limit=100&properties={names}"
    told = {"Authorization": f"Bearer {here.endpoints.crm_token}"}
    found = requests.get(place, headers=told, timeout=10).json()["results"]
    return {str(one["id"]): {name: one["properties"].get(name) for name in names.split(",")} for one in found}
