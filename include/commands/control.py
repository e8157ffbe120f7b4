"""`control`: how far the nights of a use case may go, whether a model is asked, and with which prompt version."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, TextIO

from include.commands.dead_letters import actor
from include.database import Database, transaction
from include.errors import ConfigurationError
from include.ledger import door
from include.ledger.control import (
    Control,
    Progress,
    change_control,
    falls_short,
    lower_bound,
    measure_progress,
    propose_mode,
    read_control,
    with_prompt,
)
from include.models import Mode
from include.spec.names import names
from include.spec.prompt import load_prompt
from include.spec.use_case import UseCase, load
from include.systems.connections import EnvironmentConnections

ACTIONS = ("show", "mode", "off", "on", "prompt")
AS_DECLARED = "declared"
_MODES = (*(mode.value for mode in Mode), AS_DECLARED)


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("value", nargs="?", help=f"for mode {', '.join(_MODES)}; for prompt v1 or {AS_DECLARED}")
    parser.add_argument("--use-case", choices=names(), help="needed but for show")
    parser.add_argument("--reason", default="", help="why; kept on record")
    parser.set_defaults(command=run)


def run(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0."""
    ledger = door.open_ledger(EnvironmentConnections())
    if given.action != "show":
        if not given.use_case:
            raise ConfigurationError("needs --use-case", about=f"control {given.action}")
        changes = _changes(given.action, given.value)
        change_control(ledger, load(given.use_case), actor(), given.reason, changes)
    for name in [given.use_case] if given.use_case else names():
        _tell(ledger, load(name), out)
    return 0


def _changes(action: str, value: str | None) -> dict[str, Any]:
    if action in ("off", "on"):
        return {"off": action == "off"}
    if value is None or (action == "mode" and value not in _MODES):
        known = _MODES if action == "mode" else ("v1", "v2 ...", AS_DECLARED)
        raise ConfigurationError(f"needs one of {', '.join(known)}", about=f"control {action}")
    if value == AS_DECLARED:
        return {action: None}
    return {action: Mode(value) if action == "mode" else value}


def _tell(ledger: Database, case: UseCase, out: TextIO) -> None:
    now = read_control(ledger, case.name)
    for line in _lines(ledger, case, now):
        out.write(line + "\n")


def _lines(ledger: Database, case: UseCase, now: Control) -> Sequence[str]:
    lines = [f"{case.name}"]
    set_by = f", by {now.changed_by} at {now.changed_at:%Y-%m-%d %H:%M} UTC: {now.reason}" if now.changed_at else ""
    mode = now.mode or case.mode
    lines.append(f"  mode      {mode}{' (declared)' if now.mode is None else ' at most'}{set_by}")
    if now.off:
        lines.append("  asking    OFF: no model is asked; rows go by the failure plan")
    if case.model is not None:
        used = with_prompt(case, now.prompt)
        prompt = load_prompt(used)
        lines.append(f"  prompt    {prompt.version}{' instead of ' + case.asked.prompt if used is not case else ''}")
        with transaction(ledger) as connection:
            found = measure_progress(connection, case, prompt.hash)
        lines.append(f"  shadow    {shadow_words(case, found, mode)}")
        lines.append(f"  agreement {agreement_words(case, found, mode)}")
    if mode is Mode.AUTO:
        lines.append(f"  back      at {'; '.join(case.rollout.back_when)}")
    return lines


def shadow_words(case: UseCase, found: Progress, mode: Mode) -> str:
    """What shadow has shown of this prompt and model, and whether gated may be thought of."""
    nights, people, version = found.shadow
    bound = lower_bound(people.agreed, people.compared)
    words = f"{nights} nights; people had filled in {people.compared:,} records, {people.agreed:,} as proposed"
    words += f", at least {bound:.0%} (95 %)" if people.compared else ""
    if version.compared:
        words += f"; {version.agreed:,} of {version.compared:,} as a version before wrote"
    if mode is not Mode.SHADOW:
        return words
    if short := falls_short(case, found.shadow):
        return f"{words}; {short} until gated is proposed"
    return f"{words}; gated is proposed: nightledger control mode gated --use-case {case.name} --reason ..."


def agreement_words(case: UseCase, progress: Progress, mode: Mode) -> str:
    """What people made of the answers of this prompt and model, and whether auto may be thought of."""
    wanted, found = case.rollout, progress.agreement
    words = f"{found.agreed:,} of {found.decided:,} answers approved as they were, at least {found.at_least:.0%} (95 %)"
    if mode is not Mode.GATED:
        return words
    if case.never_alone:
        return f"{words}; never auto: {case.never_alone}"
    if propose_mode(case, mode, progress):
        return f"{words}; auto is proposed: nightledger control mode auto --use-case {case.name} --reason ..."
    if found.decided < wanted.decided:
        return f"{words}; {wanted.decided - found.decided:,} more until auto can be thought of"
    return f"{words}; auto asks for {wanted.agreement:.0%}"
