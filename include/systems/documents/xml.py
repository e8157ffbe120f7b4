"""XML documents as lines of text, and which e-invoice one is; nothing outside of the file is ever looked up."""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple
from xml.parsers import expat

FORMS = {
    "urn:oasis:names:specification:ubl:schema:xsd:Invoice-2": "ubl_invoice",
    "urn:oasis:names:specification:ubl:schema:xsd:CreditNote-2": "ubl_credit_note",
    "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100": "cii",
    "urn:ferd:CrossIndustryDocument:invoice:1p0": "zugferd_1",
}
"""Namespace of the root -> form: EN 16931's two syntaxes (https://docs.peppol.eu/poacc/billing/3.0 and
https://fnfe-mpe.org/factur-x), and the one before them."""
_DEEPEST = 100
_LONGEST = 20_000_000
"""Characters of lines."""
_DECLARED = re.compile(rb"<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})[\"']")
_SEPARATOR = " "


class Xml(NamedTuple):
    """`lines` are `Invoice/ID: 7`, one for each element with text, `source` is the whole file, `form` the e-invoice."""

    lines: str
    source: str
    form: str | None


class XmlRefused(ValueError):
    """No well-formed XML, or XML that would make a reader do more than read; says which, without its content."""


def read_xml(data: bytes) -> Xml:
    """The document; raises XmlRefused, for one with a document type too, since entities are defined there."""
    reader = _Reader()
    try:
        reader.parse(data)
    except expat.ExpatError as error:
        raise XmlRefused(f"no well-formed XML ({expat.ErrorString(error.code)}, line {error.lineno})") from error
    except (LookupError, ValueError) as error:
        if isinstance(error, XmlRefused):
            raise
        raise XmlRefused("an encoding that is not known") from error
    return Xml("\n".join(reader.lines), _decoded(data), FORMS.get(reader.namespace))


def _decoded(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    declared = _DECLARED.match(data.removeprefix(codecs.BOM_UTF8))
    codec = declared[1].decode() if declared else "utf-8"
    try:
        return data.decode("utf-8-sig" if codec.lower() == "utf-8" else codec, "replace")
    except LookupError as error:
        raise XmlRefused("an encoding that is not known") from error


class _Reader:
    def __init__(self) -> None:
        self.lines = list[str]()
        self.namespace = ""
        self._path = list[str]()
        self._text = list[str]()
        self._left = _LONGEST

    def parse(self, data: bytes) -> None:
        parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        parser.Parse(data, True)

    def _refuse(self, *_: object) -> None:
        raise XmlRefused("XML with a document type")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._flush()
        namespace, _, local = name.rpartition(_SEPARATOR)
        if not self._path:
            self.namespace = namespace
        if len(self._path) >= _DEEPEST:
            raise XmlRefused(f"XML of more than {_DEEPEST} levels")
        said = ", ".join(f"{key.rpartition(_SEPARATOR)[2]}={value}" for key, value in attributes.items())
        self._path.append(f"{local}[{said}]" if said else local)

    def _end(self, name: str) -> None:
        self._flush()
        self._path.pop()

    def _flush(self) -> None:
        text = " ".join("".join(self._text).split())
        self._text.clear()
        if text:
            line = f"{'/'.join(self._path)}: {text}"
            self._left -= len(line)
            if self._left < 0:
                raise XmlRefused(f"XML of more than {_LONGEST} characters as lines")
            self.lines.append(line)
