"""What a run gives its adapters."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from include.run import Night
from include.settings import ROOT
from include.systems.limits.shared import LedgerLevels
from include.systems.messages.declared import Message


def test_leave_for_a_webhook_is_shared_by_all_processes(make_night: Callable[..., Night], tmp_path: Path) -> None:
    registry = (ROOT / "include" / "systems.toml").read_text(encoding="utf-8").replace("limits = []", "limits = LIMIT")
    file = tmp_path / "systems.toml"
    file.write_text(registry.replace("LIMIT", "[{ requests = 5, per_seconds = 60 }]"), encoding="utf-8")
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    stored = {"conn_type": "http", "host": "http://127.0.0.1:9", "extra": {"signing_secret": secret}}
    connections = {"AIRFLOW_CONN_ONCALL_DEFAULT": json.dumps(stored)}
    night = make_night(settings={"systems_file": file}, connections=connections)
    sink = Message(system="oncall", object="hooks", fields={"tier": "tier"}, guard="append_once")
    assert isinstance(sink.open(night)._pace._levels, LedgerLevels)
