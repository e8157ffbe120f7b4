"""What the ledger does not have of an explanation: the row as it was staged, and what the record holds now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as field_of
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pyarrow.compute as pc

from include.canonical import mask
from include.database import Database
from include.errors import ContractBroken, NightledgerError
from include.ledger.explain_record import Link, Written, same_value
from include.ledger.record import find_manifest
from include.models import Interval, Manifest, Record, RunOptions
from include.operations.explain import OTHERS, Explained, sinks_of
from include.plain import defused, visible_all
from include.privacy.tokens import Hider, restore, token_places
from include.run import Night
from include.settings import Settings
from include.spec.use_case import UseCase
from include.staging import opened
from include.systems.connections import Connections

Ours = Literal["ours", "fits", "not ours", "unknown"]
_DATASETS = ("good", "raw")
_FAILURES = ("failures", "answer_failures")
_SAME: tuple[Ours, ...] = ("ours", "fits")
_LEAVES = ("written", "found", "unknown")
_OWN = ("row_id", "row_key", "lineage")


@dataclass(frozen=True, slots=True)
class StagedRow:
    """A row as it was staged, personal values as tokens; `problem` says why it cannot be shown.

    `dataset` is `good` (what passed the checks, with all that was joined) or `raw`. `not_met` are the expectations that
    this row itself failed, also those that let it go on.
    """

    dataset: str = ""
    values: Mapping[str, Any] = field_of(default_factory=dict)
    not_met: Sequence[str] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class HeldNow:
    """What the fields of a record hold at this moment; `problem` says why that cannot be told.

    `ours` says of each whether that is what our last write left: `fits` where that has tokens whose values are not at
    hand, `unknown` where nothing tells what we left. `missing`: there is no such record.
    """

    values: Mapping[str, Any] = field_of(default_factory=dict)
    ours: Mapping[str, Ours] = field_of(default_factory=dict)
    missing: bool = False
    problem: str = ""


def staged_row(ledger: Database, case: UseCase, run_id: str, row_id: str, secret: str) -> StagedRow:
    """The row that a run was run on; what is not kept any more is no error: the answer says so."""
    if not secret:  # without it a token could be told from a guess
        return StagedRow(problem="NIGHTLEDGER_TOKEN_SECRET is not set here, so no value can be shown")
    try:
        for dataset in _DATASETS:
            row = _find(find_manifest(ledger, run_id, dataset), row_id)
            if row is not None:
                shown = {name: value for name, value in row.items() if name not in _OWN}
                hidden = mask(shown, {*case.personal, *case.answers_personal}, secret, case.tokenise)
                return StagedRow(dataset, hidden, _failed(ledger, run_id, row_id))
    except (ContractBroken, OSError) as error:
        why = error.problem if isinstance(error, ContractBroken) else "the staging folder cannot be read from here"
        return StagedRow(problem=f"the row cannot be shown any more: {why}")
    return StagedRow(problem="the row is in no dataset that this run has staged")


def held_now(explained: Explained, nights: Mapping[str, Night]) -> HeldNow:
    """Read an explained record through the sinks of these use cases; only the asked field, if one was.

    Whatever keeps it from being read is said, not raised.
    """
    target, chains, field = explained.target, explained.exact, explained.field
    values: Record = {}
    known: dict[str, Ours] = {}
    missing = True
    for night in nights.values():
        for sink in sinks_of(night.case, target):
            try:
                found = sink.open(night).read([target.id])
            except NightledgerError as error:
                return HeldNow(problem=f"cannot be read now: {error.problem}")
            if found is None:
                return HeldNow(problem="nothing can be read back there")
            missing = missing and target.id not in found
            held = {name: found.get(target.id, {}).get(name) for name in sink.fields.values()}
            held = {name: value for name, value in held.items() if field in (None, name)}
            values |= mask(held, _personal(night.case), night.settings.token_secret, _free(night.case, held))
            for name, value in held.items():
                known[name], left = _compare(nights, chains.get(name, ()), value)
                values |= {name: left.after} if left else {}  # the same, with tokens as we have them
    return HeldNow(missing=True) if missing else HeldNow(values, known)


def open_for_reading(case: UseCase, ledger: Database, connections: Connections, settings: Settings) -> Night:
    """A night to read destinations with, that records nothing and does not wait; it has no run."""
    now = datetime.now(UTC)
    when = Interval(now - timedelta(days=1), now)
    return Night(case, when, "none", RunOptions(mode=case.mode), ledger, connections, settings, patient=False)


def _personal(case: UseCase) -> set[str]:
    """Names at the destinations of what is there to hold a personal value."""
    pairs = ((name, at) for sink in case.sinks for name, at in sink.fields.items())
    return {at for name, at in pairs if name in case.answers_personal}


def _free(case: UseCase, values: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(values) if case.tokenise else ()


def _compare(nights: Mapping[str, Night], links: Sequence[Link], now: Any) -> tuple[Ours, Link | None]:
    """Whether a field holds what our last write left there, or one after it whose end is unknown; and that write."""
    settled = next((at for at in range(len(links), 0, -1) if links[at - 1].step in ("written", "found")), 0)
    since = links[max(settled - 1, 0) :]
    if any(one.by == OTHERS for one in since):
        return "unknown", None
    left = [one for one in since if one.step in _LEAVES]
    said = [_holds(nights, one, now) for one in left]
    for word in _SAME:
        if word in said:
            return word, left[said.index(word)]
    return "not ours" if said else "unknown", None


def _holds(nights: Mapping[str, Night], link: Link, now: Any) -> Ours:
    """Whether a field holds what this write has left, with its tokens put back where that can be done."""
    ours, night = link.after, nights.get(link.write.use_case)
    if not isinstance(ours, str) or not token_places(ours):
        return "ours" if same_value(ours, now) else "not ours"
    stands_for = _values_of(night, link.write) if night else None
    if stands_for is None:
        return "fits" if same_value(ours, now) else "not ours"
    return "ours" if defused(visible_all(restore(ours, stands_for))) == now else "not ours"


def _values_of(night: Night, one: Written) -> dict[str, str] | None:
    """What the tokens of a write stand for, found anew in the row that it was made of; None where that is gone."""
    try:
        row = _find(find_manifest(night.ledger, one.run_id, "good"), one.row_id)
    except (ContractBroken, OSError):
        return None
    if row is None or not night.settings.token_secret:
        return None
    columns = night.case.tokenise
    hider = Hider(night.case.name, night.settings.token_secret)
    return hider.values_of({name: row.get(name) for name in columns}, columns)


def _find(manifest: Manifest | None, row_id: str) -> Record | None:
    """A row of a staged dataset; only the ids are read of the others."""
    if manifest is None:
        return None
    with opened(manifest) as file:
        for group in range(file.num_row_groups):
            at = pc.index(file.read_row_group(group, columns=["row_id"])["row_id"], row_id).as_py()
            if at >= 0:
                row: Record = file.read_row_group(group).slice(at, 1).to_pylist()[0]
                return row
    return None


def _failed(ledger: Database, run_id: str, row_id: str) -> list[str]:
    """The expectations that list this row among those that fail them."""
    names = list[str]()
    for dataset in _FAILURES:
        manifest = find_manifest(ledger, run_id, dataset)
        if manifest is None:
            continue
        with opened(manifest) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=["expectation", "row_id"])
                names += table.filter(pc.equal(table["row_id"], row_id))["expectation"].to_pylist()
    return list(dict.fromkeys(names))
