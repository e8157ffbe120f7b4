"""The stage that brings a night's rows in: files first, then the CRM page by page, joined into dataset `raw`."""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from include.database import transaction
from include.errors import ConfigurationError
from include.ledger.record import find_manifest, finished_snapshot, note_progress, record_event, record_manifest
from include.models import Manifest, Record, RejectedRow
from include.night.extract.archive import archive
from include.night.extract.distinct import Distinct
from include.night.extract.drops import Fetched, fetch_drop, open_drop
from include.night.extract.join import DropJoin, as_staged, open_all, transform
from include.night.extract.new_columns import note_columns
from include.night.extract.rejections import Rejections
from include.night.extract.shape import raw_schema
from include.night.extract.snapshot import is_intact, reuse
from include.run import Night
from include.spec.join import Joining
from include.spec.transforms import Transform
from include.staging import StagedWriter
from include.systems.files.declared import stage_drop
from include.systems.files.drop import FileDrop
from include.systems.port import Page, Reader

__all__ = ["DATASET", "extract", "raw_schema"]

log = logging.getLogger(__name__)

DATASET = "raw"


def extract(night: Night) -> Manifest:
    """Stage the rows changed within the interval, and describe them by the manifest of dataset `raw`.

    A date that already succeeded is staged from the rows it was run on, unless `re_extract` asks for new ones. Rows
    that cannot be read go to quarantine; `facts["input_rows"]` counts them and the staged ones. Safe to run again.
    Raises ConfigurationError for an interval that is not over, and whatever the sources raise.
    """
    _refuse_future(night)
    columns = {field.name: str(field.type) for field in raw_schema(night.case)}
    if not night.options.re_extract:
        own = find_manifest(night.ledger, night.run_id, DATASET)
        if own and own.facts.get("limit") == night.options.limit and is_intact(own, columns):
            archive(night, files_of(own))
            return own
        earlier = finished_snapshot(night.ledger, night.case.name, night.interval)
        if earlier and is_intact(earlier, columns):
            return reuse(night, earlier)
    manifest = read_sources(night)
    archive(night, files_of(manifest))
    return manifest


def _refuse_future(night: Night) -> None:
    if night.interval.end > datetime.now(UTC):
        raise ConfigurationError(
            "the interval is not over yet, so rows would be missed",
            system=night.case.name,
            about=str(night.interval),
            action="Choose an end that is in the past",
        )


def _refuse_earlier(night: Night) -> None:
    """Today's state must not be filed under an old date."""
    why, interval = night.case.as_of_now, night.interval
    if why and interval.end + (interval.end - interval.start) <= datetime.now(UTC):
        raise ConfigurationError(
            f"reads {why} as it is now, which would be filed under an earlier date",
            system=night.case.name,
            about=str(interval),
            action="Run its last night only; a finished date can be run again on the rows that it had",
        )


def files_of(manifest: Manifest) -> list[Fetched]:
    """The files that a raw dataset was made of."""
    return [Fetched.from_json(fact) for fact in manifest.facts.get("files", ())]


def read_sources(night: Night) -> Manifest:
    """Stage the rows as the sources have them now, without archiving anything.

    Raises ConfigurationError for an earlier night of a use case that reads what is only known as it is now.
    """
    _refuse_earlier(night)
    started = time.monotonic()
    rejections = Rejections(night)
    with tempfile.TemporaryDirectory(prefix="nightledger-") as folder:
        drops = [
            read_drop(night, drop, Path(folder) / str(at), rejections.add) for at, drop in enumerate(night.case.joins)
        ]
        drops_done = time.monotonic()
        readers = [source.open(night) for source in night.case.sources]
        steps = open_all(night)
        writer, counts, aside = _stage_pages(night, readers, [join for join, _ in drops], steps, rejections)
    seconds = {"files": drops_done - started, "pages": time.monotonic() - drops_done}
    facts = {**_facts(night, readers, writer.rows, rejections), "seconds": seconds}
    facts["files"] = [*(file for _, file in drops if file), *facts.get("files", ())]
    joinings = [step for step in steps if isinstance(step, Joining)]
    facts["joined"] = {join.prefix: {"asked": join.asked, "matched": join.matched} for join, _ in drops}
    facts["joined"] |= {one.declared.prefix: {"asked": one.asked, "matched": one.matched} for one in joinings}
    facts["calls"] += sum(one.reader.calls for one in joinings)
    facts["retries"] += sum(one.reader.retries for one in joinings)
    facts["sources"] = [
        {
            "system": source.system,
            "object": source.object,
            **{name: getattr(reader, name) for name in ("rows", "pages", "calls", "retries")},
            "rejected": aside[at],
        }
        for at, (source, reader) in enumerate(zip(night.case.sources, readers, strict=True))
    ]
    facts["transformed"] = dict(counts)
    facts |= note_columns(night, facts)
    facts["absent_files"] = [join.prefix for join, file in drops if not file]
    return _record(night, writer.manifest(night.run_id, DATASET, facts))


