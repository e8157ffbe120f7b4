"""Labels that cannot be used are named by their row, and never by what they hold."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from include.errors import ConfigurationError
from include.systems.fitted.labels import Columns, read_labels, told, usable
from tests.core.systems.fitted.rows import LOCAL, Output

ONE = replace(LOCAL, reads=("body",), fills=("category",), copies={})
GOOD = [{"body": f"words number {at}", "category": "billing" if at % 2 else "refund"} for at in range(40)]


def written(folder: Path, rows: list[dict[str, Any]]) -> Path:
    place = folder / "labels.jsonl"
    place.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return place


def sorted_out(
    folder: Path, rows: list[dict[str, Any]], least: int = 5
) -> tuple[list[int], dict[str, tuple[int, ...]]]:
    used, left = usable(read_labels(written(folder, rows), ONE, Columns()), ONE, Output, least)
    return [row.number for row in used], {one.reason: one.numbers for one in left}


def test_every_reason_is_told_with_its_rows(tmp_path: Path) -> None:
    bad = [
        {"body": "  ", "category": "billing"},
        {"body": "no label here", "category": ""},
        {"body": "secret words", "category": "secret label"},
        {"body": "Twice  said", "category": "billing"},
        {"body": "twice  said", "category": "refund"},
        {"body": GOOD[0]["body"], "category": GOOD[0]["category"]},
        {"body": "alone of its kind", "category": "sales"},
    ]
    used, left = sorted_out(tmp_path, [*GOOD, *bad])
    assert used == list(range(1, 41))
    assert left == {
        "no text": (41,),
        "no label for category": (42,),
        "a label for category that the answer does not know": (43,),
        "the same text with different labels": (44, 45),
        "the text of an earlier row, with the same labels": (46,),
        "a label for category that fewer than 5 rows have": (47,),
    }
    assert "secret" not in repr(left)


def test_a_file_that_is_mostly_unusable_is_refused_without_its_values(tmp_path: Path) -> None:
    rows = [*GOOD, *({"body": f"text {at}", "category": "ann@example.org"} for at in range(15))]
    with pytest.raises(ConfigurationError, match=r"15 of 55 rows cannot be used .*rows 41, 42") as refused:
        sorted_out(tmp_path, rows)
    assert "ann@" not in str(refused.value)


def test_repetition_alone_is_no_reason_to_refuse(tmp_path: Path) -> None:
    used, _ = sorted_out(tmp_path, GOOD * 3)
    assert len(used) == 40


def test_rows_out_of_scope_may_be_few(tmp_path: Path) -> None:
    used, left = sorted_out(tmp_path, [*GOOD, {"body": "a poem", "category": "other"}])
    assert used == list(range(1, 42))
    assert left == {}


def test_a_csv_with_other_names_for_its_columns_is_read(tmp_path: Path) -> None:
    place = tmp_path / "labels.csv"
    place.write_text('\ufeffnr,text,kind,who\r\n7,"two\nlines",billing,ann\r\n8,words,refund,bob\r\n', encoding="utf-8")
    rows = read_labels(place, ONE, Columns({"body": "text"}, {"category": "kind"}, group="who", id="nr"))
    assert [(one.number, one.name, one.row["body"], dict(one.labels), one.group) for one in rows] == [
        (1, "7", "two\nlines", {"category": "billing"}, "ann"),
        (2, "8", "words", {"category": "refund"}, "bob"),
    ]


def test_labelled_examples_are_read(tmp_path: Path) -> None:
    example = {"input": {"body": "words"}, "expected": {"category": "refund"}, "must_not": {"category": ["sales"]}}
    (row,) = read_labels(written(tmp_path, [example]), ONE, Columns())
    assert (row.row, dict(row.labels), dict(row.forbidden)) == (
        {"body": "words"},
        {"category": "refund"},
        {"category": ["sales"]},
    )


@pytest.mark.parametrize(
    ("text", "columns", "said"),
    [
        ('{"body": "a", "kind": "b"}\n', Columns(), "no column category; it has body, kind"),
        ('{"words": "a", "category": "b"}\n', Columns(), "none of the columns body"),
        ('{"body": "a", "category": "b"}\n', Columns(group="thread"), "no column thread"),
        ('{"body": "a", "category": "b"}\n{"body": \n', Columns(), "line 2 is no JSON"),
        ("[1]\n", Columns(), "line 1 is no JSON object"),
        ("", Columns(), "no column category"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, columns: Columns, said: str) -> None:
    place = tmp_path / "labels.jsonl"
    place.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=said):
        read_labels(place, ONE, columns)


def test_a_file_in_another_encoding_or_place_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "labels.csv"
    place.write_bytes("body,category\ncafé,billing\n".encode("latin-1"))
    with pytest.raises(ConfigurationError, match="UTF-8"):
        read_labels(place, ONE, Columns())
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_labels(tmp_path / "nowhere.csv", ONE, Columns())


def test_rows_in_words() -> None:
    assert told([3]) == "row 3"
    assert told(range(1, 15)) == "rows 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 4 more"
