"""Ways of writing the same: which values are written otherwise than is usual, and which only look so."""

from __future__ import annotations

import pytest

from include.operations.suggest.writings import rewritten
from include.quality.forms import find_form

UNITS = ("mg", "ml", "g", "kg", "l", "t", "lb", "oz", "ft", "in", "m", "cm", "mm", "km")
NUMBERS = {f"{at}.{at % 10}": 5 for at in range(1, 40)}
DAYS = {f"{at % 28 + 1}/{at % 12 + 1}/{70 + at % 29}": 5 for at in range(40)}


@pytest.mark.parametrize(
    ("usual", "others"),
    [
        (NUMBERS, {"12.5 oz": 60, "12.5 oz.": 60, "16.1 OZ": 60}),  # none where there are several, though they are more
        ({f"{at} kg": 9 for at in range(40)}, {"7": 3, "8 KG": 3, "9kg.": 2}),
        ({f"0.0{at}": 9 for at in range(10, 50)}, {"0.05%": 20}),
        (DAYS, {"1981-08-18": 30, "18 Aug 1981": 4}),
        ({f"{at % 12 + 1}:{at + 10} a.m.": 5 for at in range(40)}, {"12/02/2011 7:10 a.m.": 20}),
        ({f"{at}-{at + 7}": 5 for at in range(100, 140)}, {"Mar-40": 8, "6-Jan": 2}),
        ({f"Drama,Crime {at}": 5 for at in "abcdefg"}, {"Drama, Crime a": 3}),
        ({f"555-{1000 + at}": 5 for at in range(40)}, {"5551007": 8, "555 1008": 3, "555-1001 x": 1}),
        ({"M": 400, "F": 390}, {"male": 20, "female": 11}),
        ({"CHICAGO": 90, "BOSTON": 40}, {"Chicago": 3, "chicago.": 2}),
    ],
)
def test_another_way_of_writing_the_same_is_told(usual: dict[str, int], others: dict[str, int]) -> None:
    assert rewritten(usual | others) == set(others)


@pytest.mark.parametrize(
    "counts",
    [
        {},
        {f"{at} kg": 30 for at in range(20)} | {f"{at} l": 30 for at in range(20)},  # two units, each of many
        {f"{at} kg": 8 for at in range(20)} | {f"{at} l": 1 for at in range(20)},
        {f"{at}": 30 for at in range(100, 130)} | {f"{at}XX": 10 for at in range(100, 130)},  # a letter is no unit
        {f"{at}/1/99": 30 for at in range(1, 9)} | {f"1999-01-0{at}": 30 for at in range(1, 9)},  # neither is usual
        {f"Mar-{at}": 5 for at in range(10, 50)},
        {f"{at} {unit}": 4 for at, unit in enumerate(UNITS)},
        {str(at): 9 for at in range(40)} | {f"{at} {unit}": 9 for at, unit in enumerate(UNITS)},  # words, no units
        {str(at): 9 for at in range(40)} | {"7 kg": 30, "8 g": 30} | {f"{'x' * at}": 9 for at in range(1, 60)},
        {f"{at} kg": 11 for at in range(40)} | {str(at): 9 for at in range(40)},  # neither is usual
        {f"Anna {'b' * at}": 9 for at in range(1, 40)} | {f"Anna {'b' * at} Carr": 1 for at in range(1, 40)},
        {str(at): 9 for at in range(100, 140)} | {f"{at}-3": 1 for at in range(100, 140)},
        {"AB": 80, "Other": 20},  # too often to be slips
        {"Bern": 4, "bern": 3},
        {"5551234": 30, "555-1235": 20},
    ],
)
def test_what_is_usual_in_two_ways_is_left_alone(counts: dict[str, int]) -> None:
    assert rewritten(counts) == frozenset()


def test_slips_of_many_kinds_do_not_loosen_a_form() -> None:
    slips = {slip: 1 for at in range(10, 22) for slip in (f"x{at} patients", f"1x{at} patients", f"{at}x patients")}
    form = find_form({f"{at} patients": 4 for at in range(100, 300)} | slips)
    assert form is not None
    assert (form.pattern, form.shown) == ("[0-9]{3} patients", "999 aaaaaaaa")
    lengths = {2: 90, 3: 250, 4: 250, 5: 15, 6: 12}  # the same form, each time longer
    longer = {f"SO{10**length + at}": 1 for length, count in lengths.items() for at in range(count)}
    both = find_form(longer | {f"{'?' * at}": 1 for at in range(1, 13)})
    assert both is not None
    assert both.pattern == "SO[0-9]{3,7}"


def test_an_amount_has_any_number_of_digits_before_its_unit() -> None:
    counts = {f"{at / 100:.2f} kg": 5 for at in range(100, 1000)} | {
        f"{at / 100:.2f} kg": 4 for at in range(1000, 1008)
    }
    form = find_form(counts | {f"{'?' * at} kg": 1 for at in range(1, 41)})
    assert form is not None
    assert (form.pattern, round(form.share, 2)) == (r"[0-9]{1,2}\.[0-9]{2} kg", 0.99)


def test_words_have_any_length() -> None:
    words = {"Anna": 40, "Berta": 40, "Carola": 40}
    form = find_form(words)
    assert form is not None
    assert form.pattern == "[A-Z][a-z]{3,5}"
