"""Wrong cells put into a right table, seeded: which cell, and what kind of wrong it is."""

from __future__ import annotations

import csv
import random
import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

KINDS = ("missing", "typo", "swapped", "dependency", "format", "range", "duplicate")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(.*)")
Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Wrong:
    """A row, counted from 0, a column, and the kind of error."""

    row: int
    column: str
    kind: str


def spoil(
    rows: Rows,
    seed: int,
    *,
    share: float = 0.01,
    key: str | None = None,
    depends: Mapping[str, str] | None = None,
    leave: Sequence[str] = (),
    kinds: Sequence[str] = KINDS,
) -> list[Wrong]:
    """Change `share` of the rows for every kind, two cells each, and say which; no cell is changed twice.

    `depends` is column to the one that it depends on; columns in `leave` stay as they are.
    """
    chance = random.Random(seed)
    names = [name for name in rows[0] if name not in leave]
    made = dict[tuple[int, str], str]()
    for kind in kinds:
        apply = _MAKE[kind](rows, names, chance, key, depends or {})
        wanted, tries = max(1, int(len(rows) * share * 2)), 0
        found = 0
        while found < wanted and tries < 50 * wanted:
            tries += 1
            at = chance.randrange(len(rows))
            changed = apply(at)
            if changed and not any((at, name) in made for name in changed):
                rows[at].update(changed)
                made.update({(at, name): kind for name in changed})
                found += 1
    return [Wrong(at, name, kind) for (at, name), kind in made.items()]


Apply = Callable[[int], dict[str, str] | None]


def _missing(rows: Rows, names: Sequence[str], chance: random.Random, *_: object) -> Apply:
    def apply(at: int) -> dict[str, str] | None:
        name = chance.choice(list(names))
        return {name: ""} if rows[at][name] not in ("", "NULL") else None

    return apply


def _typo(rows: Rows, names: Sequence[str], chance: random.Random, *_: object) -> Apply:
    def apply(at: int) -> dict[str, str] | None:
        name = chance.choice(list(names))
        text = rows[at][name]
        letters = [place for place, one in enumerate(text) if one.isalpha()]
        if len(letters) < 4 or text == "NULL":
            return None
        place, how = chance.choice(letters), chance.randrange(4)
        other = chance.choice(string.ascii_lowercase)
        new = text[:place] + ["", other, text[place] + other, ""][how] + text[place + 1 :]
        if how == 3 and place + 1 < len(text):
            new = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
        return {name: new} if new.strip() != text.strip() else None

    return apply


def _swapped(rows: Rows, names: Sequence[str], chance: random.Random, *_: object) -> Apply:
    def apply(at: int) -> dict[str, str] | None:
        one, two = chance.sample(list(names), 2)
        a, b = rows[at][one], rows[at][two]
        return {one: b, two: a} if a != b and a and b and "NULL" not in (a, b) else None

    return apply


def _dependency(
    rows: Rows, names: Sequence[str], chance: random.Random, _: object, depends: Mapping[str, str]
) -> Apply:
    def apply(at: int) -> dict[str, str] | None:
        if not depends:
            return None
        name = chance.choice(list(depends))
        new = rows[chance.randrange(len(rows))][name]
        return {name: new} if new and new != "NULL" and rows[at][name] not in (new, "", "NULL") else None

    return apply


def _format(rows: Rows, names: Sequence[str], chance: random.Random, *_: object) -> Apply:
    def apply(at: int) -> dict[str, str] | None:
        name = chance.choice(list(names))
        text = rows[at][name]
        if date := _DATE.fullmatch(text):
            year, month, day, rest = date.groups()
            return {name: chance.choice([f"{day}.{month}.{year}{rest}", f"{month}/{day}/{year[2:]}{rest}"])}
        if _NUMBER.fullmatch(text):
            return {name: chance.choice([f"{text} kg", f"EUR {text}", f"~{text}", text + "O"])}
        coded = text.isascii() and any(map(str.isdigit, text)) and len(text) <= 40 and " " not in text
        if not coded:
            return None
        new = chance.choice([text.swapcase(), text[: len(text) // 2] + " " + text[len(text) // 2 :], "#" + text])
        return {name: new} if new != text else None

    return apply


def _range(rows: Rows, names: Sequence[str], chance: random.Random, *_: object) -> Apply:
    numeric = [
        name for name in names if sum(bool(_NUMBER.fullmatch(row[name])) for row in rows[:500]) >= 0.9 * len(rows[:500])
    ]

    def apply(at: int) -> dict[str, str] | None:
        if not numeric:
            return None
        name = chance.choice(numeric)
        text = rows[at][name]
        if not _NUMBER.fullmatch(text) or not float(text):
            return None
        return {
            name: chance.choice([text.lstrip("-") + "000" if "." not in text else f"{float(text) * 1000}", f"-{text}"])
            if not text.startswith("-")
            else f"{text}000"
        }

    return apply


def _duplicate(rows: Rows, names: Sequence[str], chance: random.Random, key: str | None, *_: object) -> Apply:
    def apply(at: int) -> dict[str, str] | None:
        new = rows[chance.randrange(len(rows))][key] if key else ""
        return {key: new} if key and new != rows[at][key] and new else None

    return apply


_MAKE: Mapping[str, Callable[..., Apply]] = {
    "missing": _missing,
    "typo": _typo,
    "swapped": _swapped,
    "dependency": _dependency,
    "format": _format,
    "range": _range,
    "duplicate": _duplicate,
}


def write(place: Path, rows: Rows) -> None:
    """The rows as a CSV; row 0 stands in line 2 where no value has a line break."""
    with place.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
