"""Files that nobody would make on purpose: what is lost is told, what is left is right, and nothing is shifted."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import re
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from upath import UPath

from include.errors import ConfigurationError, ContractBroken
from include.systems.files.formats.dates import dates
from include.systems.files.formats.reading import Reading
from include.systems.files.formats.stage import stage_file
from tests.core.systems.files.conftest import Stage

TEXT = b"a,b\n1,2\n"


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, TEXT)
    return out.getvalue()


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda data: bytes(pa.Codec("zstd").compress(data, asbytes=True)),
}


@pytest.mark.parametrize("name", PACKED)
def test_what_is_packed_is_read_and_what_is_cut_off_is_an_error(stage: Stage, name: str) -> None:
    whole = PACKED[name](b"a,b\n" + b"".join(b"%d,%d\n" % (at, at * at) for at in range(20_000)))
    found, _ = stage(whole, "rows.csv")
    assert (found.rows.rows, found.notes) == (20_000, (f"unpacked from {name}",))
    with pytest.raises(ContractBroken, match="cannot be unpacked"):
        stage(whole[: len(whole) // 2], "rows.csv")


def test_a_zip_holds_one_file(stage: Stage) -> None:
    assert stage(zipped("a.csv", "__MACOSX/a.csv"), "rows.zip")[1] == [{"a": 1, "b": 2}]
    for names in ((), ("a.csv", "b.csv")):
        with pytest.raises(ConfigurationError, match="one is expected"):
            stage(zipped("folder/", *names) if not names else zipped(*names), "rows.zip")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "mixed"])
def test_lines_may_end_in_any_way(stage: Stage, end: str, places: Callable[[], Any]) -> None:
    lines = ["a,b", "1,x", "2,y", "3,z"]
    text = "a,b\r\n1,x\n2,y\r3,z" if end == "mixed" else end.join(lines)
    _, rows = stage(text)
    assert rows == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, {"a": 3, "b": "z"}]
    assert [line for line, _ in places()] == [2, 3, 4]


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be"])
def test_wide_encodings_with_and_without_a_mark(stage: Stage, codec: str) -> None:
    found, rows = stage("name;n\nMueller;1\nM\u00fcller;2\n".encode(codec))
    assert [row["name"] for row in rows] == ["Mueller", "M\u00fcller"]
    assert list(found.types) == ["name", "n"]


def test_no_number_and_numbers_without_end(stage: Stage, told: list[Any]) -> None:
    found, rows = stage("x\n1.5\nNaN\ninf\n-Infinity\n1e400\n")
    assert [row["x"] for row in rows] == [1.5, None, float("inf"), float("-inf"), float("inf")]
    assert (found.types, found.absent) == ({"x": "number"}, {"x": {"NaN": 1}})


def test_formulas_stay_texts(stage: Stage) -> None:
    cells = ["=cmd|' /C calc'!A0", "@SUM(1)", "+1+1", "-2+3", '=HYPERLINK("http://x")']
    out = io.StringIO(newline="")
    csv.writer(out).writerows([["id", "x"], *enumerate(cells)])
    assert [row["x"] for row in stage(out.getvalue())[1]] == cells


@pytest.mark.parametrize("delimiter", [",", "^", "~"])
def test_a_backslash_before_a_quote_is_no_escape_where_quotes_are_doubled(
    stage: Stage, told: list[Any], delimiter: str
) -> None:
    rows = [["id", "path", "said"], ["1", "C:\\temp\\", 'a "b"'], ["2", "D:\\", 'say \\"x'], ["3", "\\", "\\N"]]
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(rows)
    _, found = stage(out.getvalue(), texts=("id", "path", "said"))
    assert [list(row.values()) for row in found] == [*rows[1:-1], ["3", "\\", None]]
    assert told == []


def test_where_a_backslash_is_the_escape_no_other_backslash_is_lost(stage: Stage, told: list[Any]) -> None:
    found, rows = stage('id,path\n1,"C:\\new \\"x\\", \\\\y"\n2,\\N\n3,"D:\\dir, z"\n')
    assert [row["path"] for row in rows] == ['C:\\new "x", \\y', None, "D:\\dir, z"]
    assert 'quotes within fields are written \\"' in found.notes
    assert told == []


@pytest.mark.parametrize("rows", [["'a'", "'b c'"], ["'it''s'", "b"], ["'x, y'", "b"], ["'say \"hi\"'", "'b'"]])
def test_apostrophes_quote_fields_where_a_column_shows_it(stage: Stage, rows: list[str]) -> None:
    found, read = stage("id,x\n" + "".join(f"{at},{row}\n" for at, row in enumerate(rows)))
    assert "fields are quoted by '" in found.notes
    assert [row["x"] for row in read] == [row.strip("'").replace("''", "'") for row in rows]


@pytest.mark.parametrize("rows", [["'tis", "don't", "o'clock"], ["'quoted'", "b", "c"], ["a 'b' c", "'", "''"]])
def test_apostrophes_are_otherwise_part_of_a_text(stage: Stage, rows: list[str], told: list[Any]) -> None:
    _, read = stage("id,x\n" + "".join(f"{at},{row}\n" for at, row in enumerate(rows)))
    assert [row["x"] for row in read] == rows
    assert told == []


@pytest.mark.parametrize("end", ["\n", "\r"])
def test_a_first_field_of_many_lines_hides_nothing(stage: Stage, end: str, told: list[Any]) -> None:
    mail = "it's, a line\n" * 2_000
    text = end.join(["mail;n", f'"{mail}";2', '"it\'s; x";3', ""])
    found, rows = stage(text)
    assert [list(row.values()) for row in rows] == [[mail, 2], ["it's; x", 3]]
    assert (found.notes, told) == (("fields are set apart by ;",), [])
    assert [row["x"] for row in stage('x,y\n5",1\n' + "6,2\n" * 1_000, texts=("x",))[1]][:2] == ['5"', "6"]


def test_blanks_within_quotes_are_part_of_a_text(stage: Stage) -> None:
    text = 'a,b,c\n"x, ",",y","z"\n p,q ," r"\n'
    found, rows = stage(text)
    assert list(rows[1].values()) == [" p", "q ", " r"]
    assert found.notes == ()


def test_json_lines_may_differ_in_their_keys_and_nest(stage: Stage, told: list[Any]) -> None:
    lines = [{"a": 1}, {"b": {"c": [1, {"d": None}]}}, {"a": 2, "b": "x", "\u202e": "\U0001f600"}]
    found, rows = stage("\ufeff" + "\n".join(map(json.dumps, lines)), "rows.jsonl")
    assert [row["a"] for row in rows] == [1, None, 2]
    assert rows[1]["b"] == '{"c": [1, {"d": null}]}'
    assert (list(found.types), told) == (["a", "b", "\u202e"], [])


def test_parquet_of_every_type(tmp_path: Path) -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    columns = {
        "decimal": (pa.array([Decimal("1.50"), None], pa.decimal128(10, 2)), [1.5, None]),
        "wide": (pa.array([Decimal(10**20), None], pa.decimal128(38, 0)), [str(10**20), None]),
        "code": (pa.array(["x", None]).dictionary_encode(), ["x", None]),
        "zone": (pa.array([noon, None], pa.timestamp("us", "Europe/Berlin")), [noon, None]),
        "plain": (pa.array([noon.replace(tzinfo=None), None], pa.timestamp("ms")), [noon.replace(tzinfo=None), None]),
        "nested": (pa.array([{"a": [1]}, None]), ['{"a": [1]}', None]),
        "map": (pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())), ['[["a", 1]]', None]),
        "bytes": (pa.array([b"\xc3\xa4\xff", None]), ["\u00e4\ufffd", None]),
        "fixed": (pa.array([b"ab", None], pa.binary(2)), ["ab", None]),
        "small": (pa.array([7, None], pa.uint64()), [7, None]),
        "huge": (pa.array([2**64 - 1, None], pa.uint64()), [str(2**64 - 1), None]),
        "half": (pa.array([1.5, None], pa.float32()).cast(pa.float16()), [1.5, None]),
        "span": (pa.array([timedelta(1), None]), [timedelta(1), None]),
    }
    source, told = tmp_path / "rows.parquet", list[tuple[str, str, str]]()
    pq.write_table(pa.table({name: array for name, (array, _) in columns.items()}), source)
    found = stage_file(source, UPath(tmp_path), key=["bytes"], tell=lambda *what: told.append(what))
    table = pq.read_table(tmp_path / "raw.parquet")
    assert {name: table[name].to_pylist() for name in columns} == {name: read for name, (_, read) in columns.items()}
    assert told == [("rows.parquet:1", "bytes", "has bytes that are no UTF-8, read as U+FFFD")]
    assert found.wrong == 1


def test_texts_of_parquet_are_read_as_declared_and_other_types_stay(tmp_path: Path) -> None:
    source, told = tmp_path / "rows.parquet", list[tuple[str, str, str]]()
    days = pa.array(["1/31/2026", " n/a", "31/1/2026"])
    pq.write_table(pa.table({"day": days, "n": ["1,5", "x", None], "count": [1, 2, 3]}), source)
    kinds: Any = {"day": dates("%m/%d/%Y"), "n": "number", "count": "text", "other": "text"}
    found = stage_file(source, UPath(tmp_path), reading=Reading(kinds=kinds), tell=lambda *what: told.append(what))
    rows = pq.read_table(tmp_path / "raw.parquet").to_pylist()
    assert [str(row["day"]) for row in rows] == ["2026-01-31", "None", "None"]
    assert [(place, column) for place, column, _ in told] == [("rows.parquet:3", "day"), ("rows.parquet:2", "n")]
    assert (found.types["day"], found.types["n"], found.types["count"], found.wrong) == ("date", "number", "int64", 2)
    assert any("'count' is int64 in the file" in note for note in found.notes)
    assert any("no 'other'" in note for note in found.notes)
    waits = stage_file(source, UPath(tmp_path), reading=Reading(expected=["n"], measured=["n"]), tell=print)
    assert waits.mixed["n"].startswith("nothing says how its values are written")


PLAIN = (
    "",
    " ",
    "a",
    "7",
    "x y",
    "\u65e5\u672c",
    "\U0001f600",
    "\u202eabc",
    "it's",
    "=1+1",
    "-",
    "NA",
    "\u00a0",
    "{",
    "[",
)
ODD = ("a,b", "a;b", 'say "x"', "two\nlines", "two\r\nlines", "C:\\dir\\", "# no", "x" * 1_000, "\x00")
CELLS = st.sampled_from(PLAIN + ODD)
DAMAGE = [
    "",
    ",",
    ",,,,",
    '"',
    '"open',
    'a"b',
    "only",
    "\n",
    "\r",
    "\r\n",
    " ",
    '"a"b,',
    "\ufeff",
    "\x00",
    "1,2,3,4,5,6",
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=25),
    damage=st.lists(st.tuples(st.integers(0, 40), st.sampled_from(DAMAGE)), max_size=4),
    form=st.sampled_from([",", ";", "\t", "|", "json", "fixed"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    codec=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_rows_and_what_is_told_are_all_lines(
    tmp_path_factory: pytest.TempPathFactory, rows: Any, damage: Any, form: str, end: str, codec: str
) -> None:
    """Rows read + records that cannot be read + records without a value + empty lines: every line, once."""
    folder = tmp_path_factory.mktemp("files")
    lines, more = written(rows, form, end)
    for at, text in damage:
        lines.insert(1 + at % (len(lines)), text + end)
    text = "".join(lines)
    source, told = folder / "rows.txt", list[tuple[str, str, str]]()
    source.write_bytes(text.encode("utf-8" if form == "json" else codec))
    reading = Reading(**more, texts=("a", "b", "c"), absent=("",))
    found = stage_file(source, UPath(folder), reading=reading, tell=lambda *what: told.append(what))
    if form == "json":
        physical = [line for line in text.encode().split(b"\n") if line.strip()]
        assert found.rows.rows + found.unreadable + found.empty == len(physical)
        return
    read = pq.read_table(folder / "places.parquet")["line"].to_pylist()
    lost = [int(place.rpartition(":")[2]) for place, column, _ in told if not column]
    assert (len(read), len(lost)) == (found.rows.rows, found.unreadable)
    assert len({*read, *lost}) == len(read) + len(lost)
    values = pq.read_table(folder / "raw.parquet").to_pylist()
    covered = set(lost)
    for line, row in zip(read, values, strict=True):
        covered |= {*range(line, line + row_span(list(row.values()), form))}
    nothing = str.maketrans(dict.fromkeys('"' + (form if len(form) == 1 else "")))
    rest = [one for at, one in enumerate(io.StringIO(text, newline=""), start=1) if at > 1 and at not in covered]
    assert not [one for one in rest if one.translate(nothing).strip()], (text, read, told)
    assert found.empty <= len(rest)
    assert len(rest) - found.empty <= sum(len(one.split(form)) == 1 for one in rest)
    if not damage:
        assert not told
        assert values == [dict(zip("abc", map(kept, row), strict=True)) for row in wanted(rows, form)]


def written(rows: list[tuple[str, ...]], form: str, end: str) -> tuple[list[str], dict[str, Any]]:
    """The lines of a file, with what has to be declared of it."""
    if form == "json":
        return ["{}\n", *(json.dumps(dict(zip("abc", row, strict=True))) + "\n" for row in rows)], {}
    if form == "fixed":
        body = ["".join(f"{cell[:9]:9}" for cell in row) for row in wanted(rows, form)]
        return ["a        b        c        " + end, *(line + end for line in body)], {"widths": (9, 9, 9)}
    lines = list[str]()
    for row in (("a", "b", "c"), *rows):
        out = io.StringIO(newline="")
        how = csv.QUOTE_ALL if any("\n" in cell or "\r" in cell for cell in row) else csv.QUOTE_MINIMAL
        csv.writer(out, delimiter=form, lineterminator=end, quoting=how).writerow(row)
        lines.append(out.getvalue())
    return lines, {"delimiter": form}


def wanted(rows: list[tuple[str, ...]], form: str) -> list[tuple[str, ...]]:
    """The rows that have a value; those of fixed widths hold no line ends and are cut."""
    if form == "fixed":
        rows = [tuple(cell.replace("\r", "").replace("\n", " ")[:9].strip() for cell in row) for row in rows]
    return [row for row in rows if any(cell.strip() for cell in row)]


def kept(cell: str) -> str | None:
    return cell.replace("\x00", "\ufffd") if cell.strip() else None


def row_span(values: list[str | None], form: str) -> int:
    """How many lines a row stands on, by the line ends in its values."""
    return 1 + sum(len(re.findall("\r\n|\r|\n", value)) for value in values if value and form != "fixed")


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("a,b\n1,'" + "''" * 400_000 + "x\n", {}),
        ("a  b  \n" + "-" * 900_000 + "x\n1  2  \n", {"widths": (3, 3)}),
        ("a,b\n1," + " " * 900_000 + '"x\n', {}),
        ("a,b\n" + '1,"\\"' * 150_000 + "\n1,2\n", {}),
    ],
)
def test_what_is_made_to_take_long_takes_as_long_as_any_other_file(stage: Stage, text: str, more: Any) -> None:
    """Nothing is tried at every place again: by then these would take hours."""
    found, _ = stage(text, **more)
    assert found.rows.rows + found.unreadable >= 1
