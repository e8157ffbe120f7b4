"""PDFs of one page, written by hand (ISO 32000-1): words at places, a picture, an embedded file, a lock."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

_A4 = "[0 0 595 842]"
_FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"


class Words(NamedTuple):
    """A text whose baseline begins at a place, in points from the lower left corner."""

    x: int
    y: int
    text: str
    size: int = 10


def page(words: Sequence[Words], embedded: tuple[str, bytes] | None = None) -> bytes:
    """A page of words in Helvetica; `embedded` is a file that the document carries, by its name."""
    content = "".join(f"BT /F1 {one.size} Tf {one.x} {one.y} Td ({_quoted(one.text)}) Tj ET\n" for one in words)
    objects = [_stream(content.encode("cp1252", "replace"))]
    names = ""
    if embedded:
        name, data = embedded
        names = f"/Names << /EmbeddedFiles << /Names [({name}) 6 0 R] >> >>"
        spec = f"<< /Type /Filespec /F ({name}) /UF ({name}) /AFRelationship /Alternative /EF << /F 7 0 R >> >>"
        objects += [spec.encode(), _stream(data, "/Type /EmbeddedFile /Subtype /text#2Fxml")]
    return _document("/Resources << /Font << /F1 4 0 R >> >> /Contents 5 0 R", names, [_FONT, *objects])


def scan(width: int, height: int, pixels: bytes) -> bytes:
    """A page that is nothing but a picture in grey, a byte a pixel: what a scanner without recognition makes."""
    picture = (
        f"/Type /XObject /Subtype /Image /Width {width} /Height {height} /ColorSpace /DeviceGray /BitsPerComponent 8"
    )
    objects = [_stream(pixels, picture), _stream(b"q 595 0 0 842 0 0 cm /I1 Do Q")]
    return _document("/Resources << /XObject << /I1 4 0 R >> >> /Contents 5 0 R", "", objects)


def locked() -> bytes:
    """A page under the standard security handler, with another password than the empty one."""
    marks = f"/O <{'41' * 32}> /U <{'42' * 32}>"
    trailer = f"/Encrypt << /Filter /Standard /V 1 /R 2 {marks} /P -4 >> /ID [<41> <41>]"
    return _document("/Contents 4 0 R", "", [_stream(b"")], trailer)


def _quoted(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def _stream(data: bytes, more: str = "") -> bytes:
    packed = zlib.compress(data)
    return f"<< /Length {len(packed)} /Filter /FlateDecode {more} >>\nstream\n".encode() + packed + b"\nendstream"


def _document(of_page: str, names: str, objects: Sequence[bytes], trailer: str = "") -> bytes:
    """The file: catalogue, pages and the page are objects 1 to 3, the others follow."""
    every = [
        f"<< /Type /Catalog /Pages 2 0 R {names} >>".encode(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox {_A4} {of_page} >>".encode(),
        *objects,
    ]
    out, places = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", []
    for number, body in enumerate(every, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    ending = f"trailer << /Size {len(every) + 1} /Root 1 0 R {trailer} >>\nstartxref\n{len(out)}\n%%EOF\n"
    return out + f"xref\n0 {len(every) + 1}\n0000000000 65535 f \n{table}{ending}".encode()
