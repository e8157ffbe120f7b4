"""Messages as a use case declares them: a folder of files, one message each, or of mailboxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from include.models import Column
from include.systems.documents.source import ARRIVED, FolderSource
from include.systems.port import Reader, Surroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail(FolderSource):
    """One row for each message that arrived in the interval: files of one message, or mailboxes (RFC 4155).

    A file arrives at the time that its server has of it, a message of a mailbox when its `From ` line says. The header
    `Date` is what the sender claims and decides nothing.

    Columns: `message_id`, else null; `date` in UTC; `from`, `to`, `subject`; `text`, what the writer wrote, without
    quotations and signature; `body`, all words; `attachments` as JSON (name, type, bytes, sha256), never their content;
    `in_reply_to`; `bytes`, `sha256`; `problem` (`no_text`, `text_cut`); `uri` of the file; `arrived`. A message is
    known to people by its id, or by the file where it has none.

    What is no message, or beyond `most_bytes`, or made to cost its parser too much, is set aside by its name.
    """

    columns: ClassVar[tuple[Column, ...]] = (
        Column("message_id", "message_id"),
        Column("date", "date", "datetime"),
        Column("from", "from"),
        Column("to", "to"),
        Column("subject", "subject"),
        Column("text", "text"),
        Column("body", "body"),
        Column("attachments", "attachments"),
        Column("in_reply_to", "in_reply_to"),
        Column("bytes", "bytes", "integer"),
        Column("sha256", "sha256"),
        Column("problem", "problem"),
        Column("uri", "uri"),
        ARRIVED,
    )

    form: Literal["message", "mailbox"] = "message"
    most_bytes: int = 25_000_000
    most_mailbox_bytes: int = 2_000_000_000

    def open(self, here: Surroundings) -> Reader:
        """The reader."""
        from include.systems.mailbox.reading import MailReader

        return MailReader(self, here)
