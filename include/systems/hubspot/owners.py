"""The people whom records belong to, by the id that a record holds; read once for a night, when the first row asks.

Active owners and those who left are two lists, each in pages of at most 500:
https://developers.hubspot.com/docs/api-reference/crm-crm-owners-v3/guide.
Addresses and names are kept in memory and on the rows, and stand in no message: a path is told without its query.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlencode

from include.errors import ContractBroken
from include.models import Record
from include.systems.files.formats.values import clean_text
from include.systems.http import RestClient
from include.systems.hubspot.answers import results_of
from include.systems.hubspot.declared import Owner
from include.systems.registry import System

PAGE = 500


class Owners:
    """E-mail address and name by owner id."""

    def __init__(self, client: RestClient, system: System, owner: Owner) -> None:
        """Nothing is read before it is asked for."""
        self._client, self._system, self._owner = client, system, owner
        self._known: dict[str, tuple[str | None, str | None]] | None = None

    def fill(self, rows: Iterable[Record]) -> int:
        """Put the owner's columns on each row, null where it has none; how many rows have an unknown one."""
        unknown = 0
        for row in rows:
            number = row[self._owner.of]
            found = self._all().get(str(number)) if number is not None else None
            unknown += found is None and number is not None
            row[self._owner.email], row[self._owner.name] = found or (None, None)
        return unknown

    def _all(self) -> dict[str, tuple[str | None, str | None]]:
        if self._known is None:
            left, active = ({str(one["id"]): _told(one) for one in self._read(archived)} for archived in (True, False))
            self._known = left | active
        return self._known

    def _read(self, archived: bool) -> Iterator[Record]:
        after, seen = "", set[str]()
        while True:
            query = {"limit": PAGE, "archived": str(archived).lower()} | ({"after": after} if after else {})
            body = self._client.call("GET", f"/crm/v3/owners?{urlencode(query)}").body
            yield from results_of(body, self._system, "owners", _is_owner)
            after = str(((body.get("paging") or {}).get("next") or {}).get("after") or "")
            if not after:
                return
            if after in seen:
                raise ContractBroken("a page leads to itself", system=self._system.name, about="owners")
            seen.add(after)


def _told(owner: Record) -> tuple[str | None, str | None]:
    names = (clean_text(str(owner.get(part) or "")) for part in ("firstName", "lastName"))
    return clean_text(str(owner.get("email") or "")) or None, " ".join(filter(None, names)) or None


def _is_owner(item: Any) -> bool:
    return str(item.get("id", "")).isdecimal()
