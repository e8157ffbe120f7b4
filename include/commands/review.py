"""`review`: answers that wait for people: list, decide, assign, take back, apply, export and import."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TextIO

from include.commands.dead_letters import actor
from include.database import Database, transaction
from include.errors import ConfigurationError
from include.ledger import door, reviews
from include.ledger.review_queue import STATUSES, Item, ItemPage, Queue, Wanted, list_items, show_item
from include.ledger.reviews import Action, Choice, Decided
from include.operations.review import apply, decide
from include.operations.review_sheet import read_sheet, write_sheet
from include.settings import Settings
from include.spec.names import names
from include.spec.use_case import load
from include.systems.connections import EnvironmentConnections

DECIDING: dict[str, Action] = {"approve": "approve", "edit": "edit", "reject": "reject"}
ACTIONS = ("list", "show", *DECIDING, "assign", "undo", "apply", "export", "import", "examples")
_MOST = 100_000


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("numbers", nargs="*", type=int, help="of items, instead of filters")
    parser.add_argument("--use-case", choices=names(), help="needed but for show and apply")
    parser.add_argument("--reason", help="only items that this rule has a person decide on")
    parser.add_argument("--field", metavar="NAME=VALUE", help="only answers with this value")
    parser.add_argument("--below", type=float, metavar="CONFIDENCE", help="only answers less certain than this")
    parser.add_argument("--sink", metavar="SYSTEM/OBJECT", help="only answers that would be written there")
    parser.add_argument("--night", type=date.fromisoformat, metavar="YYYY-MM-DD", help="only items of this night")
    parser.add_argument("--status", choices=STATUSES, default="waiting", help="for list and export")
    parser.add_argument("--limit", type=int, default=50, metavar="ITEMS", help="for list and decisions by filter")
    parser.add_argument("--set", dest="fields", action="append", default=[], metavar="NAME=VALUE", help="for edit")
    parser.add_argument("--comment", default="", help="why; kept on record")
    parser.add_argument("--to", help="for assign: whose they are; nobody's without it")
    parser.add_argument("--output", type=Path, metavar="FILE", help="for export and examples; else it is printed")
    parser.add_argument("--input", type=Path, metavar="FILE", help="for import: the CSV or XLSX that came back")
    parser.set_defaults(command=run)


def run(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0; 1 if something could not be decided, or a decided row could not be written."""
    connections, settings = EnvironmentConnections(), Settings.read()
    if given.action == "apply":
        return _apply(connections, settings, [given.use_case] if given.use_case else names(), out)
    ledger = door.open_ledger(connections)
    if given.action == "show":
        return _show(ledger, given.numbers, out)
    if not given.use_case:
        raise ConfigurationError("needs --use-case", about=f"review {given.action}")
    if given.action in DECIDING:
        return _decide(ledger, given, settings.token_secret, out)
    if given.action == "import":
        return _import(ledger, given, settings.token_secret, out)
    if given.action == "undo":
        return _tell(reviews.take_back(ledger, given.use_case, actor(), _need(given)), out)
    if given.action == "assign":
        out.write(f"{reviews.assign(ledger, given.use_case, actor(), _need(given), given.to)} items assigned\n")
    elif given.action == "list":
        _list(ledger, given, out)
    else:
        _write_out(ledger, given, out)
    return 0


def _apply(connections: EnvironmentConnections, settings: Settings, use_cases: Sequence[str], out: TextIO) -> int:
    done = apply(connections, settings, use_cases, actor())
    for night in done:
        out.write(json.dumps(night, default=str) + "\n")
    out.write(f"decisions on {len(done)} nights applied\n" if done else "nothing was decided since\n")
    return 1 if any(night.get("failed") for night in done) else 0


def _list(ledger: Database, given: argparse.Namespace, out: TextIO) -> None:
    found = _queue(ledger, _wanted(given), given.limit)
    for item in found.items:
        said = f"  {item.decided_by}" if item.decided_by else ""
        sure = "-" if item.confidence is None else f"{item.confidence:.2f}"
        out.write(
            f"{item.number:>9}  {item.interval_start:%Y-%m-%d}  {item.row_key:24.24}  {sure:>5}  {item.reason}{said}\n"
        )
    out.write(f"{found.waiting:,} wait, {found.due:,} are decided and not applied yet\n")
    for reason, count in found.reasons.items():
        out.write(f"  {count:>7,}  {reason}\n")


def _show(ledger: Database, numbers: Sequence[int], out: TextIO) -> int:
    for number in numbers:
        page = _page(ledger, number)
        if page is None:
            raise ConfigurationError("no such item", system="ledger", about=str(number))
        facts = {"use_case": page.use_case, **_facts(page.item), "answered": page.answered, "history": page.history}
        out.write(json.dumps(facts, indent=1, default=str, ensure_ascii=False) + "\n")
    return 0


