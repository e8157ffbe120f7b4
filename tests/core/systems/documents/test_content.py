"""What a file holds is told by its content: every real document is a row or says why not."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.settings import ROOT
from include.systems.documents.content import Content, Unreadable, read_content
from include.systems.documents.pdf import PdfLimits, PdfReader
from include.systems.documents.xml import XmlRefused, read_xml
from include.systems.text.html import html_text
from tests.core.systems.documents.pdfs import pdf, with_lost_page

PUBLIC = ROOT.parent / "shared" / "data"
NAMESPACE = b"urn:oasis:names:specification:ubl:schema:xsd:Invoice-2"
UBL = b'<?xml version="1.0"?><Invoice xmlns="%s"><ID a="b">7</ID>\n</Invoice>' % NAMESPACE


@pytest.fixture(scope="module")
def pdfs() -> Iterator[PdfReader]:
    with PdfReader(PdfLimits()) as made:
        yield made


def content(tmp_path: Path, pdfs: PdfReader, data: bytes) -> Content:
    (tmp_path / "document").write_bytes(data)
    return read_content(tmp_path / "document", pdfs)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (pdf("one", "two"), Content("application/pdf", "one\ftwo", 2)),
        (pdf("", "two"), Content("application/pdf", "\ftwo", 2)),
        (pdf(""), Content("application/pdf", None, 1, problem="no_text")),
        (with_lost_page("one"), Content("application/pdf", "one\f", 2, problem="pages_unread")),
        (UBL, Content("application/xml", "Invoice/ID[a=b]: 7", 1, UBL.decode(), "ubl_invoice")),
        (b"<a><b>x</b></a>\n", Content("application/xml", "a/b: x", 1, "<a><b>x</b></a>\n")),
        (pdf("see", embedded=("factur-x.xml", UBL)), Content("application/pdf", "see", 1, UBL.decode(), "ubl_invoice")),
        (b"plain\nwords \xe4\n", Content("text/plain", "plain\nwords \u00e4\n")),
        ("W\u00f6rter".encode("utf-16"), Content("text/plain", "W\u00f6rter")),
        (b"first\fsecond", Content("text/plain", "first\fsecond", 2)),
        (b" \n ", Content("text/plain", None, problem="no_text")),
        (b"<!DOCTYPE html><p>one<br>two</p>", Content("text/html", "one\ntwo")),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", Content("image/jpeg", None, problem="no_text")),
    ],
)
def test_each_kind_is_told_by_its_content(tmp_path: Path, pdfs: PdfReader, data: bytes, expected: Content) -> None:
    assert content(tmp_path, pdfs, data) == expected


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04\x00\x00\x00", "is neither a PDF"),
        (b"%PDF-1.7 cut", "is damaged"),
        (b"<html>" + b" " * 4_000_000, "characters of HTML"),
        (UBL[:-4], "is no well-formed XML"),
        (b"<?xml version='1.0' encoding='no-such'?><a/>", "encoding"),
        (b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "XML with a document type"),
        (b"<?xml version='1.0'?>" + b"<a>" * 101 + b"</a>" * 101, "more than 100 levels"),
        (pdf("see", embedded=("factur-x.xml", b"<a>")), "embeds no well-formed XML"),
    ],
)
def test_what_gives_no_row_says_why(tmp_path: Path, pdfs: PdfReader, data: bytes, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        content(tmp_path, pdfs, data)


def test_xml_that_grows_when_it_is_written_as_lines_is_refused() -> None:
    names = "".join(f"<{'n' * 5_000}>" for _ in range(90))
    with pytest.raises(XmlRefused, match="characters as lines"):
        read_xml((names + "<a>1</a>" * 60).encode())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_xml_is_read_in_the_encoding_that_it_names(encoding: str) -> None:
    found = read_xml(f"<?xml version='1.0' encoding='{encoding}'?><a>\u00fc</a>".encode(encoding))
    assert (found.lines, "\u00fc" in found.source) == ("a: \u00fc", True)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p class='a>b'>Hi &amp; you<p>next", "Hi & you\nnext"),
        ("<p>one</p><p>two</p>", "one\n\ntwo"),
        ("a<script>if (1 < 2) {}</SCRIPT>b<style>p{}</style><!-- <p>no --><title>t</title>c", "abc"),
        ("<table><tr><td>a</td><td>b</td></tr></table>", "a b"),
        ("1 < 2 and a<b", "1 < 2 and a<b"),
        ("<?xml x?><![if mso]>shown<![endif]>", "shown"),
        ("before<script>never closed", "before"),
        ("\u0130<style>x</style>after", "\u0130after"),
        ("<a title='open>text", "text"),
    ],
)
def test_html_is_read_as_a_person_would(html: str, text: str) -> None:
    assert html_text(html) == text


def test_quotes_are_marked_where_asked() -> None:
    html = "new<blockquote>old<blockquote>older</blockquote>old</blockquote>new"
    assert html_text(html, mark_quotes=True) == "new\n> old\n> older\n> old\nnew"
    assert html_text(html) == "new\nold\nolder\nold\nnew"


@pytest.mark.parametrize("piece", ["<a", "<!--", "<![CDATA[", "<a href='", "<script>", "&#", "<p>a", '<a b="', "</"])
def test_broken_html_costs_no_more_than_its_length(piece: str) -> None:
    def seconds(count: int) -> float:
        started = time.process_time()
        html_text(piece * count)
        return time.process_time() - started

    seconds(1_000)
    assert seconds(30_000) < 30 * max(seconds(3_000), 0.001)


@pytest.mark.skipif(not PUBLIC.is_dir(), reason=f"the public sets are not in {PUBLIC}")
def test_every_public_document_is_read(pdfs: PdfReader) -> None:
    counts = Counter[tuple[str, str | None, str | None]]()
    for path in sorted(PUBLIC.glob("documents_*/**/*")):
        if path.suffix in (".pdf", ".xml", ".jpg"):
            found = read_content(path, pdfs)
            counts[found.media_type, found.problem, found.form] += 1
            assert (found.text is None) == (found.problem == "no_text")
    assert counts == {
        ("application/pdf", None, None): 9,
        ("application/pdf", None, "zugferd_1"): 2,
        ("application/pdf", None, "cii"): 6,
        ("application/xml", None, "ubl_invoice"): 15,
        ("application/xml", None, "cii"): 19,
        ("application/xml", None, "zugferd_1"): 1,
        ("application/xml", None, None): 1,
        ("image/jpeg", "no_text", None): 6,
    }
