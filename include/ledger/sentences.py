"""What a run puts on record, in words: for the logs of its tasks and for its page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from include.spec.use_case import NOBODY

Said = Mapping[str, Any]


def in_words(kind: str, said: Said) -> str:
    """One sentence for an event of a run; its type in words where there is none. Details may be of any version."""
    known = _SENTENCES.get(kind)
    return known(said) if known else kind.replace("_", " ").replace(".", " ")


def _count(said: Said, name: str, one: str = "", more: str = "") -> str:
    """A number with its noun, a dash where it is not known."""
    value = said.get(name)
    if not isinstance(value, (int, float)):
        return f"- {more or one + 's' if one else ''}".strip()
    noun = one if value == 1 else more or (f"{one}s" if one else "")
    return f"{value:,} {noun}".strip()


def _some(said: Said, *names: tuple[str, str]) -> list[str]:
    """Those counts that are not nothing: `3 reused`."""
    return [f"{said[name]:,} {word}" for name, word in names if isinstance(said.get(name), (int, float)) and said[name]]


def _opened(said: Said) -> str:
    options = said.get("options") or {}
    limit = f", at most {options['limit']:,} rows" if options.get("limit") else ""
    asks = f"with model {said.get('model', '-')}" if said.get("model") != NOBODY else "without a model"
    return f"Opened in mode {said.get('mode', '-')} {asks}{limit}"


def _extracted(said: Said) -> str:
    aside = _some(said, ("rejected_input", "not readable"), ("rejected_context", "lines of files set aside"))
    return ", ".join([f"Read {_count(said, 'input_rows', 'row')}", *aside])


def _checked(said: Said) -> str:
    parts = [f"Held {_count(said, 'rows_in', 'row')} against {_count(said, 'expectations', 'expectation')}"]
    return ", ".join([*parts, *(_some(said, ("quarantined", "set aside")) or ["none set aside"])])


def _left(said: Said) -> str:
    """What an engine did not decide, by why."""
    left = [(name, n) for name, n in said.items() if name not in ("model", "decided", "reused") and n]
    return ", ".join(f"{_count(said, name)} ({name.replace('_', ' ')})" for name, _ in left) or "none"


def _planned(said: Said) -> str:
    if "to_ask" in said:
        reused = _some(said, ("reused", "answers reused"), ("identical", "identical"), ("dead_before", "dead before"))
        return ", ".join([f"Of {_count(said, 'rows', 'row')} {_count(said, 'to_ask')} were to be asked", *reused])
    cost = f", at most about ${float(said['cost_usd']):,.4f}" if said.get("cost_usd") else ""
    minutes = sum((said.get("minutes") or {}).values())
    time = f", about {minutes:,.0f} min at the limits" if minutes >= 1 else ""
    return f"Expects {_count(said, 'calls', 'call')} for {_count(said, 'rows', 'row')}{cost}{time}"


def _enriched(said: Said) -> str:
    names = (("reused", "reused"), ("fallback", "by the rule"), ("deferred_rows", "deferred"))
    time = f" in {said['seconds']:,} s" if said.get("seconds") is not None else ""
    parts = [f"{_count(said, 'answered_rows', 'row')} answered{time}", *_some(said, *names)]
    return ", ".join([*parts, *_some(said, ("dead_letter", "dead letters"))])


def _decided(said: Said) -> str:
    words = {"write": "to be written", "review": "for review", "shadow": "recorded only", "reject": "rejected"}
    verdicts = (said.get("verdicts") or {}).items()
    return "Decided: " + (", ".join(f"{rows:,} {words.get(name, name)}" for name, rows in verdicts) or "nothing")


def _wrote(said: Said) -> str:
    names = (("unchanged", "unchanged"), ("failed", "failed"))
    return ", ".join([f"{_count(said, 'written', 'row')} written", *_some(said, *names)])


def _upserted(said: Said) -> str:
    names = (("inserted", "inserted"), ("updated", "updated"), ("unchanged", "unchanged"))
    return f"Table {said.get('table', '-')}: " + (", ".join(_some(said, *names)) or "nothing to do")


def _closed(said: Said) -> str:
    left = _some(said, ("not_finished", "without an outcome"))
    return ", ".join([f"Closed as {said.get('status', '-')}, {_count(said, 'rows_in', 'row')} in", *left])


def _stopped(said: Said) -> str:
    failed = ", ".join(str(name) for name in said.get("failed") or ()) or "a critical expectation"
    return f"Stopped by {failed}: {_count(said, 'deferred', 'row')} wait"


def _compared(said: Said) -> str:
    """What people had filled in themselves, and what a version of ours had written."""
    if said.get("problem"):
        return f"What would have been written was not compared: {said['problem']}"
    people, version = (said.get(name) or {} for name in ("person", "version"))
    found = f"People had filled in {_count(people, 'compared', 'record')}, {_count(people, 'agreed')} as proposed"
    more = f"; {_count(version, 'agreed')} of {_count(version, 'compared')} as a version before had"
    return found + (more if version.get("compared") else "")


_SENTENCES: Mapping[str, Callable[[Said], str]] = {
    "run.opened": _opened,
    "run.reopened": lambda said: "Taken up again",
    "run.sealed": lambda said: "Sealed: what the run left can be verified from here on",
    "run.closed": _closed,
    "run.abandoned": lambda said: f"Closed as abandoned: {said.get('reason', 'nobody worked on it any more')}",
    "stage.failed": lambda said: f"Step {said.get('stage', '-')} failed: {said.get('problem') or said.get('error')}",
    "extract.completed": _extracted,
    "extract.reused": lambda said: f"Took {_count(said, 'rows', 'row')} as {said.get('reused_from', '-')} read them",
    "file.registered": lambda said: f"Received {said.get('path', '-')} with {_count(said, 'rows', 'row')}",
    "file.archived": lambda said: f"Moved {said.get('path', '-')} to {said.get('archived_to', '-')}",
    "check.completed": _checked,
    "check.stopped": _stopped,
    "answers.completed": lambda said: (
        f"Held {_count(said, 'rows', 'answer')} against {_count(said, 'expectations', 'expectation')}, "
        f"{_count(said, 'not_met')} not met"
    ),
    "answers.stopped": _stopped,
    "enrich.planned": _planned,
    "enrich.decided": lambda said: (
        f"Decided {_count(said, 'decided', 'question')} in the process by {said.get('model', '-')}, left {_left(said)}"
    ),
    "enrich.completed": _enriched,
    "enrich.failed_over": lambda said: (
        f"{_count(said, 'rows', 'row')} went from {said.get('from', '-')} to {said.get('to', '-')}: "
        f"{said.get('why', 'it was down')}"
    ),
    "gate.completed": _decided,
    "write.completed": _wrote,
    "warehouse.upserted": _upserted,
    "shadow.compared": _compared,
    "answers.drifted": lambda said: f"The answers lie further off than chance explains: {said.get('words', '-')}",
}
