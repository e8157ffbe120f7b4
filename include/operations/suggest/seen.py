"""What a file shows of itself: its columns in memory, and the rules that they suggest with the evidence for each."""

from __future__ import annotations

import itertools
import math
import re
import tempfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from include.errors import ConfigurationError
from include.models import Kind, Manifest
from include.operations.suggest.writings import rewritten
from include.quality.forms import form_of
from include.staging import IDENTITY, read_chunks, read_schema
from include.systems.files.formats.reading import Reading
from include.systems.files.formats.stage import stage_file
from include.systems.files.formats.values import read_value

if TYPE_CHECKING:
    import numpy as np

MOST_ROWS = 200_000
"""Rows that are looked at, from every part of the file; the written file says so."""
MOST_COLUMNS = 40
"""Columns that are compared with one another, the first ones; the written file says so."""
MOST_TEXTS = 20_000
_CHUNK = 8_192
_MOSTLY, _NEARLY = 0.9, 0.985
_TRIED: tuple[Kind, ...] = ("integer", "number", "date", "datetime")
_LETTERED = re.compile("A+-?999+|999+-?A+")
_TRIED_VALUES = 20_000
_SHOWN = 3
_WIDTH = 80
Severity = Literal["critical", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One line of a rules file: the call, what speaks for it, and whether that is enough for it to count."""

    about: str
    code: str
    evidence: str
    strong: bool = True


@dataclass
class Column:
    """One column as it was read; `kind` is its type, `declared` whether a few values are of another."""

    name: str
    kind: str
    values: pa.Array = field(repr=False)
    declared: bool = False

    @property
    def rows(self) -> int:
        """All of them."""
        return len(self.values)

    @property
    def filled(self) -> int:
        """Rows that have a value."""
        return len(self.values) - int(self.values.null_count)

    @cached_property
    def codes(self) -> np.ndarray:
        """A number per row, equal where values are; -1 where there is none."""
        encoded = self.values.dictionary_encode()
        found: np.ndarray = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype("int64")
        return found

    @cached_property
    def counts(self) -> Mapping[Any, int]:
        """How often each value occurs, the most frequent first."""
        found = pc.value_counts(self.values.drop_null())
        pairs = zip(found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True)
        return dict(sorted(pairs, key=lambda pair: -pair[1]))

    @cached_property
    def some(self) -> Mapping[str, int]:
        """Texts and how often each occurs, of very many some; the most frequent and the rarest are among them."""
        step = len(self.counts) // MOST_TEXTS + 1
        return {str(value): count for value, count in itertools.islice(self.counts.items(), None, None, step)}

    @cached_property
    def rewritten(self) -> frozenset[str]:
        """Of `some`, those that say what others say and are written in another way than is usual."""
        return rewritten(self.some) if self.is_text else frozenset()

    def holding(self, values: Collection[Any]) -> np.ndarray:
        """The rows that have one of these values."""
        found: np.ndarray = pc.is_in(self.values, value_set=pa.array(list(values), self.values.type)).to_numpy(
            zero_copy_only=False
        )
        return found

    @property
    def is_text(self) -> bool:
        """Whether it was read as text."""
        return bool(pa.types.is_string(self.values.type) or pa.types.is_large_string(self.values.type))

    @property
    def is_time(self) -> bool:
        """Whether it was read as dates or times."""
        return bool(pa.types.is_date(self.values.type) or pa.types.is_timestamp(self.values.type))

    @property
    def is_number(self) -> bool:
        """Whether it was read as numbers."""
        return bool(pa.types.is_integer(self.values.type) or pa.types.is_floating(self.values.type))

    @cached_property
    def numbers(self) -> np.ndarray:
        """Numbers as they are and times as microseconds, NaN where there is none."""
        values = self.values
        if self.is_time:
            zone = getattr(values.type, "tz", None)
            values = pc.cast(pc.cast(values, pa.timestamp("us", tz=zone), safe=False), pa.int64())
        found: np.ndarray = pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return found


@dataclass(frozen=True)
class Seen:
    """A file's columns, where each row stands in it, and what could not be read as what most of its column is.

    Rows of a file stand in a `line`, those of a night have a `row_id`; then types are the use case's own.
    """

    source: str
    columns: Sequence[Column]
    places: pa.Array = field(repr=False)
    rows: int
    unread: Mapping[str, Sequence[str]] = field(default_factory=dict)
    unreadable: int = 0
    place: Literal["line", "row_id"] = "line"

    def lines(self, which: np.ndarray) -> str:
        """The first few rows that are marked: `line 17, 230`."""
        import numpy as np

        at = np.flatnonzero(which)[:_SHOWN]
        return f"{self.place} " + ", ".join(str(self.places[int(one)].as_py()) for one in at)

    def looked_at(self, lines: Sequence[str]) -> int:
        """How many of these lines are among the rows that were looked at."""
        known = pa.array([int(line) for line in lines if line.isdigit()], pa.int64())
        return int(pc.sum(pc.is_in(known, value_set=self.places)).as_py() or 0) if len(known) else 0


def written(value: Any) -> str:
    """A text, number, flag or list of them as it stands in Python, texts in double quotes where they can."""
    if isinstance(value, list):
        parts, width = list[str](), 0
        for one in map(written, value):
            width = len(one) if width + len(one) > _WIDTH else width + len(one) + 2
            parts.append(("\n    " if parts and width == len(one) else " " if parts else "") + one)
        return f"[{','.join(parts)}]"
    plain = isinstance(value, str) and not set(value) & {'"', "\\"} and value.isprintable()
    return f'"{value}"' if plain else repr(value)


def look(source: Path, reading: Reading | None = None) -> Seen:
    """Read a file for its first rules: a column in which nine of ten values are numbers or times is read as these.

    `reading` says what is known of the file's form. Raises what `stage_file` raises, and ConfigurationError for a file
    without rows.
    """
    given = replace(reading or Reading(), measured=())
    told: dict[str, list[str]] = {}
    records = list[str]()

    def tell(place: str, column: str, problem: str) -> None:
        (told.setdefault(column, []) if column else records).append(place.rpartition(":")[2])

    with tempfile.TemporaryDirectory(prefix="nightledger-") as folder:
        staged = stage_file(source, _made(folder, "first"), reading=given, tell=tell)
        if not staged.rows.rows:
            raise ConfigurationError("has no rows to learn rules from", about=str(source))
        names = read_schema(staged.rows).names
        table = _spread(staged.rows, names)
        texts = [name for name in names if staged.types[name] == "text"]
        declared = {name: kind for name in texts if (kind := _mostly(table[name].combine_chunks()))}
        if declared:
            told.clear()
            records.clear()
            staged = stage_file(source, _made(folder, "again"), reading=replace(given, kinds=declared), tell=tell)
            table = _spread(staged.rows, names)
        places = _spread(staged.places, ["line"])
    columns = [
        Column(name, str(staged.types[name]), table[name].combine_chunks(), declared=name in declared) for name in names
    ]
    lines = places["line"].combine_chunks()
    return Seen(source.name, columns, lines, staged.rows.rows, told, max(staged.unreadable, len(records)))


def look_at_staged(raw: Manifest, source: str) -> Seen:
    """A night's rows for first rules. Raises ContractBroken where they are gone or were changed, ConfigurationError
    where there are none.
    """
    if not raw.rows:
        raise ConfigurationError("has no rows to learn rules from", about=source)
    names = [name for name in read_schema(raw).names if name not in IDENTITY]
    table, places = _spread(raw, names), _spread(raw, ["row_id"])
    columns = [Column(name, str(table[name].type), table[name].combine_chunks()) for name in names]
    return Seen(source, columns, places["row_id"].combine_chunks(), raw.rows, place="row_id")


def _made(folder: str, name: str) -> UPath:
    place = UPath(folder) / name
    place.mkdir()
    return place


def _spread(rows: Manifest, names: Sequence[str]) -> pa.Table:
    """All rows, or of every chunk the first ones, so that they are `MOST_ROWS` in all."""
    share = min(1.0, MOST_ROWS / rows.rows)
    batches = [
        batch.take(pa.array(range(math.ceil(batch.num_rows * share)))) if share < 1 else batch
        for batch in read_chunks(rows, rows=_CHUNK, columns=names)
    ]
    return pa.Table.from_batches(batches).select(names)


def _mostly(values: pa.Array) -> Kind | None:
    """What nine of ten values of a text column are, if not all; numbers with zeros before them are texts."""
    counts = pc.value_counts(values.drop_null())
    counts = counts.take(pa.array(range(0, len(counts), len(counts) // _TRIED_VALUES + 1), pa.int64()))
    pairs = list(zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True))
    total = sum(count for _, count in pairs)
    if not total or sum(count for value, count in pairs if value[:1].isdigit() or value[:1] in "-+") < total / 2:
        return None
    zeros = sum(count for value, count in pairs if value[:1] == "0" and value[1:2].isdigit() and value.isdigit())
    tried = [kind for kind in _TRIED if kind in ("date", "datetime") or zeros < 0.005 * total]
    shares = {kind: sum(count for value, count in pairs if _fits(value, kind)) / total for kind in tried}
    best = max(shares.values(), default=0.0)
    kind = next((kind for kind, share in shares.items() if share >= max(_NEARLY * best, _MOSTLY)), None)
    if kind is None or _is_usual(Counter({value: count for value, count in pairs if not _fits(value, kind)})):
        return None
    return kind


def _is_usual(others: Counter[str]) -> bool:
    """Whether values that are no numbers mostly have one form of their own, as `C536379` among invoice numbers."""
    forms = Counter[str]()
    for value, count in others.items():
        forms[form_of(value)] += count
    if others.total() < 10:
        return False
    form, count = forms.most_common(1)[0]
    return count >= 0.4 * others.total() and _LETTERED.fullmatch(form) is not None


def _fits(text: str, kind: Kind) -> bool:
    if kind in ("date", "datetime") and (text.isdigit() or (kind == "date" and len(text) > 10)):
        return False
    try:
        return read_value(text, kind) is not None
    except ValueError:
        return False
