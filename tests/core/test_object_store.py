"""A whole night from the command line, staged on an object store by a user that may do only what it must."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import boto3
import pyarrow as pa
import pytest
import requests
from sqlalchemy.engine import make_url
from upath import UPath

from include.cli import main
from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.errors import AccessDenied, ConfigurationError, SystemUnavailable
from include.models import Manifest, Record
from include.night.extract.snapshot import is_intact
from include.private import make_folder, write_file
from include.staging import StagedWriter, read_rows
from include.storage import list_names
from tests.core.conftest import Ledger
from tests.core.object_store import BUCKET, PREFIX, ObjectStore, running_store

END = datetime(2026, 11, 20, 2, tzinfo=UTC)
CASE = "crm_lead_scoring"
WHEN = ["--from", (END - timedelta(days=1)).isoformat(), "--to", END.isoformat()]
LEADS = 30


@pytest.fixture(params=[("GetObject", "PutObject", "ListBucket")])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """A store whose user has just these rights; file systems are not remembered from one test to the next."""
    import s3fs

    with running_store(*request.param) as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("NIGHTLEDGER_STAGING", running.staging)
        s3fs.S3FileSystem.clear_instance_cache()
        yield running
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def _systems(ledger: Ledger, warehouse_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    state = tmp_path / "sandbox"
    quick = {"crm_latency_ms": 0, "model_latency_ms": 2, "model_jitter_ms": 0, "crm_requests_per_10s": 10_000}
    with running_sandbox(SandboxConfig(state=state, anchor=END, days=1, leads_per_day=LEADS, **quick)) as e:
        extra = {"host_key": e.sftp_host_key, "key_file": e.sftp_key_file}
        given: dict[str, Record] = {
            "CRM_DEFAULT": {"host": e.crm_url, "password": e.crm_token},
            "SFTP_DEFAULT": {"host": e.sftp_host, "port": e.sftp_port, "login": e.sftp_login, "extra": extra},
            "OPENAI_DEFAULT": {"host": e.model_url, "password": e.model_key},
        }
        for name, url in (("WAREHOUSE_DEFAULT", warehouse_url), ("NIGHTLEDGER_DB", ledger.urls.service)):
            db = make_url(url)
            given[name] = {"host": db.query["host"], "schema": db.database, "login": db.username}
        for name, value in given.items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(value))
        monkeypatch.setenv("NIGHTLEDGER_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("NIGHTLEDGER_TOKEN_SECRET", "test secret")
        yield


def run(*arguments: str) -> tuple[int, list[Record]]:
    out = io.StringIO()
    code = main(["run", *arguments], out)
    return code, [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.mark.usefixtures("_systems")
def test_a_night_is_staged_with_least_rights(store: ObjectStore, tmp_path: Path) -> None:
    code, said = run("all", CASE, *WHEN, "--mode", "auto")
    assert (code, store.denied) == (0, [])
    closed = said[-1]["close"]
    assert (closed["status"], sum(closed["counts"].values())) == ("succeeded", LEADS)
    assert said[0]["extract"]["uri"].startswith(store.staging)
    for name in ("report", "quality"):
        assert closed[name].startswith(store.staging)
        assert UPath(closed[name]).stat().st_size > 1_000
    assert not (tmp_path / "home" / "staging").exists(), "nothing is staged on this machine"


def stage(store: ObjectStore, name: str) -> Manifest:
    place = UPath(store.staging) / "case" / "run" / f"{name}.parquet"
    with StagedWriter(place, pa.schema([("row_id", pa.string())])) as writer:
        writer.append({"row_id": "1"})
    return writer.manifest("run", name)


def read(store: ObjectStore, manifest: Manifest) -> tuple[int, bool, bool, list[str]]:
    """What stages and pages do: rows, whether the data is there, whether data that is gone is there, names."""
    gone = replace(manifest, uri=manifest.uri.replace("raw", "gone"))
    rows = len(list(read_rows(manifest)))
    looks = [is_intact(one, manifest.columns) for one in (manifest, gone)]
    folder = UPath(store.staging) / "case" / "run"
    return rows, looks[0], looks[1], list_names(folder)


def test_names_are_those_of_now(store: ObjectStore) -> None:
    manifest = stage(store, "raw")
    assert read(store, manifest) == (1, True, False, ["raw.parquet"])
    boto3.client("s3").put_object(Bucket=BUCKET, Key=f"{PREFIX}/case/run/report.html", Body=b"by another process")
    assert read(store, manifest)[3] == ["raw.parquet", "report.html"]
    assert store.denied == []


@pytest.mark.parametrize(
    ("store", "action", "object_name"),
    [
        (("GetObject", "ListBucket"), "s3:PutObject", "raw"),
        (("PutObject", "ListBucket"), "s3:GetObject", "raw"),
        (("GetObject", "PutObject"), "s3:ListBucket", "gone"),
    ],
    indirect=["store"],
)
def test_each_right_of_the_policy_is_needed_and_named(store: ObjectStore, action: str, object_name: str) -> None:
    with pytest.raises(AccessDenied) as caught:
        read(store, stage(store, "raw"))
    assert set(store.denied) == {action}
    said = str(caught.value)
    assert said.startswith(f"s3://{BUCKET} {PREFIX}/case/run/{object_name}.parquet: the store refused to ")
    assert action in said


@pytest.mark.usefixtures("_systems")
@pytest.mark.parametrize("store", [("GetObject", "ListBucket")], indirect=True)
def test_a_night_whose_store_takes_nothing_says_what_to_grant(
    store: ObjectStore, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = run("extract", CASE, *WHEN, "--mode", "auto")
    told = capsys.readouterr().err.splitlines()[-1]
    assert (code, said) == (2, [])
    assert told.startswith(f"AccessDenied: s3://{BUCKET} {PREFIX}/{CASE}/")
    assert told.endswith("Grant the credential of this machine s3:PutObject on it")


def test_a_text_is_refused_by_name_too(store: ObjectStore) -> None:
    with pytest.raises(AccessDenied, match=r"s3://another-bucket report\.html: .* s3:PutObject"):
        write_file(UPath("s3://another-bucket/report.html"), "words")


def test_a_wrong_key_is_told_from_a_missing_right(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(AccessDenied, match=r"SignatureDoesNotMatch") as caught:
        stage(store, "raw")
    assert "wrong" not in str(caught.value)


def test_no_credential_at_all_is_said(store: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(AccessDenied, match=r"has no credential .*AWS_ACCESS_KEY_ID"):
        stage(store, "raw")


def test_a_bucket_that_is_not_there_is_said(store: ObjectStore) -> None:
    requests.post(f"{store.url}/moto-api/reset-auth", data="inf", timeout=10).raise_for_status()
    with pytest.raises(ConfigurationError, match=r"s3://another-bucket report\.html: there is no such bucket"):
        write_file(UPath("s3://another-bucket/report.html"), "words")


def test_a_store_that_nobody_hears_is_unavailable(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(SystemUnavailable, match=f"s3://{BUCKET} .*cannot be reached"):
        stage(store, "raw")


def test_folders_are_made_where_there_are_folders(tmp_path: Path) -> None:
    for place in (UPath(tmp_path / "a" / "b"), UPath(f"file://{tmp_path}/c/d")):
        make_folder(place)
        assert place.is_dir()
        make_folder(place)


@pytest.mark.skipif(find_spec("gcsfs") is not None, reason="the client of that store is installed")
def test_a_store_whose_client_is_not_installed_names_what_to_install() -> None:
    with pytest.raises(ConfigurationError, match=r"NIGHTLEDGER_STAGING: .* gs://.*requirements-s3\.txt"):
        make_folder(UPath("gs://bucket/folder"))
