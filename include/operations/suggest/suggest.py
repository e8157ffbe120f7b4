"""First rules for a file, written to be edited: each with its evidence, commented out where that is weak."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from include.errors import ConfigurationError
from include.models import Manifest
from include.operations.suggest.seen import MOST_COLUMNS, Seen, Suggestion, look, look_at_staged, written
from include.quality import rules
from include.systems.files.formats.reading import Reading

_KINDS = {"int64": "integer", "double": "number", "date32[day]": "date", "bool": "boolean"}
_DECLARED = ("integer", "number", "date", "datetime", "boolean")
_IMPORTED = (
    *("accepted_values", "between", "depends", "fresh", "matches", "not_after", "not_null", "reference", "row_count"),
    *("present", "spelt", "unique"),
)


@dataclass(frozen=True, slots=True)
class Suggested:
    """What a file suggests; `rules` count, `weak` ones are commented out."""

    source: str
    rows: int
    rules: int
    weak: int


def write_suggestions(source: Path, into: Path, reading: Reading | None = None) -> Suggested:
    """Look at a file and write rules that `check --expectations` takes as they are.

    Raises ConfigurationError where `into` exists or cannot be written, or is no .py file, and what `look` raises.
    """
    return _write(partial(look, source, reading), into)


def write_suggestions_for(raw: Manifest, source: str, into: Path) -> Suggested:
    """The same for the rows that a night staged, for the `expectations.py` of its use case."""
    return _write(partial(look_at_staged, raw, source), into)


def _write(see: Callable[[], Seen], into: Path) -> Suggested:
    if into.suffix != ".py":
        raise ConfigurationError("must end in .py, since it will be Python", about=str(into))
    if into.exists():
        raise ConfigurationError("exists and is not overwritten; name another file", about=str(into))
    seen = see()
    suggestions = list(_named_apart(suggest(seen)))
    text = as_python(seen, suggestions)
    try:
        with into.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigurationError(f"cannot be written ({error.strerror})", about=str(into)) from error
    strong = [one.strong for one in suggestions if one.code]
    return Suggested(seen.source, seen.rows, sum(strong) + 1, len(strong) - sum(strong))


def suggest(seen: Seen) -> Iterator[Suggestion]:
    """Every rule that a file suggests, by column, then those between columns."""
    from include.operations.suggest.column_rules import rules_of
    from include.operations.suggest.dependencies import dependencies
    from include.operations.suggest.row_rules import conditions, rules_between

    dependent, conditional = dependencies(seen), conditions(seen)
    for column in seen.columns:
        like = [(column.codes < 0) & ~one.wrong for one in dependent.get(column.name, ()) if one.missing]
        like += [one.explained for name, one in conditional.items() if name == column.name]
        yield from rules_of(column, seen, max(like, key=np.sum, default=None))
    for one in rules_between(seen, dependent, conditional):
        yield Suggestion("rows", one.code, one.evidence, one.strong)


def _named_apart(suggestions: Iterable[Suggestion]) -> Iterator[Suggestion]:
    """The same, with an id where two rules would have the same: `a_b` on `c` and `a` on `b_c`."""
    times = Counter[str]()
    for one in suggestions:
        if one.code:
            name = eval(one.code, vars(rules)).id  # noqa: S307 - written a line before
            times[name] += 1
            if times[name] > 1:
                one = replace(one, code=f"{one.code[:-1]}, id={written(f'{name}_{times[name]}')})")
        yield one


def as_python(seen: Seen, suggestions: Sequence[Suggestion]) -> str:
    """The rules as a Python file."""
    lines = list(_head(seen))
    lines += ["EXPECTATIONS = (", "    row_count(1),"]
    about = ""
    for one in suggestions:
        if one.about != about:
            lines += ["", f"    # {_said(one.about)}"]
            about = one.about
        lines += _lines(one)
    return "\n".join([*lines, ")", ""])


def _head(seen: Seen) -> Iterator[str]:
    looked = len(seen.places)
    some = f" {looked:,} of" if looked < seen.rows else ""
    yield f'"""First rules for {_said(seen.source)}, suggested by{some} its {seen.rows:,} rows, right and wrong ones.'
    yield ""
    yield "Read each with its evidence, change what is not meant, and delete what is true by chance. A rule with weak"
    yield "evidence is commented out. Values that must be in another file:"
    yield '`reference("customer_id", to="customers.csv:id")`.'
    if len(seen.columns) > MOST_COLUMNS:
        yield f"Only the first {MOST_COLUMNS} of {len(seen.columns):,} columns were compared with others."
    if seen.unreadable:
        yield f"{seen.unreadable:,} records cannot be read and suggest nothing."
    yield '"""'
    yield ""
    yield "from datetime import date, timedelta  # noqa: F401"
    yield ""
    yield "from include.quality.rules import (  # noqa: F401"
    yield from (f"    {name}," for name in _IMPORTED)
    yield ")"
    yield ""
    if seen.place != "line":
        return
    yield "COLUMNS = {"
    for column in seen.columns:
        kind = _KINDS.get(column.kind, column.kind)
        if kind in _DECLARED:
            yield f"    {written(column.name)}: {written(kind)},"
    yield "}"
    yield ""


def _lines(one: Suggestion) -> Iterator[str]:
    yield f"    # {_said(one.evidence)}"
    for line in f"{one.code},".splitlines() if one.code else ():
        yield f"    {'' if one.strong else '# '}{line}"


def _said(text: str) -> str:
    """Text from outside within a comment or docstring: one line, without what would end it."""
    return " ".join(text.replace("\\", "/").replace('"""', "'''").split())
