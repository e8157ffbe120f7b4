"""Keys as ids and as literals, moments, and kinds of values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from include.demo.sandbox.odata.filters import parse_filter, parse_key
from include.demo.sandbox.odata.model import EntitySet, Prop
from include.systems.odata.keys import Key, Keys
from include.systems.odata.values import READ_AS, canonical, instant, moment

TEXT, WHOLE = "Edm.String", "Edm.Int64"
TWO = Keys({"Plant": TEXT, "Number": WHOLE})
PAIRS = EntitySet("Pairs", "Pair", ("Plant", "Number"), {"Plant": Prop(TEXT), "Number": Prop(WHOLE)})


@pytest.mark.parametrize(
    ("value", "edm", "text"),
    [
        ("O'Neil", TEXT, "O'Neil"),
        (" a ", TEXT, " a "),
        ("9007199254740993", WHOLE, "9007199254740993"),
        (7, "Edm.Int32", "7"),
        ("007", "Edm.Int32", "7"),
        ("-0", "Edm.Int32", "0"),
        (True, "Edm.Boolean", "true"),
        ("1.50", "Edm.Decimal", "1.5"),
        ("A1B2C3D4-0000-4000-8000-00000000000F", "Edm.Guid", "a1b2c3d4-0000-4000-8000-00000000000f"),
        ("2026-11-16", "Edm.Date", "2026-11-16"),
        ("2026-11-16T01:02:03.1234567+00:00", "Edm.DateTimeOffset", "2026-11-16T01:02:03.1234567Z"),
    ],
)
def test_the_one_text_of_a_key(value: Any, edm: str, text: str) -> None:
    assert canonical(value, edm) == text


@pytest.mark.parametrize(
    ("value", "edm"),
    [
        (None, TEXT),
        ({}, TEXT),
        ("1 or true", WHOLE),
        ("1e3", WHOLE),
        ("\u0661", WHOLE),
        ("", WHOLE),
        ("NaN", "Edm.Decimal"),
        ("yes", "Edm.Boolean"),
        ("x", "Edm.Guid"),
        ("2026-13-01", "Edm.Date"),
        ("2026-11-16T01:02:03", "Edm.DateTimeOffset"),
        ("'x'", "Com.Erp.Status"),
    ],
)
def test_what_is_no_key(value: Any, edm: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        canonical(value, edm)


@pytest.mark.parametrize(
    ("keys", "key", "predicate"),
    [
        (Keys({"Id": TEXT}), ("it's",), "('it''s')"),
        (Keys({"Id": TEXT}), ("a/b?c#d&e+f%",), "('a%2Fb%3Fc%23d%26e%2Bf%25')"),
        (Keys({"Id": WHOLE}), ("45",), "(45)"),
        (TWO, ("DE,1", "5"), "(Plant='DE,1',Number=5)"),
    ],
)
def test_a_key_in_a_path(keys: Keys, key: tuple[str, ...], predicate: str) -> None:
    assert keys.predicate(Key(key)) == predicate


@settings(max_examples=40, deadline=None)
@example("%2C,%", 7)
@given(st.text(), st.integers(-(2**63), 2**63 - 1))
def test_any_key_survives_its_id_its_path_and_its_filter(plant: str, number: int) -> None:
    key = Key((plant, str(number)))
    assert TWO.of_id(key.id) == key
    assert Keys({"Plant": TEXT}).of_id(Key((plant,)).id) == Key((plant,))
    if "\ud800" <= max(plant, default="") <= "\udfff":
        return
    assert parse_key(unquote(TWO.predicate(key))[1:-1], PAIRS) == (plant, number)
    row = {"Plant": plant, "Number": number}
    assert parse_filter(TWO.is_one_of([key, Key(("no", "1"))]), PAIRS)(row)
    assert not parse_filter(TWO.above(key), PAIRS)(row)
    assert parse_filter(TWO.above(key), PAIRS)({"Plant": plant, "Number": number + 1})
    assert parse_filter(TWO.above(key), PAIRS)({"Plant": plant + "a", "Number": number - 1})


@pytest.mark.parametrize("head", ["DE,1/x", "50%2C", "", "a'b"])
def test_the_number_of_an_element_is_the_last_part_of_its_key(head: str) -> None:
    assert TWO.of_numbered(f"{head}/12") == Key((head, "12"))
    three = Keys({"Product": TEXT, "Plant": TEXT, "Ahead": "Edm.Int32"})
    assert three.of_numbered(f"{Key((head, 'DE')).id}/12") == Key((head, "DE", "12"))
    assert three.of_numbered("P,DE/x") is three.of_numbered("P,DE") is three.of_numbered("P/1") is None


def test_a_filter_for_keys_above_one_of_three() -> None:
    three = Keys({"A": TEXT, "B": "Edm.Date", "C": WHOLE})
    key = Key(("x", "2026-11-16", "7"))
    assert three.above(key) == (
        "(A gt 'x') or (A eq 'x' and B gt 2026-11-16) or (A eq 'x' and B eq 2026-11-16 and C gt 7)"
    )


@pytest.mark.parametrize("text", ["2026-11-18T02:00:00.1234567Z", "2026-11-18T03:00:00.123456789012+01:00"])
def test_more_digits_than_microseconds_are_cut(text: str) -> None:
    assert moment(text) == datetime(2026, 11, 18, 2, 0, 0, 123456, tzinfo=UTC)


def test_a_moment_has_a_fraction_only_where_there_is_one() -> None:
    assert instant(datetime(2026, 11, 18, 2, tzinfo=UTC)) == "2026-11-18T02:00:00Z"
    assert instant(datetime(2026, 11, 18, 2, 0, 0, 5, tzinfo=UTC)) == "2026-11-18T02:00:00.000005Z"


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("text", ("Edm.String", "Edm.Guid", "Edm.Int64", "Com.Erp.Status"), ("Edm.Binary", "Edm.GeographyPoint")),
        ("integer", ("Edm.Byte", "Edm.Int64"), ("Edm.String", "Edm.Double", "Edm.Decimal")),
        ("number", ("Edm.Decimal", "Edm.Double", "Edm.Single", "Edm.Int16"), ("Edm.String", "Edm.Boolean")),
        ("datetime", ("Edm.DateTimeOffset",), ("Edm.Date", "Edm.String", "Edm.TimeOfDay")),
        ("date", ("Edm.Date",), ("Edm.DateTimeOffset", "Edm.String")),
        ("boolean", ("Edm.Boolean",), ("Edm.String", "Edm.Int32")),
    ],
)
def test_what_can_be_read_as_what(kind: Any, good: tuple[str, ...], bad: tuple[str, ...]) -> None:
    assert all(READ_AS[kind](edm, None) for edm in good)
    assert not any(READ_AS[kind](edm, None) for edm in bad)
    assert not READ_AS["text"]("Collection(Edm.String)", None)
    assert READ_AS["integer"]("Edm.Decimal", 0)
