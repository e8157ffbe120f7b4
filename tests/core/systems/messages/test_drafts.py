"""Drafts of e-mails: the contract of sinks, and no text that becomes a header or a recipient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from include.errors import ConfigurationError
from include.models import Record
from include.systems.messages.declared import Draft
from include.systems.messages.drafts import DraftFolder
from include.systems.port import Outgoing
from tests.core.systems.contracts import SinkContract, SinkWorld
from tests.core.systems.files.conftest import Shelf

SINK = Draft(
    system="shop",
    object="drafts/today",
    fields={"score": "subject", "note": "body"},
    sender="desk@acme.example",
    to="team@acme.example",
    longest=40,
)
OPEN = replace(SINK, fields={"who": "to", "note": "body"}, domains=("Acme.example",))


def drafts(shelf: Shelf) -> list[Path]:
    return sorted((shelf.root / "drafts" / "today").glob("*")) if (shelf.root / "drafts").exists() else []


def parsed(path: Path) -> Any:
    return message_from_bytes(path.read_bytes(), policy=default)


class DraftWorld(SinkWorld):
    creates = True
    reads_back = False
    names: Mapping[str, str] = {"score": "subject", "note": "body"}

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

    def put(self, number: int, **values: Any) -> None:
        """Nobody else writes drafts here."""

    def held(self) -> Mapping[str, Record]:
        found = map(parsed, drafts(self.shelf))
        return {one["X-Nightledger-Record"]: {"score": one["Subject"]} for one in found}

    def writes_seen(self) -> int:
        return len(drafts(self.shelf))

    def lose_next_answer(self) -> None:
        """A folder answers at once."""

    def id_of(self, number: int) -> str:
        return f"A/{number}"

    def open(self) -> DraftFolder:
        return SINK.open(self.shelf.standing)


class TestDraft(SinkContract):
    @pytest.fixture(params=["local", "sftp"])
    def world(self, request: pytest.FixtureRequest) -> DraftWorld:
        shelf: Shelf = request.getfixturevalue(f"{request.param}_shelf")
        for file in drafts(shelf):
            file.unlink()
        return DraftWorld(shelf)


@pytest.fixture
def shelf(local_shelf: Shelf) -> Shelf:
    return local_shelf


def send(shelf: Shelf, sink: Draft = SINK, **values: Any) -> Any:
    there = sink.open(shelf.standing)
    (sent,) = there.send({"A/1": Outgoing(there.form(values), "run/1")}).values()
    return sent


def test_the_same_draft_is_written_once_and_left_as_a_person_made_it(shelf: Shelf) -> None:
    for _ in range(2):
        assert send(shelf, subject="Hello", body="Text").after == {"subject": "Hello", "body": "Text"}
        (file,) = drafts(shelf)
        file.write_text("a person's")
    assert drafts(shelf)[0].read_text() == "a person's"


def test_text_of_an_answer_makes_no_header(shelf: Shelf) -> None:
    send(shelf, subject="Hi\r\nBcc: evil@x.example\r\n\r\nboo", body="Bcc: a@b.c\r\n.\r\nä \u202eü")
    (file,) = drafts(shelf)
    found = parsed(file)
    assert found["Bcc"] is None
    assert found["Subject"] == "Hi Bcc: evil@x.example boo"
    assert found["To"] == "team@acme.example"
    assert found["X-Unsent"] == "1"
    assert found.get_content().splitlines() == ["Bcc: a@b.c", ".", "ä ü"]
    assert file.read_bytes().partition(b"\r\n\r\n")[0].isascii()


@pytest.mark.parametrize(
    "to",
    [
        "a@evil.example",
        "a@acme.example.evil.example",
        "a@acme.example, b@evil.example",
        "a@acme.example\r\nBcc: b@evil.example",
        '"x" <a@acme.example>',
        "nobody",
        "",
    ],
)
def test_a_recipient_that_an_answer_names_is_one_address_of_an_allowed_domain(shelf: Shelf, to: str) -> None:
    sent = send(shelf, OPEN, to=to, body="x")
    assert sent.cause == "rejected_by_destination"
    assert not to or to not in sent.detail
    assert drafts(shelf) == []


def test_a_recipient_of_an_allowed_domain_is_written_to(shelf: Shelf) -> None:
    assert send(shelf, OPEN, to=" Ann.B@ACME.example ", body="x").after
    assert parsed(drafts(shelf)[0])["To"] == "Ann.B@ACME.example"


@pytest.mark.parametrize(
    "changes", [{"fields": {"a": "bcc"}}, {"fields": {"a": "subject"}}, {"fields": {"a": "to", "b": "body"}}]
)
def test_a_declaration_that_cannot_work_is_refused_when_it_is_opened(shelf: Shelf, changes: Any) -> None:
    with pytest.raises(ConfigurationError):
        replace(SINK, **changes).open(shelf.standing)
