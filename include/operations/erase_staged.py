"""Rows taken out of what runs staged: each file written anew without their values, its manifests told so on record."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import select, text
from upath import UPath

from include.database import Database, to_json, transaction
from include.errors import ContractBroken
from include.ledger import tables
from include.ledger.erasure import Request
from include.models import Manifest, Record
from include.staging import IDENTITY, StagedWriter, opened
from include.storage import reaching

log = logging.getLogger(__name__)
KEPT_IN_PLACE = ("raw", "answers")
"""Datasets whose rows are spoken of by their position: an erased row keeps its place, empty; in others it has none."""
_BARE = frozenset((*IDENTITY, "expectation", "position"))
_AT_ONCE = 10_000


@dataclass
class Staged:
    """Files written anew, other files removed, and those that could not be: by place, with the reason."""

    rewritten: int = 0
    removed: int = 0
    problems: dict[str, str] = field(default_factory=dict)


def erase_staged(
    owner: Database, staging: str, request: Request, use_case: str, runs: Collection[str], keys: Collection[str]
) -> Staged:
    """Take the rows with these keys out of every file that the runs staged. Safe to repeat and to kill.

    A file is written beside the old one, then its manifests are changed on record, then the old one is deleted: at any
    moment the ledger names a file that is as it says. A file that is not what its manifest says is left, and named: to
    write it anew would hide that somebody changed it.
    """
    done, wanted = Staged(), pa.array(sorted(keys), pa.string())
    manifests = _manifests(owner, runs)
    for run_id in sorted(runs):
        folder = UPath(staging) / use_case / run_id
        for place in _files(folder, manifests):
            try:
                _erase_file(owner, request, place, manifests, wanted, done)
            except (ContractBroken, pa.ArrowInvalid) as error:
                done.problems[str(place)] = str(error)
        done.removed += _remove_lists(folder, keys)
    return done


def find_staged(owner: Database, runs: Collection[str], value: str) -> tuple[dict[str, set[str]], list[str]]:
    """Row keys by run whose staged row holds a value in any text column, and the runs whose rows are gone.

    Capitals do not count. Every `raw` dataset is read once: 100,000 rows take about a second.
    """
    found, gone = dict[str, set[str]](), list[str]()
    seen = dict[str, set[str]]()
    for manifest in _manifests(owner, runs, "raw").values():
        for one in manifest:
            if one.uri not in seen:
                try:
                    seen[one.uri] = set(_matching(one, value))
                except ContractBroken:
                    gone.append(one.run_id)
                    continue
            if seen[one.uri]:
                found[one.run_id] = seen[one.uri]
    return found, gone


def _matching(manifest: Manifest, value: str) -> Iterator[str]:
    with opened(manifest) as file:
        texts = [one.name for one in file.schema_arrow if pa.types.is_string(one.type) and one.name not in IDENTITY]
        if "row_key" not in file.schema_arrow.names:
            return
        for batch in file.iter_batches(_AT_ONCE, columns=["row_key", *texts]):
            hit = pa.repeat(pa.scalar(False), batch.num_rows)
            for name in texts:
                has = pc.match_substring(batch.column(name), value, ignore_case=True)
                hit = pc.or_(hit, pc.fill_null(has, False))
            yield from filter(None, batch.column("row_key").filter(hit).to_pylist())


def _manifests(owner: Database, runs: Collection[str], dataset: str = "") -> dict[str, list[Manifest]]:
    """Manifests of these runs by place, with all others of the same place: a run that reuses rows shares their file."""
    m = tables.manifest.c
    columns = [m[name] for name in Manifest.__dataclass_fields__]
    places = select(m.uri).where(m.run_id.in_(sorted(runs)), *([m.dataset == dataset] if dataset else []))
    found = dict[str, list[Manifest]]()
    with transaction(owner) as connection:
        for row in connection.execute(select(*columns).where(m.uri.in_(places)).order_by(m.run_id)).mappings():
            found.setdefault(str(row["uri"]), []).append(Manifest(**row))
    return found


def _files(folder: UPath, manifests: dict[str, list[Manifest]]) -> list[UPath]:
    """Every staged file of a run, also those that no manifest names: parts of a dataset, tries that were killed."""
    with reaching(folder, "read"):
        there = [str(one) for one in folder.glob("*.parquet")] if folder.exists() else []
    elsewhere = [place for place in manifests if UPath(place).exists()]
    return [UPath(place) for place in dict.fromkeys([*there, *elsewhere])]


def _erase_file(
    owner: Database,
    request: Request,
    place: UPath,
    manifests: dict[str, list[Manifest]],
    keys: pa.Array,
    done: Staged,
) -> None:
    named = manifests.get(str(place), [])
    schema, ids = _look(place, named[0] if named else None, keys)
    if not ids:
        return
    target = place.with_name(f"{_dataset(place)}-{request.request_id.hex[:12]}.parquet")
    if str(target) in manifests and not named:
        place.unlink()  # what a killed try had written anew already
        return
    in_place = _dataset(place) in KEPT_IN_PLACE
    with StagedWriter(target, schema) as writer, reaching(place, "read"), place.open("rb") as handle:
        for batch in pq.ParquetFile(handle).iter_batches(_AT_ONCE):
            writer.write_table(_without(pa.Table.from_batches([batch]), keys, in_place))
    if named:
        now = writer.manifest("", "")
        _tell(owner, request, place, now, ids)
        said: Record = {"uri": now.uri, "rows": now.rows, "bytes": now.bytes, "sha256": now.sha256}
        manifests[now.uri] = [replace(one, **said) for one in manifests.pop(str(place))]
    place.unlink()
    done.rewritten += 1
    log.info("%d rows taken out of %s", len(ids), target)


def _look(place: UPath, manifest: Manifest | None, keys: pa.Array) -> tuple[pa.Schema, list[str]]:
    """The file's schema, and the ids of the rows that still hold something; proven first where a manifest names it."""
    if manifest is not None:
        with opened(manifest):
            pass
    with reaching(place, "read"), place.open("rb") as handle:
        file = pq.ParquetFile(handle)
        schema = file.schema_arrow
        held = [name for name in schema.names if name not in _BARE]
        if not held or not {"row_id", "row_key"} <= set(schema.names):
            return schema, []
        ids = list[str]()
        for batch in file.iter_batches(_AT_ONCE):
            ours = batch.filter(pc.is_in(batch.column("row_key"), keys))
            filled = pa.repeat(pa.scalar(False), ours.num_rows)
            for name in held:
                filled = pc.or_(filled, pc.is_valid(ours.column(name)))
            ids += ours.column("row_id").filter(filled).to_pylist()
    return schema, ids


