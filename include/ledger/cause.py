"""Why a run did not finish, for people: what happened, what it means for the rows, and what to do next."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from include.ledger.failures import Failure
from include.links import runbook_page, system_page
from include.models import Outcome

KINDS = {
    "AccessDenied": "Access was denied",
    "QuotaUsedUp": "The account's credit is used up",
    "SystemUnavailable": "A system did not answer",
    "ContractBroken": "A source has another shape than agreed",
    "FileNotReady": "A file is not there yet",
    "QualityStop": "A critical expectation failed",
    "ConfigurationError": "A setting is missing or wrong",
    "LedgerUnavailable": "The ledger could not be reached",
    "LedgerOutdated": "The ledger's schema is older than the code",
    "CountsDoNotAddUp": "Rows are not accounted for",
}
"""What each error is called; the runbook `night` has a section of that name."""
_SILENT = "The task ended without a word"
_DEFECT = "The code failed"
_USUAL = {
    "AccessDenied": "Renew the credential in the connection of that system",
    "QuotaUsedUp": "Raise the ceiling or pay at the provider",
    "SystemUnavailable": "Wait until the system answers again",
    "ContractBroken": "Agree with the owner of the source, or change the spec",
    "FileNotReady": "Ask for the delivery",
    "ConfigurationError": "Correct what the message names",
}
"""What helps where the error itself does not say."""
HEADINGS = (*KINDS.values(), _SILENT, _DEFECT)
_REACHED = {
    "extract": "nothing was checked, asked or written",
    "check": "nothing was asked of the model, nothing was written",
    "plan": "nothing was asked of the model, nothing was written",
    "enrich": "answers on record are kept and not paid again, nothing was decided or written",
    "gate": "answers on record are kept and not paid again, nothing was written",
    "write": "what was written stays, and a retry sends only what is missing",
}
_SCHEDULED = ("scheduled__", "backfill__")
_RUN = re.compile(r"clear (the run )?from")


@dataclass(frozen=True, slots=True)
class Cause:
    """Everything a person needs in order to act; addresses are paths below Airflow's root.

    `retry_from` is the task to clear when the action is done; empty where clearing one does not help.
    """

    stage: str
    title: str
    sentence: str
    rows: str
    action: str
    command: str
    runbook: str
    system: str
    system_page: str
    retry_from: str


def explain_failure(
    failure: Failure | None, run: Mapping[str, Any], counts: Mapping[str, int], rows_in: int | None
) -> Cause:
    """The cause of a run that failed or stopped; without a record of it, that a task ended in silence.

    `run` has the columns of the ledger's table `run`.
    """
    found = failure or Failure(run["run_id"], _task_in(run["detail"]), "", "")
    title = KINDS.get(found.error, _DEFECT if found.error else _SILENT)
    retry_from = _retry_from(found)
    command = _command(run, retry_from)
    return Cause(
        stage=found.stage,
        title=title,
        sentence=sentence_of(found),
        rows=_rows(found.stage, counts, rows_in),
        action=_action(found, retry_from, command),
        command=command,
        runbook=runbook_page("night", title),
        system=found.system,
        system_page=system_page(found.system) if found.system else "",
        retry_from=retry_from,
    )


def _task_in(detail: str | None) -> str:
    """The task that a run's own word of its end names, if it names one."""
    stage, colon, _ = (detail or "").partition(":")
    return stage if colon and stage in _REACHED else ""


def sentence_of(found: Failure) -> str:
    """What happened, in one sentence without a full stop."""
    step = f"step {found.stage}" if found.stage else "a step"
    if not found.error:
        return f"{step.capitalize()} ended, and nothing on record says why: its worker was killed or ran out of time"
    if found.error not in KINDS:
        return f"{step.capitalize()} ended with {found.error}, which nobody foresaw"
    where = " ".join(part for part in (found.system, found.about) if part)
    problem = found.problem.rstrip(". ")
    return f"{where}: {problem}" if where else problem[:1].upper() + problem[1:]


def _rows(stage: str, counts: Mapping[str, int], rows_in: int | None) -> str:
    """What became of the rows so far, in one sentence."""
    if rows_in is None:
        return "No row was read, so nothing was checked, asked or written"
    ended = sum(counts.values())
    written = counts.get(Outcome.WRITTEN, 0) + counts.get(Outcome.UNCHANGED, 0)
    parts = [f"{rows_in:,} rows came in"]
    if counts.get(Outcome.QUARANTINED):
        parts.append(f"{counts[Outcome.QUARANTINED]:,} are in quarantine")
    if counts.get(Outcome.DEFERRED):
        parts.append(f"{counts[Outcome.DEFERRED]:,} wait for the next run of this night")
    if written:
        parts.append(f"{written:,} are written")
    if rows_in > ended:
        parts.append(f"{rows_in - ended:,} have no outcome yet")
    reached = _REACHED.get(stage, "the rest waits")
    return ", ".join(parts) + f"; {reached}"


def _retry_from(found: Failure) -> str:
    if found.error in ("CountsDoNotAddUp", "LedgerOutdated") or not found.stage:
        return ""
    return "extract" if found.error == "QualityStop" and found.stage == "check" else found.stage


def _action(found: Failure, retry_from: str, command: str) -> str:
    log = f"Read the log of task {found.stage or 'in Airflow'}"
    if not found.error or found.error not in KINDS:
        return f"{log}, then run it again"
    again = "run it again" if command.startswith("python") else f"run the night on from {retry_from}"
    action = (found.action or _USUAL.get(found.error, log)).rstrip(". ")
    return action if not retry_from or _RUN.search(action) else f"{action}. Then {again}"


def _command(run: Mapping[str, Any], retry_from: str) -> str:
    """How the night is run on from a command line: by Airflow's client, or by ours where that started the run.

    Airflow's client finds a run by its logical date, which only those of a schedule have in common with their interval.
    """
    starter, _, dag_run = run["external_ref"].partition("/")
    if not retry_from or (starter == run["use_case"] and not dag_run.startswith(_SCHEDULED)):
        return ""
    if starter == run["use_case"]:
        day = f"{run['interval_start']:%Y-%m-%dT%H:%M:%S}"
        return f"airflow tasks clear {run['use_case']} -t '^{retry_from}$' --downstream -s {day} -e {day} --yes"
    span = f"--from {run['interval_start']:%Y-%m-%dT%H:%M} --to {run['interval_end']:%Y-%m-%dT%H:%M}"
    return f"nightledger run all {run['use_case']} {span} --mode {run['mode']}"


@dataclass(frozen=True, slots=True)
class Deferred:
    """Rows that wait for a later run, why, and until when; `rows` counts those of one reason."""

    rows: int
    reason: str
    until: str


_BUDGET = re.compile(r"the budget (?P<scope>\S+) of")


def until_when(reason: str) -> str:
    """When deferred rows can be asked again, as far as their reason tells."""
    found = _BUDGET.search(reason)
    if not found:
        return "until this night is run again"
    kind, span = found["scope"].partition("/")[0], found["scope"].rpartition("/")[2]
    if kind in ("day", "month", "key") and (opens := _next(span)):
        return f"until {opens} 00:00 UTC, when the next budget opens, and this night is run again"
    return "until that budget is raised and this night is run again"


def _next(span: str) -> date | None:
    """The first day after a day `2026-11-20` or a month `2026-11`."""
    try:
        if len(span) == 10:
            return date.fromisoformat(span) + timedelta(days=1)
        first = date.fromisoformat(f"{span}-01")
    except ValueError:
        return None
    return (first + timedelta(days=32)).replace(day=1)
