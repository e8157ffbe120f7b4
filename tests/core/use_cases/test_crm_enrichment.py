"""Companies are completed by night: what needs nothing is left out, what somebody changed is left to them."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests
from sqlalchemy import text

from include.cli import main
from include.demo.sandbox.config import Endpoints, SandboxConfig
from include.demo.sandbox.model.companies import band_of as sandbox_band
from include.demo.sandbox.model.companies import judge_company
from include.demo.sandbox.process import running_sandbox
from include.ledger.record import find_manifest
from include.ledger.verify import verify
from include.models import Interval, Mode, Record, RunOptions
from include.run import Night
from include.spec.contradictions import contradictions
from include.spec.keeping import Keep
from include.spec.names import FOLDER
from include.spec.prompt import load_prompt
from include.spec.use_case import load
from include.stages import check, close, enrich, extract, gate, write
from include.use_cases.crm_enrichment.expectations import ANSWER_EXPECTATIONS, EXPECTATIONS
from include.use_cases.crm_enrichment.fallback import answer, band_of
from include.use_cases.crm_enrichment.output import Output
from include.use_cases.crm_enrichment.rows import needs_something
from tests.core.commands.test_cli import connection
from tests.core.conftest import Ledger, MakeNight

NAME = "crm_enrichment"
CASE = load(NAME)
END = datetime(2026, 11, 20, 2, tzinfo=UTC)
INTERVAL = Interval(END - timedelta(days=1), END)


class Sandbox:
    """The running stand-ins, asked for what they have seen themselves."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints

    def call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.endpoints.crm_token}"}
        reply = requests.request(method, f"{self.endpoints.crm_url}{path}", json=body, headers=headers, timeout=10)
        reply.raise_for_status()
        return reply.json()

    def changed(self) -> list[Record]:
        """Every company that was changed in the night, by the CRM's own search."""
        bounds = [("GTE", INTERVAL.start), ("LT", INTERVAL.end)]
        filters = [
            {"propertyName": "hs_lastmodifieddate", "operator": operator, "value": str(round(at.timestamp() * 1000))}
            for operator, at in bounds
        ]
        names = ["name", "industry", "numberofemployees", "size_confirmed_at"]
        body = {"filterGroups": [{"filters": filters}], "properties": names, "limit": 100}
        return list(self.call("POST", "/crm/v3/objects/companies/search", body)["results"])

    def company(self, number: str, *names: str) -> Record:
        return dict(self.call("GET", f"/crm/v3/objects/companies/{number}?properties={','.join(names)}")["properties"])

    def seen(self) -> tuple[int, int]:
        """Calls of the model, and records written to the CRM."""
        billed = requests.get(f"{self.endpoints.model_root}/sandbox/billed", timeout=10).json()["calls"]
        return billed, self.call("GET", "/sandbox/crm/requests")["records_written"]


