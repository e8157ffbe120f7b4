"""Enrich a file of JSON lines without Airflow, sources or sinks: the same asking, the same ledger."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import resource
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

from pydantic import BaseModel

from include.canonical import digest
from include.database import Database, transaction
from include.errors import ConfigurationError, SystemUnavailable
from include.ledger import audit
from include.ledger.audit import Pins
from include.ledger.closing import close_run
from include.ledger.orphans import abandon_orphans
from include.ledger.record import open_run, quarantine
from include.models import Interval, Record, RejectedRow, RunKey, RunOptions
from include.night.enrich.answering import CHUNK_ROWS, Answering, prepare, take
from include.night.enrich.questions import Item, address, pin
from include.plain import visible_all
from include.run import Run
from include.settings import Settings
from include.spec.prompt import Prompt
from include.spec.use_case import Enrichment
from include.systems.connections import EnvironmentConnections, ModelEndpoint
from include.systems.registry import System

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCase(Enrichment):
    """What is asked about the lines of a file; `output` is the class of what must be answered."""

    output: type[BaseModel]

    def module(self, name: str) -> ModuleType:
        """The only part of a use case's folder that a file has: the output."""
        found = ModuleType(name)
        found.Output = self.output  # type: ignore[attr-defined]
        return found

    @property
    def contract_hash(self) -> str:
        """sha256 over what must be answered; the model sees whole lines."""
        return digest({"use_case": self.name, "sees": ["*"], "schema": self.output.model_json_schema()})


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the input: a row under its id, or what is wrong with it."""

    number: int
    raw: bytes
    row: Record | None
    problem: str = ""

    @property
    def name(self) -> str:
        """Its `id`, else its line number."""
        return str((self.row or {}).get("id", self.number))


def open_file_run(
    case: FileCase, prompt: Prompt, source: Path, ledger: Database, settings: Settings, options: RunOptions
) -> Run:
    """The run of a file: the unfinished one of today (UTC) if there is one, else a new one."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    today = Interval(midnight, midnight + timedelta(days=1))
    place = hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:12]
    key = RunKey(case.name, today, f"file/{place}/{prompt.hash[:12]}")
    run_id = open_run(ledger, key, case, options, prompt=prompt.as_mapping(), git_sha=settings.git_sha)
    abandon_orphans(ledger, case.name)
    return Run(case, today, run_id, options, ledger, EnvironmentConnections(), settings)


def enrich_file(
    run: Run, prompt: Prompt, system: System, endpoint: ModelEndpoint, source: Path, result: Path
) -> Record:
    """Ask about every line of `source`, then write `result`: one JSON line for each, in the same order.

    Returns the counts. Whatever is answered is on record at once: after a kill, the same command asks what is left.
    """
    started, cpu = time.monotonic(), time.process_time()
    pins = pin(run, prompt, system)
    lines, bad = _quarantine(run, source)
    answering = prepare(run, system, endpoint, prompt, pins, lines - bad)
    answering.ask(_items(pins, source))
    seconds = time.monotonic() - started
    counts = _write(run, pins, source, result, answering)
    with transaction(run.ledger) as connection:
        close_run(connection, run.run_id, "succeeded", counts, rows_in=lines)
    asked = answering.asked
    return {
        "run_id": run.run_id,
        "rows": lines,
        **counts,
        "reused": answering.counts["planned_reused"],
        "calls": asked["calls"],
        "retries": asked["retry"],
        "re_asks": asked["re-ask"],
        "hedges": asked["hedge"],
        "http_429": asked["rate_limited"],
        "cost_usd": str(answering.spent),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "ledger_rows": 2 * asked["calls"] + asked["ok"],
    }


def _read(source: Path) -> Iterator[Line]:
    """The lines that are not blank; raises ConfigurationError if the file cannot be read."""
    try:
        with source.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                if raw.strip():
                    yield _parse(number, raw)
    except OSError as error:
        raise ConfigurationError(f"cannot be read ({error.strerror})", about=str(source)) from error


def _parse(number: int, raw: bytes) -> Line:
    try:
        row = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
    except (ValueError, RecursionError) as error:
        return Line(number, raw, None, f"is no JSON ({type(error).__name__})")
    return Line(number, raw, row) if isinstance(row, dict) else Line(number, raw, None, "is no JSON object")


def _quarantine(run: Run, source: Path) -> tuple[int, int]:
    """Set bad lines aside before anything is asked; returns the number of lines and of bad ones."""
    lines, rejected = 0, list[RejectedRow]()
    for line in _read(source):
        lines += 1
        if line.row is None:
            kept = {"bytes": len(line.raw), "sha256": hashlib.sha256(line.raw).hexdigest()}
            rejected.append(RejectedRow(str(line.number), None, f"{source.name}:{line.number}", (line.problem,), kept))
    if rejected:
        with transaction(run.ledger) as connection:
            quarantine(connection, run, "extract", rejected)
        log.warning("%d of %d lines are no rows; they are in quarantine and marked in the result", len(rejected), lines)
    return lines, len(rejected)


def _items(pins: Pins, source: Path) -> Iterator[Item]:
    return (_item(pins, source, line, line.row) for line in _read(source) if line.row is not None)


def _item(pins: Pins, source: Path, line: Line, row: Record) -> Item:
    lineage = json.dumps({"source": f"{source.name}:{line.number}"})
    return address(pins, str(line.number), line.name, lineage, row, row)


def _write(run: Run, pins: Pins, source: Path, result: Path, answering: Answering) -> dict[str, int]:
    """Read back from the ledger what every line got; the file appears whole or not at all."""
    counts: Counter[str] = Counter()
    draft = result.with_name(f".{result.name}.{os.getpid()}")
    lines = _read(source)
    try:
        with draft.open("w", encoding="utf-8") as file:
            while chunk := take(lines, CHUNK_ROWS):
                for line in _conclude(run, pins, source, chunk, answering):
                    counts[line["status"]] += 1
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
        draft.replace(result)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise SystemUnavailable(
            f"cannot be written ({error.strerror}); every answer is on record, so nothing is lost",
            about=str(result),
            action="Make room and run the same command again: it asks nothing twice",
        ) from error
    return dict(counts)


def _conclude(run: Run, pins: Pins, source: Path, chunk: list[Line], answering: Answering) -> Iterator[Record]:
    items = {line.number: _item(pins, source, line, line.row) for line in chunk if line.row is not None}
    keys = {item.inference_key for item in items.values()}
    answers = audit.find_answers(run.ledger, run, keys)
    dead = audit.find_dead(run.ledger, run, keys - answers.keys())
    why = answering.why_left()
    for line in chunk:
        item = items.get(line.number)
        head: Record = {"line": line.number, "id": line.name}
        if item is None:
            yield {**head, "status": "quarantined", "detail": line.problem}
        elif item.inference_key in answers:
            answer = answers[item.inference_key]
            reused = answer.recorded_at is not None and answer.recorded_at < answering.began
            yield {**head, "status": "answered", "output": visible_all(answer.output), "reused": reused}
        elif item.inference_key in dead:
            cause, detail = dead[item.inference_key]
            yield {**head, "status": "dead_letter", "cause": cause, "detail": detail}
        else:
            yield {**head, "status": "deferred", "detail": why}
