"""Messages as they really come: every one is read or refused by a reason, and none costs more than its length."""

from __future__ import annotations

import hashlib
import json
import random
import time
from datetime import UTC, datetime

import pytest

from include.settings import ROOT
from include.systems.mailbox.decoding import LONGEST_HEADER
from include.systems.mailbox.guards import Refused
from include.systems.mailbox.message import LONGEST_TEXT, Letter, read_message

PUBLIC = ROOT.parent / "shared" / "data"
EDGE_CASES = PUBLIC / "email_mime_edge_cases"
NEED_PUBLIC = pytest.mark.skipif(not PUBLIC.is_dir(), reason=f"the public sets are not in {PUBLIC}")


def message(headers: str = "", body: str | bytes = "words", charset: str = "utf-8") -> Letter:
    content = body if isinstance(body, bytes) else body.encode(charset)
    return read_message(f"From: Ann <ann@example.com>\n{headers}\n".encode() + content)


def parts(*inner: str, kind: str = "mixed") -> Letter:
    body = "".join(f"--b\n{part}\n" for part in inner)
    return message(f"MIME-Version: 1.0\nContent-Type: multipart/{kind}; boundary=b\n", f"{body}--b--\n")


def test_a_message_is_told_by_its_columns() -> None:
    headers = (
        "To: Bob <bob@example.com>,\n  Eve\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n from here\n"
        "Message-ID: (of us) <1@example.com>\nIn-Reply-To: <0@example.com> <a@b>\n"
        "Date: Mon, 2 Apr 2012 20:21:52 +0400\n"
    )
    found = message(headers, "My words.\n\nOn Monday, Bob wrote:\n\n> old\n\n-- \nAnn\n")
    assert found == Letter(
        message_id="<1@example.com>",
        date=datetime(2012, 4, 2, 16, 21, 52, tzinfo=UTC),
        sender="Ann <ann@example.com>",
        to="Bob <bob@example.com>, Eve",
        subject="Grüße from here",
        text="My words.",
        body="My words.\n\nOn Monday, Bob wrote:\n\n> old\n\n-- \nAnn",
        attachments=[],
        in_reply_to="<0@example.com>",
        problem=None,
    )


def test_attachments_are_described_and_never_held() -> None:
    found = parts(
        "Content-Type: text/plain\n\nsee the file",
        'Content-Type: application/pdf; name="../../etc/a.pdf"\nContent-Transfer-Encoding: base64\n\nJVBERg==',
        "Content-Type: text/plain\nContent-Disposition: attachment; filename*=utf-8''%C3%BC%00.txt\n\nnot words",
    )
    assert found.text == "see the file"
    assert json.loads(found.attachments_json) == [
        {"name": "a.pdf", "type": "application/pdf", "bytes": 4, "sha256": hashlib.sha256(b"%PDF").hexdigest()},
        {"name": "ü\ufffd.txt", "type": "text/plain", "bytes": 9, "sha256": hashlib.sha256(b"not words").hexdigest()},
    ]


def test_of_alternatives_the_plain_one_is_read_and_html_where_there_is_no_other() -> None:
    plain, html = "Content-Type: text/plain\n\nplain words", "Content-Type: text/html\n\n<p>marked</p><blockquote>old"
    assert parts(html, plain, kind="alternative").body == "plain words"
    assert (parts(html).body, parts(html).text) == ("marked\n\n> old", "marked")
    assert parts("Content-Type: text/plain\n\n \n", html, kind="alternative").text == "marked"


def test_a_message_within_a_message_is_an_attachment() -> None:
    found = parts("Content-Type: text/plain\n\nsee", "Content-Type: message/rfc822\n\nFrom: x\nSubject: y\n\nold words")
    assert (found.body, [one["type"] for one in found.attachments]) == ("see", ["message/rfc822"])


@pytest.mark.parametrize(
    ("headers", "name", "value"),
    [
        ("Subject: a\r\nBcc: evil@example.com\n", "subject", "a"),
        ("Subject: =?utf-8?q?a=0D=0ABcc:_evil?=\n", "subject", "a Bcc: evil"),
        ("Subject: a\u202eb\x07\n", "subject", "ab\ufffd"),
        ("Subject: =?no-such?q?a=FC?=\n", "subject", "aü"),
        ("Subject: =?utf-8?b?!!!?=\n", "subject", None),
        ("Subject: =?utf-8?b?YWJj=?= =?utf-8?b?YWJjZA?=\n", "subject", "abcabcd"),
        ("Subject: =?utf-8?q?=C3?= =?UTF-8?Q?=BC_?= =?latin1?q?=fc?= x=?utf-8?q?y?=z\n", "subject", "ü ü xyz"),
        ("Subject: =?utf-8?q?a?= C:\\users\n", "subject", "a C:\\users"),
        ("Subject: r\\xe9el \u00e9\u4e00 =?utf-8?q?=C3=BC?=\n", "subject", "r\\xe9el \u00e9\u4e00 \u00fc"),
        ("Subject:\n", "subject", None),
        ("Date: yesterday\n", "date", None),
        ("Date: Mon, 31 Feb 2012 20:21:52 +0400\n", "date", None),
        ("Date: Mon, 2 Apr 2012 20:21:52 -0000\n", "date", datetime(2012, 4, 2, 20, 21, 52, tzinfo=UTC)),
        ("Date: Sun, 31 Dec 9999 23:59:59 -2359\n", "date", None),
        ("Message-ID: none\n", "message_id", "none"),
    ],
)
def test_headers_are_one_line_of_what_can_be_seen(headers: str, name: str, value: object) -> None:
    assert getattr(message(headers), name) == value


