"""What comes of staging a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from include.models import Manifest

PLACES = pa.schema([("line", pa.int64()), ("key", pa.string())])


@dataclass(frozen=True, slots=True)
class FileRows:
    """A file's rows as a staged dataset of its own columns and no other, and what was found out in reading it.

    `places` is a dataset of as many rows: the line of each, from 1 (in Parquet and sheets its row), and its key, null
    where it has none. `form` is what the file was read as, in words. `unreadable` counts records that are left out,
    `wrong` values, `empty` records without a value, `blank` lines with nothing in them, `replaced` characters that
    could not be decoded. `misread` are values that could not be read and how often each, by column and what is wrong.
    `mixed` are columns that are text because of a few values, with the first such place. `absent` says by column which
    words were taken for no value, and how often. `notes` are sentences on what was guessed, renamed or passed over.
    """

    rows: Manifest
    places: Manifest
    types: Mapping[str, str]
    unreadable: int = 0
    wrong: int = 0
    empty: int = 0
    mixed: Mapping[str, str] = field(default_factory=dict)
    absent: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    encoding: str | None = None
    replaced: int = 0
    notes: Sequence[str] = ()
    form: str = ""
    blank: int = 0
    misread: Mapping[tuple[str, str], Mapping[str, int]] = field(default_factory=dict)


def join_keys(columns: Sequence[pa.Array], rows: int) -> pa.StringArray:
    """The rows' keys: the values of the key's columns, null where one is missing or there is no key."""
    if not columns:
        return pa.nulls(rows, pa.string())
    return pc.binary_join_element_wise(*(pc.utf8_trim_whitespace(one.cast(pa.string())) for one in columns), "/")
