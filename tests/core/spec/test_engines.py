"""Fitted models are found beside their use cases, wherever these are."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from include.errors import ConfigurationError
from include.spec import names as known
from include.spec.engines import engine_of, local_names, local_of, output_of
from include.systems.fitted.declared import labels_of

_LOCAL = """from include.systems.fitted.declared import Local
LOCAL = Local("model.v1", certain=0.9, reads=("a",), fills=("b",))
"""
_OUTPUT = "from pydantic import BaseModel\nclass Output(BaseModel):\n    b: str\n"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that is no part of this project, with two use cases, one of which declares a fitted model."""
    for name in ("acme_fitted", "acme_asked"):
        folder = tmp_path / name
        folder.mkdir()
        for file in ("__init__.py", "spec.py"):
            (folder / file).touch()
    (tmp_path / "acme_fitted" / "local.py").write_text(_LOCAL)
    (tmp_path / "acme_fitted" / "output.py").write_text(_OUTPUT)
    points = EntryPoints(EntryPoint(name, name, known.GROUP) for name in ("acme_fitted", "acme_asked"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(known, "entry_points", lambda group: points)
    known._packages.cache_clear()
    return tmp_path


@pytest.fixture(autouse=True)
def forget() -> Any:
    yield
    known._packages.cache_clear()


def test_a_package_brings_its_own(elsewhere: Path) -> None:
    assert "acme_fitted" in local_names()
    assert "acme_asked" not in local_names()
    assert known.folder_of("acme_fitted") == elsewhere / "acme_fitted"
    assert local_of("acme_fitted").fills == ("b",)
    assert list(output_of("acme_fitted").model_fields) == ["b"]


def test_a_use_case_without_one_is_told_which_have(elsewhere: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"declares no engine; those that do: .*acme_fitted"):
        local_of("crm_lead_scoring")


def test_an_engine_that_is_no_fitted_model_cannot_be_trained() -> None:
    assert engine_of("erp_demand_forecast").reads == ("history", "this_week")
    with pytest.raises(ConfigurationError, match="no fitted model, so there is nothing to train"):
        local_of("erp_demand_forecast")


class Output(BaseModel):
    kind: Literal["a", "b"]
    note: str
    number: int
    figure: Literal[1, 2]


def test_labels_are_those_of_the_answer() -> None:
    assert labels_of(Output, "kind") == ("a", "b")
    assert labels_of(Output, "note") is None


@pytest.mark.parametrize(("name", "said"), [("tone", "no field"), ("number", "closed set"), ("figure", "closed set")])
def test_a_field_that_cannot_be_filled_is_refused(name: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        labels_of(Output, name)
