"""What files as a source do beyond the contract: deliveries, forms, what is packed, and what is refused."""

from __future__ import annotations

import errno
import gzip
import io
import os
import zipfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from include.errors import AccessDenied, ConfigurationError, ContractBroken, FileNotReady
from include.models import Column, Record, RejectedRow
from include.systems.files.source import unpacking
from include.systems.files.source.declared import Arrived, Files
from include.systems.files.source.forms import Csv, FixedWidth, JsonLines, Xlsx, Xml
from include.systems.files.source.unpacking import Bounds
from include.systems.port import VERSION
from tests.core.systems.contracts import NIGHT, rows_of
from tests.core.systems.files.conftest import Shelf
from tests.core.systems.files.test_sheets import workbook
from tests.core.systems.files.test_source_contract import SOURCE

MANY = replace(SOURCE, pattern="orders_%Y-%m-%d_*.csv")
DAY = "orders_2026-11-18"


def read(shelf: Shelf, source: Files = MANY) -> tuple[list[Record], list[RejectedRow], Record]:
    reader = source.open(shelf.standing)
    reader.sleep = lambda _: None
    pages = list(reader.read(NIGHT))
    return rows_of(pages), [one for page in pages for one in page.rejected], reader.facts


def text(*lines: str, header: str = "no,name,amount") -> str:
    return "\n".join([header, *lines]) + "\n"


def test_several_files_are_read_in_order_and_each_row_names_its_file_and_line(shelf: Shelf) -> None:
    shelf.put(text("1,Ann,1", "2,Bob,2"), f"{DAY}_b.csv")
    shelf.put(text("1,Cem,3"), f"{DAY}_a.csv")
    shelf.put(text("9,Eve,3"), "orders_2026-11-19_a.csv")
    shelf.put(text("9,Eve,3"), f"{DAY}_c.csv.part")
    rows, _, facts = read(shelf)
    assert [r["lineage"]["shop"] for r in rows] == [
        f"drop/{DAY}_a.csv:2", f"drop/{DAY}_b.csv:2", f"drop/{DAY}_b.csv:3"
    ]  # fmt: skip
    assert [r["row_id"] for r in rows] == [
        f"shop/drop/{DAY}_a.csv#1", f"shop/drop/{DAY}_b.csv#1", f"shop/drop/{DAY}_b.csv#2"
    ]  # fmt: skip
    assert [(one["path"], one["rows"], one["checksum"]) for one in facts["files"]] == [
        (f"drop/{DAY}_a.csv", 1, True),
        (f"drop/{DAY}_b.csv", 2, True),
    ]
    assert len({r["lineage"][VERSION] for r in rows}) == 3


def test_files_without_an_archive_are_left_where_they_are(local_shelf: Shelf) -> None:
    local_shelf.put(text("1,Ann,1"), f"{DAY}_a.csv")
    facts = read(local_shelf, replace(MANY, archive=""))[2]
    assert [one["path"] for one in facts["left_files"]] == [f"drop/{DAY}_a.csv"]
    assert "files" not in facts


def test_columns_that_are_not_declared_are_named(local_shelf: Shelf) -> None:
    local_shelf.put(text("1,Ann,1,x", header="no,name,amount,colour"), f"{DAY}_a.csv")
    local_shelf.put(text("1,Ann,1,x", header="no,name,amount,size"), f"{DAY}_b.csv")
    assert read(local_shelf)[2]["other_columns"] == ["shop/drop: colour", "shop/drop: size"]


def test_the_same_content_under_two_names_is_read_and_told(local_shelf: Shelf) -> None:
    for name in ("a", "b"):
        local_shelf.put(text("1,Ann,1"), f"{DAY}_{name}.csv")
    rows, _, facts = read(local_shelf)
    assert len({r["row_id"] for r in rows}) == 2
    assert facts["same_content"] == {f"{DAY}_b.csv": f"{DAY}_a.csv"}


def test_a_key_that_comes_again_or_is_missing_gives_way_to_the_line(local_shelf: Shelf) -> None:
    local_shelf.put(text("1,Ann,1", "1,Bob,2", ",Cem,3", "a/b,Eve,4"), f"{DAY}_a.csv")
    rows, _, _ = read(local_shelf)
    names = [r["row_id"].partition("#")[2] for r in rows]
    assert names == ["1", "line 3", "line 4", "a%2Fb"]
    assert [r["row_key"] for r in rows] == ["1", "1", "line 4", "a/b"]


