"""What one file holds, by its content and not by its name: a text, pages, or why there is neither."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from include.systems.documents.pdf import PdfReader
from include.systems.documents.xml import XmlRefused, read_xml
from include.systems.files.formats.encoding import find_encoding
from include.systems.text.html import html_text
from include.systems.text.tokens import PAGE_BREAK, token_spans

NO_TEXT, PAGES_UNREAD = "no_text", "pages_unread"
LONGEST_HTML = 4_000_000
_HEAD = 1_024
"""Bytes, within which a PDF says that it is one (ISO 32000-1, Annex H.3, note 13)."""
_IMAGES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"II*\x00": "image/tiff",
    b"MM\x00*": "image/tiff",
    b"GIF8": "image/gif",
}
_WORDS = {
    "encrypted": "is encrypted",
    "broken": "is damaged, or no PDF inside",
    "too_many_pages": "has too many pages",
    "too_long": "has too much text",
    "too_slow": "took too long to read",
    "reader_died": "made its reader end, or use up its memory",
}


@dataclass(frozen=True, slots=True)
class Content:
    """A document's text, its pages parted by form feeds; `xml` and `form` are the e-invoice that it is or embeds.

    `problem` is `no_text` for a scan or a picture, `pages_unread` where pages could not be opened, else None.
    """

    media_type: str
    text: str | None
    pages: int = 1
    xml: str | None = None
    form: str | None = None
    problem: str | None = None


class Unreadable(ValueError):
    """A file that gives no row; says why in words, and what kind of file it is."""

    def __init__(self, why: str, media_type: str) -> None:
        super().__init__(why)
        self.media_type = media_type


def read_content(path: Path, pdfs: PdfReader) -> Content:
    """What the file at `path` holds; raises Unreadable for what is damaged, locked, beyond its bounds or of no use."""
    with path.open("rb") as handle:
        head = handle.read(_HEAD)
    if not head:
        raise Unreadable("is empty", "application/octet-stream")
    if b"%PDF-" in head:
        return _pdf(path, pdfs)
    for start, media_type in _IMAGES.items():
        if head.startswith(start):
            return Content(media_type, None, problem=NO_TEXT)
    return _text(path)


def _pdf(path: Path, pdfs: PdfReader) -> Content:
    media_type, found = "application/pdf", pdfs.read(path)
    if found.problem:
        raise Unreadable(_WORDS[found.problem], media_type)
    text = PAGE_BREAK.join(page.strip() for page in found.pages)
    invoice = None
    if found.xml:
        try:
            invoice = read_xml(found.xml)
        except XmlRefused as error:
            raise Unreadable(f"embeds {error}", media_type) from error
    source, form = (invoice.source, invoice.form) if invoice else (None, None)
    problem = PAGES_UNREAD if found.unread else None
    return _with_text(Content(media_type, text, len(found.pages), source, form, problem))


def _text(path: Path) -> Content:
    encoding = find_encoding(path)
    text = path.read_text(encoding=encoding.codec, errors="replace")
    if "\x00" in text:
        raise Unreadable("is neither a PDF, a picture, XML nor text", "application/octet-stream")
    start = text[:_HEAD].lstrip("\ufeff \t\r\n").lower()
    if start.startswith(("<!doctype html", "<html")):
        if len(text) > LONGEST_HTML:
            raise Unreadable(f"has more than {LONGEST_HTML} characters of HTML", "text/html")
        return _with_text(Content("text/html", html_text(text)))
    if start.startswith("<?xml") or (start.startswith("<") and _ends_as_xml(text)):
        return _xml(path.read_bytes())
    return _with_text(Content("text/plain", text, text.count(PAGE_BREAK) + 1))


def _with_text(content: Content) -> Content:
    """The content, flagged where its text has not one word."""
    return content if token_spans(content.text or "") else replace(content, text=None, problem=NO_TEXT)


def _ends_as_xml(text: str) -> bool:
    """Whether a text without an XML declaration closes an element at its end."""
    return text.rstrip().endswith(">")


def _xml(data: bytes) -> Content:
    try:
        found = read_xml(data)
    except XmlRefused as error:
        raise Unreadable(f"is {error}", "application/xml") from error
    return Content("application/xml", found.lines, xml=found.source, form=found.form)
