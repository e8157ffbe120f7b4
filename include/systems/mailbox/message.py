"""One message as a row tells it: who, when, the words, and what is attached, without the attachments themselves."""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.errors import MessageError
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32

from include.canonical import canonical
from include.models import Record
from include.plain import visible
from include.systems.mailbox.decoding import decode_text, header, identifier, readable, sent
from include.systems.mailbox.guards import Refused, check
from include.systems.mailbox.replies import split_reply
from include.systems.text.html import html_text
from include.systems.text.tokens import token_spans

LONGEST_TEXT = 1_000_000
"""Characters of a message's words that are read."""
LONGEST_HTML = 4_000_000
"""Characters of one part, which hold at most so many words and far more marks."""
NO_TEXT, TEXT_CUT = "no_text", "text_cut"


@dataclass(frozen=True, slots=True)
class Letter:
    """A message; `text` is what its writer wrote, without quotations and signature, `body` all its words.

    `problem` is `no_text` where there are no words, `text_cut` where there are too many, else None.
    """

    message_id: str | None
    date: datetime | None
    sender: str | None
    to: str | None
    subject: str | None
    text: str | None
    body: str | None
    attachments: list[Record]
    in_reply_to: str | None
    problem: str | None

    @property
    def attachments_json(self) -> str:
        """The attachments as JSON: name, type, bytes and sha256 of each; the last two null for one that is damaged."""
        return canonical(self.attachments)


def read_message(data: bytes) -> Letter:
    """The message in these bytes; raises Refused for what is none, or would cost more than it is worth.

    The policy is `compat32`: the newer ones raise for charsets that are not known.
    """
    check(data)
    try:
        message = BytesParser(policy=compat32).parsebytes(data)
        plain, html, attached = list[str](), list[str](), list[Record]()
        for part in _leaves(message):
            _sort(part, plain, html, attached)
    except RecursionError as error:
        raise Refused("has too many parts within parts") from error
    body = "\n\n".join(text for text in plain if text.strip()) or "\n\n".join(html_text(one, True) for one in html)
    cut = len(body) > LONGEST_TEXT or any(len(one) == LONGEST_HTML for one in html)
    problem = TEXT_CUT if cut else None if token_spans(body) else NO_TEXT
    body, sender = visible(body[:LONGEST_TEXT]).strip("\n"), header(message, "From")
    own = split_reply(body, sender or "").text
    return Letter(
        message_id=identifier(message, "Message-ID"),
        date=sent(message),
        sender=sender,
        to=header(message, "To"),
        subject=header(message, "Subject"),
        text=None if problem == NO_TEXT else own,
        body=None if problem == NO_TEXT else body,
        attachments=attached,
        in_reply_to=identifier(message, "In-Reply-To"),
        problem=problem,
    )


def _leaves(message: Message) -> Iterator[Message]:
    """Parts that are no containers; a message that is passed on as a whole is one.

    Their payload is never asked for here: `get_payload` would decode it by whatever codec the part names.
    """
    waiting = [message]
    while waiting:
        part = waiting.pop()
        if part.is_multipart() and part.get_content_maintype() != "message":
            waiting.extend(reversed(_parts(part)))
        else:
            yield part


def _parts(container: Message) -> list[Message]:
    return [one for one in container.get_payload() if isinstance(one, Message)]


def _sort(part: Message, plain: list[str], html: list[str], attached: list[Record]) -> None:
    kind, name, data = part.get_content_type(), _file_name(part), _bytes(part)
    if part.get_content_maintype() == "multipart":  # a container that holds no part
        kind = "text/plain"
    if kind in ("text/plain", "text/html") and not name and part.get_content_disposition() != "attachment":
        text = decode_text(data or b"", _charset(part))
        if kind == "text/plain":
            plain.append(text)
        else:
            html.append(text[:LONGEST_HTML])
    elif data is None:
        attached.append({"name": name, "type": kind, "bytes": None, "sha256": None})
    elif data or name:
        sha256 = hashlib.sha256(data).hexdigest()
        attached.append({"name": name, "type": kind, "bytes": len(data), "sha256": sha256})


def _bytes(part: Message) -> bytes | None:
    """A part as it was before it was encoded, None where the library cannot tell."""
    try:
        if part.is_multipart():
            return b"".join(one.as_bytes() for one in _parts(part))
        data = part.get_payload(decode=True)
    except (MessageError, ValueError, LookupError, TypeError, AttributeError, binascii.Error):
        return None
    return data if isinstance(data, bytes) else None


def _charset(part: Message) -> str | None:
    try:
        return part.get_content_charset()
    except (LookupError, ValueError):
        return None


def _file_name(part: Message) -> str | None:
    """The name without any folder, as it may be shown."""
    try:
        raw = part.get_filename()
    except (LookupError, ValueError, TypeError):
        return None
    if raw is None:
        return None
    name = readable(str(raw)) or ""
    return visible(name.replace("\\", "/").rpartition("/")[2])[:255] or None
