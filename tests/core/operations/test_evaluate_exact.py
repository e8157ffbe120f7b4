"""An exact engine is held against labelled rows: right, wrong, and left."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from include.cli import main
from include.errors import ConfigurationError
from include.operations.evaluate_exact import evaluate_exact
from include.spec.engines import output_of
from include.spec.names import folder_of
from include.use_cases.erp_reorder.local import LOCAL

NAME = "erp_reorder"
OUTPUT, FOLDER = output_of(NAME), folder_of(NAME)
EXAMPLES = [json.loads(line) for line in (FOLDER / "evals.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_examples_that_ship_are_right_or_left() -> None:
    found = evaluate_exact(LOCAL, FOLDER, OUTPUT, FOLDER / "evals.jsonl")
    assert (found.rows, found.right, found.wrong) == (25, 20, [])
    assert sum(found.left.values()) == 5
    assert found.left["no_stock_record"] == 1


def test_what_is_wrong_is_named_and_told_by_the_exit_code(tmp_path: Path) -> None:
    one, two = EXAMPLES[0] | {"id": "a"}, EXAMPLES[1] | {"id": "b", "expected": {"order": 7.0}}
    labels, out, told = tmp_path / "labels.jsonl", tmp_path / "out.jsonl", io.StringIO()
    labels.write_text(f"{json.dumps(one)}\n{json.dumps(two)}\n", encoding="utf-8")
    assert main(("evaluate", NAME, "--labels", str(labels), "--predictions", str(out)), told) == 1
    assert "decided and wrong      1" in told.getvalue()
    assert "wrong: b" in told.getvalue()
    first, second = map(json.loads, out.read_text(encoding="utf-8").splitlines())
    assert first == {"id": "a", "labels": {"order": 20.0}, "confidence": 0.8, "decided_by": "local"}
    assert second["labels"] == {"order": 0.0}


def test_a_row_that_should_have_been_left_is_wrong(tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    labels.write_text(json.dumps(EXAMPLES[0] | {"expected": {}}), encoding="utf-8")
    assert evaluate_exact(LOCAL, FOLDER, OUTPUT, labels).wrong == ["1"]


@pytest.mark.parametrize("text", ["", "no json", '{"input": {}}', "[1]"])
def test_a_file_of_no_examples_is_refused(tmp_path: Path, text: str) -> None:
    labels = tmp_path / "labels.jsonl"
    labels.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError):
        evaluate_exact(LOCAL, FOLDER, OUTPUT, labels)
