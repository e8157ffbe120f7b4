"""A record's columns on every row that names it, each record read once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from include.errors import ConfigurationError
from include.models import Column, Interval, Record, RejectedRow
from include.spec.join import Join, Joining
from include.systems.port import Origin, Page

END = datetime(2026, 11, 20, 2, tzinfo=UTC)
NUMBER, AMOUNT = Column("Number", "number"), Column("Amount", "amount", "number")
ORDERS = {"P1": {"amount": 10.0}, "DE,1": {"amount": 7.0}}


@dataclass
class Orders:
    """A reader of three orders, one of which cannot be read."""

    asked: list[list[str]] = field(default_factory=list)
    checked: int = 0
    pages = rows = calls = retries = 0
    watermark = None
    facts: Record = field(default_factory=dict)
    anew: bool = True

    def check_contract(self) -> None:
        self.checked += 1

    def read(self, interval: Interval, limit: int | None = None) -> Iterator[Page]:
        raise NotImplementedError

    def read_ids(self, ids: Sequence[str]) -> Iterator[Page] | None:
        if not self.anew:
            return None
        if ids:
            self.asked.append(list(ids))
        rows = [
            {"row_id": f"erp/Orders/{one}", "row_key": one, "lineage": {"erp": f"Orders({one})", "version": "7"}}
            | {"number": one, **ORDERS[one]}
            for one in ids
            if one in ORDERS
        ]
        bad = [RejectedRow("erp/Orders/BAD", "BAD", "erp", ("amount: no number",), {}) for one in ids if one == "BAD"]
        return iter([Page(1, rows, bad)])


@dataclass(frozen=True)
class Source:
    reader: Any
    system: str = "erp"
    object: str = "Orders"
    key: Column = NUMBER
    declared: Sequence[Column] = (NUMBER, AMOUNT)
    changed: Column | None = None
    refers: Mapping[str, str] = field(default_factory=dict)

    @property
    def origins(self) -> Mapping[str, Origin]:
        return {column.name: Origin(self.system, self.object, column.source_name) for column in self.declared}

    def open(self, here: Any) -> Any:
        return self.reader


def opened(reader: Orders, on: str | tuple[str, ...] = "order") -> Joining:
    return Join(source=Source(reader), on=on, prefix="po_").open(None)  # type: ignore[arg-type]


def rows(*orders: str | None) -> list[Record]:
    return [{"row_id": f"s/t/{n}", "lineage": {"s": "page 1"}, "order": one} for n, one in enumerate(orders)]


def test_rows_get_the_columns_and_learn_whether_there_was_a_record() -> None:
    reader = Orders()
    join = opened(reader)
    assert reader.checked == 1
    assert join.columns({"order": "text"}) == {"order": "text", "po_amount": "number", "po_found": "boolean"}
    given = rows("P1", None, "P9", "", "P1")
    found = join.apply(given, END)
    assert [(row["po_amount"], row["po_found"]) for row in found] == [
        *((10.0, True), (None, False), (None, False), (None, False), (10.0, True))
    ]
    assert found[0]["lineage"] == {"s": "page 1", "erp Orders": "Orders(P1)"}
    assert found[2]["lineage"] == {"s": "page 1"}
    assert (join.asked, join.matched, reader.asked) == (3, 2, [["P1", "P9"]])
    join.apply(rows("P1", "P9"), END)
    assert reader.asked == [["P1", "P9"]], "a record that is known, or known to be gone, is not read again"


def test_a_record_that_cannot_be_read_is_set_aside_beside_the_rows() -> None:
    found: Any = opened(Orders()).apply(rows("BAD"), END)
    assert [(row["po_amount"], row["po_found"]) for row in found] == [(None, False)]
    assert [(one.row_id, one.counts_as_input) for one in found.rejected] == [("erp/Orders/BAD", False)]


def test_an_id_of_several_parts_is_made_of_several_columns() -> None:
    reader = Orders()
    given = [{"row_id": "1", "lineage": {}, "plant": "DE,1", "order": 4}, {**rows(None)[0], "plant": "DE"}]
    opened(reader, ("plant", "order")).apply(given, END)
    assert reader.asked == [["DE%2C1,4"]]


def test_a_source_that_cannot_be_read_by_ids_is_refused_before_anything_is_read() -> None:
    with pytest.raises(ConfigurationError, match="cannot be read by ids"):
        opened(Orders(anew=False))


def test_a_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="order"):
        opened(Orders()).columns({"other": "text"})


def test_a_join_that_was_not_opened_joins_nothing() -> None:
    with pytest.raises(ConfigurationError, match="not opened"):
        Join(source=Source(Orders()), on="order", prefix="po_").apply(rows("P1"), END)
