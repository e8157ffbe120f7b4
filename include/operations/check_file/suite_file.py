"""The rules of a file: a Python module with its expectations, proven to be such before a file is read."""

from __future__ import annotations

import difflib
import hashlib
import importlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from include.errors import ConfigurationError
from include.models import Kind
from include.quality.expectation import SQL, Expectation
from include.systems.files.formats.dates import Dates
from include.systems.files.formats.notation import Amounts, Notation
from include.systems.files.formats.reading import ABSENT, hold_widths

_KINDS: tuple[str, ...] = get_args(Kind)
_SEVERITIES, _ROWS = ("critical", "warning", "info"), ("quarantine", "keep")
_OF_TEXTS = ("Regex", "LikePattern", "Length", "Strftime", "Json")  # in names of types that judge how a text is written
_OF_ANY = ("ToBeNull", "ToNotBeNull", "ToBeUnique", "ToExist", "ProportionOf", "UniqueValueCount")


@dataclass(frozen=True, slots=True)
class FileSuite:
    """What a file is held against, and what is said of how it is to be read.

    `declared` are the types of columns, or how they are written, `trim` those whose texts lose the blanks around them
    (True: all), `absent` the words that stand for no value, `widths` those of the fields, `personal` the columns whose
    values are shown to nobody. `name` is what it was asked for by, `sha256` its module's file as it was read.
    """

    expectations: Sequence[Expectation]
    declared: Mapping[str, Kind | Notation] = field(default_factory=dict)
    trim: bool | Collection[str] = False
    absent: Collection[str] = ABSENT
    personal: Collection[str] = ()
    name: str = ""
    sha256: str = ""
    widths: tuple[int | None, ...] = ()

    @property
    def columns(self) -> frozenset[str]:
        """Every column that an expectation needs."""
        return frozenset(name for one in self.expectations for name in one.columns)

    @property
    def measured(self) -> frozenset[str]:
        """Columns that some expectation needs as numbers or times."""
        return self._needed_as("value")

    @property
    def texts(self) -> frozenset[str]:
        """Columns that are judged by how they are written, and by nothing else."""
        return self._needed_as("text") - self._needed_as("value") - self._needed_as("derived")

    def _needed_as(self, what: str) -> frozenset[str]:
        return frozenset(name for one in self.expectations if _need(one) == what for name in one.columns)


def _need(one: Expectation) -> str:
    """What an expectation takes the values of its columns for."""
    if one.derive is not None or one.type == SQL:
        return "derived"
    if any(word in one.type for word in _OF_TEXTS):
        return "text"
    if "Set" in one.type:
        values = list(one.arguments.get("value_set") or ())
        return "text" if values and all(isinstance(value, str) for value in values) else "value"
    return "any" if one.type.startswith("ExpectTable") or any(word in one.type for word in _OF_ANY) else "value"


def load_suite(name: str) -> FileSuite:
    """The suite of a module, given by its dotted name or as a Python file.

    It has `EXPECTATIONS`, and may have `COLUMNS` (column name to type, where the types that the values show are not the
    right ones, or how values are written), `TRIM` (True, or names of columns), `ABSENT` (words), `PERSONAL` (names of
    columns) and `WIDTHS` (characters of each field). Raises ConfigurationError for a module that cannot be imported,
    has no such list, or says something in it that does not exist.
    """
    module = _import(name)
    suite = getattr(module, "EXPECTATIONS", None)
    if not isinstance(suite, Sequence) or not all(isinstance(one, Expectation) for one in suite):
        raise ConfigurationError("has no list EXPECTATIONS of `Expectation`", about=name)
    for one in suite:
        if wrong := _wrong_with(one):
            raise ConfigurationError(f"expectation {one.id!r}: {wrong}", about=name)
    columns = getattr(module, "COLUMNS", {})
    if not isinstance(columns, Mapping):
        raise ConfigurationError("COLUMNS is no mapping of column names to types", about=name)
    for column, kind in columns.items():
        wrong = None if isinstance(kind, (Amounts, Dates)) else _no_choice("type", kind, _KINDS)
        if wrong:
            raise ConfigurationError(f"COLUMNS, {column!r}: {wrong}, dates(), amounts() and percents()", about=name)
    trim, absent = getattr(module, "TRIM", False), getattr(module, "ABSENT", ABSENT)
    if not isinstance(trim, bool) and not _are_words(trim):
        raise ConfigurationError("TRIM is neither True nor a list of column names", about=name)
    if not _are_words(absent):
        raise ConfigurationError("ABSENT is no list of words", about=name)
    personal = getattr(module, "PERSONAL", ())
    if not _are_words(personal):
        raise ConfigurationError("PERSONAL is no list of column names", about=name)
    try:
        widths = hold_widths(getattr(module, "WIDTHS", ()))
    except ConfigurationError as error:
        raise ConfigurationError(f"WIDTHS: {error}", about=name) from error
    return FileSuite(suite, dict(columns), trim, tuple(absent), tuple(personal), name, _sha256_of(module), widths)


def _sha256_of(module: ModuleType) -> str:
    """Of the module's source; empty where it has none."""
    try:
        return hashlib.sha256(Path(module.__file__ or "").read_bytes()).hexdigest()
    except OSError:
        return ""


def _are_words(given: Any) -> bool:
    return (
        isinstance(given, Collection) and not isinstance(given, (str, bytes)) and all(isinstance(w, str) for w in given)
    )


def _wrong_with(one: Expectation) -> str | None:
    """The first thing in an expectation that cannot be, in words."""
    if isinstance(one.type, type):
        return f'`type` is a class, the name of one is needed: "{one.type.__name__}"'
    if not isinstance(one.type, str):
        return f"`type` is no name of a class but {one.type!r}"
    if not _are_words(one.columns):
        return f"`columns` is no tuple of names: {one.columns!r}"
    if not isinstance(one.arguments, Mapping):
        return f"`arguments` is no mapping: {one.arguments!r}"
    share: Any = one.at_least
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
        return f"`at_least` is no share from 0 to 1: {share!r}"
    return _no_choice("severity", one.severity, _SEVERITIES) or _no_choice("rows", one.rows, _ROWS)


def _no_choice(what: str, given: Any, known: Sequence[str]) -> str | None:
    if given in known:
        return None
    shown = given.__name__ if isinstance(given, type) else given
    near = difflib.get_close_matches(str(shown).lower(), known, 1)
    return f"{what} {shown!r} is none of {', '.join(known)}" + (f"; {near[0]}?" if near else "")


def _import(name: str) -> ModuleType:
    try:
        if not name.endswith(".py"):
            return importlib.import_module(name)
        module = ModuleType(f"expectations_of_{Path(name).stem}")
        module.__file__ = name
        # As it is now: what an import keeps compiled is told by second and size, and a rule changes within both.
        exec(compile(Path(name).read_bytes(), name, "exec"), module.__dict__)  # noqa: S102 - the user's own file
        return module
    except Exception as error:
        raise ConfigurationError(f"cannot be imported ({type(error).__name__}: {error})", about=name) from error