def _without(table: pa.Table, keys: pa.Array, in_place: bool) -> pa.Table:
    ours = pc.is_in(table.column("row_key"), keys)
    if not in_place:
        return table.filter(pc.invert(ours))
    for at, name in enumerate(table.column_names):
        if name not in _BARE:
            column = table.column(at)
            table = table.set_column(at, name, pc.if_else(ours, pa.scalar(None, column.type), column))
    return table


def _tell(owner: Database, request: Request, place: UPath, now: Manifest, ids: Sequence[str]) -> None:
    given = {
        "request": request.request_id,
        "who": request.asked_by,
        "why": request.reason,
        "was_at": str(place),
        "now_at": now.uri,
        "rows": now.rows,
        "bytes": now.bytes,
        "sha256": now.sha256,
        "erased": to_json(sorted(ids)),
    }
    with transaction(owner) as connection:
        connection.execute(_SAY, given)


def _dataset(place: UPath) -> str:
    """The dataset that a file holds: `raw` of `raw.parquet` and of what was written anew in its place."""
    stem = place.name.removesuffix(".parquet")
    head, _, tail = stem.rpartition("-")
    return head if head and _is_request(tail) else stem


def _is_request(text: str) -> bool:
    try:
        return len(text) == 12 and UUID(hex=text.ljust(32, "0")) is not None
    except ValueError:
        return False


def _remove_lists(folder: UPath, keys: Collection[str]) -> int:
    """Delete the lists for owners that name one of the rows; `quarantine export` writes them anew without it."""
    removed = 0
    with reaching(folder, "read"):
        lists = list(folder.glob("cleanup-*")) if folder.exists() else []
        for one in lists:
            said = one.read_text(encoding="utf-8-sig")
            if any(key in said for key in keys):
                one.unlink()
                removed += 1
    return removed


_SAY = text(
    "SELECT nightledger.erase_staged(:request, :who, :why, :was_at, :now_at, :rows, :bytes, :sha256, "
    "CAST(:erased AS jsonb))"
)
