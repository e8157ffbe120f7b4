"""Put fetched files on record, then out of the sender's way."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import paramiko
from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert

from include.database import transaction
from include.ledger import tables
from include.ledger.record import record_event
from include.night.extract.drops import Fetched, open_drop
from include.run import Night
from include.systems.files.folder import CHECKSUM, DONE
from include.systems.files.transfer import stat_files

log = logging.getLogger(__name__)


def archive(night: Night, files: Iterable[Fetched]) -> None:
    """Commit the files to the ledger, then move each with its checksum and marker to the archive, then record that.

    Safe to call again after a crash anywhere in between. A file of the same name that is already in the archive stays;
    the new one gets eight digits of its sha256 as suffix. A file replaced since it was read is left where it is.
    """
    for system, of_system in groupby(sorted(files, key=lambda file: file.system), key=lambda file: file.system):
        given = list(of_system)
        with transaction(night.ledger) as connection:
            known = [(file, _register(connection, night.run_id, file)) for file in given]
        waiting = [(file, archived_to) for file, archived_to in known if archived_to != file.at]
        if not waiting:
            continue
        with open_drop(night, system) as sftp:
            moved = _move_all(sftp, waiting)
        with transaction(night.ledger) as connection:
            for file, target in moved:
                _record_archived(connection, night.run_id, file, target)


def _move_all(sftp: paramiko.SFTPClient, waiting: Sequence[tuple[Fetched, str | None]]) -> list[tuple[Fetched, str]]:
    """Move each file and say where those lie that were not on record there."""
    folders = sorted({file.archive for file, _ in waiting})
    for folder, found in zip(folders, stat_files(sftp, folders), strict=True):
        if found is None:
            sftp.mkdir(folder)
    targets = [(file, archived_to, _move(sftp, file, archived_to)) for file, archived_to in waiting]
    return [(file, target) for file, archived_to, target in targets if target not in (None, archived_to)]


def _this(file: Fetched) -> Any:
    known = tables.source_file.c
    return (known.system == file.system) & (known.path == file.path) & (known.sha256 == file.sha256)


def _register(connection: Connection, run_id: str, file: Fetched) -> str | None:
    """Make the ledger know the file; where it was archived to, if it was."""
    facts = {"system": file.system, "path": file.path, "sha256": file.sha256, "bytes": file.bytes, "rows": file.rows}
    new = insert(tables.source_file).values(**facts, run_id=run_id).on_conflict_do_nothing()
    if connection.execute(new.returning(tables.source_file.c.path)).first():
        record_event(connection, run_id, "file.registered", facts)
    archived_to: str | None = connection.execute(
        select(tables.source_file.c.archived_to).where(_this(file))
    ).scalar_one()
    return archived_to


def _record_archived(connection: Connection, run_id: str, file: Fetched, target: str) -> None:
    connection.execute(update(tables.source_file).where(_this(file)).values(archived_to=target))
    details = {"system": file.system, "path": file.path, "sha256": file.sha256, "archived_to": target}
    record_event(connection, run_id, "file.archived", details)


def _move(sftp: paramiko.SFTPClient, file: Fetched, archived_to: str | None) -> str | None:
    """Where the file lies in the archive after the call, or None if it does not."""
    plain = f"{file.archive}/{file.name}"
    again = f"{plain}.{file.sha256[:8]}"
    beside = (CHECKSUM, DONE)
    dropped, taken, *others = stat_files(sftp, [file.path, plain, *(file.path + suffix for suffix in beside)])
    if dropped is None:
        return next((place for place in (file.at, again, plain) if place != file.path and _is(sftp, place, file)), None)
    if (dropped.st_size, dropped.st_mtime) != (file.bytes, file.modified):
        log.warning("%s %s was replaced after it was read, so it stays", file.system, file.path)
        return None
    target = archived_to or (plain if taken is None else again)
    # What speaks for the file goes first: left behind alone, it would be taken for that of the next delivery.
    rename = sftp.posix_rename if archived_to else sftp.rename
    for suffix, found in zip((*beside, ""), (*others, dropped), strict=True):
        if found is not None:
            rename(file.path + suffix, target + suffix)
    return target


def _is(sftp: paramiko.SFTPClient, place: str, file: Fetched) -> bool:
    (found,) = stat_files(sftp, [place])
    return found is not None and found.st_size == file.bytes
