"""The ERP's other users, who change records by hand while a night writes, and the ERP's own book of changes."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import requests
from aiohttp import web

from include.demo.sandbox.odata.api import ROOT
from tests.faults.between import Between

SET = "ForecastProposals"
WORD = "planner"
KEYS = ("ProductId", "Plant", "Ahead")
_KEY = re.compile(r"\(ProductId='([^']*)',Plant='([^']*)',Ahead=(\d+)\)$")


class Planner(Between):
    """Passes what goes to the ERP; faults strike changes. `meddle` lets somebody else change that very record first."""

    def watches(self, request: web.Request) -> bool:
        """Only what changes something."""
        return request.method in ("PATCH", "POST")

    async def come_before(self, request: web.Request, body: bytes, fault: str | None) -> None:
        """Somebody else is quicker by a moment."""
        if fault != "meddle":
            return
        match = _KEY.search(unquote(request.path))
        key = ",".join(match.groups()) if match else ",".join(str(json.loads(body)[name]) for name in KEYS)
        login, root = request.headers["Authorization"], f"{self.target}{ROOT}"
        took = await asyncio.to_thread(change_by_hand, root, login, key)
        self.effects["somebody else"] += took


def change_by_hand(root: str, login: str, key: str) -> bool:
    """Change a proposal, or make it, as another program with the ERP's login does; whether that is known to be done."""
    try:
        return _change(root, {"Authorization": login}, key)
    except requests.RequestException:  # the ERP may be broken for others, too
        return False


def _change(root: str, told: Mapping[str, str], key: str) -> bool:
    product, plant, ahead = key.split(",")
    place = f"{root}/{SET}(ProductId='{product}',Plant='{plant}',Ahead={ahead})"
    found = requests.get(place, headers=dict(told), timeout=10)
    values: dict[str, Any] = {"Quantity": 777, "Note": WORD}
    if found.status_code == 404:
        made = {"ProductId": product, "Plant": plant, "Ahead": int(ahead), **values}
        answer = requests.post(f"{root}/{SET}", json=made, headers=dict(told), timeout=10)
    elif found.ok:
        answer = requests.patch(place, json=values, headers={**told, "If-Match": found.headers["ETag"]}, timeout=10)
    else:
        return False
    return answer.ok


@dataclass(frozen=True)
class Change:
    """One entry of the ERP's own book: which record, which values, when, and whether a person wrote it."""

    key: str
    values: Mapping[str, Any]
    at: datetime

    @property
    def by_hand(self) -> bool:
        """Whether it was somebody else's."""
        return self.values.get("Note") == WORD


def changes(journal: Path) -> list[Change]:
    """Every change of a proposal that the ERP has carried out, in order."""
    lines = journal.read_text().splitlines() if journal.exists() else []
    entries = [entry for line in lines if (entry := json.loads(line))["set"] == SET]
    return [
        Change(
            ",".join(str(entry["key"][name]) for name in KEYS),
            entry["values"],
            datetime.fromisoformat(entry["values"]["ModifiedAt"]),
        )
        for entry in entries
    ]
