"""Peak memory and time of the check stage as rows grow, each size in a process of its own.

    PYTHONPATH=. python tests/bench/bench_memory.py

Baseline: the same process having imported Great Expectations and checked 100 rows. Flat means that the step from
20,000 to 60,000 rows costs no more than the columns that whole-table expectations need.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from include.database import open_database
from include.demo.stack import postgres
from include.ledger import schema
from include.ledger.record import open_run
from include.models import Interval, RunKey, RunOptions
from include.run import Night
from include.settings import Settings
from include.spec.use_case import load
from include.systems.connections import EnvironmentConnections

SIZES = (100, 2_000, 20_000, 60_000)


def measure(rows: int, service_url: str, folder: str) -> None:
    """Stage rows and check them; prints seconds and peak megabytes."""
    from include.night.check.check import check
    from include.night.extract.extract import raw_schema
    from include.staging import StagedWriter

    case = load("crm_lead_scoring")
    start = datetime(2026, 11, 19, 2, tzinfo=UTC) + timedelta(days=rows)
    key = RunKey(case.name, Interval(start, start + timedelta(days=1)))
    prompt = {"name": "n", "version": "v", "hash": "h", "system": "s", "user": "u"}
    engine = open_database(service_url)
    run_id = open_run(engine, key, case, RunOptions(), prompt=prompt, git_sha="")
    settings = Settings.read({"NIGHTLEDGER_HOME": folder, "NIGHTLEDGER_TOKEN_SECRET": "bench"})
    night = Night(case, key.interval, run_id, RunOptions(), engine, EnvironmentConnections({}), settings)
    good = {
        "lineage": "{}", "modified_at": start, "job_title": "Head of Things", "lifecycle_stage": "lead",
        "page_views": 3, "last_activity_at": start, "company_id": "9", "company_name": "Acme", "industry": "retail",
        "employees": 120, "annual_revenue": 1e6, "founded_year": 1990, "size_known_at": start,
    }  # fmt: skip
    with StagedWriter(night.path("raw.parquet"), raw_schema(case)) as writer:
        for number in range(rows):
            email = None if number % 20 == 0 else f"lead{number}@example.com"
            keys = {"row_id": f"crm/contacts/{number}", "row_key": str(number), "lead_id": str(number)}
            writer.append({**good, **keys, "email": email})
    raw = writer.manifest(run_id, "raw")
    began = time.perf_counter()
    check(night, raw)
    seconds = time.perf_counter() - began
    print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def main() -> None:
    """Run every size and print the table."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with postgres.embedded_postgres(Path(folder) / "postgres") as server:
            passwords = dict.fromkeys(postgres.ROLES, "bench")
            postgres.prepare(server, passwords)
            owner = open_database(server.url("nightledger", "nightledger_owner", "bench"))
            schema.upgrade(owner)
            owner.dispose()
            url = server.url("nightledger", "nightledger_service", "bench")
            print(f"{'rows':>8}  {'seconds':>8}  {'peak MB':>8}  {'over 100 rows':>14}")
            base = 0.0
            for rows in SIZES:
                command = [sys.executable, "-W", "ignore", __file__, str(rows), url, folder]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                seconds, peak = json.loads(done.stdout.strip().splitlines()[-1])
                base = base or peak
                print(f"{rows:8,}  {seconds:8.2f}  {peak:8.0f}  {peak - base:+11.0f} MB")


if __name__ == "__main__":
    measure(int(sys.argv[1]), sys.argv[2], sys.argv[3]) if len(sys.argv) > 1 else main()
