"""Values of the declared kinds, from whatever text a source sends."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.models import Column, Kind
from include.systems.files.formats.values import explain_missing, join_key, read_columns, read_value

MOMENT = datetime(2024, 3, 5, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("raw", "kind", "value"),
    [
        ("  Müller ", "text", "Müller"),
        ("NA", "text", "NA"),
        ("Null", "text", "Null"),
        ("a\x00b\ud800", "text", "a\ufffdb\ufffd"),
        ("\ud83d\ude00", "text", "😀"),
        ("line\nbreak\tkept", "text", "line\nbreak\tkept"),
        (12, "text", "12"),
        (True, "text", "true"),
        ("1,234", "integer", 1234),
        ("1 234 567", "integer", 1234567),
        ("1'234", "integer", 1234),
        ("1\u00a0234", "integer", 1234),
        ("12.0", "integer", 12),
        ("1.2E3", "integer", 1200),
        ("-7", "integer", -7),
        (9223372036854775807, "integer", 9223372036854775807),
        ("1,234.5", "number", 1234.5),
        ("1.234,5", "number", 1234.5),
        ("1.234.567", "number", 1234567),
        ("1.234", "number", 1.234),
        ("12,5", "number", 12.5),
        ("0,123", "number", 0.123),
        (".5", "number", 0.5),
        ("2024-03-05T02:00:00Z", "datetime", MOMENT),
        ("2024-03-05T03:00:00+01:00", "datetime", MOMENT),
        ("2024-03-05 02:00", "datetime", MOMENT),
        ("1709604000000", "datetime", MOMENT),
        (1709604000000, "datetime", MOMENT),
        ("2024-03-05", "date", date(2024, 3, 5)),
        ("1709604000000", "date", date(2024, 3, 5)),
        ("Yes", "boolean", True),
        (False, "boolean", False),
        ("0", "boolean", False),
    ],
)
def test_a_value_of_the_declared_kind_is_read(raw: Any, kind: Kind, value: Any) -> None:
    assert read_value(raw, kind) == value


@pytest.mark.parametrize("kind", ["text", "integer", "number", "datetime", "date", "boolean"])
@pytest.mark.parametrize("raw", [None, "", "  ", "-", "--", "\u2014", "n/a", "N/A", "null", "NULL", "\\N"])
def test_what_means_nothing_is_null(raw: Any, kind: Kind) -> None:
    assert read_value(raw, kind) is None


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        ("many", "integer"),
        ("1.234", "integer"),
        ("12,34,567", "integer"),
        ("9223372036854775808", "integer"),
        ("1e999", "integer"),
        ("$5", "number"),
        ("1e999", "number"),
        ("inf", "number"),
        ("0x10", "number"),
        ("1_000", "number"),
        ("20.11.2026", "datetime"),
        ("1709604000", "datetime"),
        ("0001-01-01T00:00:00+14:00", "datetime"),
        ("2024-13-01", "date"),
        ("perhaps", "boolean"),
        (["x"], "text"),
        ({"a": 1}, "number"),
    ],
)
def test_what_is_no_such_value_or_could_be_two_is_refused(raw: Any, kind: Kind) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the words are made by the caller
        read_value(raw, kind)


@given(st.text(), st.sampled_from(["text", "integer", "number", "datetime", "date", "boolean"]))
def test_no_text_crashes_the_reading(raw: str, kind: Kind) -> None:
    try:
        value = read_value(raw, kind)
    except ValueError:
        return
    if isinstance(value, str):
        value.encode()
        assert "\x00" not in value
    if isinstance(value, float):
        assert math.isfinite(value)


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_integer_survives_with_and_without_separators(number: int) -> None:
    assert read_value(str(number), "integer") == read_value(f"{number:,}", "integer") == number


def test_every_reason_is_given_and_a_personal_value_is_never_shown() -> None:
    columns = (Column("a", "age", "integer"), Column("b", "birth", "date"), Column("c", "contact", "integer"))
    raw = {"a": "very old", "b": "12 May 1980", "c": "me@example.com"}
    record, reasons = read_columns(raw, columns, prefix="x_", personal=("x_birth",))
    assert record == {"x_age": None, "x_birth": None, "x_contact": None}
    assert reasons == [
        "x_age: expected integer, got 'very old'",
        "x_birth: expected date, got something else (11 characters)",
        "x_contact: expected integer, got something else (14 characters)",
    ]


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (" WWW.Acme.COM ", "acme.com"),
        ("https://www.acme.com/about?x=1", "acme.com"),
        ("http://acme.com", "acme.com"),
        ("acme.com.", "acme.com"),
        ("acme.com/", "acme.com"),
        ("group/7", "group/7"),
        (7, "7"),
        ("", None),
        (None, None),
        ("www.", None),
    ],
)
def test_keys_are_compared_in_one_form(value: Any, key: str | None) -> None:
    assert join_key(value) == key


def test_a_missing_name_comes_with_the_closest_ones() -> None:
    assert (
        explain_missing("employees", ["employee_count", "city"])
        == "no 'employees'; closest: 'employee_count' (renamed?)"
    )
    assert explain_missing("employees", ["x"]) == "no 'employees'"
