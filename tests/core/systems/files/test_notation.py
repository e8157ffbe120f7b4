"""Values by declaration: read as declared or told, never guessed; what waits to be declared is said."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.errors import ConfigurationError
from include.settings import ROOT
from include.systems.files.formats.dates import Dates, dates
from include.systems.files.formats.likely import likely
from include.systems.files.formats.notation import Amounts, Notation, amounts, percents
from tests.core.systems.files.conftest import Stage

NBSP, NARROW, MINUS = "\u00a0", "\u202f", "\u2212"
EURO = amounts(",", thousands=".", currency=("\u20ac", "EUR"))
DOLLAR = amounts(thousands=",", currency="$")


def read(notation: Notation, *texts: str) -> list[Any]:
    return notation.read(pa.array(texts, pa.string())).to_pylist()


@pytest.mark.parametrize(
    ("notation", "text", "value"),
    [
        (amounts(","), "1,234", 1.234),
        (amounts(","), "-1,5", -1.5),
        (amounts(","), ",5", 0.5),
        (amounts(","), "1,5E-3", 0.0015),
        (amounts(), "000012.50", 12.5),
        (amounts(), "12.50-", -12.5),
        (amounts(), "(12.50)", -12.5),
        (amounts(), f"{MINUS} 7", -7.0),
        (amounts(",", thousands="."), "1.234,56", 1234.56),
        (amounts(",", thousands="."), "1234,56", 1234.56),
        (amounts(",", thousands="."), "1.234.567", 1_234_567.0),
        (amounts(",", thousands=" "), f"1{NBSP}234{NARROW}567,5", 1_234_567.5),
        (amounts(thousands="'"), "1\u2019234.50", 1234.5),
        (DOLLAR, "$1,234.56", 1234.56),
        (DOLLAR, "-$5", -5.0),
        (DOLLAR, "$-5", -5.0),
        (DOLLAR, "($1,234.50)", -1234.5),
        (DOLLAR, "$ (1,234.50)", -1234.5),
        (DOLLAR, "12.50", 12.5),
        (EURO, f"1.234,56{NBSP}\u20ac", 1234.56),
        (EURO, "EUR 12", 12.0),
        (EURO, "12,50- EUR", -12.5),
        (amounts(currency="kr."), "12.5 kr.", 12.5),
        (percents(","), "12,5 %", 0.125),
        (percents(), "12.3%", 0.123),
        (percents(), "%7", 0.07),
        (percents(), "(7%)", -0.07),
    ],
)
def test_a_number_is_read_as_it_is_declared(notation: Amounts, text: str, value: float) -> None:
    assert read(notation, text) == [value]


@pytest.mark.parametrize(
    ("notation", "texts"),
    [
        (amounts(), ["1,234", "1.2.3", "5.", "\uff11", "0x1", "inf", "1e999", "1 2", "--1", "(-1)", "(1", "1)", "$1"]),
        (amounts(","), ["1.234", "1,2,3"]),
        (amounts(",", thousands="."), ["0.123", "1.23", "12.34.567", "1.234.56", "1234.567", "1,234,567"]),
        (amounts(",", thousands=" "), ["1  234", "1 23"]),
        (DOLLAR, ["\u20ac5", "$5$", "$", "-($5)", "5 USD", "1,00,000"]),
        (percents(), ["0.5", "5", "%", "5%%", "1e2%"]),
    ],
)
def test_a_number_that_is_not_as_declared_is_not_read(notation: Amounts, texts: list[str]) -> None:
    assert dict(zip(texts, read(notation, *texts), strict=True)) == dict.fromkeys(texts)


@settings(max_examples=300, deadline=None)
@given(
    st.decimals(-(10**12), 10**12, places=2),
    st.sampled_from([(".", ","), (",", "."), (",", " "), (".", "'"), (".", None), (",", None)]),
    st.sampled_from(["", "\u20ac", "CHF"]),
    st.sampled_from(["{0}{1}{2}", "{1}{0}{2}", "{0}{2} {1}", "{1} {2}{0}", "({1}{2})", "{2}{0} {1}"]),
)
def test_whatever_is_written_as_declared_is_read_back(
    value: Decimal, marks: tuple[str, str | None], unit: str, order: str
) -> None:
    decimal, thousands = marks
    digits = f"{abs(value):,.2f}" if thousands else f"{abs(value):.2f}"
    written = digits.translate(str.maketrans({",": thousands or "", ".": decimal}))
    if "(" in order:
        value = -abs(value)
    text = order.format("-" if value < 0 else "", unit, written).strip()
    notation = amounts(decimal, thousands=thousands, currency=unit or None)
    assert read(notation, text) == [float(value)], text


@pytest.mark.parametrize(
    ("notation", "text", "value"),
    [
        (dates("%m/%d/%Y"), "1/2/2024", date(2024, 1, 2)),
        (dates("%m/%d/%Y"), "02/29/2024", date(2024, 2, 29)),
        (dates("%d.%m.%Y %H:%M"), "31.12.1969 23:59", datetime(1969, 12, 31, 23, 59, tzinfo=UTC)),
        (dates("%d.%m.%y"), "1.2.68", date(2068, 2, 1)),
        (dates("%d.%m.%y"), "1.2.69", date(1969, 2, 1)),
        (dates("%Y%m%d"), "20240229", date(2024, 2, 29)),
        (dates("%d-%b-%y"), "05-MAR-24", date(2024, 3, 5)),
        (dates("%B %d, %Y %I:%M %p"), f"March 5,{NBSP}2024 12:30 am", datetime(2024, 3, 5, 0, 30, tzinfo=UTC)),
        (dates("%m/%Y"), "03/2024", date(2024, 3, 1)),
        (dates("%Y-%m-%d %H:%M:%S.%f%z"), "2024-01-01 10:00:00.5+01:00", datetime(2024, 1, 1, 9, 0, 0, 500_000, UTC)),
        (dates("%m/%d/%Y", "%d/%m/%Y"), "13/2/2024", date(2024, 2, 13)),
        (dates("%m/%d/%Y", "%d/%m/%Y"), "2/2/2024", date(2024, 2, 2)),
    ],
)
def test_a_date_is_read_as_it_is_declared(notation: Dates, text: str, value: date) -> None:
    assert read(notation, text) == [value]


@pytest.mark.parametrize(
    ("notation", "texts"),
    [
        (dates("%m/%d/%Y"), ["13/1/2024", "2/30/2024", "02/29/2023", "1/2/24", "1-2-2024", "0/1/2024", "1/2/0000"]),
        (dates("%d.%m.%Y %H:%M"), ["1.2.2024", "1.2.2024 24:00", "1.2.2024 12:60"]),
        (dates("%d%m%y"), ["11124"]),
        (dates("%m/%d/%Y", "%d/%m/%Y"), ["1/2/2024"]),
        (dates("%I:%M %p %m/%d/%Y"), ["13:00 PM 1/2/2024"]),
    ],
)
def test_a_date_that_is_not_as_declared_or_could_be_two_is_not_read(notation: Dates, texts: list[str]) -> None:
    assert dict(zip(texts, read(notation, *texts), strict=True)) == dict.fromkeys(texts)


FORMATS = ["%d.%m.%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%Y%m%d%H%M%S", "%b %d %Y %H:%M:%S", "%H:%M:%S %d %B %Y"]


@settings(max_examples=200, deadline=None)
@given(st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31)), st.sampled_from(FORMATS))
def test_dates_are_read_as_the_standard_library_reads_them(value: datetime, form: str) -> None:
    text = value.strftime(form)
    assert read(dates(form), text) == [datetime.strptime(text, form).replace(tzinfo=UTC)]


def test_a_time_of_a_workbook_is_no_date_where_one_is_declared() -> None:
    form = dates("%d.%m.%Y")
    assert [form.spell(value) for value in (date(2026, 1, 2), datetime(2026, 1, 2), 7)] == [*["02.01.2026"] * 2, None]
    assert form.spell(datetime(2026, 1, 2, 3)) is None
    assert dates("%Y-%m-%d %H:%M%z").spell(datetime(999, 1, 2, 3)) == "0999-01-02 03:00+0000"


@pytest.mark.parametrize(
    "declare",
    [
        lambda: amounts(";"),
        lambda: amounts(thousands="."),
        lambda: amounts(thousands="_"),
        lambda: amounts(currency=""),
        lambda: amounts(currency=["\u20ac", " "]),
        lambda: amounts(currency="1"),
        lambda: amounts(currency="-"),
        lambda: percents(",", thousands=","),
        lambda: dates(),
        lambda: dates("%d.%m"),
        lambda: dates("%d.%m.%Q"),
        lambda: dates("%d.%m.%Y%"),
        lambda: dates("%d.%m.%Y %M"),
        lambda: dates("%d.%m.%Y %I:%M"),
        lambda: dates("%d.%m.%Y %H:%M %p"),
        lambda: dates("%d.%m.%b %Y"),
        lambda: dates("%d %d.%m.%Y"),
        lambda: dates(7),  # type: ignore[arg-type]
    ],
)
def test_a_declaration_that_leaves_open_what_is_meant_is_refused(declare: Any) -> None:
    with pytest.raises(ConfigurationError):
        declare()


def test_columns_are_read_as_declared_and_what_does_not_fit_is_told_once_by_line_and_column(
    stage: Stage, told: list[Any]
) -> None:
    kinds = {"price": EURO, "on": dates("%m/%d/%Y"), "share": percents(",")}
    text = "id;price;on;share\n01;1.234,56 \u20ac ;1/31/2024;7 %\n02;lots;31/1/2024;7\n03;-;;n/a\n"
    found, rows = stage(text, kinds=kinds)
    assert found.types == {"id": "text", "price": "number", "on": "date", "share": "number"}
    assert [list(row.values()) for row in rows] == [
        ["01", 1234.56, date(2024, 1, 31), 0.07],
        ["02", None, None, None],
        ["03", None, None, None],
    ]
    assert [(place, column) for place, column, _ in told] == [("rows.csv:3", name) for name in ("price", "on", "share")]
    assert not any("lots" in said for _, _, said in told)
    assert told[1][2] == 'is not written as declared: dates("%m/%d/%Y")'


def test_what_is_a_number_in_the_file_itself_is_no_text_to_be_read_anew(stage: Stage, told: list[Any]) -> None:
    kinds = {"a": amounts(",", thousands="."), "p": percents(",")}
    text = '{"a": 1.234, "p": 0.125}\n{"a": "1.234", "p": "12,5 %"}\n{"a": true}\n'
    _, rows = stage(text, "rows.jsonl", kinds=kinds)
    assert rows == [{"a": 1.234, "p": 0.125}, {"a": 1234.0, "p": 0.125}, {"a": None, "p": None}]
    assert [place for place, _, _ in told] == ["rows.jsonl:3"]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["1.234,56", "12,5"], ['amounts(decimal=",", thousands=".")']),
        (["1,234", "2,345"], ['amounts(decimal=",")', 'amounts(thousands=",")']),
        (["$1,234.50", "$3"], ['amounts(thousands=",", currency="$")']),
        (["12,5 %", "3 %"], ['percents(decimal=",")']),
        (["(5.00)", "4.00"], ["amounts()"]),
        (["5 kg", "12 kg"], ['amounts(currency="kg")']),
        (["01/02/2024", "13/02/2024"], ['dates("%d/%m/%Y")']),
        (["1/2/2024"], ['dates("%d/%m/%Y")', 'dates("%m/%d/%Y")']),
        (["2.1.2024 10:00", "13.1.2024 9:15"], ['dates("%d.%m.%Y %H:%M")']),
        (["0", "1,5"], ['amounts(decimal=",")']),
        (["00501", "12345"], []),
        (["00501", "1,234"], []),
        (["A12", "A13"], []),
        ([*["5", "7.5"] * 20, "many"], []),
        ([*["5"] * 20, "7,5"], ['amounts(decimal=",")']),
        (["1.2.3", "1.2.4"], []),
        (["some", "words"], []),
        (["x" * 100], []),
        ([], []),
    ],
)
def test_what_values_look_like_is_named_and_all_of_it_where_it_could_be_two(texts: list[str], said: list[str]) -> None:
    found = likely(pa.array(texts, pa.string()))
    assert [one.code for one in found] == said
    for one in found:
        assert eval(one.code, {"amounts": amounts, "dates": dates, "percents": percents}) == one


def test_a_measured_column_that_waits_to_be_declared_is_said(stage: Stage) -> None:
    text = "price;name\n1.234,56;a\n7,00;b\nlots;c\n"
    found, rows = stage(text, expected=("price", "name"), measured=("price",))
    assert rows[0] == {"price": "1.234,56", "name": "a"}
    assert found.notes[-1] == (
        "'price' is text; for a rule about its size declare in COLUMNS how it is written: "
        'amounts(decimal=",", thousands=".")'
    )
    assert found.mixed["price"].endswith('declare amounts(decimal=",", thousands=".")')
    written = stage(text, expected=("price",), measured=(), texts=("price",))[0]
    assert (len(written.notes), dict(written.mixed)) == (1, {})


def test_declarations_load_nothing_heavy() -> None:
    code = "import sys, include.quality.rules; print([m for m in ('pyarrow', 'numpy', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_a_comma_that_could_be_either_is_said_where_no_more_than_number_is_declared(stage: Stage) -> None:
    found, rows = stage("x;y\n5;1,5\n1,234;2,5\n", kinds={"x": "number", "y": "number"})
    assert [row["x"] for row in rows] == [5.0, 1234.0]
    assert [note for note in found.notes if "1,234" in note] == [
        "'x', first in line 3: a number such as 1,234 is read with the comma between thousands; "
        "amounts() in COLUMNS says which it is"
    ]
    assert len(stage("x;y\n1,234;1,5\n", kinds={"x": amounts(","), "y": amounts(",")})[0].notes) == 1


def test_the_page_says_what_is_read_and_what_is_not() -> None:
    text = (ROOT / "docs" / "expectations.md").read_text(encoding="utf-8")
    table = text.partition("| Declared | Read | Not read |\n")[2].partition("\n\n")[0].splitlines()[1:]
    assert len(table) == 8
    for row in table:
        declared, good, bad = (re.findall("`([^`]+)`", cell) for cell in row.strip("|").split("|"))
        notation = eval(declared[0], {"amounts": amounts, "dates": dates, "percents": percents})
        assert None not in read(notation, *good), row
        assert set(read(notation, *bad)) == {None}, row
