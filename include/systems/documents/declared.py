"""Documents as a use case declares them: a folder, which files of it, and what one of them may cost."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar

from include.errors import ConfigurationError
from include.models import Column
from include.systems.documents.pdf import PdfLimits
from include.systems.documents.source import ARRIVED, FolderSource
from include.systems.port import Reader, Surroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents(FolderSource):
    """One row for each file of a folder that arrived in the interval, by the time that its server has of it.

    `key_of` is a regular expression of the file's name whose first group names the row to people; a file that it does
    not match is set aside. Read are PDFs, XML, HTML and plain text, each told by its content.

    Columns: `name`; `text`, of PDFs with a form feed between pages, of XML a line an element; `pages`; `bytes`;
    `sha256`; `media_type`; `problem` (`no_text`: a scan or picture; `pages_unread`: some could not be opened); `uri`
    and `arrived` of the file; `form` and `xml` of an e-invoice that the file is or embeds. The file itself is never in
    a row: its `uri` and `sha256` refer to it.

    A file beyond `most_bytes` or the limits of PDFs, an encrypted or a broken one is set aside by its name.
    """

    columns: ClassVar[tuple[Column, ...]] = (
        Column("name", "name"),
        Column("text", "text"),
        Column("pages", "pages", "integer"),
        Column("bytes", "bytes", "integer"),
        Column("sha256", "sha256"),
        Column("media_type", "media_type"),
        Column("problem", "problem"),
        Column("uri", "uri"),
        ARRIVED,
        Column("form", "form"),
        Column("xml", "xml"),
    )

    key_of: str = "(.+)"
    most_bytes: int = 40_000_000
    pdfs: PdfLimits = field(default_factory=PdfLimits)

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