@pytest.fixture
def sandbox(tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    config = SandboxConfig(
        state=tmp_path / "sandbox",
        anchor=END,
        days=1,
        leads_per_day=120,
        crm_latency_ms=0,
        model_latency_ms=0,
        crm_requests_per_10s=10_000,
    )
    with running_sandbox(config) as e:
        extra = {"host_key": e.sftp_host_key, "key_file": e.sftp_key_file}
        variables = {
            "CRM_DEFAULT": {"host": e.crm_url, "password": e.crm_token},
            "SFTP_DEFAULT": {"host": e.sftp_host, "port": e.sftp_port, "login": e.sftp_login, "extra": extra},
            "OPENAI_DEFAULT": {"host": e.model_url, "password": e.model_key},
        }
        for name, value in variables.items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(value))
        monkeypatch.setenv("AIRFLOW_CONN_NIGHTLEDGER_DB", connection(ledger.urls.service))
        monkeypatch.setenv("NIGHTLEDGER_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("NIGHTLEDGER_TOKEN_SECRET", "test secret")
        yield Sandbox(e)


NightOf = Callable[..., Night]


@pytest.fixture
def night_of(sandbox: Sandbox, make_night: MakeNight) -> NightOf:
    def make(name: str = NAME, **spec: Any) -> Night:
        case, options = load(name), RunOptions(mode=Mode.AUTO)
        given = {"interval": INTERVAL, "connections": dict(os.environ), "prompt": load_prompt(case).as_mapping()}
        return make_night(case=case, options=options, **given, **spec)

    return make


def run_all() -> Record:
    out = io.StringIO()
    when = ("--from", INTERVAL.start.isoformat(), "--to", INTERVAL.end.isoformat(), "--mode", "auto")
    assert main(("run", "all", NAME, *when), out) == 0, out.getvalue()
    return {name: done for line in out.getvalue().splitlines() for name, done in json.loads(line).items()}


def needs(company: Record) -> bool:
    """Told from what the CRM itself says, by other means than the use case's."""
    held = company["properties"]
    confirmed = held.get("size_confirmed_at")
    known = confirmed is not None and END - datetime.fromisoformat(confirmed) <= timedelta(days=730)
    return not (held.get("industry") and held.get("numberofemployees") and known)


def test_a_night_completes_what_needs_it_and_another_run_asks_and_writes_nothing(
    sandbox: Sandbox, ledger: Ledger
) -> None:
    changed = sandbox.changed()
    lacking = [one["id"] for one in changed if needs(one)]
    assert 5 < len(lacking) < len(changed) - 5
    done = run_all()
    raw = find_manifest(ledger.service, done["close"]["run_id"], "raw")
    assert raw is not None
    assert raw.facts["transformed"] == {"complete": len(changed) - len(lacking)}
    assert (raw.facts["read"], raw.rows) == ({"crm": len(changed)}, len(lacking))
    counts = done["close"]["counts"]
    assert sum(counts.values()) == len(lacking)
    assert {"written", "in_review"} <= counts.keys()
    calls, written = sandbox.seen()
    assert (0 < calls <= len(lacking), written) == (True, counts["written"])
    held = {one: sandbox.company(one, "industry", "nl_industry", "nl_size_band", "nl_employees") for one in lacking}
    proposed = {one: values for one, values in held.items() if values["nl_industry"]}
    assert len(proposed) == written
    assert {values["nl_size_band"] for values in proposed.values()} <= {
        band_of(int(values["nl_employees"])) if values["nl_employees"] else "UNKNOWN" for values in proposed.values()
    }
    assert any(values["industry"] is None for values in proposed.values())
    again = run_all()
    assert again["close"]["counts"] == {**{k: n for k, n in counts.items() if k != "written"}, "unchanged": written}
    assert sandbox.seen() == (calls, written)
    assert verify(ledger.owner).findings == ()


def test_a_company_that_somebody_changed_meanwhile_is_left_to_a_person_and_the_rest_is_written(
    night_of: NightOf, sandbox: Sandbox, ledger: Ledger
) -> None:
    night = night_of()
    approved = gate(night, enrich(night, check(night, extract(night))))
    with ledger.owner.connect() as found:
        row_key = found.execute(text("SELECT min(row_key) FROM decision WHERE verdict = 'write'")).scalar_one()
    sandbox.call("PATCH", f"/crm/v3/objects/companies/{row_key}", {"properties": {"industry": "RETAIL"}})
    facts = write(night, approved)
    assert (facts["failed"], facts["written"]) == (1, approved.rows - 1)
    with ledger.owner.connect() as found:
        letters = found.execute(text("SELECT row_key, cause FROM dead_letter")).all()
    assert [tuple(letter) for letter in letters] == [(row_key, "changed_since_read")]
    assert sandbox.company(row_key, "industry", "nl_industry") | {"createdate": ""} == {
        **sandbox.company(row_key, "hs_object_id"),
        "createdate": "",
        "industry": "RETAIL",
        "nl_industry": None,
    }
    done = close(night)
    assert done["counts"]["dead_letter"] == 1
    assert done["counts"]["written"] == approved.rows - 1


def test_a_night_in_which_no_company_needs_anything_succeeds_with_no_row(night_of: NightOf, sandbox: Sandbox) -> None:
    recency = CASE.transforms[0]
    night = night_of(transforms=(recency, Keep(where=lambda _: False, of=("industry",), counts_as="complete")))
    raw = extract(night)
    assert (raw.rows, raw.facts["transformed"]) == (0, {"complete": len(sandbox.changed())})
    write(night, gate(night, enrich(night, check(night, raw))))
    done = close(night)
    assert (done["status"], sum(done["counts"].values())) == ("succeeded", 0)
    assert sandbox.seen() == (0, 0)


def test_two_use_cases_read_one_file_whichever_comes_first(night_of: NightOf) -> None:
    leads = extract(night_of("crm_lead_scoring"))
    companies = extract(night_of())
    (first,), (second,) = leads.facts["files"], companies.facts["files"]
    assert first["at"].startswith("drop/")
    assert second["at"].startswith("archive/")
    assert (first["path"], first["sha256"]) == (second["path"], second["sha256"])
    assert companies.facts["joined"]["firm_"]["matched"] > 5


def test_the_model_never_sees_what_is_written() -> None:
    assert list(contradictions(CASE)) == []
    written = set(CASE.sinks[0].fields.values())
    assert not written & {column.source_name for column in CASE.sources[0].declared}


@pytest.mark.parametrize(
    ("industry", "employees", "days", "needed"),
    [
        ("RETAIL", 12, 730, False),
        (None, 12, 730, True),
        ("RETAIL", None, 730, True),
        ("RETAIL", 0, 730, True),
        ("RETAIL", 12, None, True),
    ],
)
def test_which_companies_need_something(industry: Any, employees: Any, days: Any, needed: bool) -> None:
    assert needs_something(industry, employees, days) is needed


def test_the_rule_takes_over_what_is_said_outright() -> None:
    said = answer({"firm_industry": "Retail", "firm_employees": 51, "industry": "INSURANCE", "employees": 3})
    assert said is not None
    assert Output.model_validate(said)
    assert (said["industry"], said["size_band"], said["employees_estimate"]) == ("RETAIL", "51-200", 51)
    assert answer({"industry": "INSURANCE"}) == {**said, "industry": "INSURANCE", "size_band": "UNKNOWN"} | {
        "employees_estimate": None
    }
    assert answer({"name": "Retail Insurance Software", "industry": "nonsense", "employees": 0}) is None


@pytest.mark.parametrize(
    ("employees", "band"), [(None, "UNKNOWN"), (1, "1-10"), (10, "1-10"), (11, "11-50"), (10_001, "10001+")]
)
def test_bands(employees: int | None, band: str) -> None:
    assert band_of(employees) == sandbox_band(employees) == band


def test_expectations_are_about_columns_that_there_are_and_tell_what_does_not_fit() -> None:
    by_id = {one.id: one for one in (*EXPECTATIONS, *ANSWER_EXPECTATIONS)}
    assert {c for one in ANSWER_EXPECTATIONS for c in one.columns} <= {*Output.model_fields, "ending"}

    def judged(rule: str, /, **columns: list[Any]) -> list[bool]:
        derive = by_id[rule].derive
        assert derive is not None
        return [bool(one) for one in derive(pd.DataFrame(columns), INTERVAL)]

    fits = judged(
        "band_fits_estimate",
        employees_estimate=pd.array([10, 11, None, 5, None, 20_000, None], dtype="Int64"),  # type: ignore[arg-type]
        size_band=["1-10", "1-10", "UNKNOWN", "UNKNOWN", "11-50", "10001+", None],
    )
    assert fits == [True, False, True, False, False, True, True]
    said = judged(
        "something_to_go_by", name=["Ann", None, "?"], domain=[None, None, None], description=[None, "x", "!"]
    )
    assert said == [True, True, False]


def test_the_stand_in_answers_the_examples_and_obeys_no_order() -> None:
    lines = (FOLDER / NAME / "evals.jsonl").read_text(encoding="utf-8").splitlines()
    examples = [json.loads(line) for line in lines]
    assert sum("trap" in one for one in examples) >= 10
    for one in examples:
        said = judge_company(one["input"])
        assert Output.model_validate(said)
        assert {name: said[name] for name in one["expected"]} == one["expected"], one["input"]["name"]
    ordered = [one for one in examples if "order" in one.get("trap", "")]
    assert len(ordered) == 2
