"""PDFs that a test writes, after ISO 32000-1: whole ones, locked ones, and ones that ask for too much."""

from __future__ import annotations

import zlib
from collections.abc import Sequence


def pdf(*pages: str, trailer: str = "", embedded: tuple[str, bytes] | None = None) -> bytes:
    """A PDF with a line of text on each page; an empty text is a page with a drawing and no text."""
    contents = [f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET" if text else "0 0 100 100 re f" for text in pages]
    return _written([zlib.compress(content.encode("latin-1")) for content in contents], trailer, embedded)


def locked() -> bytes:
    """A PDF whose standard security handler (7.6.3) takes another password than the empty one."""
    marks = f"/O <{'41' * 32}> /U <{'42' * 32}>"
    return pdf("secret", trailer=f"/Encrypt << /Filter /Standard /V 1 /R 2 {marks} /P -4 >> /ID [<41> <41>]")


def swollen(megabytes: int, piece: bytes = b"BT /F1 12 Tf 72 700 Td (words) Tj ET\n") -> bytes:
    """A PDF of one page, whose few kilobytes unfold to so many megabytes of drawing."""
    packer, block = zlib.compressobj(9), piece * (1_000_000 // len(piece))
    packed = b"".join(packer.compress(block) for _ in range(megabytes)) + packer.flush()
    return _written([packed], "", None)


def with_lost_page(*pages: str) -> bytes:
    """A PDF that also lists a page which is not in it."""
    contents = [f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET".encode() for text in pages]
    return _written([zlib.compress(content) for content in contents], "", None, lost=1)


def _written(contents: Sequence[bytes], trailer: str, embedded: tuple[str, bytes] | None, lost: int = 0) -> bytes:
    count = len(contents)
    kids = " ".join([*(f"{4 + 2 * number} 0 R" for number in range(count)), *["99 0 R"] * lost])
    names = ""
    if embedded:
        first = 4 + 2 * count
        names = f"/Names << /EmbeddedFiles << /Names [({embedded[0]}) {first} 0 R] >> >>"
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R {names} >>".encode(),
        f"<< /Type /Pages /Kids [{kids}] /Count {count + lost} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, content in enumerate(contents):
        resources = f"/Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * number} 0 R"
        page = f"/Parent 2 0 R /MediaBox [0 0 612 792] {resources}"
        objects += [f"<< /Type /Page {page} >>".encode(), _stream(content, "/Filter /FlateDecode")]
    if embedded:
        file = f"<< /Type /Filespec /F ({embedded[0]}) /UF ({embedded[0]}) /EF << /F {first + 1} 0 R >> >>"
        objects += [file.encode(), _stream(embedded[1], "/Type /EmbeddedFile")]
    out, places = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}".encode()
    return out + f"trailer << /Size {len(objects) + 1} /Root 1 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n".encode()


def _stream(data: bytes, more: str) -> bytes:
    return f"<< /Length {len(data)} {more} >>\nstream\n".encode() + data + b"\nendstream"
