"""Transforms of rows: each adds the columns that it says, loses no row in silence, and gives the same again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from include.errors import ConfigurationError
from include.models import Kind, Record
from include.spec.grouping import Group
from include.spec.reshape import Derive, Explode, Underivable
from include.spec.transforms import Applied, Transform

END = datetime(2026, 11, 20, 2, tzinfo=UTC)
GIVEN: Mapping[str, Kind] = {
    "row_id": "text",
    "row_key": "text",
    "lineage": "text",
    "product": "text",
    "plant": "text",
    "week": "date",
    "quantity": "number",
    "lines": "text",
}


def row(number: int, **columns: Any) -> Record:
    lineage = {"erp": f"page 1 row {number}", "retrieved_at": f"2026-11-20T02:0{number % 10}:00+00:00", "version": "7"}
    return {"row_id": f"erp/Demand/{number}", "row_key": str(number), "lineage": lineage, **columns}


def refuse(value: Any) -> Any:
    raise Underivable("no such tariff")


def fail(value: Any) -> Any:
    raise KeyError(value)


def of_week(number: int, after: int, quantity: float = 1.0, **more: Any) -> Record:
    monday = date(2026, 1, 5) + timedelta(weeks=after)
    return row(number, **{"product": "A", "plant": "X", "week": monday, "quantity": quantity, **more})


def history(**more: Any) -> Group:
    given: dict[str, Any] = {"take": ("week", "quantity"), "order": "week", **more}
    return Group(by=("product", "plant"), into="history", **given)


@pytest.mark.parametrize(
    ("transform", "added"),
    [
        (Derive("double", "number", "math:fabs", of=("quantity",)), {"double": "number"}),
        (Explode("lines", key="line", take={"sku": "text"}), {"line": "integer", "sku": "text"}),
    ],
)
def test_what_it_says_of_columns_is_what_rows_have(transform: Transform, added: Mapping[str, Kind]) -> None:
    assert transform.columns(GIVEN) == {**GIVEN, **added}
    given = row(1, product="A", plant="X", week=date(2026, 1, 5), quantity=-2.0, lines='[{"sku": "s"}]')
    (after,) = transform.apply([given], END)
    assert after.keys() == transform.columns(GIVEN).keys()
    assert not transform.whole
    assert transform.made_of.keys() == added.keys()
    assert all(set(parts) <= GIVEN.keys() for parts in transform.made_of.values())


def test_a_group_keeps_only_what_it_says() -> None:
    after = history().columns(GIVEN)
    counts = {"history_count": "integer", "history_left_out": "integer"}
    assert {name: kind for name, kind in after.items() if name not in ("row_id", "row_key", "lineage")} == {
        "product": "text",
        "plant": "text",
        "history": "text",
        **counts,
    }
    (one,) = history().apply([of_week(1, 1)], END)
    assert one.keys() == after.keys()
    assert history().whole
    assert history().made_of == {"history": ("week", "quantity")}


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        (Derive("x", "text", str, of=("nothing",)), "'nothing', which is not there"),
        (Derive("x", "text", str, of=("row_id",)), "'row_id', which is not there"),
        (Derive("plant", "text", str, of=("product",)), "plant: is declared twice"),
        (Derive("x", "text", "math:no_such", of=("plant",)), "there is no function 'math:no_such'"),
        (Derive("x", "text", "no.such:thing", of=("plant",)), "there is no function"),
        (Derive("x", "text", "", of=("plant",)), "there is no function ''"),
        (Derive("x", "text", "math:pi", of=("plant",)), "is no function"),
        (Explode("nothing", key="n"), "not there"),
        (Explode("quantity", key="n"), "number and must be text"),
        (Explode("lines", key="week"), "week: is declared twice"),
        (Explode("lines", key="n", take={"n": "text"}), "n: is declared twice"),
        (history(take=("nothing",)), "not there"),
        (history(take=()), "needs columns"),
        (history(order="nothing"), "not there"),
        (history(order="quantity", reach=timedelta(weeks=1)), "must be date or datetime"),
        (history(most=0), "at least 1"),
        (Group(by=("product", "product"), into="x", take=("week",), order="week"), "declared twice"),
        (Group(by=("product",), into="product", take=("week",), order="week"), "declared twice"),
        (Group(by=("product",), into="row_id", take=("week",), order="week"), "declared twice"),
    ],
)
def test_what_cannot_work_is_refused_before_a_row_is_read(transform: Transform, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        transform.columns(GIVEN)


@pytest.mark.parametrize(
    ("kind", "fn", "reason"),
    [
        ("integer", fail, "KeyError"),
        ("integer", refuse, "no such tariff"),
        ("integer", lambda value: "7", "expected integer, got str"),
        ("integer", lambda value: True, "expected integer, got bool"),
        ("integer", lambda value: 2**63, "out of range"),
        ("number", lambda value: math.nan, "out of range"),
        ("number", lambda value: 10**400, "out of range"),
        ("date", lambda value: END, "expected date, got datetime"),
        ("datetime", lambda value: datetime(2026, 1, 1), "without a time zone"),
    ],
)
def test_a_row_for_which_there_is_no_value_is_set_aside_with_the_reason(
    kind: Kind, fn: Callable[..., Any], reason: str
) -> None:
    good = Derive("x", kind, lambda value: None if value == "secret" else fn(value), of=("product",))
    applied = good.apply([row(1, product="secret"), row(2, product="other")], END)
    assert [one["row_id"] for one in applied] == ["erp/Demand/1"]
    (rejected,) = applied.rejected
    assert rejected.row_id == "erp/Demand/2"
    assert rejected.source == "erp: page 1 row 2"
    assert rejected.counts_as_input
    assert reason in rejected.reasons[0]
    assert "other" not in rejected.reasons[0]
    assert rejected.record == {"product": "other"}


def test_derived_values_come_in_the_form_that_is_staged() -> None:
    berlin = timezone(timedelta(hours=1))
    forms: list[tuple[Kind, Any, Any]] = [
        ("number", 2, 2.0),
        ("datetime", datetime(2026, 1, 1, 1, tzinfo=berlin), datetime(2026, 1, 1, tzinfo=UTC)),
        ("text", "a\x00\ud800b", "a\ufffd\ufffdb"),
        ("boolean", False, False),
    ]
    for kind, given, staged in forms:
        (one,) = Derive("x", kind, lambda _, given=given: given, of=("product",)).apply([row(1, product="A")], END)
        assert (one["x"], type(one["x"])) == (staged, type(staged))
        assert "tzinfo" not in dir(staged) or one["x"].tzinfo is UTC


def test_each_element_is_a_row_under_an_id_of_its_own() -> None:
    lines = [{"sku": "a", "n": 1, "on": "2026-11-02"}, {"sku": "b", "n": None}]
    explode = Explode("lines", key="line", take={"sku": "text", "n": "integer", "on": "date"})
    applied = explode.apply([row(4, lines=json.dumps(lines)), row(5, lines=lines[:1])], END)
    assert [one["row_id"] for one in applied] == ["erp/Demand/4/1", "erp/Demand/4/2", "erp/Demand/5/1"]
    assert [one["row_key"] for one in applied] == ["4/1", "4/2", "5/1"]
    assert [(one["line"], one["sku"], one["n"], one["on"]) for one in applied] == [
        (1, "a", 1, date(2026, 11, 2)),
        (2, "b", None, None),
        (1, "a", 1, date(2026, 11, 2)),
    ]
    assert applied[1]["lineage"] == {**row(4)["lineage"], "element": "2"}
    assert json.loads(applied[0]["lines"]) == lines[0]


def test_lists_of_texts_and_of_numbers_are_rows_too() -> None:
    applied = Explode("lines", key="line").apply([row(1, lines='["plain \\ud800", 7, null, ["x"]]')], END)
    assert [one["lines"] for one in applied] == ["plain \ufffd", "7", "null", '["x"]']


def test_no_list_gives_no_row_and_is_counted() -> None:
    applied = Explode("lines", key="line").apply([row(1, lines=None), row(2, lines=""), row(3, lines="[]")], END)
    assert (list(applied), applied.rejected, applied.counts) == ([], [], {"empty": 3})


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("{", "lines: no JSON"),
        ("[" * 100_000, "lines: no JSON"),
        ("7", "lines: no list"),
        ('{"a": 1}', "lines: no list"),
        (7, "lines: no list"),
        ("[1,2,3,4]", "a list of 4 elements, at most 3 are taken"),
    ],
)
def test_a_list_that_cannot_be_read_sets_its_row_aside(lines: Any, reason: str) -> None:
    applied = Explode("lines", key="line", most=3).apply([row(1, lines=lines), row(2, lines="[1]")], END)
    assert [one["row_id"] for one in applied] == ["erp/Demand/2/1"]
    (rejected,) = applied.rejected
    assert (rejected.row_id, reason in rejected.reasons[0]) == ("erp/Demand/1", True)


def test_an_element_with_another_field_than_declared_is_set_aside_alone() -> None:
    explode = Explode("lines", key="line", take={"n": "integer", "on": "date"})
    applied = explode.apply([row(1, lines='[{"n": "4", "on": "soon"}, {"n": 4}, "text"]')], END)
    assert [one["line"] for one in applied] == [2, 3]
    (rejected,) = applied.rejected
    assert rejected.row_id == "erp/Demand/1/1"
    assert rejected.reasons == ("n: expected integer, got str", "on: expected date, got another text")


def test_members_stand_in_their_order_whatever_order_they_came_in() -> None:
    rows = [of_week(number, after=(number * 7) % 10, quantity=number) for number in range(10)]
    (one,) = history().apply([dict(row) for row in rows], END)
    (again,) = history().apply([dict(row) for row in reversed(rows)], END)
    assert one == again
    members = json.loads(one["history"])
    assert [member["week"] for member in members] == sorted(row["week"].isoformat() for row in rows)
    assert all(member.keys() == {"week", "quantity"} for member in members)


def test_equal_times_are_ordered_by_the_row_ids() -> None:
    rows = [of_week(number, 1, quantity=number) for number in (2, 1, 3)]
    (one,) = history().apply(rows, END)
    assert [member["quantity"] for member in json.loads(one["history"])] == [1, 2, 3]


def test_groups_have_ids_that_only_their_keys_decide() -> None:
    rows = [of_week(1, 1, product="a/b", plant="c"), of_week(2, 1, product="a", plant="b/c"), of_week(3, 2, plant=",X")]
    ids = [one["row_id"] for one in history().apply(rows, END)]
    assert ids == ["erp/Demand/a%2Fb,c", "erp/Demand/a,b%2Fc", "erp/Demand/A,%2CX"]
    (later,) = history().apply([of_week(99, 40, product="a/b", plant="c")], END)
    assert later["row_id"] == ids[0]


def test_of_a_large_group_the_newest_stay_and_the_others_are_counted() -> None:
    applied = history(most=3).apply([of_week(n, n) for n in range(8)] + [of_week(9, 1, product="B")], END)
    large, small = applied
    assert [member["week"] for member in json.loads(large["history"])] == ["2026-02-09", "2026-02-16", "2026-02-23"]
    assert (large["history_count"], large["history_left_out"]) == (3, 5)
    assert (small["history_count"], small["history_left_out"]) == (1, 0)
    assert applied.counts == {"groups": 2, "members": 4, "left_out": 5, "short": 1, "out_of_reach": 0}


@pytest.mark.parametrize("as_time", [False, True])
def test_members_beyond_reach_are_left_out_and_a_group_without_any_is_counted(as_time: bool) -> None:
    def at(days: int) -> Any:
        moment = END - timedelta(days=days)
        return moment if as_time else moment.date()

    rows = [of_week(1, 0, week=at(10)), of_week(2, 0, week=at(11)), of_week(3, 0, week=at(40), product="old")]
    applied = history(reach=timedelta(days=10)).apply(rows, END)
    assert [(one["history_count"], one["history_left_out"]) for one in applied] == [(1, 1)]
    assert applied.counts == {"groups": 1, "members": 1, "left_out": 2, "short": 1, "out_of_reach": 1}


def test_the_lineage_of_a_group_names_its_members_in_a_bounded_length() -> None:
    (short,) = history().apply([of_week(n, n) for n in range(3)], END)
    (long,) = history().apply([of_week(n, n) for n in range(900)], END)
    assert len(json.dumps(long["lineage"])) < len(json.dumps(short["lineage"])) + 10
    said = {name: short["lineage"][name] for name in ("members", "first", "last", "erp", "retrieved_at")}
    assert said == {
        "members": "3",
        "first": "erp/Demand/0",
        "last": "erp/Demand/2",
        "erp": "page 1 row 0",
        "retrieved_at": "2026-11-20T02:02:00+00:00",
    }
    (other,) = history().apply([of_week(0, 0), of_week(5, 1), of_week(2, 2)], END)
    assert other["lineage"]["first"] == short["lineage"]["first"]
    assert other["lineage"]["members_sha256"] != short["lineage"]["members_sha256"]
    assert "version" not in short["lineage"]


def test_a_row_that_has_no_group_is_set_aside() -> None:
    applied = history().apply([of_week(1, 1, plant=None, week=None), of_week(2, 1)], END)
    assert len(applied) == 1
    (rejected,) = applied.rejected
    assert rejected.reasons == ("plant: missing, so it has no group", "week: missing, so it has no group")


def test_rows_of_two_sources_need_a_prefix_for_the_ids_of_their_groups() -> None:
    rows = [of_week(1, 1), {**of_week(2, 2), "row_id": "shop/Sales/2"}]
    with pytest.raises(ConfigurationError, match=r"erp/Demand, shop/Sales .* needs a `prefix`"):
        history().apply(rows, END)
    (one,) = history(prefix="erp/Demand").apply(rows, END)
    assert one["row_id"] == "erp/Demand/A,X"


def test_nothing_gives_nothing() -> None:
    for transform in (history(), Explode("lines", key="n"), Derive("x", "text", str, of=("plant",))):
        applied = transform.apply([], END)
        assert isinstance(applied, Applied)
        assert (list(applied), applied.rejected) == ([], [])
