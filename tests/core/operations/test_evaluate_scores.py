"""Figures of labelled rows, by hand; labels that cannot be read are named without their content."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from include.errors import ConfigurationError
from include.models import Record
from include.operations.evaluate_labels import Label, read_labels
from include.operations.evaluate_scores import Share, Told, score
from include.spec.closed_lists import has_list
from include.use_cases.crm_lead_scoring.output import Output

SCHEMA = Output.model_json_schema()


def told(tier: str, said: str | None, confidence: float | None = None, **more: Any) -> Told:
    must_not, part = more.pop("must_not", {}), more.pop("slice", None)
    label = Label(1, {"job_title": "Buyer"}, {"tier": tier}, must_not, part)
    answer: Record | None = None if said is None else {"tier": said, "confidence": confidence}
    return Told(label, "key", answer, more.pop("ended", ""), **more)


def test_bounds_are_wilsons() -> None:
    low, high = Share(81, 100).bounds
    assert (round(low, 4), round(high, 4)) == (0.7222, 0.8749)  # Newcombe, Statistics in Medicine 17 (1998) 857: 81/263
    assert [round(one, 4) for one in Share(81, 263).bounds] == [0.2553, 0.3662]
    assert Share(0, 0).bounds == (0.0, 1.0)
    assert Share(20, 20).bounds[1] == 1.0


def test_figures_are_those_had_by_hand() -> None:
    rows = [
        told("hot", "hot", 0.95, latency=10, cost=Decimal("0.002"), slice="a"),
        told("hot", "warm", 0.95, latency=30, cost=Decimal("0.002"), slice="a"),
        told("cold", "cold", 0.45, latency=20, cost=Decimal("0.002"), slice="b", asked_again=True),
        told("cold", None, ended="invalid", cost=Decimal("0.006")),
    ]
    found = score(rows, SCHEMA)
    assert (found.right.hits, found.right.of, found.fields["tier"].hits) == (2, 4, 2)
    assert found.macro_f1["tier"] == pytest.approx((2 * 1 / (2 + 1) + 2 * 1 / (2 + 1)) / 2)
    assert found.calibration == pytest.approx((abs(1.9 - 1) + abs(0.45 - 1)) / 3)
    assert (found.schema_failures, found.not_answered, found.asked_again) == (1, {"invalid": 1}, 1)
    assert found.latency == (20, 30)
    assert found.row_cost == Decimal("0.003")
    assert {name: (one.hits, one.of) for name, one in found.slices.items()} == {"a": (1, 2), "b": (1, 1)}
    assert json.dumps(found.as_json())


def test_a_value_that_must_not_be_makes_a_row_wrong() -> None:
    found = score(
        [told("hot", "hot", must_not={"tier": ["hot"]}), told("hot", "hot", must_not={"tier": ["cold"]})], SCHEMA
    )
    assert (found.must_not_broken, found.right.hits) == (1, 1)


def test_what_is_expected_is_also_known_as_the_ledger_keeps_it() -> None:
    label = Label(1, {}, {"contact": "ada@private.example"})
    assert Told(label, "k", {"contact": "token:aaaaaaaaaaaa"}, "", {"contact": "token:aaaaaaaaaaaa"}).verdict == "right"
    assert Told(label, "k", {"contact": "token:bbbbbbbbbbbb"}, "", {"contact": "token:aaaaaaaaaaaa"}).verdict == "wrong"


def test_fields_with_a_closed_list_are_told_from_the_schema() -> None:
    assert [has_list(SCHEMA, name) for name in ("tier", "next_action", "score", "reasons", "none")] == [
        *(True, True),
        *(False, False, False),
    ]
    optional = {"properties": {"kind": {"anyOf": [{"$ref": "#/$defs/Kind"}, {"type": "null"}]}}}
    assert has_list({**optional, "$defs": {"Kind": {"enum": ["a"]}}}, "kind")
    assert not has_list({**optional, "$defs": {"Kind": {"type": "string"}}}, "kind")


def test_rows_are_known_by_what_they_hold_wherever_they_stand(tmp_path: Path) -> None:
    rows = [
        {"input": {"a": 1}, "expected": {"tier": "hot"}},
        {"input": {"a": 2, "b": None}, "expected": {"tier": "hot"}},
    ]
    files = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for file, order in zip(files, (rows, rows[::-1]), strict=True):
        file.write_text("\n".join(map(json.dumps, order)))
    one, two = (read_labels(file, ("a", "b"), ("tier",)) for file in files)
    assert one.sha256 == two.sha256
    assert one.rows[0].sha256 == two.rows[1].sha256 != one.rows[1].sha256
    assert one.rows[0].given == {"a": 1, "b": None}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "holds no labelled row"),
        ("secret", "line 1: is no JSON"),
        ('{"input": {}}', "line 1: needs `input` and `expected`"),
        ('{"input": {"job": "secret"}, "expected": {"tier": "hot"}}', 'line 1: `input` has "job"'),
        ('{"input": {}, "expected": {"tear": "secret"}}', 'line 1: knows "tear", which no answer has'),
        ('{"input": {}, "expected": {"tier": "hot"}, "must_not": {"tier": "secret"}}', "has a list of values"),
        ('{"input": [], "expected": {"tier": "hot"}}', "are objects"),
        ('{"input": {}, "expected": {}}', "neither what is expected nor"),
        ('{"input": {}, "expected": {"tier": "hot"}, "slice": 7}', "`slice` is a text"),
    ],
)
def test_labels_that_cannot_be_used_are_named(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text(line)
    with pytest.raises(ConfigurationError) as found:
        read_labels(file, ("job_title",), ("tier",))
    assert said in str(found.value)
    assert "secret" not in str(found.value)
    with pytest.raises(ConfigurationError, match=r"none\.jsonl"):
        read_labels(tmp_path / "none.jsonl", (), ())
