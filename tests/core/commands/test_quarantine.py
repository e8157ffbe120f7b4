"""`quarantine` on whole nights: rows mended at their source are replayed, written once, and nothing else is touched."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import requests
from sqlalchemy import text

from include.cli import main
from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.ledger.quarantine import Filter
from include.ledger.quarantine_replays import Selection
from include.ledger.verify import verify
from include.models import Record
from include.operations.replay_quarantine import replay_quarantined
from include.settings import ROOT, Settings
from include.systems.connections import EnvironmentConnections
from include.systems.files.formats.values import join_key
from include.use_cases.crm_lead_scoring import expectations, spec
from tests.core.commands.test_dead_letters import END, environment, last_outcomes, run_night
from tests.core.conftest import Ledger
from tests.core.ledger.nights import let_leases_run_out
from tests.core.night.enrich.test_enrich import rows
from tests.core.test_whole_night import Sandbox

__all__ = ["environment"]

LEADS = 200
MEND = {
    "email": lambda number: f"lead{number}@example.com",
    "hs_analytics_num_page_views": lambda number: 12,
    "lifecyclestage": lambda number: "lead",
    "jobtitle": lambda number: "Buyer",
    "notes_last_updated": lambda number: (END - timedelta(days=9)).isoformat(),
}
Command = Callable[..., tuple[int, str]]


@pytest.fixture
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    config = SandboxConfig(
        state=tmp_path_factory.mktemp("sandbox"),
        anchor=END,
        days=2,
        leads_per_day=LEADS,
        crm_latency_ms=0,
        model_latency_ms=10,
        model_jitter_ms=0,
        crm_requests_per_10s=10_000,
    )
    with running_sandbox(config) as endpoints:
        yield Sandbox(endpoints)


@pytest.fixture
def quarantine(environment: dict[str, str]) -> Command:
    """`quarantine` as a person types it; returns the exit code and what it printed."""

    def run(*arguments: str) -> tuple[int, str]:
        out = io.StringIO()
        return main(["quarantine", *arguments], out), out.getvalue()

    return run


def waiting(ledger: Ledger, where: str = "counts_as_input") -> dict[str, Any]:
    """Row id -> entry of every row that waits; a row waits once."""
    columns = "row_id, row_key, quarantine_id, expectations, owner, run_id, reasons"
    found = rows(ledger, f"SELECT {columns} FROM quarantine WHERE status IN ('open', 'fixed') AND {where}")
    assert len({row.row_id for row in found}) == len(found)
    return {row.row_id: row for row in found}


def set_at_source(sandbox: Sandbox, row_id: str, **properties: Any) -> None:
    """Change a record in the CRM, as its owner would."""
    e = sandbox.endpoints
    url = f"{e.crm_url}/crm/v3/objects/{row_id.removeprefix('crm/')}"
    given = {"headers": {"Authorization": f"Bearer {e.crm_token}"}, "json": {"properties": properties}}
    requests.patch(url, timeout=10, **given).raise_for_status()


def mend(sandbox: Sandbox, *row_ids: str) -> None:
    for row_id in row_ids:
        set_at_source(sandbox, row_id, **{name: make(row_id.rpartition("/")[2]) for name, make in MEND.items()})


def done_of(said: str) -> Record:
    (found,) = [json.loads(line) for line in said.splitlines()[:-1]]
    return dict(found)


def count_is_kept(ledger: Ledger) -> bool:
    """Whether the sums that pages read are those of the rows."""
    by = "run_id, status, owner, expectations"
    kept = rows(ledger, f"SELECT {by}, rows FROM quarantine_count WHERE rows <> 0 ORDER BY 1, 2, 3, 4")
    return bool(kept) and kept == rows(
        ledger, f"SELECT {by}, count(*) FROM quarantine GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
    )


def untouched(before: dict[str, str], after: dict[str, str], chosen: Collection[str]) -> bool:
    """Whether rows that were not chosen ended as before; what was written then is unchanged now."""
    others = before.keys() - set(chosen)
    kept = {row: "unchanged" if before[row] == "written" else before[row] for row in others}
    return kept == {row: after[row] for row in others}


def history(ledger: Ledger, row_id: str) -> list[list[str]]:
    """The states an entry went through, for each run of the row's night."""
    query = f"SELECT history FROM quarantine WHERE row_id = '{row_id}' ORDER BY quarantine_id"
    return [[line["state"] for line in lines] for (lines,) in rows(ledger, query)]


