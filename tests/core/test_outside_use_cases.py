"""Use cases of another package, on systems that no use case here knows, found by their entry points and run whole."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.cli import main
from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.settings import ROOT
from include.spec import names
from tests.core.commands.test_cli import connection
from tests.core.conftest import Ledger

INTERVAL = ("--from", "2026-11-20T02:00", "--to", "2026-11-21T02:00")
REGISTRY = """
[{name}]
purpose = "tests"
data = "tests"
api = "{api}"
connection = "{name}_default"
auth = "none"
network = "this machine"
owner = "acme"
scopes = []
timeout_seconds = 10
limits = []
page_rows = 4
batch_rows = 4
"""
COMMON = """
from decimal import Decimal

from include.models import Column, Mode
from include.spec.use_case import Baseline, Budgets, FailurePlan, ModelChoice, UseCase

SHARED = dict(
    owner="acme",
    credential_owner="acme",
    approver="acme",
    baseline=Baseline("minutes", 1.0, "minutes", "estimated"),
    output_destination="here",
    failure_plan=FailurePlan("dead_letter", "dead_letter", "dead_letter", "as said"),
    cost_ceiling_usd=Decimal(1),
    budgets=Budgets(),
    why_not_batch="small",
    latency_class="batch",
    mode=Mode.AUTO,
    model=ModelChoice(system="model", name="sandbox-small", prompt="prompt.v1.md", max_output_tokens=200),
    personal=(),
    confidence_threshold=0.0,
)
"""
ORDERS = """
from include.models import Column
from include.spec.use_case import UseCase
from include.systems.sql.declared import SqlRecords, Table
from acme_nights.common import SHARED

SPEC = UseCase(
    name="acme_orders",
    sentence="Every order has a topic",
    sources=(
        SqlRecords(
            system="stall",
            object="orders",
            key=Column("id", "order_id"),
            changed=Column("changed", "changed_at", "datetime"),
            columns=(Column("note", "note"),),
        ),
    ),
    model_sees=("note",),
    sinks=(Table(system="stall", object="topics", key=("id",), fields={"topic": "topic"}, make=True),),
    **SHARED,
)
"""
LETTERS = """
from include.models import Column
from include.spec.use_case import UseCase
from include.systems.files.out.declared import FileOut
from include.systems.files.source.declared import Files
from acme_nights.common import SHARED

SPEC = UseCase(
    name="acme_letters",
    sentence="Every letter has a topic",
    sources=(
        Files(
            system="post",
            folder="in",
            pattern="letters_%Y-%m-%d.csv",
            key=Column("number", "number"),
            columns=(Column("text", "text"),),
            settle_seconds=0.0,
        ),
    ),
    model_sees=("text",),
    sinks=(
        FileOut(
            system="post", object="out", name="topics_{run}.csv", fields={"topic": "topic", "origin": "by"}
        ),
    ),
    **SHARED,
)
"""
OUTPUT = '''
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Output(BaseModel):
    """A topic."""

    model_config = ConfigDict(extra="forbid")

    topic: Literal["billing", "usage", "outage", "other"]
    confidence: float = Field(ge=0, le=1)
'''
PROMPT = """+++
name = "{name}"
version = "v1"
stricter = "Again: {{problem}}"
+++

# system
Say what it is about.

