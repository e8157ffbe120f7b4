"""Erasing what was staged: files written anew, manifests told, a killed one gone on with, a forged one left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from include.database import transaction
from include.errors import ConfigurationError, ContractBroken
from include.ledger.erasure import Target, unfinished
from include.ledger.record import find_manifest, put_manifest, record_manifest
from include.ledger.verify import verify
from include.models import Manifest, Outcome
from include.night.extract.shape import raw_schema
from include.night.extract.snapshot import reuse, without_erased
from include.operations import erase as erasing
from include.operations import erase_staged
from include.run import Night
from include.stages import close
from include.staging import StagedWriter, read_rows
from include.systems.connections import EnvironmentConnections
from tests.core.commands.test_cli import connection
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import ask, decide, end_rows, rows_of
from tests.core.ledger.test_verify import problems, tamper

NAME = "crm_lead_scoring"
ADA = Target({NAME: ["2"]})


def stage(night: Night, dataset: str, schema: pa.Schema, rows: list[dict[str, Any]]) -> Manifest:
    with StagedWriter(night.path(f"{dataset}.parquet"), schema) as writer:
        writer.extend(rows)
    manifest = writer.manifest(night.run_id, dataset, {"input_rows": len(rows)})
    record_manifest(night.ledger, manifest)
    return manifest


@pytest.fixture
def night(make_night: MakeNight) -> Night:
    """A closed night of three leads, the second of them Ada's, with what it staged."""
    made = make_night()
    ids = rows_of(3)
    rows = [{"row_id": one, "row_key": one[-1], "lineage": "{}", "email": f"{one[-1]}@a.example"} for one in ids]
    for dataset in ("raw", "good"):
        stage(made, dataset, raw_schema(made.case), rows)
    decide(made, ids, inferences=ask(made, ids))
    end_rows(made, dict.fromkeys(ids, Outcome.SHADOWED))
    close(made)
    return made


def erase(ledger: Ledger, night: Night, target: Target = ADA) -> list[erasing.Erased]:
    owner = EnvironmentConnections({"AIRFLOW_CONN_NIGHTLEDGER_DB_OWNER": connection(ledger.urls.owner)})
    return erasing.erase(ledger.service, owner, night.settings, target, "kim", "asked by letter")


def emails(night: Night, dataset: str) -> list[tuple[str, str | None]]:
    manifest = find_manifest(night.ledger, night.run_id, dataset)
    assert manifest
    return [(row["row_key"], row["email"]) for row in read_rows(manifest)]


def in_files(night: Night) -> str:
    return "".join(str(pq.read_table(one).to_pylist()) for one in Path(night.settings.staging).rglob("*.parquet"))


def test_a_row_keeps_its_place_where_it_is_spoken_of_by_it_and_is_left_out_elsewhere(
    night: Night, ledger: Ledger
) -> None:
    was = find_manifest(night.ledger, night.run_id, "raw")
    (done,) = erase(ledger, night)
    assert (done.staged.rewritten, done.complete) == (2, True)
    assert emails(night, "raw") == [("1", "1@a.example"), ("2", None), ("3", "3@a.example")]
    assert emails(night, "good") == [("1", "1@a.example"), ("3", "3@a.example")]
    assert "2@a.example" not in in_files(night)
    now = find_manifest(night.ledger, night.run_id, "raw")
    assert was
    assert now
    assert now.facts["erased"] == ["crm/contacts/2"]
    found = verify(ledger.service)
    assert found.holds, found.as_text()
    with pytest.raises(ContractBroken, match="gone"):
        list(read_rows(was))


def test_a_second_person_in_the_same_file_is_erased_too(night: Night, ledger: Ledger) -> None:
    erase(ledger, night)
    erase(ledger, night, Target({NAME: ["3"]}))
    assert emails(night, "raw") == [("1", "1@a.example"), ("2", None), ("3", None)]
    assert emails(night, "good") == [("1", "1@a.example")]
    found = verify(ledger.service)
    assert found.holds, found.as_text()
    tamper(ledger.owner, "UPDATE manifest SET sha256 = repeat('a', 64) WHERE dataset = 'good'")
    assert problems(verify(ledger.service)) == {("manifest", night.run_id)}


def test_a_manifest_put_back_to_what_it_was_is_found(night: Night, ledger: Ledger) -> None:
    was = find_manifest(night.ledger, night.run_id, "raw")
    assert was
    erase(ledger, night)
    with transaction(ledger.service) as connection:
        put_manifest(connection, was)
    assert ("manifest", f"{night.run_id}/raw") in problems(verify(ledger.service))


def test_a_finished_date_is_run_again_without_the_row(night: Night, ledger: Ledger, make_night: MakeNight) -> None:
    erase(ledger, night)
    earlier = find_manifest(night.ledger, night.run_id, "raw")
    assert earlier
    again = reuse(make_night(external_ref="again"), earlier)
    assert [row["row_key"] for row in read_rows(again)] == ["1", "3"]
    assert again.facts["input_rows"] == 2
    assert "erased" not in again.facts


