"""The API against what it says of itself: thousands of calls that nobody would make, none of which may break it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings

from include.database import open_database
from include.ledger.record import open_run
from include.ledger.schema import SERVICE_ROLE
from include.models import Interval, RunKey, RunOptions
from include.run import Night
from include.settings import Settings
from include.spec.use_case import load
from tests.adapters.ui_stand import MINE, OTHERS, Stand, connection_of, open_stand
from tests.core.conftest import PROMPT, Postgres
from tests.core.ledger.nights import reject_rows, rows_of, stage_raw

pytestmark = pytest.mark.timeout(280)
LEDGER = "ledger_of_the_fuzzer"


@pytest.fixture(scope="module")
def stand(postgres: Postgres, ledger_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    postgres.execute(f"CREATE DATABASE {LEDGER} TEMPLATE {ledger_template} STRATEGY FILE_COPY")
    folder, patched = tmp_path_factory.mktemp("airflow"), pytest.MonkeyPatch()
    with open_stand(folder, {MINE: "blue", OTHERS: "red"}) as found:
        service = postgres.database(LEDGER, SERVICE_ROLE)
        patched.setenv("AIRFLOW_CONN_NIGHTLEDGER_DB", connection_of(service))
        _fill(service)
        found.renew()
        yield found
        patched.undo()


def _fill(service: str) -> None:
    engine, case = open_database(service), load(MINE)
    interval = Interval(datetime(2026, 11, 19, 2, tzinfo=UTC), datetime(2026, 11, 20, 2, tzinfo=UTC))
    run_id = open_run(engine, RunKey(MINE, interval), case, RunOptions(), prompt=PROMPT, git_sha="")
    night = Night(case, interval, run_id, RunOptions(), engine, None, Settings.read())  # type: ignore[arg-type]
    stage_raw(night, rows_of(3))
    reject_rows(night, "check", dict.fromkeys(rows_of(3), "not met: it is odd (odd)"))
    engine.dispose()


@pytest.fixture(scope="module")
def bearer(stand: Stand) -> dict[str, str]:
    return {"Authorization": f"Bearer {stand.token('ann')}"}


@pytest.fixture(scope="module")
def api(stand: Stand, bearer: dict[str, str]) -> Any:
    import schemathesis  # here, since every worker loads every file of tests

    return schemathesis.openapi.from_asgi("/nightledger/api/openapi.json", stand.server, headers=bearer)


def test_the_api_keeps_what_it_promises(api: Any, bearer: dict[str, str]) -> None:
    """A value of the right form may still name nothing, so 400 is an answer to that as well."""
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    tried: Counter[str] = Counter()
    for found in api.get_all_operations():
        operation = found.ok()

        @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        @given(case=operation.as_strategy())
        def call(case: Any) -> None:
            assume(not any("\n" in str(value) for value in (case.path_parameters or {}).values()))  # no app's path
            answer = case.call(headers={**(case.headers or {}), **bearer})
            case.validate_response(answer, headers=bearer, excluded_checks=[positive_data_acceptance])
            assert "Traceback" not in answer.text
            tried[f"{case.operation.label} {answer.status_code // 100}xx"] += 1

        call()
    assert len({name.rpartition(" ")[0] for name in tried}) >= 15
    assert sum(count for name, count in tried.items() if name.endswith("2xx")) > 100
    assert sum(count for name, count in tried.items() if name.endswith("4xx")) > 100


def test_every_part_of_the_api_is_described(stand: Stand) -> None:
    described = stand.pages.openapi()["paths"]
    assert len(described) >= 15
    for path, methods in described.items():
        for method, operation in methods.items():
            assert operation["description"], f"{method} {path}"
            assert {"401", "403", "503"} <= set(operation["responses"])
