"""Extract against the sandbox systems: their real protocols, limits and mess, for a week of nights."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pyarrow.parquet as pq
import pytest
from sqlalchemy import func, select

from include.demo.sandbox.config import Endpoints, SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.errors import AccessDenied, ContractBroken, FileNotReady
from include.ledger import tables
from include.models import Interval
from include.night.extract.extract import extract
from include.run import Night
from include.spec.use_case import UseCase

ANCHOR = datetime(2024, 3, 6, 2, tzinfo=UTC)
DAYS = 9
BAD = {"2024-02-26": "renamed_column", "2024-02-27": "growing_file", "2024-02-29": "empty_file"}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    config = SandboxConfig(
        state=tmp_path_factory.mktemp("sandbox"),
        anchor=ANCHOR,
        days=DAYS,
        leads_per_day=120,
        crm_latency_ms=0,
        crm_requests_per_10s=10_000,
        scenarios=BAD,
    )
    with running_sandbox(config) as endpoints:
        yield endpoints


@pytest.fixture
def sandbox_night(sandbox: Endpoints, make_night: Callable[..., Night], case: UseCase) -> Callable[..., Night]:
    """A night of the sandbox by the UTC date its interval starts on."""

    def make(day: str, token: str = "") -> Night:
        start = datetime.fromisoformat(day).replace(hour=2, tzinfo=UTC)
        crm = {"host": sandbox.crm_url, "password": token or sandbox.crm_token}
        extra = {"host_key": sandbox.sftp_host_key, "key_file": sandbox.sftp_key_file}
        sftp = {"host": sandbox.sftp_host, "port": sandbox.sftp_port, "login": sandbox.sftp_login, "extra": extra}
        connections = {"AIRFLOW_CONN_CRM_DEFAULT": json.dumps(crm), "AIRFLOW_CONN_SFTP_DEFAULT": json.dumps(sftp)}
        return make_night(case=case, interval=Interval(start, start + timedelta(days=1)), connections=connections)

    return make


def test_a_week_of_messy_nights_is_read_and_every_row_accounted_for(sandbox_night: Callable[..., Night]) -> None:
    encodings = set()
    for back in range(1, 6):
        night = sandbox_night(f"{ANCHOR - timedelta(days=back):%Y-%m-%d}")
        manifest = extract(night)
        facts = manifest.facts
        ids = pq.read_table(manifest.uri, columns=["row_id"])["row_id"].to_pylist()
        with night.ledger.connect() as connection:
            ended = select(func.count()).where(tables.outcome.c.run_id == night.run_id)
            outcomes = connection.execute(ended).scalar_one()
        assert len(set(ids)) == manifest.rows > 90
        assert facts["read"]["crm"] == facts["input_rows"] == manifest.rows + outcomes
        assert facts["joined"]["firm_"]["matched"] > 0.5 * manifest.rows
        assert facts["rejected_context"] >= 5
        encodings.add(facts["files"][0]["encoding"])
    assert len(encodings) > 1


@pytest.mark.parametrize(
    ("scenario", "error", "words"),
    [
        ("renamed_column", ContractBroken, "no 'industry'"),
        ("growing_file", FileNotReady, r"\.sha256"),
        ("empty_file", ContractBroken, "empty file"),
    ],
)
def test_a_bad_delivery_is_a_typed_error(
    sandbox_night: Callable[..., Night], scenario: str, error: type[Exception], words: str
) -> None:
    day = next(day for day, name in BAD.items() if name == scenario)
    with pytest.raises(error, match=words):
        extract(sandbox_night(day))


def test_an_expired_token_is_denied(sandbox: Endpoints, sandbox_night: Callable[..., Night]) -> None:
    with pytest.raises(AccessDenied, match="crm_default"):
        extract(sandbox_night(f"{ANCHOR - timedelta(days=1):%Y-%m-%d}", sandbox.expired_token))
