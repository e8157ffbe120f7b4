"""The records of a delimited file by the csv module alone, which forgives what we tell."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import islice

from include.systems.files.formats.layout import FileLayout


def plain_records(text: str, layout: FileLayout) -> Iterator[list[str]]:
    """The records after the header that hold anything."""
    how = layout.dialect
    csv.field_size_limit(10**9)
    reader = csv.reader(
        islice(io.StringIO(text, newline=""), layout.line - 1, None),
        delimiter=how.delimiter,
        quotechar=how.quote,
        escapechar=how.escape,
        doublequote=how.escape is None,
        skipinitialspace=how.blanks,
    )
    return (record for record in reader if any(field.strip() for field in record))
