"""A record explained, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from include.ledger.explain import decision_lines, flat, pairs
from include.ledger.explain_record import Link, last_set
from include.operations.explain import OTHERS, Explained
from include.operations.explain_outside import HeldNow, StagedRow

_STEPS = {
    "written": "{before} -> {after}",
    "found": "{after} (held it already; nothing was sent)",
    "left": "{after} (left so: a later night has spoken)",
    "not taken": "{after} (the write failed: {error})",
    "unknown": "{before} -> {after}? (whether it arrived is unknown)",
    "changed": "{before} -> {after} (not by us, between {since:%Y-%m-%d %H:%M} and {at:%Y-%m-%d %H:%M} UTC)",
}
_NOW = {
    "ours": "what our last write left there",
    "fits": "fits what our last write left there, as far as its tokens tell",
    "not ours": "NOT what our last write left there: somebody else has set it since",
    "unknown": "no write of yours to see says what it was left as",
}


def as_words(found: Explained, staged: StagedRow | None, now: HeldNow | None) -> str:
    """What is known of a record; says so where nothing is."""
    parts = ["\n".join(_head(found, now))]
    parts += ["\n".join(_chain(name, links, now)) for name, links in found.chains.items()]
    if found.facts:
        parts.append("\n".join(_facts(found, found.facts, staged)))
    if found.nights:
        parts.append("Nights that met it and wrote nothing to it:\n" + "\n".join(_nights(found)))
    return "\n\n".join(parts)


def _head(found: Explained, now: HeldNow | None) -> Iterator[str]:
    about = f"{found.target}{f', field {found.field}' if found.field else ''}"
    if not found.chains:
        yield f"{about}: no write of ours to it is on record."
        if found.field and found.known:
            yield f"Fields of it that were written: {', '.join(found.known)}."
        elif not found.nights:
            yield "Check system, object and id: they are those of the use case's sink."
    else:
        yield f"{about}: {len({one.write.number for links in found.chains.values() for one in links})} writes on record"
    if found.others:
        yield f"{found.others} of them are of {OTHERS}."
    if now and now.problem:
        yield f"What it holds now {now.problem}."
    elif now and now.missing:
        yield "There is no such record now."


def _chain(name: str, links: Sequence[Link], now: HeldNow | None) -> Iterator[str]:
    yield name
    if now and name in now.values:
        yield f"  holds now  {flat(now.values[name])}: {_NOW[now.ours.get(name, 'unknown')]}"
    last = last_set(links)
    if last and last.step == "changed":
        yield f"  set last   by somebody else, before {last.at:%Y-%m-%d %H:%M:%S} UTC: {flat(last.after)}"
    elif last:
        whose = f"{last.by} for {last.write.use_case}"
        yield f"  set last   by {whose}, {last.at:%Y-%m-%d %H:%M:%S} UTC: {flat(last.after)}"
    for one in links:
        before = flat(one.before) if one.before_read else "(not read)"
        words = {"before": before, "after": flat(one.after), "error": one.write.error, "since": one.since, "at": one.at}
        said = _STEPS[one.step].format(**words)
        undone = f", taken back by write {one.write.undone_by}" if one.step != "changed" and one.write.undone_by else ""
        whose = "" if one.step == "changed" else f"  {one.write.use_case}, write {one.write.number}{undone}"
        yield f"    {one.at:%Y-%m-%d %H:%M:%S}  {one.by}: {said}{whose}"


def _facts(found: Explained, facts: Mapping[str, Any], staged: StagedRow | None) -> Iterator[str]:
    yield f"Write {found.number}, row {facts['row_key']} of {facts['use_case']}: {facts['write_status']}" + (
        f" ({facts['write_error']})" if facts["write_error"] else ""
    )
    if facts["verdict"]:
        yield from decision_lines(facts)
        if facts["system_text"]:
            yield "  instructions of the prompt:"
            yield from (f"      {line}" for line in facts["system_text"].splitlines() if line.strip())
    else:
        yield from pairs([("decision", "none on record", "")])
    for one in (facts["decisions"] or ())[:-1]:
        yield from pairs([("before it", one["verdict"], f" by {one['by']}, rule: {one['rule']} ({one['at'][:19]})")])
    yield from pairs([("comment", facts["comment"], "")])
    if facts["inference_id"]:
        yield from pairs([("evaluated", evaluation_words(facts), "")])
    if found.calls:
        yield f"  tries     {len(found.calls)}"
        yield from (f"    {line}" for line in map(call_words, found.calls))
    yield from _came(facts, staged)


def _came(facts: Mapping[str, Any], staged: StagedRow | None) -> Iterator[str]:
    yield from pairs([("source", flat(facts["lineage"]) if facts["lineage"] else "not on record", "")])
    if staged and staged.problem:
        yield from pairs([("input", staged.problem, "")])
    elif staged:
        yield f"  input     as staged (dataset {staged.dataset}):"
        yield from (f"      {name}: {flat(value)}" for name, value in staged.values.items())
        yield from pairs([("failed", ", ".join(staged.not_met), " (of this row)")] if staged.not_met else [])
    unmet = [f"{o['expectation']} ({o['rows']} rows, {o['severity']})" for o in facts["not_met"] or ()]
    checked = f"{facts['expectations']} expectations held on the night's rows"
    yield from pairs([("quality", checked, f"; rows failed: {', '.join(unmet)}" if unmet else ", no row failed any")])
    for one in facts["quarantine"] or ():
        yield from pairs(
            [("aside", f"{one['at'][:19]} {'; '.join(one['reasons'])}", f" ({one['status']}, {one['run_id']})")]
        )
    for one in facts["dead_letters"] or ():
        words = f"{one['at'][:19]} at {one['stage']}, {one['cause']}: {one['detail']}"
        yield from pairs([("died", words, f" ({one['status']}, {one['run_id']})")])
    yield from pairs(
        [
            (
                "run",
                facts["run_id"],
                f" ({facts['mode']}, attempt {facts['attempt']}, started by {facts['external_ref']})",
            ),
            ("interval", f"[{facts['interval_start']:%Y-%m-%d %H:%M}, {facts['interval_end']:%Y-%m-%d %H:%M}) UTC", ""),
            ("code", facts["code_version"], f" {facts['git_sha']}".rstrip()),
        ]
    )


def evaluation_words(facts: Mapping[str, Any]) -> str:
    """The evaluation that held when something was asked, in words."""
    if facts["evaluation_id"] is None:
        return "none on record at that time"
    right = f"{facts['evaluation_correct']} of {facts['evaluation_rows']} labelled rows right"
    return f"{facts['evaluation_verdict']}, {right} ({facts['evaluated_at']:%Y-%m-%d %H:%M} UTC)"


def call_words(call: Mapping[str, Any]) -> str:
    """One call, in a line."""
    ended = call["outcome"] or "no answer is on record: the call was lost"
    how = f" by batch {call['batch_job_id']}" if call["batch_job_id"] else ""
    detail = f": {call['detail']}" if call["detail"] else ""
    if call["outcome"] is None:
        return f"{call['asked_at']:%Y-%m-%d %H:%M:%S}  {call['kind']} of {call['model']}{how}: {ended}"
    return (
        f"{call['asked_at']:%Y-%m-%d %H:%M:%S}  {call['kind']} of {call['model']}{how}: {ended}{detail}"
        f" (${call['cost']:f}, {call['latency_ms']} ms, evaluation: {evaluation_words(call)})"
    )


def _nights(found: Explained) -> Iterator[str]:
    for case, one in found.nights:
        facts = one.facts
        why = "; ".join(facts.get("reasons") or ()) or facts.get("review_reason") or facts.get("reason") or ""
        ended = f"{one.kind.replace('_', ' ')}{f' ({why})' if why else ''}"
        yield f"  {one.at:%Y-%m-%d %H:%M:%S}  {case}, row {one.row_key}: {ended}"
