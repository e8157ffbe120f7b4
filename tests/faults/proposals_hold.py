"""What must hold after histories of deliveries and an ERP: over the ledger, the files as sent, the ERP's own book."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import requests

from tests.faults import deliveries
from tests.faults.erp import journal
from tests.faults.invariants import ask, check, check_closed, check_decided
from tests.faults.planner import KEYS, SET, Change
from tests.faults.world import World

_RUNS = "SELECT run_id, started_at, status FROM nightledger.run ORDER BY started_at"
_MANIFEST = "SELECT uri, facts FROM nightledger.manifest WHERE dataset = 'raw' AND run_id = '{run}'"
_OUTCOMES = "SELECT row_id, row_key, outcome FROM nightledger.outcome WHERE run_id = '{run}'"
_LETTERS = "SELECT row_key, cause FROM nightledger.dead_letter WHERE run_id = '{run}' AND status = 'open'"
_OUTBOX = "SELECT run_id, external_id, fields, status, recorded_at FROM nightledger.outbox"
Book = Sequence[Change]


class _Intent(NamedTuple):
    fields: Mapping[str, Any]
    status: str
    at: datetime


def check_proposals(here: World) -> None:
    """Assert I1 to I7, what the ERP says of I2, that nothing of others was overwritten, and I8."""
    run = _check_all(here)
    calls, book = len(here.calls()), journal(here)
    deliveries.again(here)
    later = _check_all(here)
    assert later != run, "the night did not run again"
    assert len(here.calls()) == calls, "I8: a finished night was asked again"
    others = {change.key for change in book if change.by_hand}
    repeated = {change.key for change in journal(here)[len(book) :] if not change.by_hand} - others
    assert not repeated, f"I8: a finished night was written again: {sorted(repeated)}"


def _check_all(here: World) -> str:
    check(here)
    check_closed(here)
    check_decided(here)
    runs = [tuple(row) for row in ask(here, _RUNS)]
    assert runs[-1][2] == "succeeded", f"I1: {runs}"
    run = str(runs[-1][0])
    _check_rows(here, run)
    _check_writes(here, [(str(name), began) for name, began, _ in runs])
    _check_letters(here, run)
    return run


def _check_rows(here: World, run: str) -> None:
    """Every row of the deliveries as they were sent, whole, has one outcome and was staged as it was sent."""
    ((uri, facts),) = ask(here, _MANIFEST.format(run=run))
    assert {str(file["path"]).rpartition("/")[2] for file in facts["files"]} == set(deliveries.NAMES), "a file is lost"
    sent = deliveries.delivered(here, facts["files"])
    ended = [(row_id, outcome) for row_id, _, outcome in ask(here, _OUTCOMES.format(run=run))]
    assert Counter(row_id for row_id, _ in ended) == Counter(list(sent)), "I1: rows are missing, or have two outcomes"
    staged = pq.read_table(uri, columns=["row_id", "series", "demand", "note"]).to_pylist()
    read = {row["row_id"]: deliveries.Row(row["series"], int(row["demand"]), row["note"]) for row in staged}
    assert read == sent, "rows were staged otherwise than they were sent"


def _check_writes(here: World, runs: Sequence[tuple[str, datetime]]) -> None:
    """What the ERP has carried out for nights is what they meant, once, and over nobody's work since they read it."""
    book: Book = journal(here)
    intents = {(run, key): _Intent(*rest) for run, key, *rest in ask(here, _OUTBOX)}
    carried = Counter[tuple[str, str]]()
    by_hand: dict[str, datetime] = {}
    for change in book:
        if change.by_hand:
            by_hand[change.key] = change.at
            continue
        run = [name for name, began in runs if began <= change.at][-1]
        intent = intents.get((run, change.key))
        assert intent is not None, f"I2: {change.key} was written without an intent"
        assert _same(change.values, intent.fields), f"I2: {change.key} was written otherwise than the outbox says"
        touched = by_hand.get(change.key)
        assert touched is None or touched < intent.at, f"{change.key}: what others had changed was overwritten"
        carried[(run, change.key)] += 1
    twice = [key for (_, key), number in carried.items() if number > 1]
    assert not twice, f"written more than once in a run: {twice}"
    written = {name for name, intent in intents.items() if intent.status == "written"}
    assert written, "nothing was written"
    assert written <= set(carried), f"written, says the outbox, and the ERP does not: {sorted(written - set(carried))}"
    unknown = {key for (_, key) in set(carried) - written} - set(by_hand)
    assert not unknown, f"carried out, and the outbox does not say so: {sorted(unknown)}"
    _check_held(here, intents, book)


def _check_held(here: World, intents: Mapping[tuple[str, str], _Intent], book: Book) -> None:
    """Each record holds the last that the ERP carried out, and nights' records what the outbox says."""
    held = _records(here)
    last = {change.key: change for change in book}
    for key, change in last.items():
        assert Decimal(held[key]["Quantity"]) == Decimal(change.values["Quantity"]), f"{key} holds another quantity"
    for (_, key), intent in intents.items():
        if intent.status == "unchanged":
            assert key in last, f"{key} is called unchanged, and nobody has ever written it"


def _check_letters(here: World, run: str) -> None:
    """What failed did so because others had changed it, which the ERP knows too; nothing is lost otherwise."""
    others = {change.key for change in journal(here) if change.by_hand}
    dead = {key for _, key, outcome in ask(here, _OUTCOMES.format(run=run)) if outcome in ("dead_letter", "deferred")}
    letters = dict(map(tuple, ask(here, _LETTERS.format(run=run))))
    assert set(letters) == dead, "letters and outcomes differ"
    assert set(letters.values()) <= {"changed_since_read"}, f"rows are lost: {letters}"
    assert dead <= others, f"nobody else has changed {sorted(dead - others)}"


def _same(values: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
    quantities = [Decimal(str(one["Quantity"])) for one in (values, fields)]
    return quantities[0] == quantities[1] and values["Method"] == fields["Method"]


def _records(here: World) -> dict[str, dict[str, Any]]:
    """What the ERP holds now, by key."""
    login, link = (here.endpoints.erp_login, here.endpoints.erp_password), f"{here.endpoints.erp_url}/{SET}"
    found: dict[str, dict[str, Any]] = {}
    headers = {"Accept": "application/json;IEEE754Compatible=true"}
    while link:
        page = requests.get(link, auth=login, headers=headers, timeout=10).json()
        found |= {",".join(str(one[name]) for name in KEYS): one for one in page["value"]}
        link = page.get("@odata.nextLink", "")
    return found
