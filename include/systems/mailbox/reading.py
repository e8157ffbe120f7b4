"""Rows of messages, from files of one message or from mailboxes; the files stay where they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple

from include.models import Interval, Record, RejectedRow
from include.plain import visible
from include.systems.documents.arrivals import Arrival, Arrivals
from include.systems.documents.blob import blob_uri
from include.systems.documents.paging import USABLE, FolderReader, Item
from include.systems.mailbox.declared import Mail
from include.systems.mailbox.guards import Refused
from include.systems.mailbox.mbox import read_mailbox
from include.systems.mailbox.message import Letter, read_message
from include.systems.port import VERSION, Page, Surroundings

_NUMBER = "#"
"""Stands before the number of a message in its mailbox."""


class _Found(NamedTuple):
    """Bytes of a message, or why there are none; `id` is the file's name, and in a mailbox the message's number."""

    id: str
    file: str
    arrived: datetime
    size: int
    data: bytes | None
    why: str = ""


class MailReader(FolderReader):
    """Reads the messages of one folder."""

    def __init__(self, source: Mail, here: Surroundings) -> None:
        super().__init__(here, source.system, source.folder, source.where)
        self._source = source
        self._boxes = source.form == "mailbox"
        most = source.most_mailbox_bytes if self._boxes else source.most_bytes
        self._arrivals = Arrivals(source.system, source.folder, most)

    def read(self, interval: Interval, limit: int | None = None) -> Iterator[Page]:
        """Pages of the messages that arrived in the interval, by file and number; at most `limit` rows.

        Raises FileNotReady for a file that does not stay as it is while it is copied, SystemUnavailable, AccessDenied.
        """
        with self._place() as place:
            look = self._arrivals.since if self._boxes else self._arrivals.within
            found = self._found(look(place, self._source.pattern, interval))
            within = (one for one in found if interval.start <= one.arrived < interval.end)
            yield from self._paged(islice(map(self._item, within), limit))

    def read_ids(self, ids: Sequence[str]) -> Iterator[Page]:
        """Pages of the messages with these ids as they are now."""
        wanted = set(ids)
        files = {name.rpartition(_NUMBER)[0] if self._boxes else name for name in ids}
        with self._place() as place:
            found = self._found(self._arrivals.named(place, sorted(files)))
            yield from self._paged(self._item(one) for one in found if one.id in wanted)

    def _found(self, arrivals: Iterable[Arrival]) -> Iterator[_Found]:
        for arrival in arrivals:
            self._add("bytes", arrival.bytes)
            if arrival.path is None:
                large = f"has {arrival.bytes} bytes, which is more than is read"
                why = "was taken away before it was read" if arrival.gone else large
                yield _Found(arrival.name, arrival.name, arrival.arrived, arrival.bytes, None, why)
            elif self._boxes:
                yield from self._messages(arrival)
            else:
                yield _Found(arrival.name, arrival.name, arrival.arrived, arrival.bytes, arrival.path.read_bytes())

    def _messages(self, arrival: Arrival) -> Iterator[_Found]:
        """The messages of a mailbox, or the mailbox as one that holds none."""
        if arrival.path is None:
            return
        posted = None
        for posted in read_mailbox(arrival.path, self._source.most_bytes):
            why = "" if posted.data is not None else f"has {posted.size} bytes, which is more than is read"
            name = f"{arrival.name}{_NUMBER}{posted.number}"
            arrived = posted.delivered or arrival.arrived
            yield _Found(name, arrival.name, arrived, posted.size, posted.data, why)
        if posted is None and arrival.bytes:
            why = "is no mailbox: no message begins in it"
            yield _Found(arrival.name, arrival.name, arrival.arrived, arrival.bytes, None, why)

    def _item(self, found: _Found) -> Item:
        try:
            if found.data is None:
                raise Refused(found.why)
            letter = read_message(found.data)
        except Refused as error:
            return Item(self._set_aside(found, error), found.arrived, 0, "set_aside")
        held = 2 * len(letter.body or "")
        return Item(self._row(found, found.data, letter), found.arrived, held, letter.problem or USABLE)

    def _row(self, found: _Found, data: bytes, letter: Letter) -> Record:
        source, name = self._source, visible(found.id)
        sha256 = hashlib.sha256(data).hexdigest()
        return {
            "row_id": f"{source.system}/{source.object}/{name}",
            "row_key": letter.message_id or name,
            "lineage": {
                source.system: f"{source.folder}/{name}",
                "retrieved_at": datetime.now(UTC).isoformat(timespec="seconds"),
                VERSION: sha256,
            },
            "message_id": letter.message_id,
            "date": letter.date,
            "from": letter.sender,
            "to": letter.to,
            "subject": letter.subject,
            "text": letter.text,
            "body": letter.body,
            "attachments": letter.attachments_json,
            "in_reply_to": letter.in_reply_to,
            "bytes": found.size,
            "sha256": sha256,
            "problem": letter.problem,
            "uri": blob_uri(source.where, source.system, source.folder, found.file),
            "arrived": found.arrived,
        }

    def _set_aside(self, found: _Found, error: Refused) -> RejectedRow:
        source, name = self._source, visible(found.id)
        row_id, where = f"{source.system}/{source.object}/{name}", f"{source.system}: {source.folder}/{name}"
        record = {"name": name, "bytes": found.size}
        return RejectedRow(row_id, name, where, (f"{name}: {error}",), record, owner=self._system.owner)