# user
{{{{ record }}}}
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a package of two use cases, installed as pip would leave it."""
    place = tmp_path / "site"
    home = place / "acme_nights"
    found = place / "acme_nights-1.0.dist-info"
    for folder in (home, found):
        folder.mkdir(parents=True)
    (home / "__init__.py").touch()
    (home / "common.py").write_text(COMMON)
    for name, spec in (("orders", ORDERS), ("letters", LETTERS)):
        case = home / name
        case.mkdir()
        (case / "__init__.py").touch()
        (case / "spec.py").write_text(spec)
        (case / "output.py").write_text(OUTPUT)
        (case / "expectations.py").write_text("EXPECTATIONS = ()\n")
        (case / "fallback.py").write_text("def answer(row):\n    return None\n")
        (case / "prompt.v1.md").write_text(PROMPT.format(name=f"acme_{name}"))
    (found / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-nights\nVersion: 1.0\n")
    (found / "entry_points.txt").write_text(
        "[nightledger.use_cases]\nacme_orders = acme_nights.orders\nacme_letters = acme_nights.letters\n"
    )
    monkeypatch.syspath_prepend(str(place))
    names._packages.cache_clear()
    yield place
    names._packages.cache_clear()
    for module in [name for name in sys.modules if name.startswith("acme_nights")]:
        del sys.modules[module]


@pytest.fixture
def reachable(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The systems of both use cases in the registry and by their connections."""
    registry = (ROOT / "include" / "systems.toml").read_text(encoding="utf-8")
    registry += REGISTRY.format(name="stall", api="SQL") + REGISTRY.format(name="post", api="files")
    (tmp_path / "systems.toml").write_text(registry, encoding="utf-8")
    config = SandboxConfig(state=tmp_path / "sandbox", days=1, leads_per_day=1, model_latency_ms=0)
    with running_sandbox(config) as endpoints:
        variables = {
            "NIGHTLEDGER_HOME": str(tmp_path / "home"),
            "NIGHTLEDGER_SYSTEMS": str(tmp_path / "systems.toml"),
            "NIGHTLEDGER_TOKEN_SECRET": "test secret",
            "AIRFLOW_CONN_NIGHTLEDGER_DB": connection(ledger.urls.service),
            "AIRFLOW_CONN_OPENAI_DEFAULT": json.dumps({"host": endpoints.model_url, "password": endpoints.model_key}),
            "AIRFLOW_CONN_STALL_DEFAULT": json.dumps(
                {"host": str(tmp_path / "shop.sqlite"), "extra": {"sqlalchemy_scheme": "sqlite"}}
            ),
            "AIRFLOW_CONN_POST_DEFAULT": json.dumps({"extra": {"path": str(tmp_path / "post")}}),
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield


def run(*arguments: str) -> list[dict[str, dict[str, object]]]:
    out = io.StringIO()
    assert main(arguments, out) == 0, out.getvalue()
    return [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.mark.usefixtures("package", "reachable")
def test_a_night_from_table_to_table(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.sqlite") as base:
        base.execute("CREATE TABLE orders (id TEXT PRIMARY KEY, changed TEXT NOT NULL, note TEXT)")
        orders = [(f"o{n}", f"2026-11-20 1{n}:00:00", f"order number {n}") for n in range(9)]
        base.executemany("INSERT INTO orders VALUES (?, ?, ?)", [*orders, ("late", "2026-11-22 12:00:00", "later")])
    steps = {name: done for line in run("run", "all", "acme_orders", *INTERVAL) for name, done in line.items()}
    assert steps["extract"]["rows"] == 9
    assert steps["close"]["counts"] == {"written": 9}
    with sqlite3.connect(tmp_path / "shop.sqlite") as base:
        found = dict(base.execute("SELECT id, topic FROM topics"))
    assert found.keys() == {f"o{n}" for n in range(9)}
    assert set(found.values()) <= {"billing", "usage", "outage", "other"}
    again = {name: done for line in run("run", "all", "acme_orders", *INTERVAL) for name, done in line.items()}
    assert again["close"]["counts"] == {"unchanged": 9}


@pytest.mark.usefixtures("package", "reachable")
def test_a_night_from_a_file_to_a_file(tmp_path: Path) -> None:
    for folder in ("in", "out"):
        (tmp_path / "post" / folder).mkdir(parents=True)
    rows = "".join(f"{n},letter number {n}\n" for n in range(1, 7))
    (tmp_path / "post" / "in" / "letters_2026-11-20.csv").write_text(f"number,text\n{rows}bad\n")
    steps = {name: done for line in run("run", "all", "acme_letters", *INTERVAL) for name, done in line.items()}
    assert steps["close"]["counts"] == {"written": 6, "quarantined": 1}
    (made,) = (tmp_path / "post" / "out").glob("*.csv")
    with made.open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["id"] for row in written] == [str(n) for n in range(1, 7)]
    assert {row["by"] for row in written} == {"model"}
    assert "letters_2026-11-20.csv" in " ".join(_places("acme_letters", "3"))


def _places(use_case: str, key: str) -> list[str]:
    out = io.StringIO()
    assert main(("explain", use_case, key), out) == 0
    return out.getvalue().splitlines()
