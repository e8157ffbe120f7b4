"""`init`: files that work as they are, and never in place of somebody's own."""

import importlib.util
import io
from pathlib import Path

import pytest

from include.cli import main
from include.spec.prompt import read_any_prompt


def test_what_is_written_can_be_used_as_it_is(tmp_path: Path) -> None:
    out = io.StringIO()
    assert main(["init", "enrich", str(tmp_path / "new" / "try")], out) == 0
    assert "nightledger enrich --input rows.jsonl" in out.getvalue()
    folder = tmp_path / "new" / "try"
    assert len((folder / "rows.jsonl").read_text().splitlines()) == 3
    assert "{{ record }}" in (folder / "prompt.md").read_text()
    read_any_prompt(folder / "prompt.md")
    found = importlib.util.spec_from_file_location("answer", folder / "answer.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    module.Answer.model_validate({"topic": "billing", "urgent": False, "summary": "A refund"})


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "prompt.md").write_text("mine")
    assert main(["init", "enrich", str(tmp_path)], io.StringIO()) == 2
    assert "has prompt.md already. Name another folder" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["prompt.md"]
    assert (tmp_path / "prompt.md").read_text() == "mine"


def test_a_place_that_is_no_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["init", "enrich", str(tmp_path / "file" / "try")], io.StringIO()) == 2
    assert "cannot be written" in capsys.readouterr().err