def test_runs_that_share_a_file_are_both_told(night: Night, ledger: Ledger, make_night: MakeNight) -> None:
    earlier = find_manifest(night.ledger, night.run_id, "raw")
    assert earlier
    other = make_night(external_ref="again")
    reuse(other, earlier)
    end_rows(other, dict.fromkeys(rows_of(3), Outcome.UNCHANGED))
    close(other)
    erase(ledger, night)
    assert emails(other, "raw") == emails(night, "raw") == [("1", "1@a.example"), ("2", None), ("3", "3@a.example")]
    found = verify(ledger.service)
    assert found.holds, found.as_text()


@pytest.mark.parametrize("at", ["before", "after"])
def test_killed_beside_the_word_to_the_ledger_it_goes_on(
    night: Night, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    class Killed(BaseException):
        pass

    tell = erase_staged._tell

    def killed(*given: Any) -> None:
        if at == "after":
            tell(*given)
        raise Killed

    monkeypatch.setattr(erase_staged, "_tell", killed)
    with pytest.raises(Killed):
        erase(ledger, night)
    monkeypatch.setattr(erase_staged, "_tell", tell)
    assert len(unfinished(ledger.service)) == 1
    assert verify(ledger.service).holds
    owner = EnvironmentConnections({"AIRFLOW_CONN_NIGHTLEDGER_DB_OWNER": connection(ledger.urls.owner)})
    (done,) = erasing.go_on(ledger.service, owner, night.settings)
    assert done.complete
    assert unfinished(ledger.service) == []
    assert "2@a.example" not in in_files(night)
    assert emails(night, "raw") == [("1", "1@a.example"), ("2", None), ("3", "3@a.example")]
    found = verify(ledger.service)
    assert found.holds, found.as_text()


def test_a_file_that_is_not_what_its_manifest_says_is_left_and_named(night: Night, ledger: Ledger) -> None:
    manifest = find_manifest(night.ledger, night.run_id, "raw")
    assert manifest
    place = Path(manifest.uri)
    table = pq.read_table(place)
    pq.write_table(table.set_column(3, "email", pa.array(["x", "x", "x"])), place)
    (done,) = erase(ledger, night)
    assert not done.complete
    assert list(done.staged.problems) == [str(place)]
    assert len(unfinished(ledger.service)) == 1
    place.unlink()
    (again,) = erasing.go_on(
        ledger.service,
        EnvironmentConnections({"AIRFLOW_CONN_NIGHTLEDGER_DB_OWNER": connection(ledger.urls.owner)}),
        night.settings,
    )
    assert again.complete


def test_parts_of_a_dataset_and_lists_for_owners_go_too(night: Night, ledger: Ledger) -> None:
    schema = pa.schema([("row_id", pa.string()), ("row_key", pa.string()), ("output", pa.string())])
    with StagedWriter(night.path("enriched-000.parquet"), schema) as writer:
        writer.extend({"row_id": one, "row_key": one[-1], "output": f"about {one[-1]}"} for one in rows_of(3))
    night.path("cleanup-sales.csv").write_text('"crm/contacts/2","2@a.example"')
    (done,) = erase(ledger, night)
    assert (done.staged.rewritten, done.staged.removed) == (3, 1)
    assert "about 2" not in in_files(night)
    assert "about 3" in in_files(night)


def test_without_the_owners_login_nothing_is_begun(night: Night, ledger: Ledger) -> None:
    with pytest.raises(ConfigurationError, match="neither erase nor remove"):
        erasing.erase(ledger.service, EnvironmentConnections({}), night.settings, ADA, "kim", "why")
    assert unfinished(ledger.service) == []


def test_a_night_that_is_going_on_is_left_alone(ledger: Ledger, make_night: MakeNight) -> None:
    made = make_night()
    stage(made, "raw", raw_schema(made.case), [{"row_id": "crm/contacts/2", "row_key": "2", "email": "2@a.example"}])
    ask(made, ["crm/contacts/2"])
    with pytest.raises(ConfigurationError, match="going on"):
        erase(ledger, made)
    assert unfinished(ledger.service) == []
    assert "2@a.example" in in_files(made)


def test_a_dataset_without_erased_rows_is_the_same(night: Night) -> None:
    manifest = find_manifest(night.ledger, night.run_id, "raw")
    assert manifest
    assert without_erased(night, manifest) is manifest
    empty: Mapping[str, Any] = {**manifest.facts, "erased": []}
    assert without_erased(night, replace(manifest, facts=empty)).uri == manifest.uri


def test_a_value_is_found_in_what_was_staged(night: Night, ledger: Ledger) -> None:
    found, gone = erase_staged.find_staged(ledger.owner, [night.run_id], "2@A.example")
    assert (found, gone) == ({night.run_id: {"2"}}, [])
    for one in Path(night.settings.staging).rglob("raw.parquet"):
        one.unlink()
    assert erase_staged.find_staged(ledger.owner, [night.run_id], "2@A.example") == ({}, [night.run_id])
    with transaction(ledger.owner) as connection:
        assert connection.scalar(text("SELECT count(*) FROM manifest WHERE run_id = :r"), {"r": night.run_id}) == 2
