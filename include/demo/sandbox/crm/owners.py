"""People whom records belong to: https://developers.hubspot.com/docs/api-reference/crm-crm-owners-v3/guide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from include.demo.sandbox.crm.errors import invalid_request

MAX_PAGE = 500
_PEOPLE: Sequence[tuple[int, str, str, bool]] = (
    (41_629_779, "Ada", "Lindqvist", False),
    (41_629_780, "Bruno", "Carvalho", False),
    (41_629_781, "Chika", "Obi", False),
    (41_629_790, "Dora", "Novak", True),
)


def _owner(number: int, first: str, last: str, archived: bool) -> dict[str, Any]:
    user = number % 1_000_000
    return {
        "id": str(number),
        "email": f"{first}.{last}@sandbox.example".lower(),
        "type": "PERSON",
        "firstName": first,
        "lastName": last,
        "userId": None if archived else user,
        "userIdIncludingInactive": user,
        "createdAt": "2024-01-15T09:00:00.000Z",
        "updatedAt": "2026-01-15T09:00:00.000Z",
        "archived": archived,
    }


def read_owners(query: Mapping[str, str]) -> dict[str, Any]:
    """One page by ascending id: of the active owners, or with `archived=true` of the others."""
    limit, after, archived = query.get("limit", "100"), query.get("after", "0"), query.get("archived", "false")
    if not (limit.isdigit() and after.isdigit() and 1 <= int(limit) <= MAX_PAGE) or archived not in ("true", "false"):
        raise invalid_request(f"limit must be between 1 and {MAX_PAGE}, after a cursor, archived true or false")
    found = [_owner(*one) for one in _PEOPLE if one[3] == (archived == "true") and one[0] > int(after)]
    page: dict[str, Any] = {"results": found[: int(limit)]}
    if len(found) > int(limit):
        cursor = page["results"][-1]["id"]
        page["paging"] = {"next": {"after": cursor, "link": f"/crm/v3/owners?limit={limit}&after={cursor}"}}
    return page
