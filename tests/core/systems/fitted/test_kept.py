"""A kept model is read back as it was, and nothing else is read."""

from __future__ import annotations

import hashlib
import json
import pickle
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import skops.io
from pydantic import BaseModel
from sklearn.svm import LinearSVC

from include.errors import ConfigurationError
from include.systems.fitted.answering import open_local
from include.systems.fitted.cascade import Cascade
from include.systems.fitted.declared import Local
from include.systems.fitted.fitting import fit
from include.systems.fitted.kept import load, save
from include.systems.fitted.texts import WIDE_FROM
from tests.core.systems.fitted.rows import LOCAL, Output, fitted, labelled, others, tickets


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path, LOCAL, fitted()[0], {"rows": 700})
    return tmp_path


def put(folder: Path, data: bytes) -> None:
    """Another file, with its sha256 put right."""
    (folder / "model.v1.skops").write_bytes(data)
    beside = folder / "model.v1.json"
    about = json.loads(beside.read_text()) | {"sha256": hashlib.sha256(data).hexdigest()}
    beside.write_text(json.dumps(about))


def changed(folder: Path, **parts: object) -> None:
    """The same file with some of what it holds replaced."""
    state = skops.io.loads((folder / "model.v1.skops").read_bytes(), trusted=[])
    put(folder, skops.io.dumps({**state, **parts}))


def test_it_judges_as_before(folder: Path) -> None:
    model, again = fitted()[0], load(folder, LOCAL, Output).fitted
    before, after = model.judge(others()), again.judge(others())
    assert [one.labels for one in after] == [one.labels for one in before]
    assert [one.familiar for one in after] == [one.familiar for one in before]
    np.testing.assert_allclose([one.probability for one in after], [one.probability for one in before])
    assert again.threshold == model.threshold
    assert again.has_seen(others()[:3]) == model.has_seen(others()[:3])


def test_an_opened_model_has_its_name_and_decides_what_is_certain(folder: Path) -> None:
    opened = open_local(folder, LOCAL, Output)
    about = json.loads((folder / "model.v1.json").read_text())
    assert opened.name == f"model.v1@{about['sha256'][:12]}"
    judged = opened.fitted.judge(others())
    certain = [at for at, one in enumerate(judged) if opened.fitted.rule(one) == "decided"]
    assert certain
    assert all(judged[at].probability >= about["threshold"] for at in certain)
    assert sorted(Cascade(LOCAL, opened, Output).sort(others()).decided) == certain
    undecided = replace(opened, fitted=replace(opened.fitted, threshold=None))
    assert Cascade(LOCAL, undecided, Output).sort(others()).decided == {}


def test_what_is_to_be_known_of_it_lies_beside_it(folder: Path) -> None:
    about = json.loads((folder / "model.v1.json").read_text())
    assert about["sha256"] == hashlib.sha256((folder / "model.v1.skops").read_bytes()).hexdigest()
    assert about["reads"] == ["subject", "body"]
    assert about["labels"]["priority"] == ["high", "low", "normal", "urgent"]
    assert about["rows"] == 700
    assert {"scikit-learn", "skops"} <= about["libraries"].keys()


def test_a_version_is_never_changed(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="never changed"):
        save(folder, LOCAL, fitted()[0], {})


def test_no_text_that_was_learnt_is_in_the_file(folder: Path) -> None:
    with zipfile.ZipFile(folder / "model.v1.skops") as parts:
        whole = b"\n".join(parts.read(name) for name in parts.namelist())
    assert b"parcel" in whole
    assert b"forgot my password and the security question" not in whole.lower()


def test_a_changed_byte_is_refused_before_anything_is_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = folder / "model.v1.skops"
    data = bytearray(place.read_bytes())
    data[len(data) // 2] ^= 1
    place.write_bytes(bytes(data))
    monkeypatch.setattr(zipfile, "ZipFile", None)
    with pytest.raises(ConfigurationError, match="sha256"):
        load(folder, LOCAL, Output)


class _Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("ran"),)  # type: ignore[return-value]


def test_a_pickle_is_refused_and_never_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    put(folder, pickle.dumps(_Runs()))
    with pytest.raises(ConfigurationError, match="is no fitted model"):
        load(folder, LOCAL, Output)
    assert not (folder / "ran").exists()


def test_types_that_skops_itself_trusts_are_refused_by_name(folder: Path) -> None:
    data = skops.io.dumps({"claims": "{}", "model": LinearSVC(), "words": np.zeros(1)})
    assert skops.io.get_untrusted_types(data=data) == []
    put(folder, data)
    with pytest.raises(ConfigurationError, match=r"not read: sklearn\.svm\._classes\.LinearSVC"):
        load(folder, LOCAL, Output)


