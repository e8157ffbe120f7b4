"""Rows that a function answers exactly: what it leaves is counted by why, and nothing of a row is told."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from include.errors import ConfigurationError
from include.models import Record
from include.systems.exact.declared import Exact, Left
from include.systems.exact.source import source_hash
from include.systems.port import Decider, Engine

HERE = Path(__file__).parent
SECRET = "Ann 4711"
WHOLE = {"word": "whole", "times": 2, "share": 0.0}
READING = """
from acme_exact.words import WORD

def answer(row):
    from acme_exact import late
    return {"word": WORD + late.END}
"""


class Output(BaseModel):
    """A word and how often."""

    model_config = ConfigDict(extra="forbid")

    word: str = Field(max_length=5)
    times: int = 1
    share: float = 0.0


def answer(row: Mapping[str, Any]) -> Record | None:
    """Answers by what the row holds."""
    match row["text"]:
        case "whole":
            return {"word": "whole", "times": 2}
        case "long":
            return {"word": "too long", SECRET: SECRET}
        case "nan":
            return {"word": "nan", "share": float("nan")}
        case "none":
            return None
        case "left":
            raise Left("no_lines")
        case "chatty":
            raise Left(f"cannot read {SECRET}")
        case "sly":
            raise Left("decided")
        case _:
            raise KeyError(row["text"])


def opened(function: Callable[..., Any] = answer, version: str = "v1") -> Decider:
    return Exact(function=function, version=version, reads=("text",)).open(HERE, Output)


def rows(*texts: str) -> list[Record]:
    return [{"row_id": f"s/o/{at}", "text": text, "other": SECRET} for at, text in enumerate(texts)]


def test_it_keeps_the_port() -> None:
    engine: Engine = Exact(function=answer, version="v1", reads=("text",))
    assert engine.reads == ("text",)
    assert opened().name.startswith("answer v1 ")


def test_whole_answers_stand_at_their_position_and_the_rest_is_counted_by_why() -> None:
    found = opened().sort(rows("left", "whole", "none", "long", SECRET, "whole", "nan", "left"))
    assert found.decided == {1: WHOLE, 5: WHOLE}
    assert found.counts == {"decided": 2, "no_lines": 2, "left": 1, "unfit": 2, "failed": 1}
    assert opened().sort([]).counts == {"decided": 0}


def test_nothing_of_a_row_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    found = opened().sort(rows("long", SECRET, SECRET, "chatty", "sly"))
    assert found.counts == {"decided": 0, "unfit": 1, "failed": 2, "left": 2}
    assert "an answer does not fit the output: word" in caplog.text
    assert "raised KeyError in answer, line" in caplog.text
    assert "for 2 of 5 rows" in caplog.text
    assert SECRET not in caplog.text
    assert len(caplog.records) == 2


def test_a_function_is_given_what_it_reads_and_nothing_else() -> None:
    seen: list[Any] = []

    class Spy:
        def __call__(self, row: Mapping[str, Any]) -> None:
            seen.append(dict(row))

    exact = Exact(function=answer, version="v1", reads=("text",))
    object.__setattr__(exact, "function", Spy())
    from include.systems.exact.answering import Answering

    Answering(exact, "spy", Output).sort(rows("whole"))
    assert seen == [{"text": "whole"}]


@pytest.mark.parametrize(
    "wrong", [{"function": lambda row: None}, {"function": len(""), "x": 1}, {"version": ""}, {"reads": ()}]
)
def test_what_has_no_source_no_version_or_reads_nothing_is_refused(wrong: dict[str, Any]) -> None:
    given = {"function": answer, "version": "v1", "reads": ("text",)} | {k: v for k, v in wrong.items() if k != "x"}
    with pytest.raises(ConfigurationError):
        Exact(**given)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A use case's package on disk, of which one module imports another at its top and a third within a function."""
    home = tmp_path / "acme_exact"
    home.mkdir()
    files = {"__init__": "", "reading": READING, "words": "WORD = 'a'", "late": "END = 'b'", "other": "X = 1"}
    for name, text in files.items():
        (home / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield home
    for module in [name for name in sys.modules if name.startswith("acme_exact")]:
        del sys.modules[module]


def test_the_name_is_another_when_the_code_changes(package: Path) -> None:
    importlib.invalidate_caches()
    reading = importlib.import_module("acme_exact.reading")
    names = [opened(reading.answer).name, opened(reading.answer).name]
    assert names[0] == names[1]
    for module in ("reading", "words", "late"):
        place = package / f"{module}.py"
        place.write_text(place.read_text() + "\n# changed\n")
        names.append(opened(reading.answer).name)
    assert len(set(names)) == 4
    (package / "other.py").write_text("X = 2")
    assert opened(reading.answer).name == names[-1]
    assert opened(reading.answer, "v2").name != names[-1]
    assert opened(reading.answer).sort(rows("x")).decided == {0: {"word": "ab", "times": 1, "share": 0.0}}


def test_a_module_without_a_source_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="has no source file"):
        source_hash(["builtins"])
