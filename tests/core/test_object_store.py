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
from sqlalchemy.engine import make_url
from upath import UPath

from include.cli import main
from include.errors import ConfigurationError
from include.models import Manifest, Record
from include.private import make_folder
from include.sandbox.config import SandboxConfig
from include.sandbox.process import running_sandbox
from include.sources.snapshot import is_intact
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
    looks = [is_intact(one, manifest.columns) for one in (manifest, gone)]
    folder = UPath(store.staging) / "case" / "run"
    return len(list(read_rows(manifest))), looks[0], looks[1], list_names(folder)


def test_names_are_those_of_now(store: ObjectStore) -> None:
    manifest = stage(store, "raw")
    assert read(store, manifest) == (1, True, False, ["raw.parquet"])
    boto3.client("s3").put_object(Bucket=BUCKET, Key=f"{PREFIX}/case/run/report.html", Body=b"by another process")
    assert read(store, manifest)[3] == ["raw.parquet", "report.html"]
    assert store.denied == []


@pytest.mark.parametrize(
    ("store", "action"),
    [
        (("GetObject", "ListBucket"), "s3:PutObject"),
        (("PutObject", "ListBucket"), "s3:GetObject"),
        (("GetObject", "PutObject"), "s3:ListBucket"),
    ],
    indirect=["store"],
)
def test_each_right_of_the_policy_is_needed(store: ObjectStore, action: str) -> None:
    with pytest.raises(PermissionError):
        read(store, stage(store, "raw"))
    assert set(store.denied) == {action}


def test_folders_are_made_where_there_are_folders(tmp_path: Path) -> None:
    for place in (UPath(tmp_path / "a" / "b"), UPath(f"file://{tmp_path}/c/d")):
        make_folder(place)
        assert place.is_dir()
        make_folder(place)


@pytest.mark.skipif(find_spec("gcsfs") is not None, reason="the client of that store is installed")
def test_a_store_whose_client_is_not_installed_names_what_to_install() -> None:
    with pytest.raises(ConfigurationError, match=r"NIGHTLEDGER_STAGING: .* gs://.*requirements-s3\.txt"):
        make_folder(UPath("gs://bucket/folder"))
