"""Many rows that are one question: a series of weeks, the lines of an account."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import quote

from include.canonical import canonical
from include.errors import ConfigurationError
from include.models import Kind, Record
from include.spec.reshape import ROW, require, set_aside
from include.spec.transforms import Applied, added

SHORT = 2
"""Members; a group with no more is counted as `short`, and goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One row for all rows that are equal in the columns `by`; their columns `take` become JSON text in column `into`.

    Members stand in the order of column `order`, the earliest first, and of their row ids where that is equal. `reach`
    is how far before the interval's end members may lie; of more than `most` the newest stay. `<into>_count` is how
    many are in the text and `<into>_left_out` how many are not, for either reason. A group that has none left is no
    row; it is counted as `out_of_reach`. A row without a value in `by` or `order` is set aside.

    The row's id is `<prefix>/<values of by>`, where `prefix` is the system and object of the members if none is named.
    Its lineage holds the first and last member, their number, and a hash over the ids of all. A personal column that is
    taken makes `into` personal too.

    Memory: the rows of the night and the texts; about 0.8 kB a row of seven values, and 60 bytes a member of two.
    """

    whole: ClassVar[bool] = True

    by: tuple[str, ...]
    into: str
    take: tuple[str, ...]
    order: str
    most: int = 1_000
    reach: timedelta | None = None
    prefix: str = ""

    @property
    def made_of(self) -> Mapping[str, Sequence[str]]:
        """The text, of the columns that are taken; the counts, of none."""
        return {self.into: self.take}

    def columns(self, given: Mapping[str, Kind]) -> Mapping[str, Kind]:
        """The columns `by`, the text, and the two counts; all others are gone."""
        if not self.by or not self.take or self.most < 1:
            problem = "a group needs columns `by` and `take`, and `most` of at least 1"
            raise ConfigurationError(problem, about=f"column {self.into}", action="Correct the use case's spec")
        for name in self.take:
            require(given, name, of=self.into)
        sorts: tuple[Kind, ...] = ("date", "datetime") if self.reach else ()
        require(given, self.order, *sorts, of=self.into)
        after: Mapping[str, Kind] = {name: kind for name, kind in given.items() if name in ROW}
        for name in self.by:
            after = added(after, name, require(given, name, of=self.into))
        after = added(after, self.into, "text")
        for count in (self._count, self._left_out):
            after = added(after, count, "integer")
        return after

    @property
    def _count(self) -> str:
        return f"{self.into}_count"

    @property
    def _left_out(self) -> str:
        return f"{self.into}_left_out"

    def apply(self, rows: list[Record], end: datetime) -> Applied:
        """A row for each group, in the order in which their first members came."""
        applied, groups = Applied(), defaultdict[tuple[Any, ...], list[Record]](list)
        for row in rows:
            missing = [name for name in (*self.by, self.order) if row[name] is None]
            if missing:
                applied.rejected.append(set_aside(row, *(f"{name}: missing, so it has no group" for name in missing)))
            else:
                groups[tuple(row[name] for name in self.by)].append(row)
        prefix = self.prefix or _prefix(rows)
        for key, members in groups.items():
            members.sort(key=lambda row: (row[self.order], row["row_id"]))
            kept = [row for row in members if self._is_near(row[self.order], end)][-self.most :]
            if kept:
                applied.append(self._row(prefix, key, kept, len(members) - len(kept)))
        applied.counts = {
            "groups": len(applied),
            "members": sum(row[self._count] for row in applied),
            "left_out": sum(len(members) for members in groups.values()) - sum(row[self._count] for row in applied),
            "short": sum(row[self._count] <= SHORT for row in applied),
            "out_of_reach": len(groups) - len(applied),
        }
        return applied

    def _is_near(self, moment: Any, end: datetime) -> bool:
        if self.reach is None:
            return True
        first = end - self.reach
        return bool(moment >= (first if isinstance(moment, datetime) else first.date()))

    def _row(self, prefix: str, key: Sequence[Any], kept: Sequence[Record], left_out: int) -> Record:
        return {
            "row_id": f"{prefix}/{','.join(quote(_word(value), safe='') for value in key)}",
            "row_key": " / ".join(_word(value) for value in key),
            "lineage": _lineage(kept),
            **dict(zip(self.by, key, strict=True)),
            self.into: canonical([{name: row[name] for name in self.take} for row in kept]),
            self._count: len(kept),
            self._left_out: left_out,
        }


def _word(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value).strip('"')


def _lineage(kept: Sequence[Record]) -> Record:
    """Where the members were found, in a length that does not grow with their number."""
    first, last = kept[0], kept[-1]
    ids = hashlib.sha256("\n".join(row["row_id"] for row in kept).encode())
    system, place = next(iter(first["lineage"].items()), ("", ""))
    lineage = {
        system: place,
        "retrieved_at": max(row["lineage"].get("retrieved_at", "") for row in kept),
        "members": str(len(kept)),
        "first": first["row_id"],
        "last": last["row_id"],
        "members_sha256": ids.hexdigest(),
    }
    return {name: text for name, text in lineage.items() if text}


def _prefix(rows: Sequence[Record]) -> str:
    """System and object of the rows; raises ConfigurationError where they differ, as ids must not change by night."""
    found = {"/".join(row["row_id"].split("/")[:2]) for row in rows}
    if len(found) > 1:
        problem = f"rows of {', '.join(sorted(found)[:3])} are grouped, so the group needs a `prefix` for its ids"
        raise ConfigurationError(problem, about="transform Group", action="Correct the use case's spec")
    return next(iter(found), "")
