"""Hold what a source has against the expectations of a use case, and do nothing else: no model, no write, no run."""

from __future__ import annotations

import logging
import shutil
from typing import Any

from upath import UPath

from include.database import transaction
from include.errors import QualityStop
from include.ledger import door
from include.ledger.closing import close_run
from include.ledger.quarantine import Filter
from include.ledger.record import RowOutcome, find_manifest, record_event, record_outcomes
from include.models import Interval, Manifest, Mode, Outcome, Record, RunKey, RunOptions
from include.night.check.check import check
from include.night.close.balance import compare
from include.night.extract.extract import read_sources
from include.operations.rehearse import rehearsal
from include.private import close_folder, make_folder, open_file, write_file
from include.report.cleanup import write_cleanup
from include.report.quality_facts import read_quality
from include.report.quality_html import as_html
from include.report.quality_json import as_json
from include.report.quality_parts import QualityFacts
from include.report.quality_text import verdict
from include.run import Night
from include.settings import Settings
from include.spec.use_case import load
from include.staging import read_rows
from include.systems.connections import Connections

log = logging.getLogger(__name__)
_READ_ONLY = "assessed: it would go on to the model"


def assess(
    connections: Connections,
    settings: Settings,
    use_case: str,
    interval: Interval,
    actor: str,
    limit: int | None = None,
) -> Record:
    """Read an interval's rows from the sources and report on their quality; returns the verdict and where reports are.

    At most `limit` rows are read. The ledger keeps one event that says who asked and what was found: no run, no row in
    quarantine, nothing that a night would see. Reports lie in the staging folder under `assessments`: `quality.html`,
    `quality.json`, the keys of all failing rows, and one clean-up list for each owner of a source. An assessment of the
    same interval replaces the earlier one's. Raises what the sources raise.
    """
    ledger, case = door.open_ledger(connections), load(use_case)
    options = RunOptions.from_params({"limit": limit, "mode": Mode.SHADOW.value, "re_extract": True}, case.mode)
    key = RunKey(use_case, interval, f"assessment/{interval.slug}")
    place = UPath(settings.staging) / "assessments"
    folder = place / use_case / interval.slug
    make_folder(folder)
    close_folder(place)
    with rehearsal(ledger, key, options, connections, settings) as night:
        facts = _judge(night)
        found = _write(night, facts, folder)
    said = {"interval": interval.slug, "limit": limit, **{name: found[name] for name in ("verdict", "rows", "failed")}}
    with transaction(ledger) as connection:
        record_event(connection, f"assessments/{use_case}", "quality.assessed", said, actor)
    log.info("%s %s: %s. Report: %s", use_case, interval, found["verdict"], found["report"])
    return {"use_case": use_case, "interval": str(interval), **found}


def _judge(night: Night) -> QualityFacts:
    """Check the rows and close the rehearsed run, so that its report is a night's."""
    raw, status = read_sources(night), "succeeded"
    try:
        _pass_on(night, check(night, raw))
    except QualityStop as stop:
        status = "stopped"
        log.warning("%s", stop)
    balance = compare(night.ledger, night.run_id, raw)
    with transaction(night.ledger) as connection:
        size = {"rows_in": balance.rows_in, "not_finished": balance.missing}
        close_run(connection, night.run_id, status, balance.counts, **size, detail=balance.problem)
        return read_quality(connection, night.run_id)


def _pass_on(night: Night, good: Manifest) -> None:
    """The outcome of rows that a night would go on with."""
    rows = read_rows(good, rows=night.settings.chunk_rows, columns=["row_id", "row_key"])
    outcomes = (RowOutcome(row["row_id"], row["row_key"], Outcome.SHADOWED, "check", _READ_ONLY, {}) for row in rows)
    with transaction(night.ledger) as connection:
        record_outcomes(connection, night.run_id, outcomes)


def _write(night: Night, facts: QualityFacts, folder: UPath) -> Record:
    """Put the reports where they stay; the rehearsal takes everything else with it."""
    report, data = folder / "quality.html", folder / "quality.json"
    write_file(report, as_html(facts, linked=False))
    write_file(data, as_json(facts, linked=False))
    places: dict[str, Any] = {"report": str(report), "data": str(data)}
    failures = find_manifest(night.ledger, night.run_id, "failures")
    if failures is not None:
        kept = folder / "failures.parquet"
        with UPath(failures.uri).open("rb") as source, open_file(kept, "wb") as target:
            shutil.copyfileobj(source, target)
        places["failures"] = str(kept)
    lists = write_cleanup(night.ledger, night.settings, Filter(run_id=night.run_id), folder)
    return {
        "verdict": verdict(facts),
        "rows": facts.rows.rows_in,
        "quarantined": facts.rows.counts.get(Outcome.QUARANTINED, 0),
        "failed": [one.id for one in facts.expectations if not one.success and one.severity != "info"],
        **places,
        "cleanup": {owner: list(files) for owner, files in lists.items()},
    }
