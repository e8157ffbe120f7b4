"""The program that opens PDFs: it knows nothing of a night, and may be killed at any time.

Run by `pdf.PdfReader` with as little as it needs; it imports nothing else of this package. It reads one request a line
from its input, writes what it found to the file that the request names, and says in one line how that went.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pypdfium2  # type: ignore[import-untyped]
from pypdfium2 import raw

_OUTCOMES = {raw.FPDF_ERR_PASSWORD: "encrypted", raw.FPDF_ERR_SECURITY: "encrypted"}
INVOICES = frozenset({"factur-x.xml", "zugferd-invoice.xml", "xrechnung.xml", "order-x.xml"})
"""Names that hybrid invoices embed their XML under (https://fnfe-mpe.org/factur-x)."""
_LARGEST_XML = 10_000_000
_HYPHEN, _SOFT_HYPHEN = "\ufffe", "\u00ad"
"""PDFium writes the first for a hyphen at the end of a line; the second is not seen."""


def main(memory: int, written: int) -> None:
    """Answer requests until the input ends; at most `memory` bytes of addresses and `written` bytes a file."""
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (written, written))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_read(json.loads(line))) + "\n")
        sys.stdout.flush()


def _read(request: Mapping[str, Any]) -> dict[str, Any]:
    try:
        document = pypdfium2.PdfDocument(request["path"])
    except pypdfium2.PdfiumError as error:
        return {"outcome": _OUTCOMES.get(error.err_code, "broken")}
    try:
        if len(document) > request["most_pages"]:
            return {"outcome": "too_many_pages", "pages": len(document)}
        texts, unread, left = list[str](), 0, int(request["most_characters"])
        for number in range(len(document)):
            text = _text(document, number)
            unread += text is None
            texts.append(text or "")
            left -= len(texts[-1])
            if left < 0:
                return {"outcome": "too_long", "pages": len(document)}
        found = {"pages": texts, "xml": _invoice(document)}
        Path(request["into"]).write_text(json.dumps(found), encoding="ascii")
        return {"outcome": "read", "pages": len(document), "unread": unread}
    finally:
        document.close()


def _text(document: Any, number: int) -> str | None:
    """The text of a page, None of one that cannot be opened."""
    try:
        page = document[number]
        text: str = page.get_textpage().get_text_range()
        page.close()
    except pypdfium2.PdfiumError:
        return None
    return text.replace("\r\n", "\n").replace("\f", "\n").replace(_HYPHEN, "-").replace(_SOFT_HYPHEN, "")


def _invoice(document: Any) -> str:
    """The XML of a hybrid invoice as Latin-1, byte by byte; empty where none is embedded."""
    for number in range(document.count_attachments()):
        attachment = document.get_attachment(number)
        if attachment.get_name().lower() in INVOICES:
            data = bytes(attachment.get_data())
            return data.decode("latin-1") if len(data) <= _LARGEST_XML else ""
    return ""


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
