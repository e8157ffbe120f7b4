"""The morning report for a terminal: at most 100 columns, the answer in its first three lines."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from include.ledger.cause import Cause
from include.report.sections import Facts, ModelUse
from include.report.wording import (
    attention,
    change,
    decided,
    drifted,
    endings,
    equation,
    milliseconds,
    money,
    number,
    observed,
    open_letters,
    percent,
    plural,
    second_calls,
    tallies,
    took,
    verdict,
)

WIDTH, LABEL, BAR, MOST = 100, 6, 30, 5


def as_text(facts: Facts) -> str:
    """The report as plain ASCII lines; content from outside is shown with control characters removed."""
    lines = [*_answer(facts), *_rows(facts), *_input(facts), *_model(facts), *_gate(facts), *_outside(facts)]
    return "\n".join(line.rstrip() for line in lines)


def _answer(facts: Facts) -> Iterator[str]:
    header, model = facts.header, facts.model
    said = f"{verdict(facts).upper()} - {header.use_case}, {header.mode}, attempt {header.attempt}, {took(facts)}"
    yield from _labelled("", said)
    yield from _cause(facts.cause)
    yield from _labelled("Rows", equation(facts.rows, plus=", "))
    ceiling = f" of {money(model.ceiling)} allowed" if model.ceiling else ""
    per_row = f", {money(model.cost_per_row)} per answered row" if model.cost_per_row is not None else ""
    month = f"; about {money(model.projection.month)} a month"
    yield from _labelled("Cost", f"{money(model.cost)}{ceiling}{per_row}{month}")
    wanted = [
        line for one in attention(facts) for line in textwrap.wrap(_clean(one), WIDTH - 2, subsequent_indent="  ")
    ]
    yield from _section("To look at", wanted, most=2 * MOST)


def _cause(cause: Cause | None) -> Iterator[str]:
    """Why the run did not finish, and what to do; a command stays on one line, to be copied."""
    if cause is None:
        return
    yield from _labelled("Why", f"{cause.title}. {cause.sentence}.")
    yield from _labelled("Means", f"{cause.rows}.")
    yield from _labelled("Do", f"{cause.action}.")
    if cause.command:
        yield " " * LABEL + _clean(cause.command)
    yield from _labelled("See", "; ".join(filter(None, (f"runbook {cause.runbook}", cause.system_page))))


def _rows(facts: Facts) -> Iterator[str]:
    before = facts.previous
    lines = []
    for one in endings(facts.rows):
        bar = "#" * max(1, round(one.share * BAR))
        delta = f"  {change(one.rows, before.counts.get(one.key, 0)):>8}" if before else ""
        lines.append(f"{one.name:<13}{number(one.rows):>10}  {percent(one.share):>8}{delta}  {bar}")
    yield from _section("Where rows ended" + (" (change to the previous run)" if before else ""), lines, most=9)


def _input(facts: Facts) -> Iterator[str]:
    lines = []
    for source in facts.sources:
        rejected = f", {number(source.rejected)} set aside" if source.rejected else ""
        lines.append(
            "; ".join([f"{source.system} {source.what}: {plural(source.rows, 'row')}{rejected}", *source.notes])
        )
    if facts.transformed:
        lines.append(f"then: {tallies(facts.transformed)}")
    lines += [f"new, and not declared: {name}" for name in facts.new_columns]
    yield from _section("Sources", lines)
    passed = sum(check.success for check in facts.expectations)
    if facts.expectations:
        lines = []
        for check in (check for check in facts.expectations if not check.success):
            needed = f", must hold for {percent(float(check.threshold))}" if check.threshold is not None else ""
            found = (
                f"{number(check.failing)} rows, {percent(check.share)}{needed}"
                if check.failing
                else observed(check.observed)
            )
            told = f"could not run: {check.could_not_run}" if check.could_not_run else found
            lines.append(f"{check.severity:<9}{check.meaning} ({told}){_examples(check.examples)}")
        yield from _section(f"Expectations: {passed} of {len(facts.expectations)} hold", lines, always=True)
        yield f"  data quality in full: quality.html; drifted: {drifted(facts.drifted) or 'nothing'}"[:WIDTH]
    for title, found_here in (
        ("Quarantine by reason", facts.quarantine),
        ("Rejected lines of files", facts.rejected_lines),
    ):
        yield from _section(title, [f"{number(t.count):>7}  {t.name}{_examples(t.examples)}" for t in found_here])


def _model(facts: Facts) -> Iterator[str]:
    model = facts.model
    if not model.calls and not model.rows_answered:
        yield from _section("Model", ["was not asked"])
        return
    rows = f"{number(model.rows_reused)} reused, {number(model.rows_by_rule)} by rule" + (
        f", {number(model.rows_decided)} decided in the process" if model.local else ""
    )
    local = [f"local    {decided(one, facts.header.asks)}" for one in model.local]
    if not facts.header.asks:
        yield from _section("Decided in the process; no model is asked", [f"rows     {rows}", *local])
        return
    yield from _section(
        f"Model {facts.header.model}, prompt {facts.header.prompt_version} ({facts.header.prompt_hash[:12]})",
        [
            f"rows     {number(model.rows_asked)} asked, {rows}",
            *local,
            f"calls    {number(model.calls)}, {plural(model.retries, 'retry', 'retries')},"
            f" {plural(model.reasks, 're-ask')};"
            f" {tallies(model.outcomes)}",
            *_second_calls(model),
            f"tokens   {number(model.tokens_in)} in, {number(model.tokens_cached)} of them cached,"
            f" {number(model.tokens_out)} out",
            f"month    {money(model.projection.month)}: {model.projection.formula}",
            f"time     p50 {milliseconds(model.latency_p50)}, p95 {milliseconds(model.latency_p95)}; waited p95"
            f" {milliseconds(model.queue_p95)}; {number(model.calls_per_minute)} calls a minute",
        ],
        most=7,
    )


def _second_calls(model: ModelUse) -> Iterator[str]:
    if model.second.calls:
        yield f"second   {second_calls(model.second)}"


def _gate(facts: Facts) -> Iterator[str]:
    review = facts.review
    lines = [f"gate     {number(v.rows)} {v.verdict}: {v.rule}" for v in facts.verdicts[:MOST]]
    if review.everywhere:
        since = f", the oldest since {review.oldest:%Y-%m-%d %H:%M} UTC" if review.oldest else ""
        lines.append(f"review   {number(review.here)} of this run, {number(review.everywhere)} of all runs wait{since}")
        lines.append(f"         page Review, or nightledger review list --use-case {facts.header.use_case}")
    for writes in facts.writes:
        by_status = ", ".join(f"{number(count)} {status}" for status, count in writes.counts.items())
        lines.append(f"write    {writes.destination}: {by_status}")
    lines += [f"dead     {number(d.rows)} at {d.stage}: {d.cause.replace('_', ' ')}" for d in facts.dead_letters[:MOST]]
    lines += [f"letters  {line}" for line in open_letters(facts)]
    yield from _section("After the model", lines, most=20)


def _outside(facts: Facts) -> Iterator[str]:
    agreement, before, header = facts.agreement, facts.previous, facts.header
    if agreement and agreement.compared:
        lines = ["".join([f"{'tier':<10}", *(f"{label:>12}" for label in agreement.labels)])]
        for tier, row in agreement.table.items():
            lines.append("".join([f"{tier:<10}", *(f"{number(row.get(label, 0)):>12}" for label in agreement.labels)]))
        if agreement.decided:
            shares = (f"{tier} {percent(agreement.share_won(tier))}" for tier in agreement.table)
            lines.append(f"share won of those decided: {', '.join(shares)}")
        lines.append("The sandbox model is a fixed rule; this says nothing about a real model.")
        yield from _section(f"Tiers against what became of {number(agreement.compared)} rows", lines, most=9)
    lines = [
        f"run      {header.run_id}, code {header.code_version} {header.git_sha[:12]}",
        f"chain    {header.chain_head or '-'}",
        f"ledger   {header.ledger_head or '-'}",
    ]
    if before:
        then = f"{before.status}, {number(before.rows)} rows, {money(before.cost)}"
        lines.insert(0, f"before   {before.run_id}: {then}")
    yield from _section("On record", lines)


def _section(title: str, lines: Sequence[str], *, most: int = MOST, always: bool = False) -> Iterator[str]:
    """A title and its lines, the rest counted; nothing at all without lines, unless `always`."""
    if not lines and not always:
        return
    yield ""
    yield _clip(title)
    yield from (_clip(f"  {line}") for line in lines[:most])
    if len(lines) > most:
        yield f"  and {len(lines) - most} more"


def _labelled(label: str, value: str) -> Iterator[str]:
    indent = f"{label:<{LABEL}}" if label else ""
    yield from textwrap.wrap(_clean(value), WIDTH, initial_indent=indent, subsequent_indent=" " * LABEL)


def _examples(examples: Sequence[str]) -> str:
    return f"  e.g. {', '.join(examples[:2])}" if examples else ""


def _clip(line: str) -> str:
    line = _clean(line)
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."


def _clean(line: str) -> str:
    return "".join(char if " " <= char <= "~" else "?" for char in line)
