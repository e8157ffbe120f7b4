"""Drafts of e-mails as files, written by the standard library so that no text becomes a header."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.models import Record
from include.systems.files.stores import open_store
from include.systems.messages.signing import message_id
from include.systems.port import Outgoing, Sent, Surroundings
from include.systems.registry import System
from include.systems.values import plain

if TYPE_CHECKING:
    from include.systems.messages.declared import Draft

# The form that browsers take for an address: https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address
_ADDRESS = re.compile(r"([a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]{1,64})@([a-zA-Z0-9-]{1,63}(?:\.[a-zA-Z0-9-]{1,63})+)")
_LONGEST_SUBJECT = 200


class DraftFolder:
    """One folder of drafts, on an SFTP server, this machine or an object store."""

    creates = True
    in_air = 1
    retries = 0

    def __init__(self, sink: Draft, system: System, here: Surroundings) -> None:
        """Nothing is reached yet."""
        self._sink, self._here, self.batch_rows, self.calls = sink, here, system.batch_rows, 0

    def check_contract(self) -> None:
        """A folder that is not there is made."""

    def form(self, values: Record) -> Record:
        """Values as visible text."""
        return {name: "" if value is None else str(plain(value)) for name, value in values.items()}

    def holds(self, current: Record, values: Record) -> bool:
        """What a person made of a draft is not looked at."""
        return False

    def read(self, ids: Sequence[str]) -> None:
        """None: a draft belongs to whoever opens it."""
        return

    def send(self, writes: Mapping[str, Outgoing]) -> dict[str, Sent]:
        """Write a file for each draft that is not there; a recipient or length that is not allowed is refused."""
        sent = dict[str, Sent]()
        with open_store(self._here, self._sink.system) as store, tempfile.TemporaryDirectory() as folder:
            names = {one: f"{message_id(write.once)}.eml" for one, write in writes.items()}
            there = store.look_at(self._sink.object, list(names.values())).files
            for one, write in writes.items():
                problem = self._problem(write.values)
                if problem:
                    sent[one] = Sent(None, "rejected_by_destination", problem)
                    continue
                if names[one] not in there:
                    local = Path(folder) / names[one]
                    local.write_bytes(self._message(one, write).as_bytes())
                    store.put(local, f"{self._sink.object}/{names[one]}")
                sent[one] = Sent(dict(write.values))
            self.calls += store.calls
        return sent

    def _problem(self, values: Mapping[str, Any]) -> str:
        """What is wrong with a draft, without its text."""
        longest = max((len(str(value)) for value in values.values()), default=0)
        if longest > self._sink.longest:
            return f"a text of {longest:,} characters, {self._sink.longest:,} are the most"
        if "to" not in values:
            return ""
        found = _ADDRESS.fullmatch(str(values["to"]).strip())
        if found is None:
            return "the recipient is no address"
        allowed = {domain.lower() for domain in self._sink.domains}
        return "" if found[2].lower() in allowed else "the recipient is of a domain that is not allowed"

    def _message(self, one: str, write: Outgoing) -> EmailMessage:
        values, message = write.values, EmailMessage(policy=SMTP)
        message["From"] = _address(self._sink.sender)
        recipient = str(values.get("to") or self._sink.to).strip()
        if recipient:
            message["To"] = _address(recipient)
        message["Subject"] = _line(str(values.get("subject") or ""))[:_LONGEST_SUBJECT]
        message["Date"] = format_datetime(self._here.interval.end)
        message["Message-ID"] = f"<{message_id(write.once)}@nightledger.invalid>"
        message["X-Unsent"] = "1"  # mail programs open it to be sent, not as one that came
        message["X-Nightledger-Record"] = _line(one)
        message.set_content(str(values["body"]), cte="quoted-printable")
        return message


def _address(text: str) -> Address:
    return Address(addr_spec=text)


def _line(text: str) -> str:
    """A text on one line: what would break a header becomes a blank."""
    return " ".join(text.split())
