"""`budget`: show what ceilings leave, and put a budget right, on record."""

from __future__ import annotations

import argparse
from decimal import Decimal, InvalidOperation
from typing import TextIO

from include.commands.dead_letters import actor
from include.errors import ConfigurationError
from include.ledger import budget, door
from include.systems.connections import EnvironmentConnections

SHOWN = 40


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", choices=["show", "correct"])
    parser.add_argument(
        "scope", nargs="?", default="", help="as shown; for show, how it begins, e.g. day/ or key/model"
    )
    parser.add_argument("--ceiling", metavar="USD", help="what may be spent from now on")
    parser.add_argument("--spent", metavar="USD", help="what was spent in truth, by the provider's bill")
    parser.add_argument(
        "--reserved", metavar="USD", help="what is set aside for calls whose result will never be known"
    )
    parser.add_argument("--why", default="", help="why it is corrected, which is kept with who and when")
    parser.set_defaults(command=run)


def run(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0; raises ConfigurationError where a correction says nothing or names no open budget."""
    ledger = door.open_ledger(EnvironmentConnections())
    if given.action == "correct":
        amounts = {name: _dollars(name, getattr(given, name)) for name in ("ceiling", "spent", "reserved")}
        budget.correct(ledger, given.scope, budget.Correction(why=given.why, **amounts), actor())
    found = budget.standings(ledger, given.scope)
    for one in found[:SHOWN]:
        left = one.ceiling - one.spent - one.reserved
        sums = f"{one.spent:12.6f} spent {one.reserved:12.6f} set aside {left:12.6f} left of {one.ceiling} USD"
        out.write(f"{one.scope:60} {sums}  {one.updated_at:%Y-%m-%d %H:%M} UTC\n")
    more = f", the newest {SHOWN} shown" if len(found) > SHOWN else ""
    out.write(f"{len(found)} budgets{more}\n")
    return 0


def _dollars(name: str, text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation as error:
        raise ConfigurationError(f"needs an amount in US dollars, not {text!r}", about=f"--{name}") from error
    if not amount.is_finite():
        raise ConfigurationError(f"needs an amount in US dollars, not {text!r}", about=f"--{name}")
    return amount
