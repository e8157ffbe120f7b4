"""Workbooks: values of one sheet with their row numbers; without the library, a clear word."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from upath import UPath

from include.errors import ConfigurationError, ContractBroken
from include.systems.files.formats.reading import Reading
from include.systems.files.formats.stage import stage_file

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
SHEETS = {
    "Orders": [["id", "zip", "amount"], [7, "01067", 1.5], [None, None, None], [8, "99999", "=1+1"]],
    "Other": [["x"], [1]],
}


def cell(value: Any) -> str:
    if value is None:
        return "<c/>"
    if isinstance(value, str) and value.startswith("="):
        return f"<c><f>{value[1:]}</f><v>2</v></c>"
    text = f'<c t="inlineStr"><is><t>{escape(str(value))}</t></is></c>'
    return text if isinstance(value, str) else f"<c><v>{value}</v></c>"


def workbook(path: Path, sheets: Mapping[str, Sequence[Sequence[Any]]] = SHEETS) -> Path:
    """A workbook of these sheets, as small as one can be."""
    types = f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="xml" ContentType="application/xml"/></Types>'
    links, names = "", ""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("[Content_Types].xml", types)
        link = f'<Relationship Id="r" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
        archive.writestr("_rels/.rels", f'<Relationships xmlns="{PACKAGE}/relationships">{link}</Relationships>')
        for number, (name, rows) in enumerate(sheets.items(), start=1):
            body = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
            sheet = f'<worksheet xmlns="{MAIN}"><sheetData>{body}</sheetData></worksheet>'
            archive.writestr(f"xl/worksheets/sheet{number}.xml", sheet)
            links += f'<Relationship Id="r{number}" Type="{OFFICE}/worksheet" Target="worksheets/sheet{number}.xml"/>'
            names += f'<sheet name="{name}" sheetId="{number}" r:id="r{number}"/>'
        related = f'<Relationships xmlns="{PACKAGE}/relationships">{links}</Relationships>'
        archive.writestr("xl/_rels/workbook.xml.rels", related)
        book = f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>{names}</sheets></workbook>'
        archive.writestr("xl/workbook.xml", book)
    return path


@pytest.mark.parametrize("name", ["orders.xlsx", "orders.csv"])
def test_the_first_sheet_is_read_whatever_the_files_name(tmp_path: Path, name: str) -> None:
    found = stage_file(workbook(tmp_path / name), UPath(tmp_path), key=["id"], tell=lambda *_: None)
    rows = pq.read_table(tmp_path / "raw.parquet").to_pylist()
    assert found.types == {"id": "integer", "zip": "text", "amount": "number"}
    assert rows == [{"id": 7, "zip": "01067", "amount": 1.5}, {"id": 8, "zip": "99999", "amount": 2.0}]
    places = pq.read_table(tmp_path / "places.parquet").to_pylist()
    assert [(row["line"], row["key"]) for row in places] == [(2, "7"), (4, "8")]
    assert found.empty == 1
    assert any("of 2 sheets the first is read: 'Orders'" in said for said in found.notes)
    assert name.endswith("xlsx") or "the file is a spreadsheet, whatever its name says" in found.notes


def test_a_sheet_can_be_named(tmp_path: Path) -> None:
    book = workbook(tmp_path / "orders.xlsx")
    found = stage_file(book, UPath(tmp_path), reading=Reading(sheet="Other"), tell=lambda *_: None)
    assert (found.types, found.rows.rows) == ({"x": "integer"}, 1)
    with pytest.raises(ConfigurationError, match="closest: 'Orders'"):
        stage_file(book, UPath(tmp_path), reading=Reading(sheet="Order"), tell=lambda *_: None)


def test_a_damaged_workbook_is_named(tmp_path: Path) -> None:
    (tmp_path / "old.xls").write_bytes(b"\xd0\xcf\x11\xe0 nothing of a workbook")
    with pytest.raises(ContractBroken, match="no workbook that can be read"):
        stage_file(tmp_path / "old.xls", UPath(tmp_path), tell=lambda *_: None)
