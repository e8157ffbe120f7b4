"""Fitted models as files: `<model>.skops` with what was learnt, `<model>.json` with what is to be known of it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import skops.io

from include.errors import ConfigurationError
from include.models import Record
from include.systems.fitted.classifier import Classifier
from include.systems.fitted.declared import Local, labels_of
from include.systems.fitted.model import Fitted, Scope
from include.systems.fitted.texts import CUTS, Rarity, Vocabulary

TRUSTED = frozenset(
    {("builtins.dict", "DictNode"), ("builtins.list", "ListNode"), ("numpy.ndarray", "NdArrayNode")}
) | {
    ("builtins.str", "JsonNode"),
    ("builtins.str", "TypeNode"),
}
"""The only types of which a file may be made, with skops's own names of what reads them: no code, no estimator.

Narrower than what skops trusts by itself: https://skops.readthedocs.io/en/stable/persistence.html.
"""
_MOST_BYTES = 1 << 30
"""What a file may hold when it is unpacked."""
FORM = 2
"""What the parts of a file mean: how terms are cut, weighed and stored. Another form is refused, never guessed at."""
_LIBRARIES = ("scikit-learn", "skops", "numpy", "scipy")


@dataclass(frozen=True, slots=True)
class Kept:
    """A model that was read from its files, the sha256 of what was read, and what the file beside it says."""

    fitted: Fitted
    sha256: str
    about: Mapping[str, Any]


def save(folder: Path, local: Local, fitted: Fitted, more: Mapping[str, Any]) -> Path:
    """Keep a model under the name in the declaration; returns its file. `more` is kept in the JSON beside it.

    Raises ConfigurationError if it cannot be written, or is there: a version is never changed.
    """
    place = folder / f"{local.model}.skops"
    if place.exists() or place.with_suffix(".json").exists():
        raise ConfigurationError("is there already; a version is never changed", about=str(place))
    data = skops.io.dumps(_state(local, fitted), compression=zipfile.ZIP_DEFLATED, compresslevel=9)
    about = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), **_claims(local, fitted), **more}
    about["libraries"] = {name: version(name) for name in _LIBRARIES}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _put(place, data)
        _put(place.with_suffix(".json"), (json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode())
    except OSError as error:
        raise ConfigurationError(f"cannot be written ({error.strerror})", about=str(place)) from error
    return place


def load(folder: Path, local: Local, output: Any) -> Kept:
    """Read a model back, held against its sha256, its declaration and the answer that it has to fit.

    Nothing of the file is opened before its sha256 is right, and no type but those in `TRUSTED` is made of it. Raises
    ConfigurationError for a file that is missing, changed or made of anything else, and for a model that was fitted
    for other columns, fields, labels or shares than are declared.
    """
    place = folder / f"{local.model}.skops"
    data, about = _read(place)
    digest = hashlib.sha256(data).hexdigest()
    if digest != about.get("sha256"):
        raise ConfigurationError(
            "is not the file that was fitted: its sha256 differs from the one beside it",
            about=str(place),
            action="Restore both files, or train again",
        )
    try:
        state = _open(data, place)
        claims: Record = json.loads(state["claims"])
        if not isinstance(claims, dict):
            raise TypeError("the claims are no object")
        _hold_form(claims, place)
        fitted = _fitted(state, claims)
    except (KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"is no fitted model ({type(error).__name__})", about=str(place)) from error
    _hold_against(local, claims, about, place)
    hold_labels(local, {name: one.labels for name, one in fitted.classifiers.items()}, output)
    return Kept(fitted, digest, about)


def hold_labels(local: Local, labels: Mapping[str, Sequence[str]], output: Any) -> None:
    """Raise ConfigurationError for a field or label that the answer does not know."""
    for name in local.fills:
        known = labels_of(output, name)
        if known is not None and (strange := sorted(set(labels[name]) - set(known))):
            raise ConfigurationError(f"the answer knows no {', '.join(strange)}", about=f"{local.model}, {name}")
    for name in local.copies:
        if labels_of(output, name) is not None:
            raise ConfigurationError("only a text can be copied from a column", about=f"{local.model}, {name}")


def _claims(local: Local, fitted: Fitted) -> Record:
    """What must be the same in the file, beside it, and in the declaration; and the figures it decides by."""
    return {
        "form": FORM,
        "model": local.model,
        "reads": list(local.reads),
        "fills": list(local.fills),
        "certain": local.certain,
        "strange": local.strange,
        "out_of_scope": local.out_of_scope,
        "terms": fitted.vocabulary.cut.name,
        "threshold": fitted.threshold,
        "scope": [fitted.scope.value_spread, fitted.scope.strange_spread, fitted.scope.least],
        "labels": {name: list(one.labels) for name, one in fitted.classifiers.items()},
        "temperatures": {name: one.temperature for name, one in fitted.classifiers.items()},
    }


def _state(local: Local, fitted: Fitted) -> Record:
    return {
        "claims": json.dumps(_claims(local, fitted)),
        "words": _packed(fitted.vocabulary.words),
        "pieces": _packed(fitted.vocabulary.pieces),
        "word_weights": fitted.rarity.words,
        "piece_weights": fitted.rarity.pieces,
        "unknown": np.array([fitted.rarity.unknown]),
        "seen": fitted.seen,
        **{f"weights {name}": one.weights for name, one in fitted.classifiers.items()},
        **{f"base {name}": one.base for name, one in fitted.classifiers.items()},
    }


def _fitted(state: Mapping[str, Any], claims: Mapping[str, Any]) -> Fitted:
    words, pieces = _unpacked(state["words"]), _unpacked(state["pieces"])
    rarity = Rarity(state["word_weights"], state["piece_weights"], float(state["unknown"][0]))
    if rarity.words.shape != (len(words),) or rarity.pieces.shape != (len(pieces),):
        raise ValueError("terms and their weights differ in number")
    classifiers = {}
    for name, labels in claims["labels"].items():
        weights, base = state[f"weights {name}"], state[f"base {name}"]
        if weights.shape != (len(labels), len(words) + len(pieces)) or base.shape != (len(labels),):
            raise ValueError("labels and their weights differ in number")
        classifiers[name] = Classifier(tuple(labels), weights, base, claims["temperatures"][name])
    vocabulary, scope = Vocabulary.of(CUTS[claims["terms"]], words, pieces), Scope(*claims["scope"])
    return Fitted(tuple(claims["reads"]), classifiers, vocabulary, rarity, scope, claims["threshold"], state["seen"])


def _packed(terms: Sequence[str]) -> npt.NDArray[np.uint8]:
    return np.frombuffer("\n".join(terms).encode("utf-8", "surrogatepass"), dtype=np.uint8)


def _unpacked(packed: npt.NDArray[np.uint8]) -> list[str]:
    return packed.tobytes().decode("utf-8", "surrogatepass").split("\n") if packed.size else []


def _read(place: Path) -> tuple[bytes, Record]:
    try:
        about = json.loads(place.with_suffix(".json").read_text(encoding="utf-8"))
        data = place.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"cannot be read ({error.strerror})", about=str(error.filename), action="Train it: nightledger train"
        ) from error
    except ValueError as error:
        raise ConfigurationError("is no JSON", about=str(place.with_suffix(".json"))) from error
    if not isinstance(about, dict):
        raise ConfigurationError("is no JSON object", about=str(place.with_suffix(".json")))
    return data, about


def _open(data: bytes, place: Path) -> Record:
    """What the file holds; only once all of its types are known to be harmless is anything made of it."""
    with zipfile.ZipFile(io.BytesIO(data)) as parts:
        if sum(part.file_size for part in parts.infolist()) > _MOST_BYTES:
            raise ConfigurationError(f"holds more than {_MOST_BYTES:,} bytes", about=str(place))
        schema = json.loads(parts.read("schema.json"))
    if strange := sorted(set(_types(schema)) - TRUSTED):
        named = ", ".join(sorted({name for name, _ in strange}))
        raise ConfigurationError(f"holds types that are not read: {named}", about=str(place))
    state: Record = skops.io.loads(data, trusted=[])
    return state


def _types(node: Any) -> Iterator[tuple[str, str]]:
    """Every type that a part of the file asks for, and by what it would be made; all parts of an array's own form."""
    if isinstance(node, Mapping):
        if "__loader__" in node:
            loader = (
                str(node["__loader__"]) if node.get("type", "numpy") == "numpy" else f"{node['__loader__']} of json"
            )
            yield f"{node.get('__module__')}.{node.get('__class__')}", loader
        for part in node.values():
            yield from _types(part)
    elif isinstance(node, list):
        for part in node:
            yield from _types(part)


def _hold_form(claims: Mapping[str, Any], place: Path) -> None:
    if (form := claims.get("form", 1)) != FORM:
        raise ConfigurationError(
            f"is of form {form}, and form {FORM} is read: it says not how its terms were cut",
            about=str(place),
            action="Train it again: nightledger train",
        )


def _hold_against(local: Local, claims: Mapping[str, Any], about: Mapping[str, Any], place: Path) -> None:
    for name, said in claims.items():
        if about.get(name) != said:
            raise ConfigurationError(f"`{name}` differs from that in the file beside it", about=str(place))
    declared: Record = {
        "model": local.model,
        "reads": list(local.reads),
        "fills": list(local.fills),
        "certain": local.certain,
        "strange": local.strange,
        "out_of_scope": local.out_of_scope,
    }
    if other := sorted(name for name, value in declared.items() if claims[name] != value):
        named = ", ".join(f"`{name}` {claims[name]!r}, declared is {declared[name]!r}" for name in other)
        raise ConfigurationError(
            f"was fitted for {named}", about=str(place), action="Train again and pin the new model"
        )


def _put(place: Path, data: bytes) -> None:
    draft = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        draft.write_bytes(data)
        draft.replace(place)
    finally:
        draft.unlink(missing_ok=True)
