"""Find a person's rows, and say what was sent about them, where it was written and where it still lies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import text

from include.database import Database, transaction
from include.errors import ConfigurationError
from include.ledger.door import require_token_secret
from include.ledger.erasure import STREAM, Target, runs_of
from include.ledger.persons import find_value
from include.ledger.record import record_event
from include.ledger.sent import Call, columns_of, find_calls, find_datasets, find_traces
from include.models import Record
from include.operations.erase_staged import find_staged
from include.personal import token_of
from include.privacy.needles import needles_of
from include.settings import Settings
from include.spec.names import names
from include.spec.use_case import load
from include.systems.registry import System, read_systems

COLUMNS = (
    *("time", "what", "use_case", "run", "row_key", "system", "model", "vendor_keeps", "columns", "shown"),
    *("place", "number", "outcome", "erased"),
)
"""Columns of an answer to a person, one line a call, write or place where something lies; times in UTC."""


@dataclass(frozen=True, slots=True)
class Located:
    """Rows in which a person was found; `shown` are the forms by call, `gone` runs whose staged rows are not there."""

    target: Target
    shown: Mapping[str, Sequence[str]] = field(default_factory=dict)
    gone: Sequence[str] = ()


def locate(ledger: Database, settings: Settings, values: Sequence[str], rows: Target, who: str) -> Located:
    """The rows that hold one of the values, in the ledger or as staged, and those that are named.

    Every call and every staged row is read once: 100,000 of them take about a second each. That somebody searched is on
    record. Raises ConfigurationError without anything to look for.
    """
    if not values and not rows.rows:
        raise ConfigurationError("needs a value, or a use case and a row key", about="privacy")
    require_token_secret(settings)
    keys = defaultdict[str, set[str]](set, {name: set(found) for name, found in rows.keys.items()})
    loose, shown, gone = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set), set[str]()
    for value in values:
        with transaction(ledger) as connection:
            found = find_value(connection, needles_of(value, names(), settings.token_secret))
            runs = dict(map(tuple, connection.execute(_STAGED)))
        for use_case, hit in found.keys.items():
            keys[use_case] |= hit
        for table, refs in found.loose.items():
            loose[table] |= refs
        for one in found.hits:
            if one.table == "inference":
                shown[one.ref] |= set(one.shown)
        staged, missing = find_staged(ledger, runs, " ".join(value.split()))
        for run_id, hit in staged.items():
            keys[runs[run_id]] |= hit
        gone |= set(missing)
    located = Located(
        Target(dict(keys), dict(loose)), {ref: sorted(forms) for ref, forms in shown.items()}, sorted(gone)
    )
    _say(ledger, settings, values, located, who)
    return located


def _say(ledger: Database, settings: Settings, values: Sequence[str], found: Located, who: str) -> None:
    """Put on record who looked for whom, as tokens."""
    rows = {name: len(keys) for name, keys in sorted(found.target.keys.items())}
    said = {"values": [token_of(" ".join(value.split()), settings.token_secret) for value in values], "rows": rows}
    with transaction(ledger) as connection:
        record_event(connection, STREAM, "privacy.searched", said, who)


def report(ledger: Database, settings: Settings, found: Located) -> list[Record]:
    """What was sent about the rows, where it was written and where it lies, in the order of time; see COLUMNS.

    No value of anybody is in it: what was shown is named by its columns and tokens.
    """
    target, systems = found.target, read_systems(settings.systems_file)
    with transaction(ledger) as connection:
        calls = find_calls(connection, target.keys)
        traces = find_traces(connection, target.keys, target.loose)
        datasets = find_datasets(connection, set().union(*runs_of(connection, target).values()))
    lines = [_call(one, systems, found) for one in calls]
    lines += [
        {
            **_line(f"{one.at:%Y-%m-%d %H:%M:%S}", "written" if one.what.startswith("write") else "kept", one.use_case),
            **{"run": one.run_id, "row_key": one.row_key or "", "place": one.place, "number": one.number},
            **{"outcome": one.what, "erased": one.erased},
        }
        for one in traces
    ]
    lines.sort(key=lambda line: str(line["time"]))
    staged = [
        {
            **_line("", "staged", ""),
            "run": one["run_id"],
            "place": one["uri"],
            "number": one["dataset"],
            "outcome": "file",
        }
        for one in datasets
    ]
    return [*lines, *staged]


def _line(time: str, what: str, use_case: str) -> Record:
    return {**dict.fromkeys(COLUMNS, ""), "time": time, "what": what, "use_case": use_case, "erased": False}


def _call(one: Call, systems: Mapping[str, System], found: Located) -> Record:
    system = _system(one, systems)
    reused = "" if one.for_row == one.row_key else f"the same was asked about row {one.for_row}"
    return {
        **_line(f"{one.at:%Y-%m-%d %H:%M:%S}", "sent", one.use_case),
        **{"run": one.run_id, "row_key": one.row_key, "model": one.model, "outcome": one.outcome, "erased": one.erased},
        "system": system.name if system else one.system or "(not in the registry)",
        "vendor_keeps": system.retention or "not declared" if system else "not declared",
        "columns": _columns(one),
        "shown": ", ".join([*found.shown.get(str(one.inference_id), ()), *([reused] if reused else [])]),
        "place": one.request_id,
        "number": str(one.inference_id),
    }


def _system(one: Call, systems: Mapping[str, System]) -> System | None:
    if one.system in systems:
        return systems[one.system]
    known = [system for system in systems.values() if one.system and system.answers_as == one.system]
    if known:
        return known[0]
    choice = load(one.use_case).model if one.use_case in names() and not one.system else None
    return systems.get(choice.system) if choice else None


def _columns(one: Call) -> str:
    """The columns that the use case shows; today's spec says them, and whether it is the one that was asked by."""
    if one.use_case not in names():
        return "(the use case is not here any more)"
    case = load(one.use_case)
    now = columns_of(case.model_sees, case.tokenise)
    return now if case.contract_hash == one.contract_hash else f"{now} (as of today; the spec was another then)"


def without(target: Target, keys: Collection[str]) -> Target:
    """The rows of a target among those with these keys; all of them where none are named."""
    if not keys:
        return target
    return Target({name: sorted(set(found) & set(keys)) for name, found in target.keys.items()})


def words_of(lines: Sequence[Record]) -> Iterator[str]:
    """The report for a terminal."""
    for line in lines:
        parts = [f"{name} {value}" for name, value in line.items() if value not in ("", False) and name not in _FIRST]
        yield f"{line['time'] or '-':19}  {line['what']:8}  {line['use_case']}  " + "; ".join(parts)


_FIRST = ("time", "what", "use_case")
_STAGED = text(
    "SELECT m.run_id, u.use_case FROM nightledger.manifest m JOIN nightledger.run u USING (run_id) "
    "WHERE m.dataset = 'raw'"
)