def _facts(item: Item) -> dict[str, object]:
    return {name: getattr(item, name) for name in Item.__dataclass_fields__}


def _decide(ledger: Database, given: argparse.Namespace, secret: str, out: TextIO) -> int:
    if given.action == "reject" and not given.comment.strip():
        raise ConfigurationError("needs a --comment, which is kept", about="review reject")
    if given.action == "edit" and (len(given.numbers) != 1 or not given.fields):
        raise ConfigurationError("needs the number of one item and --set NAME=VALUE", about="review edit")
    if not given.numbers and not (given.reason or given.field or given.below or given.night or given.sink):
        raise ConfigurationError("needs numbers or a filter, or all would be decided", about=f"review {given.action}")
    action = DECIDING[given.action]
    choices = [
        Choice(one.number, one.shown_sha256, action, _edited(one, given.fields) if action == "edit" else None)
        for one in _chosen(ledger, given)
    ]
    return _tell(decide(ledger, load(given.use_case), actor(), choices, given.comment, secret), out)


def _edited(item: Item, fields: Sequence[str]) -> dict[str, object]:
    """The proposed answer with some fields set; a value that is no text before is read as JSON."""
    answer: dict[str, object] = dict(item.proposed)
    for one in fields:
        name, found, value = one.partition("=")
        if not found or name not in answer:
            raise ConfigurationError(f"--set needs one of {', '.join(answer)} and a value: NAME=VALUE", about=one)
        try:
            answer[name] = value if isinstance(answer[name], str) else json.loads(value)
        except ValueError:
            answer[name] = value
    return answer


def _import(ledger: Database, given: argparse.Namespace, secret: str, out: TextIO) -> int:
    if given.input is None:
        raise ConfigurationError("needs a file: --input", about="review import")
    case = load(given.use_case)
    queue = _queue(ledger, Wanted(given.use_case), _MOST)
    sheet = read_sheet(given.input, given.use_case, {item.number: item.proposed for item in queue.items})
    code = 0
    for comment, choices in sheet.choices.items():
        code = max(code, _tell(decide(ledger, case, actor(), choices, comment, secret), out))
    for line, why in sorted(sheet.faults.items()):
        out.write(f"  line {line}: {why}\n")
    out.write(f"{len(sheet.faults)} lines could not be used, {sheet.empty} say nothing\n")
    return 1 if sheet.faults else code


def _write_out(ledger: Database, given: argparse.Namespace, out: TextIO) -> None:
    from include.operations.review_examples import write_examples

    def put(file: TextIO) -> int:
        if given.action == "examples":
            return write_examples(ledger, given.use_case, file)
        found = _queue(ledger, _wanted(given), _MOST).items
        write_sheet(found, given.use_case, file)
        return len(found)

    if given.output is None:
        put(out)
        return
    with given.output.open("w", encoding="utf-8", newline="") as file:
        count = put(file)
    out.write(f"{count} rows in {given.output}\n")


def _chosen(ledger: Database, given: argparse.Namespace) -> list[Item]:
    if not given.numbers:
        return _queue(ledger, _wanted(given), given.limit).items
    pages = [_page(ledger, number) for number in given.numbers]
    for number, page in zip(given.numbers, pages, strict=True):
        if page is None or page.use_case != given.use_case:
            raise ConfigurationError("no such item in this queue", system="ledger", about=str(number))
    return [page.item for page in pages if page]


def _queue(ledger: Database, wanted: Wanted, limit: int) -> Queue:
    with transaction(ledger) as connection:
        return list_items(connection, wanted, limit=limit)


def _page(ledger: Database, number: int) -> ItemPage | None:
    with transaction(ledger) as connection:
        return show_item(connection, number)


def _need(given: argparse.Namespace) -> list[int]:
    if not given.numbers:
        raise ConfigurationError("needs the numbers of items", about=f"review {given.action}")
    return list(given.numbers)


def _wanted(given: argparse.Namespace) -> Wanted:
    field, found, value = (given.field or "").partition("=")
    if given.field and not found:
        raise ConfigurationError("--field needs NAME=VALUE", about=given.field)
    narrowed = {"reason": given.reason, "below": given.below, "night": given.night, "sink": given.sink}
    return Wanted(given.use_case, given.status, **narrowed, field=field or None, value=value if found else None)


def _tell(decided: Decided, out: TextIO) -> int:
    for number, why in sorted(decided.refused.items()):
        out.write(f"  {number}: {why}\n")
    done = ", ".join(f"{count:,} {name}" for name, count in decided.done.items()) or "nothing decided"
    out.write(f"{done}; {len(decided.refused)} refused\n")
    return 1 if decided.refused else 0
