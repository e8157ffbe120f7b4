"""Rows that need nothing are left out and counted, and no other is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from include.errors import ConfigurationError
from include.models import Record
from include.spec.keeping import Keep
from include.spec.reshape import Underivable

END = datetime(2026, 11, 20, 2, tzinfo=UTC)


def row(number: int, **columns: Any) -> Record:
    lineage = {"crm": f"companies page 1 row {number}"}
    return {"row_id": f"crm/companies/{number}", "row_key": str(number), "lineage": lineage, **columns}


def lacks(industry: str | None, employees: int | None) -> bool:
    if employees is not None and employees < 0:
        raise Underivable("fewer than no employees")
    if industry == "Secret Ltd":
        raise KeyError(industry)
    return industry is None or employees is None


KEEP = Keep(where=lacks, of=("industry", "employees"), counts_as="complete")


def test_rows_for_which_it_is_false_are_counted_and_neither_kept_nor_set_aside() -> None:
    rows = [row(1, industry=None, employees=3), row(2, industry="a", employees=3), row(3, industry="a", employees=None)]
    found = KEEP.apply(rows, END)
    assert [one["row_key"] for one in found] == ["1", "3"]
    assert found.rejected == []
    assert found.counts == {"complete": 1}


def test_a_row_that_cannot_be_decided_is_set_aside_without_a_value() -> None:
    found = KEEP.apply([row(1, industry="a", employees=-1), row(2, industry="Secret Ltd", employees=1)], END)
    assert found == []
    assert [one.reasons for one in found.rejected] == [
        ("complete: cannot be decided (fewer than no employees)",),
        ("complete: cannot be decided (KeyError)",),
    ]
    assert found.counts == {"complete": 0}


@pytest.mark.parametrize("said", [None, 1, "yes"])
def test_what_is_no_boolean_decides_nothing(said: Any) -> None:
    found = Keep(where=lambda _: said, of=("industry",), counts_as="complete").apply([row(1, industry="a")], END)
    assert found == []
    assert "expected boolean" in found.rejected[0].reasons[0]


def test_columns_stay_as_they_are() -> None:
    given: Any = {"industry": "text", "employees": "integer"}
    assert KEEP.columns(given) == given
    named = Keep(where=f"{__name__}:lacks", of=("industry", "employees"), counts_as="complete")
    assert named.columns(given) == given
    assert named.apply([row(1, industry="a", employees=1)], END).counts == {"complete": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        Keep(where=lacks, of=("industry", "size"), counts_as="complete"),
        Keep(where="no.such:function", of=("industry",), counts_as="complete"),
        Keep(where=lacks, of=(), counts_as="complete"),
        Keep(where=lacks, of=("industry",), counts_as=""),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(wrong: Keep) -> None:
    with pytest.raises(ConfigurationError):
        wrong.columns({"industry": "text", "employees": "integer"})
