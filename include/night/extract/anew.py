"""Rows of a night read anew from their sources, for a replay."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from upath import UPath

from include.ledger.quarantine_replays import Begun
from include.models import Manifest, Record, RejectedRow
from include.night.extract.extract import gather, read_drop
from include.night.extract.join import DropJoin, as_staged, open_all, transform
from include.night.extract.shape import raw_schema
from include.run import Night
from include.spec.transforms import Transform
from include.staging import StagedWriter, read_rows
from include.systems.files.formats.values import join_key, read_value
from include.systems.port import Source

_AGAIN = re.compile(r"#\d+$")  # see `Distinct`
GONE = "the record is not at its source any more"
NO_ID = "the row came under the id of another row, so it cannot be read by itself"
NOT_ANEW = "this kind of source cannot be read anew"
SAME_FILE = "the file was not delivered again"


@dataclass
class Anew:
    """What reading anew gave: ids of rows in the file at `path`, rows set aside, and rows not to be had, with why."""

    path: Path
    rows: set[str] = field(default_factory=set)
    rejected: list[RejectedRow] = field(default_factory=list)
    not_tried: dict[str, str] = field(default_factory=dict)
    delivered: list[str] = field(default_factory=list)
    facts: Record = field(default_factory=dict)


def read_anew(night: Night, base: Manifest, begun: Sequence[Begun], work: Path) -> Anew:
    """Read the chosen rows, and those that use what was chosen, from where they came; `work` is a local folder."""
    anew = Anew(work / "anew.parquet")
    if not begun:
        return anew
    anew.facts["files"] = list(base.facts.get("files", ()))
    lines = {one.row_id for one in begun if not one.counts_as_input and _is_line(night, one.row_id)}
    joins = [_fetch(night, at, work, lines, anew) for at in range(len(night.case.joins))]
    same = [line for line in lines if not line.startswith(tuple(anew.delivered))]
    anew.not_tried |= dict.fromkeys(same, SAME_FILE)
    modified = _first_read(night, base, [one for one in begun if one.row_id not in anew.not_tried])
    _read_records(night, modified, joins, anew)
    return anew


def _is_line(night: Night, row_id: str) -> bool:
    return row_id.startswith(tuple(f"{drop.system}/" for drop in night.case.joins))


def _fetch(night: Night, at: int, work: Path, lines: Collection[str], anew: Anew) -> DropJoin:
    """The night's file of one drop as it lies there now, joined to what is read anew.

    It takes the place of the file read before, with its bad lines, when lines of it are replayed; else it stays where
    it was dropped, for their replay.
    """
    drop, rejected = night.case.joins[at], list[RejectedRow]()
    join, facts = read_drop(night, drop, work / str(at), rejected.append)
    if facts is None:
        return join
    start = f"{drop.system}/{str(facts['path']).rpartition('/')[2]}:"
    known = [file["sha256"] for file in anew.facts["files"] if file["system"] == drop.system]
    if facts["sha256"] not in known and any(line.startswith(start) for line in lines):
        others = [f for f in anew.facts["files"] if (f["system"], f["path"]) != (facts["system"], facts["path"])]
        anew.facts["files"] = [*others, facts]
        anew.delivered.append(start)
        anew.rejected += rejected
    return join


def _first_read(night: Night, base: Manifest, begun: Sequence[Begun]) -> dict[str, Any]:
    """The rows to be read anew, with the change that brought them in: those chosen, and those that use what was chosen.

    A row uses a related record, or a line of a file, by the column that it is joined on.
    """
    times = sorted({one.changed.name for one in night.case.sources if one.changed})
    wanted: dict[str, Any] = {one.row_id: _modified(one.modified) for one in begun if one.counts_as_input}
    used = list(_uses(night, [one for one in begun if not one.counts_as_input]))
    columns = ["row_id", *{*times, *(column for column, _, _ in used)}]
    for row in read_rows(base, rows=night.settings.chunk_rows, columns=columns):
        if row["row_id"] in wanted or any(form(row[column]) in keys for column, form, keys in used):
            wanted[row["row_id"]] = next((row[name] for name in times if row[name] is not None), None)
    return wanted


def _uses(night: Night, context: Sequence[Begun]) -> Iterator[tuple[str, Callable[[Any], str | None], set[str]]]:
    refers = [(source.system, *one) for source in night.case.sources for one in source.refers.items()]
    joined: list[tuple[str, str, Callable[[Any], str | None]]] = [
        (f"{system}/{kind}/", column, _text) for system, kind, column in refers
    ]
    joined += [(f"{drop.system}/", drop.join_on, join_key) for drop in night.case.joins]
    for one in night.case.looked_up:
        if len(one.parts) == 1:
            joined.append((f"{one.source.system}/{one.source.object}/", one.parts[0], _text))
    for start, column, form in joined:
        keys = {one.row_key for one in context if one.row_id.startswith(start) and one.row_key is not None}
        if keys:
            yield column, form, keys


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _modified(text: str | None) -> datetime | None:
    """The time as the quarantine keeps it; None if it could not be read then either."""
    try:
        found: datetime | None = read_value(text, "datetime")
    except ValueError:
        return None
    return found


def _read_records(night: Night, modified: Mapping[str, datetime | None], joins: Sequence[DropJoin], anew: Anew) -> None:
    """Read the rows from whichever source has them; the others of them wait, each with why."""
    asked = dict[str, str]()
    anew.facts |= {"calls": 0, "retries": 0, "pages": 0}
    steps = open_all(night)
    with StagedWriter(UPath(anew.path), raw_schema(night.case)) as writer:
        for source in night.case.sources:
            start = f"{source.system}/{source.object}/"
            ids = {row: row.removeprefix(start) for row in modified if row.startswith(start)}
            asked |= ids
            _read_source(night, source, list(ids.values()), modified, joins, steps, anew, writer)
    found = anew.rows | {row.row_id for row in anew.rejected}
    left = modified.keys() - found - anew.not_tried.keys()
    anew.not_tried |= {row: GONE if _is_id(asked.get(row, "")) else NO_ID for row in left}


def _is_id(text: str) -> bool:
    """Whether it is the id of a record, and not the name of one that came again (`42#2`)."""
    return bool(text) and _AGAIN.search(text) is None


def _read_source(
    night: Night,
    source: Source,
    ids: Sequence[str],
    modified: Mapping[str, datetime | None],
    joins: Sequence[DropJoin],
    steps: Sequence[Transform],
    anew: Anew,
    writer: StagedWriter,
) -> None:
    reader = source.open(night)
    every, ids = ids, sorted(one for one in ids if _is_id(one))
    if ids:
        reader.check_contract()
    time, before = source.changed.name if source.changed else None, len(anew.rejected)
    pages = reader.read_ids(ids)
    if pages is None:
        anew.not_tried |= dict.fromkeys((f"{source.system}/{source.object}/{one}" for one in every), NOT_ANEW)
        return
    for rows in gather(pages, night.settings.chunk_rows, anew.rejected.append):
        for join in joins:
            join.join(rows)
        for row in rows:
            if time:
                row[time] = modified[row["row_id"]] or row[time]
        made = transform(rows, steps, night.interval.end)
        anew.rejected += made.rejected
        writer.extend(as_staged(made, night.case))
        anew.rows |= {row["row_id"] for row in made}
    if time:
        anew.rejected[before:] = [_as_first_read(row, time, modified) for row in anew.rejected[before:]]
    anew.facts |= {"calls": anew.facts["calls"] + reader.calls, "retries": anew.facts["retries"] + reader.retries}
    anew.facts["pages"] += reader.pages


def _as_first_read(row: RejectedRow, column: str, modified: Mapping[str, datetime | None]) -> RejectedRow:
    """A row set aside keeps the change that brought it in too, or it could never come back into its night."""
    first = modified.get(row.row_id)
    return replace(row, record={**row.record, column: first.isoformat()}) if first else row
