"""Documents as a use case declares them: a folder, which files of it, and what one of them may cost."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from include.errors import ConfigurationError
from include.models import Column
from include.systems.documents.pdf import PdfLimits
from include.systems.documents.place import Where
from include.systems.port import Origin, Reader, Surroundings

COLUMNS = (
    Column("name", "name"),
    Column("text", "text"),
    Column("pages", "pages", "integer"),
    Column("bytes", "bytes", "integer"),
    Column("sha256", "sha256"),
    Column("media_type", "media_type"),
    Column("problem", "problem"),
    Column("uri", "uri"),
    Column("arrived", "arrived", "datetime"),
    Column("form", "form"),
    Column("xml", "xml"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """One row for each file of a folder that arrived in the interval, by the time that its server has of it.

    `pattern` is filled by strftime with the interval's start, then matched as a shell does, braces too:
    `*.{pdf,PDF,xml}`. `key` is a regular expression of the file's name whose first group names the row to people; a
    file that it does not match is set aside. Read are PDFs, XML, HTML and plain text, each told by its content.

    Columns: `name`; `text`, of PDFs with a form feed between pages, of XML a line an element; `pages`; `bytes`;
    `sha256`; `media_type`; `problem` (`no_text`: a scan or picture; `pages_unread`: some could not be opened); `uri`
    and `arrived` of the file; `form` and `xml` of an e-invoice that the file is or embeds. The file itself is never in
    a row: its `uri` and `sha256` refer to it.

    A file beyond `most_bytes` or the limits of PDFs, an encrypted or a broken one is set aside by its name.
    """

    system: str
    folder: str
    pattern: str
    where: Where = "sftp"
    key_of: str = "(.+)"
    most_bytes: int = 40_000_000
    pdfs: PdfLimits = field(default_factory=PdfLimits)

    @property
    def object(self) -> str:
        """The folder, in one word of a row id."""
        return self.folder.strip("/").replace("/", ".") or "."

    @property
    def key(self) -> Column:
        """The file's name."""
        return COLUMNS[0]

    @property
    def declared(self) -> Sequence[Column]:
        """The columns that every document has."""
        return COLUMNS

    @property
    def changed(self) -> Column | None:
        """The time that the file's server has of it."""
        return next(column for column in COLUMNS if column.name == "arrived")

    @property
    def origins(self) -> Mapping[str, Origin]:
        """Every column comes from the folder."""
        return {column.name: Origin(self.system, self.object, column.source_name) for column in COLUMNS}

    @property
    def refers(self) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def open(self, here: Surroundings) -> Reader:
        """The reader; raises ConfigurationError for a `key_of` that is no pattern with a group."""
        from include.systems.documents.reading import DocumentReader

        try:
            groups = re.compile(self.key_of).groups
        except re.error as error:
            raise self._wrong(f"`key_of` is no regular expression ({error})") from error
        if not groups:
            raise self._wrong("`key_of` has no group, which would be the row's key")
        return DocumentReader(self, here)

    def _wrong(self, problem: str) -> ConfigurationError:
        return ConfigurationError(problem, system=self.system, about=self.folder, action="Correct the use case's spec")