def test_what_was_archived_is_read_again_and_of_two_deliveries_the_later(shelf: Shelf) -> None:
    for name, who, when in ((f"{DAY}_a.csv", "old", 1), (f"{DAY}_a.csv.0123abcd", "new", 2), ("other.csv", "x", 3)):
        file = shelf.put(text(f"1,{who},1"), name, folder="archive")
        os.utime(file, (1_700_000_000 + when,) * 2)
    shelf.put(text("2,fresh,1"), f"{DAY}_b.csv")
    rows, _, facts = read(shelf)
    assert [r["name"] for r in rows] == ["new", "fresh"]
    assert [(one["path"], one["at"]) for one in facts["files"]] == [
        (f"drop/{DAY}_a.csv", f"archive/{DAY}_a.csv.0123abcd"),
        (f"drop/{DAY}_b.csv", f"drop/{DAY}_b.csv"),
    ]
    shelf.put(text("1,newest,1"), f"{DAY}_a.csv")
    assert [r["name"] for r in read(shelf)[0]] == ["newest", "fresh"]


def test_files_may_belong_to_the_night_in_which_they_were_written(shelf: Shelf) -> None:
    source = replace(MANY, pattern="*.csv", when=Arrived(by="time"))
    for name, moment in (("in", NIGHT.start), ("before", NIGHT.start - timedelta(seconds=1)), ("after", NIGHT.end)):
        os.utime(shelf.put(text(f"1,{name},1"), f"{name}.csv"), (moment.timestamp(),) * 2)
    assert [r["name"] for r in read(shelf, source)[0]] == ["in"]


def test_the_day_in_a_name_is_that_of_the_declared_zone(local_shelf: Shelf) -> None:
    local_shelf.put(text("1,Ann,1"), "orders_2026-11-17.csv")
    source = replace(SOURCE, when=Arrived(zone="America/New_York"))
    assert len(read(local_shelf, source)[0]) == 1


def test_a_missing_file_is_waited_for_unless_none_may_have_come(shelf: Shelf) -> None:
    with pytest.raises(FileNotReady, match=r"0 files match 'orders_2026-11-18_\*.csv', 1 at least"):
        read(shelf)
    assert read(shelf, replace(MANY, at_least=0)) == ([], [], {"files": []})
    shelf.put(text("1,Ann,1"), f"{DAY}_a.csv")
    with pytest.raises(FileNotReady, match="2 at least"):
        read(shelf, replace(MANY, at_least=2))


def test_a_file_that_the_manifest_names_and_nobody_sent_is_waited_for(shelf: Shelf) -> None:
    shelf.put(text("1,Ann,1"), f"{DAY}_a.csv")
    shelf.put(f"{'0' * 64}  {DAY}_b.csv\n", "MANIFEST.sha256", checksum=False)
    with pytest.raises(FileNotReady, match=f"{DAY}_b.csv is in MANIFEST.sha256 and was never sent"):
        read(shelf)


@pytest.mark.parametrize(("proof", "said"), [("checksum", "has no sum"), ("done", "has no .done marker")])
def test_a_file_without_its_declared_proof_is_waited_for(local_shelf: Shelf, proof: Any, said: str) -> None:
    local_shelf.put(text("1,Ann,1"), f"{DAY}_a.csv", checksum=False)
    with pytest.raises(FileNotReady, match=said):
        read(local_shelf, replace(MANY, proof=proof))


def test_a_file_that_differs_from_its_sum_or_grows_is_waited_for(shelf: Shelf) -> None:
    file = shelf.put(text("1,Ann,1"), f"{DAY}_a.csv")
    file.write_text(text("1,Ann,1", "2,B"))
    with pytest.raises(FileNotReady, match=r"differs from its \.sha256"):
        read(shelf)
    file.with_name(f"{file.name}.sha256").unlink()
    reader = MANY.open(shelf.standing)
    reader.sleep = lambda _: file.write_text(text("1,Ann,1", "2,Bob,3"))
    with pytest.raises(FileNotReady, match="still growing"):
        list(reader.read(NIGHT))


def test_a_line_that_cannot_be_read_costs_no_other(local_shelf: Shelf) -> None:
    local_shelf.put(
        text("1,Ann,1", "2,Bob", "3,Cem,x", f"4,{'y' * 5000},1").encode() + b"5,\xff\xfe\xfd,1\n", f"{DAY}_a.csv"
    )
    rows, rejected, _ = read(local_shelf, replace(MANY, format=Csv(encoding="utf-8")))
    assert [r["number"] for r in rows] == ["1"]
    said = {one.row_id.partition("#")[2]: one.reasons[0] for one in rejected}
    assert "fields" in said["line 3"]
    assert said["3"].startswith("amount: expected number")
    assert "longer than 4000" in said["4"]
    assert "not of the file's encoding" in said["5"]
    assert len(max(str(v) for one in rejected for v in one.record.values())) <= 200


