"""Write a run's answers to its file: a batch is merged into what is there, and the whole put in its place at once."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from include.errors import ContractBroken
from include.models import Record
from include.plain import defused
from include.systems.files.out.forms import FORMS, Rows, typed
from include.systems.files.stores import Store, open_store
from include.systems.files.transfer import Wanted
from include.systems.port import Outgoing, Sent, Surroundings
from include.systems.values import same

if TYPE_CHECKING:
    from include.systems.files.out.declared import FileOut

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")
MANIFEST = ".manifest.json"


class FileDestination:
    """One file; its rows are in memory while a batch is merged, and batches are large since each writes it anew."""

    batch_rows = 10_000
    in_air = 1
    creates = True
    retries = 0

    def __init__(self, sink: FileOut, here: Surroundings) -> None:
        """Nothing is reached yet."""
        self._sink, self._here, self.calls = sink, here, 0
        self._columns = [sink.key, *sink.fields.values()]
        self._form = FORMS[sink.format]
        self._alone = Lock()

    @property
    def path(self) -> str:
        """Where the run's file lies."""
        name = self._here.interval.start.strftime(self._sink.name)
        return f"{self._sink.object}/{name.replace('{run}', _UNSAFE.sub('-', self._here.run_id))}"

    def check_contract(self) -> None:
        """Raise ContractBroken if the run's file is there and has other columns."""
        self.read([])

    def form(self, values: Record) -> Record:
        """Values as the file holds them: texts in CSV, JSON types elsewhere."""
        return {name: self._form.value(value) for name, value in values.items()}

    def holds(self, current: Record, values: Record) -> bool:
        """Whether the row says the same already."""
        return all(same(current.get(name), value) for name, value in values.items())

    def read(self, ids: Sequence[str]) -> dict[str, Record]:
        """The rows of the run's file with these ids."""
        with self._alone, open_store(self._here, self._sink.system) as store, tempfile.TemporaryDirectory() as folder:
            rows, _ = self._rows(store, Path(folder))
            self.calls += store.calls
        return {one: rows[self._id(one)] for one in ids if self._id(one) in rows}

    def send(self, writes: Mapping[str, Outgoing]) -> dict[str, Sent]:
        """Merge rows into the file; what is there already is left, a value that does not fit refuses its row."""
        sent = dict[str, Sent]()
        with self._alone, open_store(self._here, self._sink.system) as store, tempfile.TemporaryDirectory() as folder:
            rows, before = self._rows(store, Path(folder))
            merged = dict(rows)
            for one, write in writes.items():
                problem = self._problem(write.values)
                if problem:
                    sent[one] = Sent(None, "rejected_by_destination", problem)
                else:
                    merged[self._id(one)] = {**merged.get(self._id(one), {}), **write.values}
                    sent[one] = Sent(dict(merged[self._id(one)]))
            self._put(store, Path(folder), merged, None if merged != rows else before)
            self.calls += store.calls
        return sent

    def _id(self, one: str) -> str:
        return str(defused(one)) if self._sink.format == "csv" else one

    def _problem(self, values: Mapping[str, Any]) -> str:
        """Why a row cannot be written, without its values."""
        for name, value in values.items():
            if isinstance(value, str) and len(value) > self._sink.longest:
                return f"{name} has {len(value):,} characters, {self._sink.longest:,} are the most"
            if self._sink.format == "parquet":
                try:
                    typed(value, self._sink.kinds[name])
                except (ValueError, TypeError, OverflowError):
                    return f"{name} is no {self._sink.kinds[name]}"
        return ""

    def _rows(self, store: Store, folder: Path) -> tuple[Rows, Path | None]:
        """The rows of the file, and the copy that they were read from; none where it is not there."""
        at, name = self.path.rpartition("/")[0], self.path.rpartition("/")[2]
        found = store.look_at(at, [name]).files.get(name)
        if found is None:
            return {}, None
        copy = folder / "before"
        store.copy(Wanted(self.path, found.bytes), copy)
        try:
            return self._form.read(copy, self._columns), copy
        except ContractBroken as error:
            raise ContractBroken(
                error.problem, system=self._sink.system, about=self.path, action=error.action
            ) from None
        except (ValueError, KeyError, TypeError, csv.Error) as error:
            problem = f"the run's file cannot be read back ({type(error).__name__})"
            raise ContractBroken(problem, system=self._sink.system, about=self.path) from error

    def _put(self, store: Store, folder: Path, rows: Rows, unchanged: Path | None) -> None:
        """Put file and manifest in their places, as far as they are not there as they should be."""
        if not rows:
            return
        local = unchanged or folder / "after"
        if unchanged is None:
            self._form.write(local, self._columns, rows, self._sink.kinds)
            store.put(local, self.path)
        with local.open("rb") as handle:
            sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
        said = {
            "file": self.path.rpartition("/")[2],
            "rows": len(rows),
            "bytes": local.stat().st_size,
            "sha256": sha256,
            "run_id": self._here.run_id,
            "interval": str(self._here.interval),
            "columns": self._columns,
        }
        manifest = folder / "manifest"
        manifest.write_text(json.dumps(said, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        if unchanged is None or not self._is_there(store, manifest.read_bytes()):
            store.put(manifest, self.path + MANIFEST)

    def _is_there(self, store: Store, manifest: bytes) -> bool:
        folder, _, name = (self.path + MANIFEST).rpartition("/")
        found = store.look_at(folder, [name]).files.get(name)
        return found is not None and store.read(Wanted(self.path + MANIFEST, found.bytes)) == manifest
