"""Records by their keys: ids, key predicates, and filters that ask for some keys or for those above one.

https://docs.oasis-open.org/odata/odata/v4.01/odata-v4.01-part2-url-conventions.html (4.3, 5.1.1)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from include.errors import ContractBroken
from include.models import Record
from include.systems.odata.values import IN_ORDER, canonical, literal, rank

MOST_CHARACTERS = 1_500
"""Of one encoded filter: servers that know no better refuse a query of 2,048 (IIS, `maxQueryString`)."""
_MOST_TERMS = 24
"""Comparisons of one filter. Microsoft's library refuses more than 100 nodes, and `x eq 1 or` are four (its setting
`MaxNodeCount`): https://learn.microsoft.com/odata/webapi-8/fundamentals/query-options"""


class Key(NamedTuple):
    """The key of one record as canonical texts, one for each key property."""

    values: tuple[str, ...]

    @property
    def id(self) -> str:
        """The text that names the record in row ids and in the ledger."""
        if len(self.values) == 1:
            return self.values[0]
        return ",".join(value.replace("%", "%25").replace(",", "%2C") for value in self.values)


@dataclass(frozen=True, slots=True)
class Keys:
    """The key properties of an entity set and their Edm types, in order."""

    types: Mapping[str, str]

    def of_row(self, item: Record) -> Key:
        """The key of a record that came; raises ValueError where a part of it is missing or of another type."""
        return Key(tuple(canonical(item.get(name), edm) for name, edm in self.types.items()))

    def of_id(self, text: str) -> Key | None:
        """The key behind an id; None for what can be no record's id here."""
        parts = [text] if len(self.types) == 1 else [unquote(part) for part in text.split(",")]
        try:
            values = tuple(canonical(part, edm) for part, edm in zip(parts, self.types.values(), strict=True))
        except ValueError:
            return None
        return Key(values)

    def of_numbered(self, text: str) -> Key | None:
        """The key behind `<id>/<number>`: that of the id and, as its last part, the number of an element."""
        head, _, number = text.rpartition("/")
        *most, (last, edm) = self.types.items()
        above, own = Keys(dict(most)).of_id(head), Keys({last: edm}).of_id(number)
        return Key(above.values + own.values) if above and own else None

    def predicate(self, key: Key) -> str:
        """The key in a path, encoded: `('it''s')`, or `(Plant='DE01',Week=2026-11-16)`."""
        written = self._literals(key)
        if len(written) == 1:
            return f"({encoded(next(iter(written.values())))})"
        return "(" + ",".join(f"{name}={encoded(text)}" for name, text in written.items()) + ")"

    def is_one_of(self, keys: Sequence[Key]) -> str:
        """A filter for the records of these keys."""
        single = len(self.types) == 1
        alike = [" and ".join(f"{n} eq {text}" for n, text in self._literals(key).items()) for key in keys]
        return " or ".join(alike if single else [f"({one})" for one in alike])

    def above(self, key: Key) -> str:
        """A filter for the records that come after this key when they are sorted by it."""
        literals, parts = list(self._literals(key).items()), []
        for at, (name, text) in enumerate(literals):
            same = [f"{before} eq {value}" for before, value in literals[:at]]
            parts.append(" and ".join([*same, f"{name} gt {text}"]))
        return parts[0] if len(parts) == 1 else " or ".join(f"({part})" for part in parts)

    def batches(self, keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
        """The keys in groups whose filters any server takes."""
        batch: list[Key] = []
        for key in keys:
            more = [*batch, key]
            fits = len(more) * len(self.types) <= _MOST_TERMS and len(encoded(self.is_one_of(more))) <= MOST_CHARACTERS
            if batch and not fits:
                yield batch
                more = [key]
            batch = more
        if batch:
            yield batch

    def check_order(self, before: Key | None, after: Key, about: tuple[str, str]) -> None:
        """Raise ContractBroken if a record does not come after the one before it, as far as anybody can tell.

        `about` is the system and the entity set. How texts and GUIDs are sorted only the service knows.
        """
        if before is None or not IN_ORDER.issuperset(self.types.values()):
            return
        earlier, later = (
            [rank(v, edm) for v, edm in zip(k.values, self.types.values(), strict=True)] for k in (before, after)
        )
        if later <= earlier:
            raise ContractBroken(
                "rows are not in ascending order of the key, so rows could be lost or read twice",
                system=about[0],
                about=about[1],
                action="Check that the service keeps $orderby and compares the key by gt; else declare paging='links'",
            )

    def _literals(self, key: Key) -> dict[str, str]:
        return {name: literal(text, edm) for (name, edm), text in zip(self.types.items(), key.values, strict=True)}


def encoded(text: Any) -> str:
    """Percent-encoded for a path segment or a query option; what OData writes in clear stays readable."""
    return quote(str(text), safe="'(),:=$*")
