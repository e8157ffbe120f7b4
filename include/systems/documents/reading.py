"""Rows of documents: each file of the interval copied, read, and described; the file itself stays where it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice

from include.models import Interval, Record, RejectedRow
from include.plain import visible
from include.systems.documents.arrivals import Arrival, Arrivals
from include.systems.documents.blob import blob_uri
from include.systems.documents.content import Content, Unreadable, read_content
from include.systems.documents.declared import Documents
from include.systems.documents.paging import USABLE, FolderReader, Item
from include.systems.documents.pdf import PdfReader
from include.systems.kinds import of_kind
from include.systems.port import VERSION, Page, Surroundings


class DocumentReader(FolderReader):
    """Reads the documents of one folder."""

    def __init__(self, source: Documents, here: Surroundings) -> None:
        super().__init__(here, source.system, source.folder, source.where)
        self._source = source
        self._key = re.compile(source.key_of, re.DOTALL)
        self._arrivals = Arrivals(source.system, source.folder, source.most_bytes)

    def read(self, interval: Interval, limit: int | None = None) -> Iterator[Page]:
        """Pages of the documents that arrived in the interval, by name, each once; at most `limit` rows.

        Raises FileNotReady for a file that does not stay as it is while it is copied, SystemUnavailable, AccessDenied.
        """
        with self._place() as place:
            arrivals = islice(self._arrivals.within(place, self._source.pattern, interval), limit)
            yield from self._paged(self._items(arrivals))

    def read_ids(self, ids: Sequence[str]) -> Iterator[Page]:
        """Pages of the documents of these names as they are now."""
        with self._place() as place:
            yield from self._paged(self._items(self._arrivals.named(place, ids)))

    def _items(self, arrivals: Iterable[Arrival]) -> Iterator[Item]:
        with PdfReader(self._source.pdfs) as pdfs:
            for arrival in arrivals:
                self._add("bytes", arrival.bytes)
                yield self._item(arrival, pdfs)

    def _item(self, arrival: Arrival, pdfs: PdfReader) -> Item:
        try:
            if arrival.gone:
                raise Unreadable("was taken away before it was read", "")
            if arrival.path is None:
                raise Unreadable(f"has {arrival.bytes} bytes, at most {self._source.most_bytes} are read", "")
            key = self._key.fullmatch(arrival.name)
            if key is None or not key[1]:
                raise Unreadable("has a name without the declared key", "")
            content = read_content(arrival.path, pdfs)
        except Unreadable as error:
            return Item(self._set_aside(arrival, error), arrival.arrived, 0, "set_aside")
        held = len(content.text or "") + len(content.xml or "")
        return Item(self._row(arrival, visible(key[1]), content), arrival.arrived, held, content.problem or USABLE)

    def _row(self, arrival: Arrival, key: str, content: Content) -> Record:
        source = self._source
        name = visible(arrival.name)
        lineage = {
            source.system: f"{source.folder}/{name}",
            "retrieved_at": datetime.now(UTC).isoformat(timespec="seconds"),
            VERSION: arrival.sha256,
        }
        return {
            "row_id": f"{source.system}/{source.object}/{name}",
            "row_key": key,
            "lineage": lineage,
            "name": name,
            "text": of_kind(content.text, "text"),
            "pages": content.pages,
            "bytes": arrival.bytes,
            "sha256": arrival.sha256,
            "media_type": content.media_type,
            "problem": content.problem,
            "uri": blob_uri(source.where, source.system, source.folder, arrival.name),
            "arrived": arrival.arrived,
            "form": content.form,
            "xml": of_kind(content.xml, "text"),
        }

    def _set_aside(self, arrival: Arrival, error: Unreadable) -> RejectedRow:
        source, name = self._source, visible(arrival.name)
        record = {"name": name, "bytes": arrival.bytes, "sha256": arrival.sha256, "media_type": error.media_type}
        row_id, where = f"{source.system}/{source.object}/{name}", f"{source.system}: {source.folder}/{name}"
        return RejectedRow(row_id, name, where, (f"{name}: {error}",), record, owner=self._system.owner)