def test_a_known_class_made_by_another_loader_is_refused(folder: Path) -> None:
    made = BytesIO()
    with zipfile.ZipFile(folder / "model.v1.skops") as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "schema.json":
                data = data.replace(b'"NdArrayNode"', b'"ObjectNode"', 1)
            new.writestr(name, data)
    put(folder, made.getvalue())
    with pytest.raises(ConfigurationError, match=r"not read: numpy\.ndarray"):
        load(folder, LOCAL, Output)


@pytest.mark.parametrize(
    "parts",
    [
        {"words": np.frombuffer(b"one\ntwo", dtype=np.uint8)},
        {"word_weights": np.zeros(3)},
        {"base category": np.zeros(3, dtype=np.float32)},
        {"weights category": np.zeros((2, 2), dtype=np.float32)},
        {"claims": "[]"},
    ],
)
def test_parts_that_do_not_fit_each_other_are_refused(folder: Path, parts: dict[str, object]) -> None:
    changed(folder, **parts)
    with pytest.raises(ConfigurationError, match="is no fitted model"):
        load(folder, LOCAL, Output)


@pytest.mark.parametrize("form", [1, 3])
def test_a_file_of_another_form_is_refused_and_says_to_train_again(folder: Path, form: int) -> None:
    """The first form did not say which it is."""
    claims = json.loads(skops.io.loads((folder / "model.v1.skops").read_bytes(), trusted=[])["claims"])
    del claims["form"]
    changed(folder, claims=json.dumps(claims if form == 1 else claims | {"form": form}))
    with pytest.raises(ConfigurationError, match=rf"of form {form}.*[Tt]rain it again: nightledger train"):
        load(folder, LOCAL, Output)


def test_a_model_of_wide_terms_judges_as_before(tmp_path: Path) -> None:
    wide = replace(LOCAL, fills=("priority",), copies={}, most_terms=WIDE_FROM)
    model, _ = fit(wide, labelled(tickets()[:200], "priority"), folds=2)
    save(tmp_path, wide, model, {})
    again = load(tmp_path, wide, Output).fitted
    before, after = (one.judge(others()[:50]) for one in (model, again))
    np.testing.assert_allclose([one.probability for one in after], [one.probability for one in before])


def test_terms_of_an_unknown_cut_are_refused(folder: Path) -> None:
    claims = json.loads(skops.io.loads((folder / "model.v1.skops").read_bytes(), trusted=[])["claims"])
    changed(folder, claims=json.dumps(claims | {"terms": "narrow"}))
    with pytest.raises(ConfigurationError, match="is no fitted model"):
        load(folder, LOCAL, Output)


def test_a_threshold_edited_beside_it_is_refused(folder: Path) -> None:
    beside = folder / "model.v1.json"
    beside.write_text(json.dumps(json.loads(beside.read_text()) | {"threshold": 0.1}))
    with pytest.raises(ConfigurationError, match="`threshold` differs"):
        load(folder, LOCAL, Output)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (replace(LOCAL, reads=("subject", "text")), "`reads`"),
        (replace(LOCAL, certain=0.99), "`certain` 0.9, declared is 0.99"),
        (replace(LOCAL, out_of_scope=None), "`out_of_scope`"),
    ],
)
def test_a_model_for_another_declaration_is_refused(folder: Path, other: Local, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        load(folder, other, Output)


class Narrower(BaseModel):
    category: Literal["billing", "refund", "delivery"]
    priority: Literal["low", "normal", "high", "urgent"]
    summary: str


class Without(BaseModel):
    category: str
    summary: str


@pytest.mark.parametrize(
    ("output", "said"), [(Narrower, "knows no account_access"), (Without, "priority: is no field")]
)
def test_a_label_or_field_that_the_answer_does_not_know_is_refused(folder: Path, output: object, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        load(folder, LOCAL, output)


def test_a_missing_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nightledger train"):
        load(tmp_path, LOCAL, Output)


def test_a_file_that_unpacks_to_too_much_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.systems.fitted.kept._MOST_BYTES", 1_000)
    with pytest.raises(ConfigurationError, match="holds more than"):
        load(folder, LOCAL, Output)


@pytest.mark.parametrize("wrong", [{"certain": 1.0}, {"certain": 0.3}, {"strange": 1.0}, {"reads": ()}, {"fills": ()}])
def test_a_declaration_that_cannot_work_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        replace(LOCAL, **wrong)


def test_a_field_is_filled_or_copied_and_not_both() -> None:
    with pytest.raises(ConfigurationError, match="both fills and copies category"):
        replace(LOCAL, copies={"category": "subject"})
