"""A model is kept as a new version, with what it is worth, unless it is worse than the one in use."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from include.cli import main
from include.demo.sandbox.seed.tickets import write_tickets
from include.errors import ConfigurationError
from include.models import Record
from include.operations.train import Trained, train
from include.systems.fitted.kept import load
from include.systems.fitted.labels import Columns
from tests.core.systems.fitted.rows import LOCAL, Output, tickets

FEW, MANY = tickets()[:200], tickets()[:500]


def written(place: Path, rows: Sequence[Record]) -> Path:
    with place.open("w", encoding="utf-8", newline="") as file:
        lines = csv.DictWriter(file, list(rows[0]))
        lines.writeheader()
        lines.writerows(rows)
    return place


def trained(folder: Path, rows: Sequence[Record], anyway: bool = False, into: Path | None = None) -> Trained:
    labels = written(folder / "labels.csv", rows)
    return train(LOCAL, Output, folder, labels, Columns(), into=into, anyway=anyway)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trained]:
    folder = tmp_path_factory.mktemp("kept")
    return folder, trained(folder, MANY)


def copied(kept: tuple[Path, Trained], folder: Path) -> Path:
    for name in ("model.v1.skops", "model.v1.json"):
        (folder / name).write_bytes((kept[0] / name).read_bytes())
    return folder


def test_the_first_model_is_kept_under_the_declared_name(kept: tuple[Path, Trained]) -> None:
    folder, made = kept
    assert made.place == folder / "model.v1.skops"
    assert made.standing is None
    about = json.loads((folder / "model.v1.json").read_text())
    assert about["held_out"] == made.score.as_json()
    assert about["most_terms"] == LOCAL.most_terms
    assert about["rows"] + about["out_of_scope_rows"] == made.rows
    assert about["held_out"]["out_of_scope_sent_on"]["of"] == about["out_of_scope_rows"] > 0
    assert (about["folds"], about["seed"], len(about["data_sha256"])) == (5, 20_261_122, 64)
    assert load(folder, LOCAL, Output).about == about


def test_a_worse_model_is_not_kept(kept: tuple[Path, Trained], tmp_path: Path) -> None:
    folder = copied(kept, tmp_path)
    made = trained(folder, FEW)
    assert made.standing is not None
    assert made.standing.worse
    assert made.place is None
    assert sorted(path.name for path in folder.glob("model.*")) == ["model.v1.json", "model.v1.skops"]


def test_a_worse_model_is_kept_if_that_is_wanted(kept: tuple[Path, Trained], tmp_path: Path) -> None:
    folder = copied(kept, tmp_path)
    before = (folder / "model.v1.skops").read_bytes()
    made = trained(folder, FEW, anyway=True)
    assert made.place == folder / "model.v2.skops"
    assert (folder / "model.v1.skops").read_bytes() == before
    assert load(folder, replace(LOCAL, model="model.v2"), Output).about["rows"] < 200


def test_an_equal_model_on_the_same_rows_becomes_the_next_version(kept: tuple[Path, Trained], tmp_path: Path) -> None:
    folder = copied(kept, tmp_path)
    made = trained(folder, MANY)
    assert made.standing is not None
    assert made.standing.new == made.standing.in_use
    assert "held out" in made.standing.split
    assert made.model == "model.v2"


def test_both_are_compared_on_rows_that_the_one_in_use_has_not_learnt(
    kept: tuple[Path, Trained], tmp_path: Path
) -> None:
    made = trained(copied(kept, tmp_path), tickets()[400:])
    assert made.standing is not None
    fresh = [row for row in tickets()[500:] if row["category"] != "other"]
    assert made.standing.split == f"{len(fresh)} rows that the one in use has not learnt"


def test_a_model_for_another_declaration_does_not_stand_in_the_way(kept: tuple[Path, Trained], tmp_path: Path) -> None:
    folder = copied(kept, tmp_path)
    labels = written(tmp_path / "labels.csv", FEW)
    made = train(replace(LOCAL, certain=0.99), Output, folder, labels, Columns(), into=None, anyway=False)
    assert made.model == "model.v2"
    assert "cannot be compared" in made.note


def test_a_field_that_the_answer_does_not_have_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="tone: is no field"):
        train(replace(LOCAL, fills=("tone",)), Output, tmp_path, tmp_path / "x", Columns(), into=None, anyway=False)


def test_the_command_tells_what_it_learnt_and_left_out(tmp_path: Path) -> None:
    labels = tmp_path / "tickets.csv"
    write_tickets(labels, 400, seed=5)
    with labels.open("a", encoding="utf-8") as file:
        file.write("T9,mail,,,billing,low,en,part 1\nT10,mail,Hello,hello,poetry,low,en,part 1\n")
    out = io.StringIO()
    command = ["train", "support_triage", "--labels", str(labels), "--group", "wording", "--out", str(tmp_path / "new")]
    code = main([*command, "--anyway"], out)
    said = out.getvalue()
    assert code == 0, said
    assert "left out, no text: row 401" in said
    assert "left out, a label for category that the answer does not know: row 402" in said
    assert "5 folds, rows of one wording together" in said
    assert f"Kept: {tmp_path / 'new' / 'model.v1.skops'}" in said
    assert "poetry" not in said


def test_the_command_refuses_columns_that_are_not_read_or_filled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = written(tmp_path / "labels.csv", FEW)
    for option in (["--text", "text"], ["--text", "text=body"], ["--label", "tone=category"]):
        assert main(["train", "support_triage", "--labels", str(labels), *option], io.StringIO()) == 2
        assert "needs the form NAME=COLUMN" in capsys.readouterr().err
