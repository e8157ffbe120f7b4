"""What transforms set aside and count, one after the other."""

from __future__ import annotations

from datetime import UTC, datetime

from include.models import Record
from include.night.extract.join import transform
from include.spec.grouping import Group
from include.spec.transforms import Coalesce

END = datetime(2026, 11, 20, 2, tzinfo=UTC)


def test_what_a_transform_counts_and_sets_aside_counts_once_though_the_next_one_hands_its_list_on() -> None:
    group = Group(by=("plant",), into="history", take=("amount",), order="week")
    rows: list[Record] = [
        {"row_id": f"erp/D/{n}", "row_key": str(n), "lineage": {}, "plant": plant, "amount": n, "week": "w"}
        for n, plant in enumerate(("A", "A", "B", None))
    ]
    made = transform(rows, (group, Coalesce("site", ("plant",))), END)
    assert [row["site"] for row in made] == ["A", "B"]
    assert [row.row_id for row in made.rejected] == ["erp/D/3"]
    assert made.counts == {"groups": 2, "members": 3, "left_out": 0, "short": 2, "out_of_reach": 0}
