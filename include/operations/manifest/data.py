"""What goes into a use case and what comes out of it, as a manifest says it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from include.errors import ConfigurationError
from include.operations.manifest.layout import code, first_line, section, table
from include.spec.classes import classes_of
from include.spec.use_case import UseCase
from include.systems.port import Sink
from include.systems.registry import System, Window

GUARDS = {
    "own_fields": "only this package writes these fields",
    "unchanged_since_read": "the record must be as it was when it was read",
    "append_once": "nothing is sent twice",
}


def data_in(case: UseCase, systems: Mapping[str, System]) -> list[str]:
    """Systems, what is read of them, what a model sees of it, and who may see what."""
    return section(
        "Data in",
        table(("System", "Object", "Columns read (there -> here)"), _reads(case)),
        _systems(used_systems(case, systems)),
        ["What is shown to whoever answers:"],
        table(("Column", "Class of data", "Personal values"), _shown(case, systems)),
        _endpoints(case, systems),
        [
            f"* Personal columns, tokens wherever a row is kept outside the staged data: {code(case.personal)}.",
            f"* Fields of the answer that may hold personal values: {code(case.answers_personal)}.",
        ],
    )


def data_out(case: UseCase) -> list[str]:
    """Every sink with its fields and guard, and who is asked first."""
    asked = f"a person, always: {case.never_alone}" if case.never_alone else f"as mode and threshold say; {case.owner}"
    return section(
        "Data out",
        [f"* Destination: {case.output_destination}.", f"* Who is asked before anything is written: {asked}."],
        table(("System", "Object", "Fields (answer -> there)", "When", "Guard"), map(_sink, case.sinks)),
        [f"Mirror: `{case.mirror.system}`, table `{case.mirror.table}`."] if case.mirror else [],
    )


def used_systems(case: UseCase, systems: Mapping[str, System]) -> list[System]:
    """Entries of the registry that a use case reads, asks or writes; raises ConfigurationError where one is missing."""
    names = [one.system for one in case.sources]
    names += [one.system for one in case.joins]
    names += [one.source.system for one in case.looked_up]
    names += [one.system for one in case.sinks]
    names += [case.mirror.system] if case.mirror else []
    names += [one.reads.system for one in case.agent.tools] if case.agent else []
    names += [system for system, _ in _asked(case)]
    if missing := sorted({*names} - {*systems}):
        problem = f"the registry has no system {', '.join(missing)}"
        raise ConfigurationError(problem, system=case.name, action="Add it to systems.toml, or correct the spec")
    return [systems[name] for name in dict.fromkeys(names)]


def limits_of(windows: Sequence[Window]) -> str:
    """Windows of calls in words; times in seconds."""
    return "; ".join(_window(one) for one in windows) or "none declared"


def _window(one: Window) -> str:
    parts = {"requests": one.requests, "tokens": one.tokens}
    said = " and ".join(f"{number:,} {name}" for name, number in parts.items() if number is not None)
    return f"{said} per {one.per_seconds:g} s{', refilled evenly' if one.refills else ''}"


def _reads(case: UseCase) -> Iterator[tuple[str, str, str]]:
    for one in case.sources:
        yield one.system, one.object, _columns((origin.name, name) for name, origin in one.origins.items())
    for drop in case.joins:
        columns = _columns((origin.name, name) for name, origin in drop.origins.items())
        yield drop.system, f"{drop.folder}/{drop.pattern}", columns
    for look in case.looked_up:
        columns = _columns((origin.name, name) for name, origin in look.origins.items())
        yield look.source.system, f"{look.source.object} (joined)", columns


def _columns(pairs: Iterator[tuple[str, str]]) -> str:
    return ", ".join(f"`{there}`" if there == here else f"`{there}` -> `{here}`" for there, here in pairs)


def _systems(used: Sequence[System]) -> list[str]:
    rows = (
        (one.name, one.purpose, one.owner or "nobody", one.data, one.auth, "; ".join(one.scopes), one.network)
        for one in used
    )
    return table(("System", "Purpose", "Owner", "Data", "Credential", "Scopes", "Network"), rows)


def _shown(case: UseCase, systems: Mapping[str, System]) -> Iterator[tuple[str, str, str]]:
    for name, kind in classes_of(case, systems).items():
        yield f"`{name}`", kind, "as tokens" if name in case.tokenise else "as they are"


def _endpoints(case: UseCase, systems: Mapping[str, System]) -> list[str]:
    rows = []
    for name, model in _asked(case):
        system = systems[name]
        kept = system.retention or "not declared"
        rows.append((f"`{name}`", f"`{model}`", code(system.may_see), code(system.may_see_as_tokens), kept))
    if not rows:
        return ["No endpoint is asked: the columns stay in the process."]
    return table(("Endpoint", "Model", "May see", "May see as tokens", "Its vendor keeps it"), rows)


def _asked(case: UseCase) -> list[tuple[str, str]]:
    """Systems and models that are asked, the first one first."""
    if case.model is None:
        return []
    return [(case.model.system, case.model.name), *((one.system, one.name) for one in case.model.failover)]


def _sink(one: Sink) -> tuple[str, str, str, str, str]:
    fields = _columns(iter(one.fields.items())) + (f", one write per element of `{one.each}`" if one.each else "")
    when = [first_line(one.when)] if one.when else []
    when += [f"rows of {one.only_from}"] if one.only_from else []
    return one.system, one.object, fields, "; ".join(when) or "every row", GUARDS[one.guard]