def test_one_file_that_is_not_as_declared_stops_all_before_a_row(shelf: Shelf) -> None:
    shelf.put(text("1,Ann,1"), f"{DAY}_a.csv")
    shelf.put(text("1,Ann", header="no,name"), f"{DAY}_b.csv")
    reader = MANY.open(shelf.standing)
    with pytest.raises(ContractBroken, match=f"{DAY}_b.csv: no 'amount'"):
        next(reader.read(NIGHT))
    shelf.put("", f"{DAY}_b.csv")
    with pytest.raises(ContractBroken, match="empty file"):
        reader.check_contract()


def test_a_file_with_a_header_and_no_row_gives_none(local_shelf: Shelf) -> None:
    local_shelf.put(text(), f"{DAY}_a.csv")
    assert read(local_shelf)[0] == []


def zipped(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


def test_what_is_packed_is_read_with_each_member_named(shelf: Shelf) -> None:
    members = [("../../etc/a.csv", text("1,Ann,1").encode()), ("b.csv", text("1,Bob,2").encode()), ("c/", b"")]
    shelf.put(zipped(*members), f"{DAY}_a.csv")
    shelf.put(gzip.compress(text("1,Cem,3").encode()), f"{DAY}_b.csv")
    rows, _, facts = read(shelf)
    assert [r["name"] for r in rows] == ["Ann", "Bob", "Cem"]
    assert [r["row_id"].removeprefix(f"shop/drop/{DAY}_") for r in rows] == [
        "a.csv!..%2F..%2Fetc%2Fa.csv#1", "a.csv!b.csv#1", "b.csv#1"
    ]  # fmt: skip
    assert [one["rows"] for one in facts["files"]] == [2, 1]


BLANKS = b" " * (11 << 20)


@pytest.mark.parametrize(
    ("data", "bounds", "said"),
    [
        (gzip.compress(BLANKS), Bounds(), "more than 200 times its size"),
        (zipped(("a", BLANKS)), Bounds(), "more than 200 times its size"),
        (zipped(("a", b"x" * 600), ("b", b"y" * 600)), Bounds(bytes=1_000), "more than 1,000 bytes"),
        (zipped(*((f"{n}", b"") for n in range(4))), Bounds(members=3), "has 4 members, 3 are the most"),
        (zipped(("[Content_Types].xml", BLANKS)), Bounds(), "more than 200 times its size"),
    ],
)
def test_a_bomb_is_refused_by_its_name(local_shelf: Shelf, data: bytes, bounds: Bounds, said: str) -> None:
    local_shelf.put(data, f"{DAY}_a.csv")
    with pytest.raises(ContractBroken, match=f"{DAY}_a.csv: is packed and .*{said}: taken for a zip bomb"):
        read(local_shelf, replace(MANY, bounds=bounds))


@pytest.mark.parametrize(
    "data",
    [zipped(("a.csv", b"no,name\n" * 99))[:-30], gzip.compress(b"no,name\n" * 99)[:-9]],
    ids=["zip", "gzip"],  # both hold the time
)
def test_a_damaged_archive_is_told_as_one(local_shelf: Shelf, data: bytes) -> None:
    local_shelf.put(data, f"{DAY}_a.csv")
    with pytest.raises(ContractBroken, match=f"{DAY}_a.csv: cannot be unpacked"):
        read(local_shelf)


def test_a_full_disk_is_not_taken_for_a_damaged_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    packed = tmp_path / "a.csv.gz"
    packed.write_bytes(gzip.compress(b"no,name\n"))
    monkeypatch.setattr(unpacking._Unpacking, "copy", full)
    with pytest.raises(OSError, match="No space left"):
        unpacking.unpack(packed, tmp_path, Bounds())


def test_a_file_larger_than_declared_is_not_fetched(shelf: Shelf) -> None:
    shelf.put(text("1,Ann,1"), f"{DAY}_a.csv")
    with pytest.raises(ContractBroken, match="23 bytes, 20 are the most"):
        read(shelf, replace(MANY, largest=20))


ORDERS = b"""<?xml version="1.0"?><o:orders xmlns:o="urn:o">
<o:order no="1"><o:who><o:name>Ann &amp; Co</o:name></o:who><o:sum>1.5</o:sum><o:tag>a</o:tag><o:tag>b</o:tag></o:order>
<!-- one that cannot be read -->
<o:order no="2"><o:who><o:name><![CDATA[<Bob>]]></o:name></o:who><o:sum>x</o:sum></o:order></o:orders>"""
XML = replace(
    MANY,
    format=Xml(row="orders/order"),
    key=Column("@no", "number"),
    columns=(Column("who/name", "name"), Column("sum", "amount", "number"), Column("tag", "tags")),
)


def test_elements_of_an_xml_file_are_rows_with_their_lines(local_shelf: Shelf) -> None:
    local_shelf.put(ORDERS, f"{DAY}_a.csv")
    rows, rejected, _ = read(local_shelf, XML)
    assert [(r["number"], r["name"], r["amount"], r["tags"]) for r in rows] == [("1", "Ann & Co", 1.5, '["a", "b"]')]
    assert rows[0]["lineage"]["shop"] == f"drop/{DAY}_a.csv:2"
    assert rejected[0].source.endswith(":4")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (ORDERS.replace(b"?><o", b"?><!DOCTYPE o [<!ENTITY a 'aaaa'>]><o"), "has a document type"),
        (ORDERS[:-12], "no well-formed XML .line 4"),
        (ORDERS.replace(b"o:sum>", b"o:total>"), "no 'sum'"),
        (b"<a>" * 101, "nested more than 100 deep"),
        (b"<orders><order>" + b"<a>1</a>" * 10_001, "10,000 values in a record"),
    ],
)
def test_an_xml_file_that_is_none_or_hides_something_is_refused(local_shelf: Shelf, data: bytes, said: str) -> None:
    local_shelf.put(data, f"{DAY}_a.csv")
    with pytest.raises(ContractBroken, match=f"{DAY}_a.csv: .*{said}"):
        read(local_shelf, XML)


