"""Invoices, whole nights of them: read exactly or asked, held against their orders; a person sees each."""

from __future__ import annotations

import io
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import select

from include.cli import main
from include.demo.sandbox.config import Endpoints, SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.demo.stack.environment import sandbox_connections
from include.ledger import tables
from include.models import Mode, Origin, Record
from include.night.gate.decide import decide
from include.spec.use_case import load
from include.use_cases.ap_invoices import spec
from include.use_cases.ap_invoices.local import LOCAL
from include.use_cases.ap_invoices.output import Output
from tests.core.commands.test_cli import connection
from tests.core.conftest import Ledger

END = datetime(2026, 11, 22, 2, tzinfo=UTC)
NIGHT = ("--from", "2026-11-19T02:00", "--to", "2026-11-22T02:00")
NAME = "ap_invoices"
ANSWER: Record = {
    "number": "7",
    "kind": "invoice",
    "issue_date": "2026-11-20",
    "due_date": None,
    "seller_name": "Acme",
    "seller_vat_id": None,
    "buyer_name": "Meridian",
    "currency": "EUR",
    "order_number": None,
    **dict.fromkeys(("allowances", "charges", "tax", "prepaid", "rounding"), "0.00"),
    **dict.fromkeys(("net", "gross", "payable"), "10.00"),
    "taxes": [],
    "lines": [],
    "confidence": 1.0,
}


