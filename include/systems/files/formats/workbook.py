"""What a sheet holds beside its values: merged cells, formulas that nobody computed, hidden rows.

python-calamine gives values. The rest is looked for in the workbook's own XML, as bytes, so that it costs little.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

from include.errors import ContractBroken

Range = tuple[tuple[int, int], tuple[int, int]]
"""First and last cell, each as row and column from 0."""
_BLOCK = 1 << 20
_LONGEST_ROW = 64 << 20  # bytes
_CELL = rb"<(?:\w+:)?c\b([^<>]*)>\s*<(?:\w+:)?f\b(?:[^<>]*/>|[^<>]*>[^<]*</(?:\w+:)?f>)\s*"
_UNCOMPUTED = re.compile(_CELL + rb"(?:(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v>\s*</(?:\w+:)?v>)\s*)?</(?:\w+:)?c>")
_HIDDEN = re.compile(rb'<(?:\w+:)?row\b[^<>]*\shidden="(?:1|true)"')
_ADDRESS = re.compile(rb'\sr="([A-Z]{1,3})([0-9]{1,7})"')
_SPANNED = re.compile(rb'-spanned="(?!1")')
_ODS_HIDDEN = re.compile(rb'<table:table-row\b[^<>]*\stable:visibility="(?:collapse|filter)"')
_ODS_FORMULA = re.compile(rb"<table:table-cell\b(?=[^<>]*\stable:formula=)(?![^<>]*\soffice:value-type=)")
_TABLE, _OFFICE = (
    "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}",
    "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}",
)


@dataclass
class Beside:
    """Merged ranges, cells with a formula and no value (row and column from 0), and how many rows are hidden."""

    merged: list[Range] = field(default_factory=list)
    uncomputed: list[tuple[int, int]] = field(default_factory=list)
    hidden: int = 0


def look_beside(source: Path, sheet: str, merged: list[Range] | None) -> Beside:
    """What a sheet of an XLSX or ODS workbook holds beside its values; `merged` ranges where they are known already.

    Old XLS has its values always, so nothing is looked for. Raises ContractBroken where the XML is damaged.
    """
    found = Beside(list(merged or ()))
    if not zipfile.is_zipfile(source):
        return found
    try:
        with zipfile.ZipFile(source) as archive:
            names = set(archive.namelist())
            if "content.xml" in names:
                _look_in_ods(archive, sheet, found)
            elif (part := _part_of(archive, sheet)) in names:
                with archive.open(part) as handle:
                    _look_in_xlsx(handle, found)
    except (ElementTree.ParseError, KeyError, zipfile.BadZipFile, ValueError) as error:
        raise ContractBroken(f"is no workbook that can be read ({error})", about=source.name) from error
    return found


def in_letters(column: int) -> str:
    """A column from 0 as spreadsheets call it: A, Z, AA."""
    said = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        said = chr(ord("A") + rest) + said
    return said


def in_cells(cells: Range) -> str:
    """A range as spreadsheets call it: A2:A5."""
    return ":".join(f"{in_letters(column)}{row + 1}" for row, column in cells)


def _part_of(archive: zipfile.ZipFile, sheet: str) -> str:
    """The part of an XLSX that holds a sheet; empty for what is not said in XML (XLSB)."""
    book = _targets(archive, "_rels/.rels", "").get("officeDocument", "")
    if not book.endswith(".xml"):
        return ""
    folder, _, name = book.rpartition("/")
    parts = _targets(archive, f"{folder}/_rels/{name}.rels".lstrip("/"), folder, by="Id")
    for one in _parsed(archive, book).iter():
        if one.tag.rpartition("}")[2] == "sheet" and one.get("name") == sheet:
            link = next((value for key, value in one.attrib.items() if key.endswith("}id")), "")
            return parts.get(link, "")
    return ""


def _parsed(archive: zipfile.ZipFile, place: str) -> ElementTree.Element:
    return ElementTree.fromstring(archive.read(place))  # noqa: S314 - expat itself refuses entities that multiply


def _targets(archive: zipfile.ZipFile, place: str, folder: str, by: str = "Type") -> dict[str, str]:
    """The parts that a file of relationships names, by id or by the last word of their type."""
    found = dict[str, str]()
    for one in _parsed(archive, place):
        target = one.get("Target", "")
        whole = target[1:] if target.startswith("/") else f"{folder}/{target}".lstrip("/")
        found[one.get(by, "").rpartition("/")[2]] = whole
    return found


def _pieces(handle: IO[bytes], mark: bytes) -> Iterator[bytes]:
    """A part in pieces that end behind `mark`."""
    rest = b""
    while block := handle.read(_BLOCK):
        rest += block
        end = rest.rfind(mark) + len(mark)
        if end >= len(mark):
            yield rest[:end]
            rest = rest[end:]
        elif len(rest) > _LONGEST_ROW:
            raise ValueError(f"a row of more than {_LONGEST_ROW:,} bytes")
    yield rest


def _look_in_xlsx(handle: IO[bytes], found: Beside) -> None:
    for piece in _pieces(handle, b"row>"):
        found.hidden += len(_HIDDEN.findall(piece)) if b"hidden=" in piece else 0
        if b"<f" not in piece and b":f" not in piece:
            continue
        for cell in _UNCOMPUTED.finditer(piece):
            at = _ADDRESS.search(cell[1])
            if at and b't="str"' not in cell[1]:  # a text that was computed may be empty
                found.uncomputed.append((int(at[2]) - 1, _number(at[1].decode())))


def _number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def _look_in_ods(archive: zipfile.ZipFile, sheet: str, found: Beside) -> None:
    with archive.open("content.xml") as handle:
        marks = (_SPANNED, _ODS_FORMULA, _ODS_HIDDEN)
        if not any(mark.search(piece) for piece in _pieces(handle, b">") for mark in marks):
            return
    with archive.open("content.xml") as handle:
        row = column = 0
        inside = False
        for event, one in ElementTree.iterparse(handle, ("start", "end")):  # noqa: S314 - as above
            if one.tag == f"{_TABLE}table":
                inside = event == "start" and one.get(f"{_TABLE}name") == sheet
                row = 0
            elif inside and one.tag == f"{_TABLE}table-row":
                column = 0
                if event == "end":
                    repeated = int(one.get(f"{_TABLE}number-rows-repeated", 1))
                    row += repeated
                    hidden = one.get(f"{_TABLE}visibility") in ("collapse", "filter")
                    found.hidden += repeated if hidden and len(one) else 0
            elif inside and event == "end" and one.tag in (f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"):
                _look_at(one, row, column, found)
                column += int(one.get(f"{_TABLE}number-columns-repeated", 1))
            if event == "end":
                one.clear()


def _look_at(cell: ElementTree.Element, row: int, column: int, found: Beside) -> None:
    rows, columns = (int(cell.get(f"{_TABLE}number-{what}-spanned", 1)) for what in ("rows", "columns"))
    if rows > 1 or columns > 1:
        found.merged.append(((row, column), (row + rows - 1, column + columns - 1)))
    if cell.get(f"{_TABLE}formula") and cell.get(f"{_OFFICE}value-type") is None:
        found.uncomputed.append((row, column))
