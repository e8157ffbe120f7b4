"""What a model is worth is told of rows that are named, and every row gets a line."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from include.cli import main
from include.errors import ConfigurationError
from include.operations.evaluate import Evaluated, Split, evaluate, predictions
from include.systems.fitted.kept import save
from include.systems.fitted.labels import Columns
from include.systems.fitted.model import Judged
from include.systems.fitted.scores import Answered, Share, score
from tests.core.systems.fitted.rows import LOCAL, Output, fitted, tickets


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model")
    save(made, LOCAL, fitted()[0], {})
    lines = (json.dumps(row) + "\n" for row in tickets()[600:])
    (made / "labels.jsonl").write_text("".join(lines), encoding="utf-8")
    return made


def found(folder: Path, split: Split) -> Evaluated:
    return evaluate(LOCAL, Output, folder, folder / "labels.jsonl", Columns(), split)


def test_rows_that_were_learnt_are_left_out_and_that_is_said(folder: Path) -> None:
    unseen, whole = found(folder, "unseen"), found(folder, "all")
    assert unseen.split == f"rows that the model has not learnt: {len(unseen.rows)} of {len(whole.rows)}"
    learnt = {row["id"] for row in tickets()[600:700] if row["category"] != "other"}
    assert not learnt & {row.name for row in unseen.rows}
    assert learnt < {row.name for row in whole.rows}
    assert unseen.score.right.value < whole.score.right.value


def test_the_figures_are_those_of_the_lines(folder: Path) -> None:
    """Counted by hand from what is written for each row."""
    got = found(folder, "unseen")
    lines = {line["id"]: line for line in predictions(got, LOCAL)}
    truth = {row["id"]: row for row in tickets() if row["id"] in lines}
    inside = [key for key, row in truth.items() if row["category"] != "other"]
    right = {key for key in inside if all(lines[key]["labels"][name] == truth[key][name] for name in LOCAL.fills)}
    alone = {key for key in inside if lines[key]["decided_by"] == "local"}
    assert got.score.right == Share(len(right), len(inside))
    assert got.score.alone == Share(len(right & alone), len(alone))
    outside = truth.keys() - set(inside)
    assert got.score.outside == Share(sum(lines[key]["decided_by"] == "asked" for key in outside), len(outside))
    assert got.score.doubt + got.score.strange + len(alone) == len(inside)
    named = [key for key in inside if truth[key]["category"] == "billing"]
    (billing,) = (one for one in got.score.labels if one.label == "billing")
    assert billing.rows == len(named)
    assert billing.right == sum(lines[key]["label"] == "billing" for key in named)


def test_without_a_model_the_recipe_is_judged_in_folds(folder: Path, tmp_path: Path) -> None:
    got = evaluate(LOCAL, Output, tmp_path, folder / "labels.jsonl", Columns(), "folds")
    assert "5 folds" in got.split
    assert len(got.answers) == len(got.rows)
    assert got.score.right.value < 0.95


def test_all_rows_learnt_leave_nothing_to_judge(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "labels.jsonl"
    row = next(row for row in tickets() if row["category"] != "other")
    place.write_text(json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="has not learnt"):
        evaluate(LOCAL, Output, folder, place, Columns(), "unseen")


def one(label: str, probability: float, ruling: Any, truth: str | None, **more: Any) -> Answered:
    judged = Judged({"category": label}, {"category": probability}, ruling != "out_of_scope")
    return Answered(judged, ruling, None if truth is None else {"category": truth}, **more)


def test_figures_by_hand() -> None:
    got = score(
        [
            one("a", 0.9, "decided", "a"),
            one("a", 0.9, "decided", "b", forbidden={"category": ["a"]}),
            one("b", 0.6, "doubt", "b", forbidden={"category": ["b"]}),
            one("b", 0.6, "out_of_scope", "b"),
            one("b", 0.6, "out_of_scope", None),
            one("a", 0.8, "decided", None),
        ]
    )
    assert got.right == Share(3, 4)
    assert got.alone == Share(1, 2)
    assert (got.doubt, got.strange, got.forbidden) == (1, 1, 1)
    assert got.outside == Share(1, 2)
    assert got.calibration == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)
    assert got.macro_f1("category") == pytest.approx((2 / 3 + 0.8) / 2)


def test_the_command_writes_a_line_for_every_row(tmp_path: Path) -> None:
    """On the labelled examples that come with the use case."""
    out, place = io.StringIO(), tmp_path / "out.jsonl"
    code = main(["evaluate", "support_triage", "--predictions", str(place)], out)
    said = out.getvalue()
    lines = [json.loads(line) for line in place.read_text(encoding="utf-8").splitlines()]
    assert len(lines) >= 60
    assert {line["decided_by"] for line in lines} == {"local", "asked"}
    assert all({"id", "label", "confidence"} <= line.keys() for line in lines)
    assert "nothing was asked" in said
    assert code == (1 if "FORBIDDEN" in said else 0)


def test_an_unwritable_place_is_refused(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    place = tmp_path / "nowhere" / "out.jsonl"
    assert main(["evaluate", "support_triage", "--predictions", str(place)], io.StringIO()) == 2
    assert "cannot be written" in capsys.readouterr().err
