"""What a sheet holds beside its values is said: merged cells, formulas without a value, hidden rows and sheets."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from upath import UPath

from include.errors import ContractBroken
from include.settings import ROOT
from include.systems.files.formats import workbook
from include.systems.files.formats.notation import amounts
from include.systems.files.formats.reading import Reading
from include.systems.files.formats.stage import stage_file
from include.systems.files.formats.workbook import Beside, in_cells, in_letters, look_beside
from tests.core.systems.files.conftest import Stage
from tests.core.systems.files.test_sheets import MAIN, OFFICE, PACKAGE

PUBLIC = ROOT.parent / "shared" / "data" / "messy_csv" / "frictionless"
CELLS = """<row r="1"><c r="A1" t="inlineStr"><is><t>id</t></is></c><c r="B1" t="inlineStr"><is><t>sum</t></is></c>
<c r="C1" t="inlineStr"><is><t>note</t></is></c></row>
<row r="2"><c r="A2"><v>1</v></c><c r="B2"><f>A2+1</f><v>2</v></c><c r="C2" t="str"><f>""</f><v></v></c></row>
<row r="3" hidden="1"><c r="A3"><v>2</v></c><c r="B3"><f>A3+1</f><v></v></c></row>
<row r="4"><c r="A4"><v>3</v></c><c r="B4"><f t="shared" si="0"/><v/></c><c r="C4"><f>A4</f></c></row>
<row r="5"><c r="A5"><v>4</v></c><c r="B5"><v>1.234</v></c><c r="C5" t="inlineStr"><is><t>1.234</t></is></c></row>"""
MERGED = '<mergeCells count="2"><mergeCell ref="A2:A3"/><mergeCell ref="B4:C5"/></mergeCells>'
STATES = ("", ' state="hidden"')
ODS = "urn:oasis:names:tc:opendocument:xmlns"


def xlsx(path: Path, rows: str, after: str = "", state: str = "", prefix: str = "") -> Path:
    """A workbook of one sheet, its rows as the XML has them."""
    if prefix:
        rows = (
            rows.replace("</", f"</{prefix}").replace("<", f"<{prefix}").replace(f"<{prefix}/{prefix}", f"</{prefix}")
        )
    space = f'xmlns{":" + prefix[:-1] if prefix else ""}="{MAIN}"'
    p, link = prefix, f'<Relationship Id="r1" Type="{OFFICE}/%s" Target="%s"/>'
    relations = f'<Relationships xmlns="{PACKAGE}/relationships">{link}</Relationships>'
    sheet = f'<sheet name="One" sheetId="1"{state} r:id="r1"/>'
    book = f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>{sheet}</sheets></workbook>'
    rows = f"<{p}worksheet {space}><{p}sheetData>{rows}</{p}sheetData>{after}</{p}worksheet>"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", f'<Types xmlns="{PACKAGE}/content-types"/>')
        archive.writestr("_rels/.rels", relations % ("officeDocument", "xl/workbook.xml"))
        archive.writestr("xl/_rels/workbook.xml.rels", relations % ("worksheet", "/xl/worksheets/one.xml"))
        archive.writestr("xl/workbook.xml", book)
        archive.writestr("xl/worksheets/one.xml", rows)
    return path


def ods(path: Path, rows: str) -> Path:
    """An ODS file of two tables, the second with these rows."""
    spaces = "".join(f' xmlns:{name}="{ODS}:{name}:1.0"' for name in ("office", "table", "text"))
    first = '<table:table-row><table:table-cell table:number-columns-spanned="3"/></table:table-row>'
    named = (("A", first), ("One", rows))
    tables = "".join(f'<table:table table:name="{name}">{one}</table:table>' for name, one in named)
    sheets = f"<office:body><office:spreadsheet>{tables}</office:spreadsheet></office:body>"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", f'<manifest:manifest xmlns:manifest="{ODS}:manifest:1.0"/>')
        archive.writestr("content.xml", f"<office:document-content{spaces}>{sheets}</office:document-content>")
    return path


@pytest.mark.parametrize("prefix", ["", "x:"])
@pytest.mark.parametrize("block", [1 << 20, 11])
def test_formulas_that_nobody_computed_and_hidden_rows_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str, block: int
) -> None:
    monkeypatch.setattr(workbook, "_BLOCK", block)
    book = xlsx(tmp_path / "b.xlsx", CELLS, prefix=prefix)
    assert look_beside(book, "One", None) == Beside([], [(2, 1), (3, 1), (3, 2)], 1)


def test_a_formula_without_a_value_is_a_value_that_cannot_be_read(tmp_path: Path) -> None:
    told = list[tuple[str, str, str]]()
    book = xlsx(tmp_path / "b.xlsx", CELLS, MERGED)
    found = stage_file(book, UPath(tmp_path), tell=lambda *what: told.append(what))
    assert [(place, column) for place, column, _ in told] == [
        ("b.xlsx:3", "sum"),
        ("b.xlsx:4", "sum"),
        ("b.xlsx:4", "note"),
    ]
    assert "never computed" in told[0][2]
    assert (found.wrong, found.unreadable, found.rows.rows) == (3, 0, 4)
    assert "2 merged ranges, e.g. A2:A3: only the first cell of each has the value" in found.notes
    assert "1 row is hidden, and read" in found.notes


def test_formulas_of_the_header_and_of_the_first_row(tmp_path: Path) -> None:
    told = list[tuple[str, str, str]]()
    row = '<row r="{0}"><c r="A{0}"><v>7</v></c><c r="B{0}"><f>1</f></c></row>'
    rows = row.format(1) + row.format(2)
    stage_file(xlsx(tmp_path / "b.xlsx", rows), UPath(tmp_path), tell=lambda *what: told.append(what))
    assert [place for place, _, _ in told] == ["b.xlsx:2"]


def test_numbers_of_a_sheet_are_numbers_whatever_its_texts_are_declared_to_be(tmp_path: Path) -> None:
    book = xlsx(tmp_path / "b.xlsx", CELLS.replace("<v></v>", "<v>1</v>").replace("<v/>", "<v>1</v>"))
    form = amounts(",", thousands=".")
    rows = staged(book, tmp_path, kinds={"sum": form, "note": form})
    assert rows[-1] == {"id": 4, "sum": 1.234, "note": 1234.0}


def staged(book: Path, folder: Path, **more: Any) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    stage_file(book, UPath(folder), reading=Reading(**more), tell=lambda *_: None)
    rows: list[dict[str, Any]] = pq.read_table(folder / "raw.parquet").to_pylist()
    return rows


@pytest.mark.parametrize("state", STATES)
def test_a_hidden_sheet_that_is_read_is_said(tmp_path: Path, state: str) -> None:
    found = stage_file(xlsx(tmp_path / "b.xlsx", CELLS, state=state), UPath(tmp_path), tell=lambda *_: None)
    assert ("sheet 'One' is hidden" in found.notes) == bool(state)


def test_ods_says_the_same(tmp_path: Path) -> None:
    text = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
    number = '<table:table-cell office:value-type="float" office:value="{}"/>'
    row = "<table:table-row{}>{}</table:table-row>"
    seven = '<table:table-cell office:value-type="float" office:value="7" table:number-columns-repeated="2"/>'
    wide = '<table:table-cell office:value-type="float" office:value="8" table:number-columns-spanned="2"/>'
    rows = row.format("", "".join(map(text.format, ("id", "sum", "x"))))
    rows += row.format(' table:number-rows-repeated="2"', "".join(map(number.format, (1, 2, 3))))
    rows += row.format(' table:visibility="filter"', seven + '<table:table-cell table:formula="of:=[.A1]"/>')
    rows += row.format("", wide + "<table:covered-table-cell/>" + number.format(9))
    book, told = ods(tmp_path / "b.ods", rows), list[tuple[str, str, str]]()
    found = stage_file(book, UPath(tmp_path), reading=Reading(sheet="One"), tell=lambda *what: told.append(what))
    assert [(place, column) for place, column, _ in told] == [("b.ods:4", "x")]
    assert "1 merged range, e.g. A5:B5: only the first cell of each has the value" in found.notes
    assert "1 row is hidden, and read" in found.notes


def test_cells_are_called_as_spreadsheets_call_them() -> None:
    assert [in_letters(at) for at in (0, 25, 26, 701, 702)] == ["A", "Z", "AA", "ZZ", "AAA"]
    assert in_cells(((1, 0), (4, 27))) == "A2:AB5"


def test_damaged_parts_are_named(tmp_path: Path) -> None:
    book = xlsx(tmp_path / "b.xlsx", CELLS)
    with zipfile.ZipFile(book, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("xl/workbook.xml", "<workbook")
    with pytest.raises(ContractBroken, match="no workbook that can be read"):
        look_beside(book, "One", None)


@pytest.mark.skipif(not PUBLIC.is_dir(), reason=f"the public sets are not in {PUBLIC}")
def test_merged_cells_of_old_workbooks_are_said(stage: Stage) -> None:
    found, _ = stage((PUBLIC / "merged-cells.xls").read_bytes(), "old.xls")
    assert "1 merged range, e.g. A1:B3: only the first cell of each has the value" in found.notes
    found, _ = stage((PUBLIC / "table.xls").read_bytes(), "old.csv")
    assert (found.rows.rows, found.types["id"]) == (2, "integer")


@pytest.mark.parametrize("filler", ["<![CDATA[" + "<c" * 300_000 + "]]>", "<f>1</f>" + " " * 600_000])
def test_what_is_made_to_take_long_takes_as_long_as_any_other_sheet(tmp_path: Path, filler: str) -> None:
    row = f'<row r="1"><c r="A1" t="inlineStr"><is><t>x</t></is></c><c r="B1">{filler}<v>1</v></c></row>'
    assert look_beside(xlsx(tmp_path / "b.xlsx", row), "One", None) == Beside()
