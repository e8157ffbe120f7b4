"""Equal inputs have equal hashes; personal values become tokens."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from include.canonical import canonical, digest, mask


def test_order_of_keys_and_form_of_numbers_do_not_matter() -> None:
    assert canonical({"b": 5.0, "a": 1}) == canonical({"a": 1, "b": Decimal("5.0")}) == '{"a":1,"b":5}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_lacks_are_null(value: float) -> None:
    assert canonical([value]) == "[null]"


def test_the_same_moment_in_two_zones_is_one_value() -> None:
    there = datetime(2026, 11, 20, 4, tzinfo=timezone(timedelta(hours=2)))
    assert digest(there) == digest(datetime(2026, 11, 20, 2, tzinfo=UTC))


def test_a_different_value_has_a_different_hash() -> None:
    assert digest({"a": "1"}) != digest({"a": 1})


def test_masking_hides_only_what_is_personal_and_keeps_equality() -> None:
    one = mask({"email": "ada@example.com", "title": "CTO"}, ("email",), "secret")
    two = mask({"email": "ada@example.com"}, ("email",), "secret")
    assert one["title"] == "CTO"
    assert one["email"] == two["email"] != "ada@example.com"
    assert mask({"email": "ada@example.com"}, ("email",), "other")["email"] != one["email"]


def test_absent_values_stay_absent_under_the_mask() -> None:
    assert mask({"email": None, "phone": ""}, ("email", "phone"), "secret") == {"email": None, "phone": ""}
