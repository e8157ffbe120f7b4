"""What declarations of folders have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from include.models import Column
from include.systems.documents.place import Where
from include.systems.port import Origin

ARRIVED = Column("arrived", "arrived", "datetime")


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSource:
    """Files of a folder that match `pattern`.

    The pattern is filled by strftime with the interval's start, then matched as a shell does, braces too:
    `*.{pdf,PDF,xml}`.
    """

    columns: ClassVar[tuple[Column, ...]]

    system: str
    folder: str
    pattern: str
    where: Where = "sftp"

    @property
    def object(self) -> str:
        """The folder, in one word of a row id."""
        return self.folder.strip("/").replace("/", ".") or "."

    @property
    def key(self) -> Column:
        """What a file or message is known by."""
        return self.columns[0]

    @property
    def declared(self) -> Sequence[Column]:
        """The columns, which are the same for every use case."""
        return self.columns

    @property
    def changed(self) -> Column | None:
        """The time of arrival."""
        return ARRIVED

    @property
    def origins(self) -> Mapping[str, Origin]:
        """Every column comes from the folder."""
        return {column.name: Origin(self.system, self.object, column.source_name) for column in self.columns}

    @property
    def refers(self) -> Mapping[str, str]:
        """Nothing."""
        return {}
