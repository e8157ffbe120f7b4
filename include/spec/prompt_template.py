"""The user part of a prompt: a Jinja2 template of one row, strict, in Jinja2's sandbox, checked before there is a row.

A template sees `row` (the columns of the spec's `model_sees`) and `record` (the row as canonical JSON). What it reads
is told from its text, so that a name that does not exist is found when the prompt is read and not at the first row. The
same row gives the same words: what is random is not there. Loops and sizes end, whatever a template says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import (
    StrictUndefined,
    Template,
    TemplateError,
    TemplateRuntimeError,
    UndefinedError,
    meta,
    nodes,
    pass_context,
)
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from include.canonical import canonical
from include.models import Record

MOST_PASSES = 100_000
"""Passes of all loops for one row."""
FREE_CHARS, CHARS_PER_CHAR = 1_000_000, 20
"""A message may have so many characters, and so many more for each of the record's."""
_NAMED = re.compile(r"'([^']+)'(?: is undefined)?\Z")
_SEEN = ("row", "record")
_BUDGET = "_budget"
_WHOLE_METHODS = ("items", "keys", "values")
_WHOLE_FILTERS = ("tojson", "items", "dictsort")
_PARTS_OF_OTHERS = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)


@dataclass(frozen=True, slots=True)
class Reads:
    """The columns that a template names, and whether it shows the row as a whole."""

    columns: frozenset[str]
    whole: bool


@dataclass(slots=True)
class _Budget:
    """What is left for one row."""

    passes: int
    chars: int


class TemplateProblem(ValueError):
    """A template that no row could be rendered with; the message is a sentence without the row."""


def render(text: str, row: Record) -> str:
    """The message for one row, without white space around it; raises TemplateProblem.

    Only what the template itself says is repeated in the error, never a value of the row.
    """
    record = canonical(row)
    budget = _Budget(MOST_PASSES, FREE_CHARS + CHARS_PER_CHAR * len(record))
    try:
        return _compile(text).render(row=row, record=record, **{_BUDGET: budget}).strip()
    except UndefinedError as error:
        named = _NAMED.search(str(error))
        raise TemplateProblem(str(error) if named and named[1] in text else "it looks up what is not there") from None
    except TemplateError as error:
        raise TemplateProblem(str(error)) from error
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
        raise TemplateProblem(f"it does not bear a row ({type(error).__name__})") from None


def check(text: str) -> None:
    """Raise TemplateProblem for a template that cannot be read, or names what does not exist."""
    _checked(text)


@lru_cache(maxsize=16)
def reads(text: str) -> Reads:
    """What a template reads of a row; raises TemplateProblem where that cannot be told from its text."""
    found = [_column(path) for path in _paths(_checked(text), ())]
    return Reads(frozenset(one for one in found if one is not None), None in found)


@lru_cache(maxsize=16)
def _compile(text: str) -> Template:
    environment = _environment()
    tree = environment.parse(text)
    for loop in tree.find_all(nodes.For):
        counted = nodes.Filter(loop.iter, "counted", [], [], None, None)
        loop.iter = counted.set_lineno(loop.lineno).set_environment(environment)
    return environment.from_string(tree)


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, finalize=_sized)
    made.filters["counted"] = _counted
    del made.globals["lipsum"], made.filters["random"]
    return made


@pass_context
def _counted(context: Context, items: Iterable[Any]) -> Iterator[Any]:
    """What a loop goes through, as long as there is leave for another pass."""
    budget: _Budget = context[_BUDGET]
    for one in items:
        budget.passes -= 1
        if budget.passes < 0:
            raise TemplateRuntimeError(f"its loops take more than {MOST_PASSES:,} passes for one row")
        yield one


@pass_context
def _sized(context: Context, value: Any) -> str:
    """An expression's text, as long as there is room for it."""
    text, budget = str(value), context[_BUDGET]
    budget.chars -= len(text)
    if budget.chars < 0:
        raise TemplateRuntimeError(f"its message is more than {CHARS_PER_CHAR} times as long as the row")
    return text


def _checked(text: str) -> nodes.Template:
    try:
        tree = _environment().parse(text)
        _compile(text)
    except TemplateError as error:
        raise TemplateProblem(f"line {getattr(error, 'lineno', 1)}: {error}") from error
    unknown = sorted(meta.find_undeclared_variables(tree) - {*_SEEN, *_environment().globals})
    if unknown:
        raise TemplateProblem(f"there is no {', '.join(unknown)}: a template sees `row.<column>` and `record`")
    if other := next(tree.find_all(_PARTS_OF_OTHERS), None):
        raise TemplateProblem(f"line {other.lineno}: a prompt is one file, nothing is included or imported")
    for kind, known in ((nodes.Filter, _environment().filters), (nodes.Test, _environment().tests)):
        for used in tree.find_all(kind):
            if used.name not in known:
                raise TemplateProblem(f"line {used.lineno}: there is no filter or test `{used.name}`")
    return tree


def _paths(node: nodes.Node, above: tuple[nodes.Node, ...]) -> Iterator[tuple[nodes.Node, ...]]:
    """Every place of `row` and `record`: the name, then what it stands in, outwards."""
    here = (node, *above)
    if isinstance(node, nodes.Name) and node.name in _SEEN:
        yield here
    for child in node.iter_child_nodes():
        yield from _paths(child, here)


def _column(path: tuple[nodes.Node, ...]) -> str | None:
    """The column that is read at a place, None for the whole row; raises TemplateProblem where that cannot be told."""
    name, around, *outer = path
    if not isinstance(name, nodes.Name) or name.ctx != "load":
        raise TemplateProblem(f"line {name.lineno}: `row` and `record` cannot be given another meaning")
    if name.name == "record":
        return None
    call = outer[0] if outer and isinstance(outer[0], nodes.Call) and outer[0].node is around else None
    if isinstance(around, nodes.Getattr):
        if not hasattr(dict, around.attr):
            return around.attr
        if call and around.attr in _WHOLE_METHODS:
            return None
        if call and around.attr == "get" and call.args and isinstance(call.args[0], nodes.Const):
            return str(call.args[0].value)
    if isinstance(around, nodes.Getitem) and around.node is name and isinstance(around.arg, nodes.Const):
        return str(around.arg.value)
    if isinstance(around, nodes.Filter) and around.node is name and around.name in _WHOLE_FILTERS:
        return None
    raise TemplateProblem(
        f'line {name.lineno}: which columns are read cannot be told; write `row.<column>`, `row["<column>"]`, '
        "`row.items()`, or `record` for the whole row"
    )
