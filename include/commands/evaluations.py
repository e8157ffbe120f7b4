"""`evaluate --list` and `--set-aside`: what is on record, and what no longer counts."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import TextIO
from uuid import UUID

from include.commands.dead_letters import actor
from include.database import transaction
from include.errors import ConfigurationError
from include.ledger import door
from include.ledger.evaluations import set_aside
from include.ledger.evaluations_found import Found, list_evaluations
from include.models import Record
from include.operations.evaluate_scores import Share
from include.spec.names import names
from include.systems.connections import EnvironmentConnections

MOST = 50
_FORM = "{:36} {:16} {:26} {:4} {:22} {:>7} {:>17} {:>6} {:>11}  {}\n"


def add_record(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    record = parser.add_argument_group("on record", "nothing is evaluated")
    record.add_argument("--list", action="store_true", help=f"the newest {MOST} evaluations, of one use case or of all")
    record.add_argument("--json", action="store_true", help="with --list: a JSON object a line, with all figures")
    record.add_argument("--set-aside", type=_id, metavar="ID", help="let an evaluation no longer stop or lift nights")
    record.add_argument("--because", default="", metavar="REASON", help="why; kept on record")


def run_record(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0."""
    ledger = door.open_ledger(EnvironmentConnections())
    if given.set_aside:
        if given.use_case is None:
            raise ConfigurationError("needs the use case", about="evaluate --set-aside")
        now = set_aside(ledger, given.use_case, given.set_aside, actor(), given.because)
        counts = "none counts now for its prompt and model"
        if now is not None:
            counts = f"evaluation {now.evaluation_id} of {now.recorded_at:%Y-%m-%d %H:%M} UTC counts now: {now.verdict}"
        out.write(f"Set aside; {counts}\n")
        return 0
    with transaction(ledger) as connection:
        found = [one for name in _chosen(given) for one in list_evaluations(connection, name, MOST)]
    found = sorted(found, key=lambda one: one.recorded_at, reverse=True)[:MOST]
    out.writelines(json.dumps(as_json(one)) + "\n" for one in found) if given.json else out.writelines(_table(found))
    return 0


def as_json(one: Found) -> Record:
    """An evaluation for machines, as it is on record."""
    aside = one.aside and {"by": one.aside.actor, "at": one.aside.at.isoformat(), "because": one.aside.reason}
    return {
        "evaluation_id": str(one.evaluation_id),
        "recorded_at": one.recorded_at.isoformat(),
        "use_case": one.use_case,
        "prompt_version": one.prompt_version,
        "prompt_hash": one.prompt_hash,
        "model": one.model,
        "labels_sha256": one.labels_sha256,
        "rows": one.rows,
        "correct": one.correct,
        "verdict": one.verdict,
        "reasons": list(one.reasons),
        "scores": dict(one.scores),
        "cost_usd": str(one.cost),
        "against": str(one.against) if one.against else None,
        "run_id": one.run_id,
        "set_aside": aside,
    }


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError("is no id of an evaluation; `--list` shows them") from None


def _chosen(given: argparse.Namespace) -> list[str]:
    return [given.use_case] if given.use_case else names()


def _table(found: list[Found]) -> Iterator[str]:
    if not found:
        yield "No evaluation is on record: nightledger evaluate USE_CASE makes one\n"
        return
    titles = ("evaluation", "at (UTC)", "use case", "", "model", "right", "95 % bounds", "rows", "US$ a row", "gate")
    yield _FORM.format(*titles)
    for one in found:
        share = Share(one.correct, one.rows)
        low, high = share.bounds
        said = one.verdict.replace("_", " ") + (f", set aside by {one.aside.actor}" if one.aside else "")
        yield _FORM.format(
            str(one.evaluation_id),
            f"{one.recorded_at:%Y-%m-%d %H:%M}",
            one.use_case,
            one.prompt_version,
            one.model,
            f"{share.value:.1%}",
            f"{low:.1%} to {high:.1%}",
            one.rows,
            one.scores.get("row_cost_usd", "-")[:10],
            said,
        )