@pytest.fixture
def house(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoints]:
    """The systems of three days, and connections to them; the warehouse is a file."""
    config = SandboxConfig(
        state=tmp_path / "sandbox", anchor=END, days=3, leads_per_day=1, model_latency_ms=0, erp_latency_ms=0
    )
    with running_sandbox(config) as endpoints:
        warehouse = {"host": str(tmp_path / "warehouse.sqlite"), "extra": {"sqlalchemy_scheme": "sqlite"}}
        variables = {
            "NIGHTLEDGER_HOME": str(tmp_path / "home"),
            "NIGHTLEDGER_TOKEN_SECRET": "test secret",
            "AIRFLOW_CONN_NIGHTLEDGER_DB": connection(ledger.urls.service),
            "AIRFLOW_CONN_WAREHOUSE_DEFAULT": json.dumps(warehouse),
            **sandbox_connections(endpoints.to_json()),
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield endpoints


def run(mode: str) -> dict[str, Any]:
    out = io.StringIO()
    assert main(("run", "all", NAME, *NIGHT, "--mode", mode), out) == 0, out.getvalue()
    return {name: done for line in out.getvalue().splitlines() for name, done in json.loads(line).items()}


def outcomes(ledger: Ledger, run_id: str) -> dict[str, tuple[str, str]]:
    o = tables.outcome.c
    with ledger.service.connect() as database:
        query = select(o.row_key, o.outcome, o.reason).where(o.run_id == run_id)
        return {key: (outcome, reason) for key, outcome, reason in database.execute(query)}


@pytest.mark.usefixtures("house")
def test_a_night_of_invoices_ends_with_people_who_are_told_what_is_wrong(ledger: Ledger, tmp_path: Path) -> None:
    huge = tmp_path / "sandbox" / "sftp" / "invoices" / "huge.pdf"
    with huge.open("wb") as file:
        file.truncate(40_000_000)
    os.utime(huge, (END.timestamp() - 60,) * 2)
    steps = run("gated")
    assert steps["extract"]["read"] == {"invoices": 37}
    assert steps["extract"]["joined"] == {"po_": {"asked": 33, "matched": 32}}
    assert (steps["enrich"]["decided_rows"], steps["enrich"]["answered"], steps["enrich"]["answered_rows"]) == (
        16,
        16,
        33,
    )
    assert steps["close"]["counts"] == {"in_review": 33, "quarantined": 4}
    found = outcomes(ledger, steps["close"]["run_id"])
    assert {key: reason for key, (outcome, reason) in found.items() if outcome == "quarantined"} == {
        "DA-261120-12.xml": "DA-261120-12.xml: is no well-formed XML (unclosed token, line 2)",
        "HV-261119-12.pdf": "not met: The document has words, and is no picture (has_words)",
        "ST-261120-11.pdf": "ST-261120-11.pdf: is encrypted",
        "huge.pdf": "huge.pdf: has 40000000 bytes, at most 20000000 are read",
    }
    assert {key: reason for key, (_, reason) in found.items() if "does not meet" in reason} == {
        "Copy of HV-261121-05.pdf": "does not meet comes_once",
        "HV-261121-05.pdf": "does not meet comes_once",
        "NM-261119-11.xml": "does not meet order_known",
        "ST-261121-12.pdf": "does not meet lines_add_up, within_order",
    }


@pytest.mark.usefixtures("house")
def test_what_may_be_written_is_one_record_and_its_lines_and_never_the_same_invoice_twice(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if a person had approved each; the table keeps an invoice of an earlier night from being there again."""
    monkeypatch.setattr(spec, "SPEC", replace(spec.SPEC, never_alone=None, confidence_threshold=0.0))
    with closing(sqlite3.connect(tmp_path / "warehouse.sqlite")) as base, base:
        base.execute("CREATE TABLE invoice (document TEXT PRIMARY KEY, seller_name TEXT, number TEXT)")
        base.execute("CREATE UNIQUE INDEX once ON invoice (seller_name, number)")
        base.execute("INSERT INTO invoice VALUES ('of last week.pdf', 'Nordmetall GmbH', 'NM-261120-09')")
    steps = run("auto")
    assert steps["close"]["counts"] == {"written": 28, "dead_letter": 1, "in_review": 4, "quarantined": 3}
    found = outcomes(ledger, steps["close"]["run_id"])
    assert found["NM-261120-09.pdf"][0] == "dead_letter"
    with closing(sqlite3.connect(tmp_path / "warehouse.sqlite")) as base:
        heads = {key: (net, by) for key, net, by in base.execute("SELECT document, net, read_by FROM invoice")}
        lines: Counter[str] = Counter()
        for key, net in base.execute("SELECT document, net FROM invoice_line"):
            lines[key] += Decimal(net)
        first = base.execute("SELECT * FROM invoice_line WHERE document = 'ST-261121-01.xml' ORDER BY line").fetchall()
    del heads["of last week.pdf"]
    discounted = {"NM-261120-07.xml", "NM-261121-07.xml", "HV-261119-07.xml"}
    assert {key: Decimal(net) for key, (net, _) in heads.items() if key not in discounted} == {
        key: net for key, net in lines.items() if key in heads and key not in discounted
    }
    assert {by for _, by in heads.values()} == {"model"}
    assert [(row[0], row[1]) for row in first] == [("ST-261121-01.xml", 1), ("ST-261121-01.xml", 2)]
    again = run("auto")
    assert (again["enrich"].get("answered", 0), again["enrich"]["reused"], again["write"]["sent"]) == (0, 33, 0)


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("origin", list(Origin))
def test_nothing_is_written_without_a_person_in_any_mode(mode: Mode, origin: Origin) -> None:
    verdict = decide(load(NAME), mode, origin, 1.0, ANSWER)
    assert verdict.verdict == ("shadow" if mode is Mode.SHADOW else "review")


@pytest.mark.parametrize(
    "wrong",
    [
        {"net": 10.0},
        {"net": "10"},
        {"net": "1,000.00"},
        {"net": "10.001"},
        {"currency": "Euro"},
        {"issue_date": "20.11.2026"},
        {"kind": "bill"},
        {"number": ""},
        {"total": "10.00"},
    ],
)
def test_an_answer_in_another_form_is_none(wrong: Mapping[str, Any]) -> None:
    assert Output.model_validate(ANSWER)
    with pytest.raises(ValidationError):
        Output.model_validate(ANSWER | wrong)


def test_labelled_documents_fit_the_answer_and_e_invoices_among_them_are_read_so() -> None:
    exact, alone = LOCAL.open(load(NAME).folder, Output), 0
    for line in (load(NAME).folder / "evals.jsonl").read_text(encoding="utf-8").splitlines():
        example = json.loads(line)
        expected, wrong = example["expected"], example.get("must_not", {})
        assert Output.model_validate(ANSWER | expected)
        for name, values in wrong.items():
            assert expected.get(name) not in values
        if example["input"]["document"] is None:
            alone += 1
            (read,) = exact.sort([example["input"]]).decided.values()
            assert {name: read[name] for name in expected} == expected
    assert alone == 4
