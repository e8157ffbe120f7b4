"""Bring a state folder to what the configuration asks for: seed it, reuse it, or add the days that are missing."""

from __future__ import annotations

import json
import os
import shutil
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from include.demo.sandbox.config import SandboxConfig, last_night
from include.demo.sandbox.journal import write_atomically
from include.demo.sandbox.seed.beside import BESIDE, GIVEN, seed_beside
from include.demo.sandbox.seed.days import Seeded, generate_day
from include.demo.sandbox.seed.folder import load_folder, require_folder, touch_folder
from include.demo.sandbox.seed.given import LEADS, kinds_in
from include.demo.sandbox.seed.table_database import add_rows
from include.errors import ConfigurationError

_ARRIVED_BEFORE_END = timedelta(hours=3)
"""When the files of a day arrived, beside the vendor's: whoever reads a folder goes by the time of its files."""
_OWN = ("crm", "model", "sftp", "erp", "tables", "webhook", "desk", "truth.json", "seed.json")


def prepare(config: SandboxConfig) -> None:
    """Write seed files, drop files and truth for every day that the folder lacks.

    `seed.json` is written last, so a folder without it is half made and is made again. Raises ConfigurationError if
    the folder was seeded with other parameters, naming them.
    """
    state = config.state
    known = None if config.fresh else _read(state / "seed.json")
    if known is None:
        _clear(state)
        known = {"parameters": _parameters(config), "ends": []}
    _refuse_other(known["parameters"], _parameters(config), state)
    missing = [end for end in _ends(config) if end.isoformat() not in known["ends"]]
    for end in missing:
        _write(state, end, "", _seed(config, end, is_first=not known["ends"]))
        known["ends"].append(end.isoformat())
    beside: dict[str, list[str]] = known.setdefault("beside", {})
    for name in BESIDE:
        for end in _ends(config):
            if end.isoformat() not in beside.setdefault(name, []):
                _write(state, end, name, seed_beside(name, config, end))
                beside[name].append(end.isoformat())
                missing.append(end)
    if missing:
        write_atomically(state / "seed.json", json.dumps(known, indent=1))


def require_data(data: Path) -> None:
    """Raise ConfigurationError for a folder of data that a sandbox could not be filled from, without filling one."""
    held = kinds_in(data)
    if LEADS in held:
        require_folder(data)
    for name in held & set(GIVEN):
        GIVEN[name](data, last_night())


def nights(config: SandboxConfig) -> list[date]:
    """Days on which the nights begin that the folder has, or will have once it is started."""
    known = _read(config.state / "seed.json") or {"ends": []}
    ends = {*map(datetime.fromisoformat, known["ends"]), *_ends(config)}
    return sorted((end - timedelta(days=1)).date() for end in ends)


def read_truth(state: Path) -> dict[str, str]:
    """Contact id to truth: the hidden tier of generated leads; won, lost or open for a folder's opportunities."""
    found = _read(state / "truth.json")
    if found is None:
        raise ConfigurationError(
            "has no truth.json", system="sandbox", about=str(state), action="Start the sandbox first"
        )
    return {str(number): str(label) for number, label in found.items()}


def _ends(config: SandboxConfig) -> list[datetime]:
    """Ends of the daily intervals wanted; with a folder of data only the newest."""
    days = 1 if config.data else config.days
    return [config.end - timedelta(days=back) for back in reversed(range(days))]


def _seed(config: SandboxConfig, end: datetime, *, is_first: bool) -> Seeded:
    if config.data is None or LEADS not in kinds_in(config.data):
        return generate_day(config, end)
    loaded = load_folder(config.data, end, config.seed)
    return loaded if is_first else touch_folder(loaded, config.data, end)


def _write(state: Path, end: datetime, kind: str, seeded: Seeded) -> None:
    for name, content in seeded.files.items():
        path = state / "sftp" / (name if "/" in name else f"drop/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if kind:
            arrived = (end - _ARRIVED_BEFORE_END).timestamp()
            os.utime(path, (arrived, arrived))
    truth = _read(state / "truth.json") or {}
    write_atomically(state / "truth.json", json.dumps({**truth, **seeded.truth}))
    lines = "".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in seeded.entries)
    if lines or not kind:
        write_atomically(state / "crm" / f"seed-{end:%Y%m%dT%H%M}{kind and f'-{kind}'}.jsonl", lines)
    add_rows(state, seeded.tables)


def _parameters(config: SandboxConfig) -> dict[str, Any]:
    """What must not change between two starts on one folder, in JSON's terms."""
    return {
        "seed": config.seed,
        "leads_per_day": config.leads_per_day,
        "data": str(config.data.resolve()) if config.data else None,
        "mess": dict(config.mess),
        "time_of_day": f"{config.end:%H:%M}",
    }


def _refuse_other(found: dict[str, Any], wanted: dict[str, Any], state: Path) -> None:
    changed = [name for name in wanted if found.get(name) != wanted[name]]
    if changed:
        raise ConfigurationError(
            "was seeded with another " + ", ".join(f"{name} ({found.get(name)!r})" for name in changed),
            system="sandbox",
            about=str(state),
            action="Use --fresh to throw its data away, or another --state",
        )


def _clear(state: Path) -> None:
    for name in _OWN:
        path = state / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
