"""Checks of files on record: one JSON file a check in a folder of the user's, read back as what came before."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from include import __version__
from include.errors import ConfigurationError
from include.operations.check_file.check import FileCheck
from include.quality.examine import Finding

ENDING = ".check.json"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Held:
    """What became of an expectation in a check; `failing_share` is 0 to 1, None where it could not run."""

    success: bool
    failing: int
    failing_share: float | None


@dataclass(frozen=True, slots=True)
class PastCheck:
    """A check as it was recorded. `columns` are shares of rows without a value."""

    checked_at: datetime
    end: datetime
    file: str
    sha256: str
    rows: int
    unreadable: int
    verdict: str
    holds: bool
    report: Path | None
    expectations: Mapping[str, Held]
    columns: Mapping[str, float]


def record_of(checked: FileCheck, report: str | None = None) -> dict[str, Any]:
    """A check as JSON-like values: when, of what, by which rules, and all that was counted; no value of a row.

    `report` is where its page lies, as seen from the folder in which the record is kept.
    """
    found = checked.found
    return {
        "version": _VERSION,
        "checked_at": checked.checked_at.isoformat(),
        "interval": [checked.interval.start.isoformat(), checked.interval.end.isoformat()],
        "code_version": __version__,
        "rules": {"name": checked.suite.name, "sha256": checked.suite.sha256},
        "file": {"name": checked.source, "bytes": checked.size, "sha256": checked.sha256, "encoding": found.encoding}
        | {"form": found.form},
        "verdict": checked.in_words(),
        "holds": checked.holds,
        "rows": found.rows.rows,
        "records_unreadable": found.unreadable,
        "values_unreadable": found.wrong,
        "records_empty": found.empty,
        "lines_blank": found.blank,
        "characters_replaced": found.replaced,
        "notes": list(found.notes),
        "report": report,
        "expectations": [_expectation(one) for one in checked.findings],
        "columns": [
            {name: value for name, value in asdict(one).items() if name not in ("frequent", "bins")}
            for one in checked.columns
        ],
    }


def _expectation(one: Finding) -> dict[str, Any]:
    return {
        "id": one.expectation.id,
        "meaning": one.expectation.meaning,
        "severity": one.expectation.severity,
        "columns": list(one.expectation.columns),
        "success": one.success,
        "failing": len(one.failing),
        "failing_share": None if one.could_not_run else (0.0 if one.about_table else 1 - one.share),
        "needed": None if one.about_table else one.expectation.at_least,
        "found": one.in_words() if not one.success else one.seen,
    }


def keep_check(folder: Path, record: Mapping[str, Any]) -> Path:
    """Put a check on record in a folder, which is made; whole or not at all. Returns its file.

    Raises ConfigurationError when the folder cannot be written.
    """
    when = datetime.fromisoformat(record["checked_at"])
    place = folder / f"{when:%Y%m%dT%H%M%S}-{when.microsecond:06}-{record['file']['sha256'][:8]}{ENDING}"
    beside = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(record, ensure_ascii=False, indent=1), encoding="utf-8")
        beside.replace(place)
    except OSError as error:
        raise ConfigurationError(f"cannot be written ({error.strerror})", about=str(folder)) from error
    return place


def read_checks(folder: Path, rules: str) -> tuple[list[PastCheck], list[str]]:
    """The checks on record by a rules file of that name, in the order of their intervals; and what could not be read.

    Of several checks of the same content for the same interval the newest counts.
    """
    found, problems = dict[tuple[str, datetime], PastCheck](), list[str]()
    for place in sorted(folder.glob(f"*{ENDING}")):
        try:
            record = json.loads(place.read_text(encoding="utf-8"))
            if Path(record["rules"]["name"]).name == Path(rules).name:
                one = _past(record, folder)
                found[one.sha256, one.end] = one
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            problems.append(f"{place.name} is no record of a check and is left out ({type(error).__name__})")
    return sorted(found.values(), key=lambda one: (one.end, one.checked_at)), problems


def _past(record: Mapping[str, Any], folder: Path) -> PastCheck:
    held = {
        one["id"]: Held(bool(one["success"]), int(one["failing"]), one["failing_share"])
        for one in record["expectations"]
    }
    return PastCheck(
        datetime.fromisoformat(record["checked_at"]),
        datetime.fromisoformat(record["interval"][1]),
        str(record["file"]["name"]),
        str(record["file"]["sha256"]),
        int(record["rows"]),
        int(record["records_unreadable"]) + int(record["values_unreadable"]),
        str(record["verdict"]),
        bool(record["holds"]),
        folder / record["report"] if record["report"] else None,
        held,
        {one["name"]: one["nulls"] / one["rows"] if one["rows"] else 0.0 for one in record["columns"]},
    )


def changes(before: PastCheck, now: PastCheck) -> Sequence[str]:
    """What is different from an earlier check, a line each: rows, and expectations that hold no more, or again."""
    said = []
    if before.rows != now.rows:
        said.append(f"rows {before.rows:,} -> {now.rows:,} ({(now.rows - before.rows) / max(before.rows, 1):+.1%})")
    if before.unreadable != now.unreadable:
        said.append(f"what cannot be read {before.unreadable:,} -> {now.unreadable:,}")
    for name, held in now.expectations.items():
        was = before.expectations.get(name)
        if was is None:
            said.append(f"{name} is new")
        elif was.success != held.success:
            said.append(f"{name} {'holds again' if held.success else 'held then and does not now'}")
        elif was.failing != held.failing:
            said.append(f"{name} fails {was.failing:,} -> {held.failing:,} rows")
    said += [f"{name} is not expected any more" for name in before.expectations if name not in now.expectations]
    return said
