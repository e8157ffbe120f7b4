"""A function that answers rows exactly, as a use case declares it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.errors import ConfigurationError
from include.models import Record

if TYPE_CHECKING:
    from include.systems.port import Decider

Answer = Callable[[Mapping[str, Any]], "Record | None"]
_ACTION = "Declare a function of a module of the use case"


class Left(ValueError):
    """Raised by a function for a row that it leaves; its words are a count's name, so they quote no value."""


@dataclass(frozen=True, slots=True)
class Exact:
    """A function that answers a row as a whole and exactly, or leaves it to somebody else.

    `function` is given the columns `reads` and nothing else, and must make the same answer of the same values. It
    leaves a row by returning None, or by raising `Left` with the reason in a word or a few. An answer that does not
    fit the use case's output is left as `unfit`, a row for which it raises anything else as `failed`.

    On record is its name, `version`, and a hash of its source: of its module, the output's, and every module of the
    same package that they import. So an answer is not used again once the code that made it has changed. `version`
    stands for whatever else decides, such as another package: raise it when that changes what is answered.
    """

    function: Answer
    version: str
    reads: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse what has no source of its own, reads nothing, or has no version."""
        name = getattr(self.function, "__qualname__", "")
        if not name.isidentifier() or not getattr(self.function, "__module__", ""):
            raise ConfigurationError(
                "is no function of a module", about=name or repr(type(self.function)), action=_ACTION
            )
        if not self.reads or not self.version:
            raise ConfigurationError("needs columns to read and a version", about=name, action=_ACTION)

    def open(self, folder: Path, output: Any) -> Decider:
        """The function with answers of class `output`; raises ConfigurationError where its source is not to be had."""
        from include.systems.exact.answering import Answering
        from include.systems.exact.source import source_hash

        found = source_hash((self.function.__module__, output.__module__))
        return Answering(self, f"{self.function.__name__} {self.version} {found[:12]}", output)
