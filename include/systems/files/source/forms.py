"""How files that a use case reads are written, as it declares them, and their rows as texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from include.models import Record
from include.systems.files.source.unpacking import Member

if TYPE_CHECKING:
    from include.systems.files.formats.reading import Tell
    from include.systems.files.source.staging import Staged


class Form(Protocol):
    """A way to write rows into a file."""

    def stage(self, member: Member, folder: Path, columns: Sequence[str], tell: Tell) -> Staged:
        """Read a file into the local folder; `tell` hears of records and values that cannot be read.

        Raises ContractBroken for a file that is damaged or none of this form.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Csv:
    """Delimited text; what is not declared is found out from the file, as `Reading` says."""

    delimiter: str | None = None
    encoding: str | None = None
    skip: int | None = None
    header: int | None = None
    names: tuple[str, ...] = ()

    def stage(self, member: Member, folder: Path, columns: Sequence[str], tell: Tell) -> Staged:
        """As `Form`."""
        given = {name: getattr(self, name) for name in ("delimiter", "encoding", "skip", "header", "names")}
        return _table(member, folder, columns, tell, given)


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLines:
    """One JSON object a line, in UTF-8; what is nested comes as JSON."""

    def stage(self, member: Member, folder: Path, columns: Sequence[str], tell: Tell) -> Staged:
        """As `Form`."""
        return _table(member, folder, columns, tell, {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Xlsx:
    """A sheet of a workbook (XLSX, XLS, ODS), the first unless it is named; values, not formulas."""

    sheet: str | None = None
    skip: int | None = None
    header: int | None = None
    names: tuple[str, ...] = ()

    def stage(self, member: Member, folder: Path, columns: Sequence[str], tell: Tell) -> Staged:
        """As `Form`."""
        given = {name: getattr(self, name) for name in ("sheet", "skip", "header", "names")}
        return _table(member, folder, columns, tell, given)


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedWidth:
    """Lines of fields of so many characters each; None as the last width is the rest of the line."""

    widths: tuple[int | None, ...]
    names: tuple[str, ...] = ()
    encoding: str | None = None
    skip: int | None = None

    def stage(self, member: Member, folder: Path, columns: Sequence[str], tell: Tell) -> Staged:
        """As `Form`."""
        given = {name: getattr(self, name) for name in ("widths", "encoding", "skip", "names")}
        return _table(member, folder, columns, tell, given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Xml:
    """Elements at the path `row`; columns are paths within it, as `customer/name`, `@id` or `.` for its own text."""

    row: str
    optional: tuple[str, ...] = field(default=())

    def stage(self, member: Member, folder: Path, columns: Sequence[str], tell: Tell) -> Staged:
        """As `Form`; a column that no record has is missing, unless it is `optional`."""
        from include.systems.files.source.staging import stage_elements

        return stage_elements(member, folder, self.row, self.optional)


def _table(member: Member, folder: Path, columns: Sequence[str], tell: Tell, given: Record) -> Staged:
    """Loads what reads a file only now: declarations are read wherever a use case is."""
    from include.systems.files.source.staging import stage_table

    return stage_table(member, folder, columns, tell, given)