def read_drop(
    night: Night, drop: FileDrop, work: Path, set_aside: Callable[[RejectedRow], None]
) -> tuple[DropJoin, Record | None]:
    """Fetch and stage one drop in the local folder `work`; the facts are None where no file came and none must."""
    work.mkdir()
    with open_drop(night, drop.system) as sftp:
        fetched = fetch_drop(sftp, drop, night.interval, work / "file")
    if fetched is None:
        log.warning("%s: no file for %s, its columns stay empty", drop.system, drop.prefix)
        return DropJoin(drop, "", None), None
    staged = work / "staged.parquet"
    owner, personal = night.system(drop.system).owner, night.case.personal
    found = stage_drop(drop, work / "file", fetched.name, staged, set_aside, personal, owner)
    (work / "file").unlink()
    return DropJoin(drop, fetched.name, staged), {**fetched.to_json(), **asdict(found)}


def _stage_pages(
    night: Night,
    readers: Sequence[Reader],
    joins: Sequence[DropJoin],
    steps: Sequence[Transform],
    rejections: Rejections,
) -> tuple[StagedWriter, Counter[str], Counter[int]]:
    """Stream the rows, joined and transformed, to the staged file; one chunk of them is in memory at a time.

    All are where a transform needs all of them. Returns what the transforms counted, too, and how many rows were set
    aside of each source.
    """
    for reader in readers:
        reader.check_contract()
    schema, rows_per_group = raw_schema(night.case), night.settings.chunk_rows
    size = sys.maxsize if any(one.whole for one in steps) else rows_per_group
    with StagedWriter(night.path(f"{DATASET}.parquet"), schema, rows_per_group=rows_per_group) as writer:
        distinct, counts, aside = Distinct(rejections.earlier()), Counter[str](), Counter[int]()
        for rows in gather(_all_pages(night, readers, distinct, aside), size, rejections.add):
            for join in joins:
                join.join(rows)
            made = transform(rows, steps, night.interval.end)
            for rejected in made.rejected:
                rejections.add(rejected)
            counts.update(made.counts)
            writer.extend(as_staged(made, night.case))
            progress = {"pages": sum(one.pages for one in readers), "calls": sum(one.calls for one in readers)}
            note_progress(night.ledger, night.run_id, "extract", progress)
    if distinct.set_aside:
        log.warning("%d rows came more than once and were set aside", distinct.set_aside)
    return writer, counts, aside


def _all_pages(night: Night, readers: Sequence[Reader], distinct: Distinct, aside: Counter[int]) -> Iterator[Page]:
    """The pages of all sources, one source after the other, each row once; the limit is one for all of them."""
    names = {column.name for source in night.case.sources for column in source.declared}
    for at, (source, reader) in enumerate(zip(night.case.sources, readers, strict=True)):
        limit, owner = night.options.limit, night.system(source.system).owner
        left = None if limit is None else limit - sum(one.rows for one in readers)
        if left is not None and left <= 0:
            return
        absent = dict.fromkeys(names - {column.name for column in source.declared})
        for page in reader.read(night.interval, left):
            for row in page.rows if absent else ():
                row.update(absent)
            admitted = distinct.admit(page, owner)
            aside[at] += sum(one.counts_as_input for one in admitted.rejected)
            yield admitted


def gather(pages: Iterator[Page], size: int, set_aside: Callable[[RejectedRow], None]) -> Iterator[list[Record]]:
    """Rows of the pages in lists of at least `size`, but for the last; rejected rows are passed on as they come."""
    rows: list[Record] = []
    for page in pages:
        for rejected in page.rejected:
            set_aside(rejected)
        rows += page.rows
        if len(rows) >= size:
            yield rows
            rows = []
    if rows:
        yield rows


def _facts(night: Night, readers: Sequence[Reader], staged: int, rejections: Rejections) -> Record:
    rejected, read = rejections.finish(), Counter[str]()
    more: Record = {}
    for source, reader in zip(night.case.sources, readers, strict=True):
        read[source.system] += reader.rows
        for name, fact in reader.facts.items():  # numbers, lists and mappings, of several readers together
            more[name] = _together(more[name], fact) if name in more else fact
    watermark = max((one.watermark for one in readers if one.watermark), default=None)
    return {
        "input_rows": staged + rejected,
        "rejected_input": rejected,
        "rejected_context": rejections.context,
        "read": dict(read),
        "pages": sum(one.pages for one in readers),
        "calls": sum(one.calls for one in readers),
        "retries": sum(one.retries for one in readers),
        **more,
        "watermark": watermark.isoformat() if watermark else None,
        "limit": night.options.limit,
    }


def _together(one: Any, other: Any) -> Any:
    return one | other if isinstance(one, dict) else one + other


def _record(night: Night, manifest: Manifest) -> Manifest:
    said = ("input_rows", "rejected_input", "rejected_context", "watermark", "limit")
    details = {"rows": manifest.rows, "sha256": manifest.sha256, **{name: manifest.facts[name] for name in said}}
    with transaction(night.ledger) as connection:
        record_event(connection, night.run_id, "extract.completed", details)
    record_manifest(night.ledger, manifest)
    return manifest