@pytest.mark.parametrize(
    ("charset", "data", "text"),
    [
        ("iso-2022-jp", "まみむ".encode("iso-2022-jp"), "まみむ"),
        ("no-such", "für".encode(), "für"),
        ("no-such", "für".encode("cp1252"), "für"),
        ("iso-8859-1", "für".encode(), "für"),
        ("us-ascii", "„für“".encode("cp1252"), "„für“"),
        ("utf-8", b"f\xfcr", "für"),
        ("utf-8", "für für".encode() + b"\xff", "für für\ufffd"),
        ("utf-16", b"abc", "abc"),
        ("shift_jis", b"a\x81", "a\ufffd"),
        ("idna", b"xn--a.\xc3\xa9", "xn--a.é"),
        ("unicode_escape", rb"\x41", r"\x41"),
        ("zlib", b"x\x9c", "xœ"),
    ],
)
def test_words_are_read_in_the_charset_that_fits_them(charset: str, data: bytes, text: str) -> None:
    assert message(f"Content-Type: text/plain; charset={charset}\n", data).body == text


def test_a_part_that_cannot_be_written_again_costs_no_other() -> None:
    nested = "Content-Type: message/rfc822\n\nSubject: a\x0bb: c\n\nold words"
    found = parts("Content-Type: text/plain\n\nsee", nested)
    assert (found.text, [one["bytes"] for one in found.attachments]) == ("see", [None])


def test_a_long_header_is_read_up_to_its_bound() -> None:
    assert len(message(f"Subject: {'a' * 20_000}\n").subject or "") == LONGEST_HEADER


def test_html_is_read_up_to_its_bound_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.systems.mailbox.message.LONGEST_HTML", 20)
    found = message("Content-Type: text/html\n", "<p>one</p><p>two</p><p>three</p>")
    assert (found.body, found.problem) == ("one\n\ntwo", "text_cut")


def test_a_message_without_words_says_so() -> None:
    found = parts("Content-Type: image/png\n\nx")
    assert (found.text, found.body, found.problem) == (None, None, "no_text")


def test_words_beyond_the_bound_are_cut_and_it_says_so() -> None:
    found = message(body="a " * LONGEST_TEXT)
    assert (len(found.body or ""), found.problem) == (LONGEST_TEXT, "text_cut")


def nested(levels: int) -> bytes:
    inner = "".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(levels))
    return f"From: a\n{inner}Content-Type: text/plain\n\nwords\n".encode()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is no message"),
        (b"words alone", "is no message"),
        (b"Yes\tCall me: now\n\nFrom: here", "is no message"),
        (b"\x00\xff" * 100, "is no message"),
        (nested(61), "more than 60 parts within parts"),
        (b"From: a\nContent-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 1_001, "more than 1000 parts"),
        (b"From: a\nContent-Type: text/plain; " + b'a=";\n ' * 4_000 + b"\n\nx", "a header of more than 16384 bytes"),
        (b"From: a\n\n" + b"\n" * 1_000_001, "more than 1000000 lines"),
    ],
)
def test_what_must_not_be_parsed_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(Refused, match=why):
        read_message(data)


@pytest.mark.parametrize(
    "data",
    [
        nested(60),
        b"From: a\nContent-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 1_000,
        b"From: a\nContent-Type: text/plain; " + b'a=";' * 4_000 + b"\n\nx",
        b"From: " + b"=?utf-8?q?a?= " * 20_000 + b"\n\nx",
        b"From: " + b"(" * 200_000 + b"\n\nx",
        b"From: a\nDate: " + b"1 " * 100_000 + b"\n\nx",
        b"From: a\nContent-Type: text/plain; charset=idna\n\n" + b"a.\xc3\xa9" * 30_000,
        b"From: a\nContent-Type: text/html\n\n" + b"<a" * 50_000,
    ],
)
def test_what_is_allowed_is_read_in_a_time_that_its_length_explains(data: bytes) -> None:
    started = time.process_time()
    read_message(data)
    assert time.process_time() - started < 2


@NEED_PUBLIC
def test_every_public_message_is_read() -> None:
    found = {path.name: read_message(path.read_bytes()) for path in sorted(EDGE_CASES.rglob("*.eml"))}
    assert len(found) == 51
    assert sum(one.problem == "no_text" for one in found.values()) == 8
    assert all(one.sender for one in found.values())
    assert (found["japanese_shift_jis.eml"].body or "").startswith("あいうえお")
    assert found["japanese.eml"].to == "みける <raasdnil@gmail.com>"


@NEED_PUBLIC
def test_damaged_messages_are_read_or_refused() -> None:
    chosen = random.Random(7)
    files = [path.read_bytes() for path in sorted(EDGE_CASES.rglob("*.eml"))]
    junk = [b"=?utf-8?b?", b";charset=idna", b"\n--", b"\r", b"\x00\xff", b'"', b"multipart/mixed", b"message/rfc822"]
    junk += [b"base64", b"x-uuencode", b"filename*0*=''", b"boundary=", b"\n\n", b"Date: ", b"utf-7", b"begin 666 x\n"]
    for _ in range(150):
        data = bytearray(chosen.choice(files))
        for _ in range(chosen.randint(1, 8)):
            at = chosen.randrange(len(data) + 1)
            if chosen.random() < 0.6:
                data[at:at] = chosen.choice(junk)
            else:
                del data[at : at + chosen.randint(1, 200)]
        try:
            letter = read_message(bytes(data))
        except Refused:
            continue
        json.dumps([letter.body, letter.text, letter.subject, letter.sender], ensure_ascii=False).encode()