def test_rows_mended_in_the_crm_are_read_anew_and_written_once(
    quarantine: Command, sandbox: Sandbox, ledger: Ledger
) -> None:
    night = run_night()
    bad = waiting(ledger)
    assert len(bad) == night["counts"]["quarantined"] > 8
    assert {row.owner for row in bad.values()} == {"revenue-operations"}
    pairs = waiting(ledger, "'email_unique' = ANY(expectations)")  # one mended frees the other
    mended = sorted(bad.keys() - pairs.keys())[:4]
    left = sorted(bad.keys() - set(mended))
    mend(sandbox, *mended)
    numbers = [str(bad[row].quarantine_id) for row in mended]
    assert quarantine("fixed", *numbers, "--reason", "corrected by sales") == (0, "4 rows marked as fixed\n")
    before, asked, written = last_outcomes(ledger), sandbox.billed()["calls"], sandbox.written()

    code, said = quarantine("replay", *numbers)
    done = done_of(said)
    assert (code, done["rows"], done["passed"], done["status"]) == (0, 4, 4, "succeeded")
    assert sandbox.billed()["calls"] - asked == 4
    after = last_outcomes(ledger)
    assert sum(done["counts"].values()) == len(after) == LEADS
    assert {after[row] for row in mended} <= {"written", "in_review"}
    assert sandbox.written() - written == sum(after[row] == "written" for row in mended) > 0
    assert untouched(before, after, mended)

    still = waiting(ledger)
    assert sorted(still) == left
    assert {row.run_id for row in still.values()} == {done["run_id"]}
    assert history(ledger, mended[0]) == [["fixed", "begun", "passed"]]
    assert history(ledger, left[0]) == [["moved"], ["carried"]]
    assert count_is_kept(ledger)
    assert verify(ledger.owner).holds

    asked, written = sandbox.billed()["calls"], sandbox.written()
    assert quarantine("replay", *numbers)[1].startswith("0 rows of 0 nights")
    again = run_night()  # an ordinary run keeps what was mended
    assert again["counts"]["quarantined"] == len(left)
    assert (sandbox.billed()["calls"], sandbox.written()) == (asked, written)
    assert sorted(waiting(ledger)) == left


def test_a_row_that_fails_again_waits_in_its_new_run_with_its_new_reasons(
    quarantine: Command, sandbox: Sandbox, ledger: Ledger
) -> None:
    run_night()
    bad = waiting(ledger, "'page_views_range' = ANY(expectations)")
    row = sorted(bad)[0]
    set_at_source(sandbox, row, hs_analytics_num_page_views=3, lifecyclestage="nonsense")
    code, said = quarantine("replay", str(bad[row].quarantine_id), "--read-anew")
    done = done_of(said)
    assert (code, done["rows"], done["passed"], done["again"]) == (1, 1, 0, 1)
    assert history(ledger, row) == [["begun", "quarantined_again"], []]
    assert waiting(ledger)[row].expectations == ["lifecycle_known"]
    set_at_source(sandbox, row, hs_analytics_num_page_views=1.5)
    assert done_of(quarantine("replay", "--key", row.rpartition("/")[2], "--read-anew")[1])["again"] == 1
    assert waiting(ledger)[row].expectations == []  # it cannot even be read now
    shown = json.loads(quarantine("show", str(waiting(ledger)[row].quarantine_id))[1])
    assert (shown["stage"], len(shown["same_row"])) == ("extract", 2)
    assert shown["record"]["email"].startswith("token:")
    assert quarantine("replay", "--key", row.rpartition("/")[2])[1].startswith("0 rows of 0 nights")
    mend(sandbox, row)
    done = done_of(quarantine("replay", "--key", row.rpartition("/")[2], "--read-anew")[1])
    assert (done["passed"], sum(done["counts"].values())) == (1, LEADS)
    assert row not in waiting(ledger)
    assert count_is_kept(ledger)