@pytest.mark.parametrize(
    ("form", "data"),
    [
        (JsonLines(), b'{"no": 1, "name": "Ann", "amount": 1.5}\n'),
        (Csv(delimiter=";", encoding="cp1252"), "no;name;amount\n1;Ann;1,5\n".encode("cp1252")),
        (Csv(names=("no", "name", "amount"), header=0), b"1,Ann,1.5\n"),
        (FixedWidth(widths=(3, 5, None), names=("no", "name", "amount")), b"1  Ann  1.5\n"),
    ],
)
def test_each_form_gives_the_same_row(local_shelf: Shelf, form: Any, data: bytes) -> None:
    local_shelf.put(data, f"{DAY}_a.csv")
    ((row,), _, _) = read(local_shelf, replace(MANY, format=form))
    assert (row["number"], row["name"], row["amount"]) == ("1", "Ann", 1.5)


def test_a_sheet_of_a_workbook_is_read(local_shelf: Shelf) -> None:
    workbook(local_shelf.root / "drop" / f"{DAY}_a.csv")
    source = replace(MANY, key=Column("id", "number"), columns=(Column("amount", "amount", "number"),))
    rows, _, _ = read(local_shelf, replace(source, format=Xlsx(sheet="Orders")))
    assert [(r["number"], r["amount"]) for r in rows] == [("7", 1.5), ("8", 2.0)]
    assert rows[1]["lineage"]["shop"].endswith(":4")
    with pytest.raises(ContractBroken, match="no 'Order'; closest: 'Orders'"):
        read(local_shelf, replace(source, format=Xlsx(sheet="Order")))


@pytest.mark.parametrize(
    "changes", [{"pattern": "a/b"}, {"folder": ""}, {"archive": "drop"}, {"when": Arrived(zone="Mars/Base")}]
)
def test_a_declaration_that_cannot_work_is_refused_when_it_is_opened(local_shelf: Shelf, changes: Any) -> None:
    with pytest.raises(ConfigurationError):
        replace(MANY, **changes).open(local_shelf.standing)


def test_a_refused_login_is_told_as_one(sftp_shelf: Shelf) -> None:
    here = sftp_shelf.standing.with_(connection={**sftp_shelf.standing.connection, "password": "wrong"})
    with pytest.raises(AccessDenied, match="login refused"):
        MANY.open(here).check_contract()


def test_copies_are_gone_when_the_last_row_is_read_or_the_reading_stops(local_shelf: Shelf) -> None:
    local_shelf.put(text(*(f"{n},Ann,1" for n in range(20))), f"{DAY}_a.csv")
    reader = MANY.open(local_shelf.standing)
    reader.check_contract()
    assert reader._folder is not None
    copies = reader._folder.name
    reading = reader.read(NIGHT)
    next(reading)
    assert os.path.exists(copies)
    reading.close()  # type: ignore[attr-defined]
    assert not os.path.exists(copies)
