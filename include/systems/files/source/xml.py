"""Records of an XML file: elements at one path, read in a stream and within bounds, without any entity of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.parsers import expat

from include.errors import ContractBroken
from include.models import Record

_BLOCK = 1 << 16
_DEEPEST = 100
_LONGEST = 1_000_000
"""Characters of one value."""
_MOST = 10_000
"""Values of one record."""


def read_xml(source: Path, row: str, name: str) -> Iterator[tuple[int, Record]]:
    """Line and values of each element at the path `row` (`orders/order`), by their paths within it.

    `customer/name` is an element's text, `@id` an attribute's; what comes several times is a list as JSON. Namespaces
    do not count. A document type is refused, since entities come with it (billion laughs, files of this machine):
    https://docs.python.org/3/library/xml.html#xml-security. Raises ContractBroken for what is no well-formed XML, too.
    """
    reading = _Reading(tuple(row.strip("/").split("/")), name)
    with source.open("rb") as handle:
        while block := handle.read(_BLOCK):
            reading.feed(block)
            yield from reading.taken()
    reading.feed(b"", last=True)
    yield from reading.taken()


class _Reading:
    def __init__(self, row: tuple[str, ...], name: str) -> None:
        self._row, self._name = row, name
        self._path: list[str] = []
        self._record: dict[str, list[str]] | None = None
        self._line = self._values = 0
        self._text: list[list[str]] = []
        self._done: list[tuple[int, Record]] = []
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters

    def feed(self, data: bytes, *, last: bool = False) -> None:
        try:
            self._parser.Parse(data, last)
        except expat.ExpatError as error:
            said = expat.ErrorString(error.code)
            raise self._broken(f"is no well-formed XML (line {error.lineno}: {said})") from error

    def taken(self) -> list[tuple[int, Record]]:
        done, self._done = self._done, []
        return done

    def _doctype(self, *_: Any) -> None:
        raise self._broken("has a document type, which may hold entities and is refused")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._path.append(_local(tag))
        if len(self._path) > _DEEPEST:
            raise self._broken(f"is nested more than {_DEEPEST} deep")
        if tuple(self._path) == self._row:
            self._record, self._line, self._values = {}, self._parser.CurrentLineNumber, 0
        if self._record is not None:
            self._text.append([])
            within = "/".join(self._path[len(self._row) :])
            for name, value in attributes.items():
                self._add(f"{within}/@{_local(name)}".lstrip("/"), value)

    def _characters(self, text: str) -> None:
        if self._text:
            self._text[-1].append(text)

    def _end(self, _: str) -> None:
        if self._record is not None:
            text = "".join(self._text.pop()).strip()
            within = "/".join(self._path[len(self._row) :])
            if text:
                self._add(within or ".", text)
            if tuple(self._path) == self._row:
                values = {name: one[0] if len(one) == 1 else json.dumps(one) for name, one in self._record.items()}
                self._done.append((self._line, dict(values)))
                self._record = None
        self._path.pop()

    def _add(self, name: str, text: str) -> None:
        self._values += 1
        if len(text) > _LONGEST or self._values > _MOST:
            raise self._broken(f"line {self._line}: more than {_LONGEST:,} characters or {_MOST:,} values in a record")
        if self._record is not None:
            self._record.setdefault(name, []).append(text)

    def _broken(self, problem: str) -> ContractBroken:
        return ContractBroken(problem, about=self._name, action="Ask the sender")


def _local(name: str) -> str:
    return name.rpartition(" ")[2]