def test_what_is_gone_at_the_source_waits_on_and_says_why(
    quarantine: Command, sandbox: Sandbox, ledger: Ledger
) -> None:
    run_night()
    row = sorted(waiting(ledger))[0]
    with ledger.owner.begin() as connection:  # as if the CRM had forgotten it
        for table in ("quarantine", "outcome"):
            connection.execute(text(f"UPDATE {table} SET row_id = 'crm/contacts/987654321' WHERE row_id = '{row}'"))
    number = str(waiting(ledger)["crm/contacts/987654321"].quarantine_id)
    out = quarantine("replay", number, "--read-anew")
    assert out[0] == 1
    assert "still wait" in out[1]


def test_a_changed_expectation_lets_rows_through_without_reading_them(
    quarantine: Command, sandbox: Sandbox, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_night()
    bad = waiting(ledger, "expectations = '{page_views_range}'")
    others = waiting(ledger).keys() - bad.keys()
    assert bad
    wider = tuple(
        replace(e, arguments={**e.arguments, "min_value": -(10**9), "max_value": 10**12})
        if e.id == "page_views_range"
        else replace(e, arguments={**e.arguments, "max_value": 3})
        if e.id == "job_title_length"
        else e
        for e in expectations.EXPECTATIONS
    )
    monkeypatch.setattr(expectations, "EXPECTATIONS", wider)
    before, asked = last_outcomes(ledger), sandbox.billed()["calls"]
    code, said = quarantine("replay", "--expectation", "page_views_range")
    done = done_of(said)
    assert (code, done["passed"]) == (1, 0)  # they fail the other one now
    assert {tuple(row.expectations) for row in waiting(ledger).values() if row.row_id in bad} == {("job_title_length",)}
    monkeypatch.setattr(expectations, "EXPECTATIONS", tuple(e for e in wider if e.id != "job_title_length"))
    bad = waiting(ledger, "'job_title_length' = ANY(expectations)")
    others = waiting(ledger).keys() - bad.keys()
    code, said = quarantine("replay", "--expectation", "job_title_length")
    assert (code, done_of(said)["passed"]) == (0, len(bad))
    assert sandbox.billed()["calls"] - asked == len(bad)
    after = last_outcomes(ledger)
    assert untouched(before, after, bad)
    assert waiting(ledger).keys() == others


def test_a_release_lets_rows_pass_on_record_and_holds_in_later_runs(
    quarantine: Command, sandbox: Sandbox, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    run_night()
    bad = waiting(ledger, "expectations = '{lifecycle_known}'")
    assert bad
    assert quarantine("replay", "--release", "lifecycle_known", "--reason", "fine")[0] == 2
    assert quarantine("replay", "--release", "lifecycle_known", "--expectation", "lifecycle_known")[0] == 2
    for wrong in ("email_present", "nonsense"):
        assert quarantine("replay", "--release", wrong, "--reason", "fine", "--owner", "revenue-operations")[0] == 2
    said = capsys.readouterr().err
    assert all(word in said for word in ("filter", "reason", "critical", "no expectation 'nonsense'"))
    code, said = quarantine(
        "replay", "--expectation", "lifecycle_known", "--release", "lifecycle_known", "--reason", "a new stage"
    )
    assert (code, done_of(said)["passed"]) == (0, len(bad))
    ended = last_outcomes(ledger)
    assert {ended[row] for row in bad} <= {"written", "in_review"}
    ((kept,),) = rows(ledger, f"SELECT history -> -2 FROM quarantine WHERE row_id = '{min(bad)}'")
    assert (kept["released"], kept["reason"]) == (["lifecycle_known"], "a new stage")
    asked, written = sandbox.billed()["calls"], sandbox.written()
    run_night()
    assert (sandbox.billed()["calls"], sandbox.written()) == (asked, written)
    ended = last_outcomes(ledger)
    assert {ended[row] for row in bad} <= {"unchanged", "in_review"}
    set_at_source(sandbox, min(bad), lifecyclestage="worse")  # the release was of the row as it was
    assert waiting(ledger).keys().isdisjoint(bad)


def test_dismissed_rows_stay_so_when_the_night_runs_again(
    quarantine: Command, ledger: Ledger, capsys: pytest.CaptureFixture[str], sandbox: Sandbox
) -> None:
    run_night()
    bad = waiting(ledger, "'email_format' = ANY(expectations)")
    assert bad
    assert quarantine("dismiss", "--expectation", "email_format")[0] == 2
    assert quarantine("dismiss", "--reason", "spam")[0] == 2
    said = capsys.readouterr().err
    assert "reason" in said
    assert "filter" in said
    with ThreadPoolExecutor(2) as pool:
        chosen = ("dismiss", "--expectation", "email_format", "--reason", "spam")
        said = sorted(out for _, out in pool.map(lambda _: quarantine(*chosen), range(2)))
    assert said == sorted(["0 rows dismissed\n", f"{len(bad)} rows dismissed\n"])
    rest = waiting(ledger).keys()
    run_night()
    assert waiting(ledger).keys() == rest
    listed = quarantine("list", "--status", "dismissed", "--expectation", "email_format")[1]
    assert f"{2 * len(bad)} rows" in listed
    assert f"open {len(rest) + len(waiting(ledger, 'NOT counts_as_input'))}" in quarantine("list")[1]
    events = rows(ledger, "SELECT actor, details FROM event WHERE type = 'quarantine.dismissed'")
    assert [(details["rows"], details["reason"]) for _, details in events] == [(len(bad), "spam")]
    assert count_is_kept(ledger)


def test_a_replay_killed_half_way_is_taken_up_and_pays_only_what_was_in_flight_twice(
    quarantine: Command, sandbox: Sandbox, ledger: Ledger, environment: dict[str, str]
) -> None:
    run_night()
    bad = sorted(waiting(ledger))
    mend(sandbox, *bad)
    before, written = sandbox.billed()["calls"], sandbox.written()
    slow = {**os.environ, **environment, "NIGHTLEDGER_CONCURRENCY": "2"}
    command = [sys.executable, "-W", "ignore", "-m", "include.cli", "quarantine", "replay", "--read-anew"]
    with subprocess.Popen(command, env=slow, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        while sandbox.billed()["calls"] < before + 5:
            assert run.poll() is None
            time.sleep(0.005)
        run.kill()
    let_leases_run_out(ledger.owner)
    assert waiting(ledger) == {}
    code, said = quarantine("replay")
    done = done_of(said)
    assert (code, done["rows"], done["passed"]) == (0, len(bad), len(bad))
    assert done["run_id"].endswith("-2")
    assert len(bad) <= sandbox.billed()["calls"] - before <= len(bad) + 2
    ended = last_outcomes(ledger)
    assert sandbox.written() - written == sum(outcome == "written" for outcome in ended.values())
    assert set(ended.values()) <= {"written", "unchanged", "in_review"}
    assert verify(ledger.owner).holds
    assert count_is_kept(ledger)


def test_a_replay_killed_while_it_reads_anew_reads_once_more(
    quarantine: Command, sandbox: Sandbox, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_night()
    row = min(waiting(ledger, "'page_views_range' = ANY(expectations)"))
    set_at_source(sandbox, row, hs_analytics_num_page_views=1.5)  # which is no whole number
    arguments = ("replay", "--key", row.rpartition("/")[2], "--read-anew")

    def killed(*given: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr("include.night.extract.restage.put_manifest", killed)
        assert quarantine(*arguments)[0] == 3
    assert row not in waiting(ledger)
    mend(sandbox, row)
    code, said = quarantine(*arguments)
    done = done_of(said)
    assert (code, done["passed"], done["run_id"][-2:], sum(done["counts"].values())) == (0, 1, "-2", LEADS)
    assert history(ledger, row) == [["begun", "passed"]]


def test_two_replays_at_once_do_it_once(
    quarantine: Command, sandbox: Sandbox, ledger: Ledger, environment: dict[str, str]
) -> None:
    run_night()
    bad = sorted(waiting(ledger))
    mend(sandbox, *bad)
    asked = sandbox.billed()["calls"]

    def one(actor: str) -> list[Record]:
        chosen = Selection(Filter(use_case=spec.SPEC.name), read_anew=True)
        return replay_quarantined(EnvironmentConnections(environment), Settings.read(environment), chosen, actor)

    with ThreadPoolExecutor(2) as pool:
        done = [night for nights in pool.map(one, ("Kim", "Alex")) for night in nights]
    assert [night["rows"] for night in done] == [len(bad)]
    assert sandbox.billed()["calls"] - asked == len(bad)
    assert rows(ledger, "SELECT count(*) FROM run WHERE external_ref LIKE 'quarantine/%%'") == [(1,)]


def test_a_night_that_was_stopped_runs_whole_once_its_rows_are_mended(
    quarantine: Command, sandbox: Sandbox, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = tuple(
        replace(e, severity="critical", at_least=1.0) if e.id == "lifecycle_known" else e
        for e in expectations.EXPECTATIONS
    )
    monkeypatch.setattr(expectations, "EXPECTATIONS", strict)
    end, out = END, io.StringIO()
    when = ["--from", (end - timedelta(days=1)).isoformat(), "--to", end.isoformat()]
    assert main(["run", "all", spec.SPEC.name, *when, "--mode", "auto"], out) == 2
    ((status, detail),) = rows(ledger, "SELECT status, detail FROM run")
    assert (status, detail.partition(":")[0]) == ("stopped", "check")
    assert "% of rows pass, 100.0% needed" in detail
    bad = sorted(waiting(ledger, "'lifecycle_known' = ANY(expectations)"))
    code, said = quarantine("replay", "--expectation", "lifecycle_known")
    assert (code, done_of(said)["status"], done_of(said)["again"]) == (1, "stopped", len(bad))
    assert sandbox.billed()["calls"] == 0
    mend(sandbox, *bad)
    code, said = quarantine("replay", "--expectation", "lifecycle_known", "--read-anew")
    done = done_of(said)
    assert (code, done["status"], done["passed"]) == (0, "succeeded", len(bad))
    assert sum(done["counts"].values()) == LEADS
    assert done["counts"]["written"] > LEADS / 2


def test_a_file_delivered_again_is_read_for_the_rows_that_use_it(
    quarantine: Command, sandbox: Sandbox, ledger: Ledger, environment: dict[str, str]
) -> None:
    run_night()
    lines = waiting(ledger, "NOT counts_as_input")
    assert {row.owner for row in lines.values()} == {"partner-data"}
    ((line, key),) = [(row.row_id, row.row_key) for row in lines.values() if "firm_employees" in row.reasons[0]]
    users = users_of(ledger, key)
    assert len(users) > 0
    assert quarantine("replay", "--owner", "partner-data", "--read-anew")[1].startswith("0 rows of 0 nights")
    claim = ("fixed", "--owner", "partner-data", "--reason", "the vendor says so")
    assert quarantine(*claim)[1] == f"{len(lines)} rows marked as fixed\n"
    asked = sandbox.billed()["calls"]
    code, said = quarantine("replay", "--owner", "partner-data")
    assert (code, done_of(said)["left_open"], done_of(said)["passed"]) == (1, len(lines), 0)
    assert sandbox.billed()["calls"] == asked
    shown = json.loads(quarantine("show", str(waiting(ledger, "NOT counts_as_input")[line].quarantine_id))[1])
    assert (shown["status"], shown["history"][-1]["why"]) == ("open", "the file was not delivered again")

    deliver_again(environment, lambda content: content.replace("50-100", "75"))
    other = min(waiting(ledger).keys() - users - waiting(ledger, "'email_unique' = ANY(expectations)").keys())
    mend(sandbox, other)
    assert quarantine("replay", str(waiting(ledger)[other].quarantine_id), "--read-anew")[0] == 0
    assert waiting(ledger, "NOT counts_as_input").keys() == lines.keys()  # nobody has asked for them
    before, asked = last_outcomes(ledger), sandbox.billed()["calls"]
    quarantine(*claim)
    code, said = quarantine("replay", "--owner", "partner-data")
    done = done_of(said)
    assert (code, done["passed"], done["again"], done["left_open"]) == (1, 1, len(lines) - 1, 0)
    assert sum(done["counts"].values()) == LEADS
    assert sandbox.billed()["calls"] - asked == len(users & {r for r in before if before[r] != "quarantined"})
    after = last_outcomes(ledger)
    assert untouched(before, after, users)
    assert {after[row] for row in users if before[row] == "unchanged"} <= {"written", "in_review", "unchanged"}
    assert waiting(ledger, "NOT counts_as_input").keys() == lines.keys() - {line}
    assert count_is_kept(ledger)


def test_a_company_mended_in_the_crm_reaches_the_rows_that_use_it(
    quarantine: Command, sandbox: Sandbox, ledger: Ledger
) -> None:
    company = company_of_the_night(sandbox)
    set_at_source(sandbox, f"crm/companies/{company}", numberofemployees=1.5)
    run_night()
    (entry,) = waiting(ledger, "row_id LIKE 'crm/companies/%%'").values()
    assert (entry.row_id, entry.row_key, entry.owner) == (f"crm/companies/{company}", company, "revenue-operations")
    ((uri,),) = rows(ledger, "SELECT uri FROM manifest WHERE dataset = 'raw'")
    users = {r["row_id"] for r in pq.read_table(uri).to_pylist() if r["company_id"] == company}
    assert users
    set_at_source(sandbox, f"crm/companies/{company}", numberofemployees=77)
    before = last_outcomes(ledger)
    assert quarantine("fixed", str(entry.quarantine_id), "--reason", "corrected") == (0, "1 rows marked as fixed\n")
    code, said = quarantine("replay", "--key", company)
    done = done_of(said)
    assert (code, done["rows"], done["passed"], sum(done["counts"].values())) == (0, 1, 1, LEADS)
    assert untouched(before, last_outcomes(ledger), users)
    ((uri,),) = rows(ledger, f"SELECT uri FROM manifest WHERE dataset = 'raw' AND run_id = '{done['run_id']}'")
    now = [r for r in pq.read_table(uri).to_pylist() if r["row_id"] in users]
    assert {r["company_employees"] for r in now} == {77}
    assert all(END - timedelta(days=1) <= r["modified_at"] < END for r in now)


def company_of_the_night(sandbox: Sandbox) -> str:
    """A company that a lead of the night belongs to."""
    e, after = sandbox.endpoints, "0"
    while after:
        asked = {"limit": "100", "properties": "associatedcompanyid,lastmodifieddate", "after": after}
        given: dict[str, Any] = {"headers": {"Authorization": f"Bearer {e.crm_token}"}, "params": asked}
        page = requests.get(f"{e.crm_url}/crm/v3/objects/contacts", timeout=10, **given).json()
        for item in page["results"]:
            found, changed = (item["properties"].get(name) for name in ("associatedcompanyid", "lastmodifieddate"))
            if found and END - timedelta(days=1) <= datetime.fromisoformat(changed) < END and found != "999999999":
                return str(found)
        after = page.get("paging", {}).get("next", {}).get("after")
    raise AssertionError("no lead of the night has a company")


def users_of(ledger: Ledger, domain: str) -> set[str]:
    """Rows of the night whose company has that domain."""
    (((uri,)),) = rows(ledger, "SELECT uri FROM manifest WHERE dataset = 'raw' LIMIT 1")
    found = pq.read_table(uri, columns=["row_id", "company_domain"]).to_pylist()
    return {row["row_id"] for row in found if join_key(row["company_domain"]) == domain}


def deliver_again(environment: dict[str, str], correct: Callable[[str], str]) -> None:
    """Put the night's file, corrected, where the vendor drops it."""
    with EnvironmentConnections(environment).open("sftp", "sftp_default") as sftp:
        (name,) = [name for name in sftp.listdir("archive") if name.endswith("2026-11-19.csv")]
        with sftp.open(f"archive/{name}", "rb") as archived:
            content = archived.read().decode("latin-1")
        corrected = correct(content)
        assert corrected != content
        sent = corrected.encode("latin-1")
        for place, data in ((name, sent), (f"{name}.sha256", f"{hashlib.sha256(sent).hexdigest()}  {name}".encode())):
            with sftp.open(f"drop/{place}", "wb") as dropped:
                dropped.write(data)


def test_owners_get_their_lists_at_close_and_on_demand(
    quarantine: Command, sandbox: Sandbox, ledger: Ledger, tmp_path: Path
) -> None:
    night = run_night()
    assert night["cleanup"].keys() == {"revenue-operations", "partner-data"}
    listed, page = (Path(place) for place in night["cleanup"]["revenue-operations"])
    assert listed.read_bytes().startswith(b"\xef\xbb\xbf")
    lines = list(csv.DictReader(io.StringIO(listed.read_text(encoding="utf-8-sig"))))
    reasons = rows(ledger, "SELECT row_key, unnest(expectations) FROM quarantine")
    assert sorted(line["row key"] for line in lines) == sorted(key for key, _ in reasons)
    assert {(line["system"], line["object"]) for line in lines} == {("crm", "contacts")}
    assert {"email", "hs_analytics_num_page_views", "lifecyclestage"} <= {line["columns"] for line in lines}
    assert all(value for line in lines for value in line.values())
    both = listed.read_text(encoding="utf-8-sig") + page.read_text(encoding="utf-8")
    assert "://" not in both
    ((uri,),) = rows(ledger, "SELECT uri FROM manifest WHERE dataset = 'raw'")
    people = pq.read_table(uri, columns=["email", "phone"]).to_pylist()
    assert not [value for row in people for value in row.values() if value and len(value) > 5 and value in both]
    vendor = Path(night["cleanup"]["partner-data"][0]).read_text(encoding="utf-8-sig")
    assert "deliver the file again" in vendor
    out = tmp_path / "out"
    assert quarantine("export", "--into", str(out), "--expectation", "email_present")[0] == 0
    (only,) = out.glob("*.csv")
    missing = waiting(ledger, "'email_present' = ANY(expectations)")
    assert len(only.read_text(encoding="utf-8-sig").splitlines()) - 1 == len(missing) > 0
    assert quarantine("export")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "said"), [(("show",), "number"), (("show", "7"), "no such"), (("list", "--from", "now"), "ISO 8601")]
)
def test_what_is_asked_wrongly_is_said(
    quarantine: Command, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert quarantine(*arguments)[0] == 2
    assert said in capsys.readouterr().err
