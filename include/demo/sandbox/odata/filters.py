"""`$filter` and key predicates: a small part of the ABNF, and a refusal for what is beyond it.

https://docs.oasis-open.org/odata/odata/v4.01/odata-v4.01-part2-url-conventions.html (5.1.1)
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from include.demo.sandbox.odata.edm import comparable
from include.demo.sandbox.odata.errors import bad_request, not_spoken
from include.demo.sandbox.odata.model import EntitySet

Row = Mapping[str, Any]
Test = Callable[[Row], bool]
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
    "eq": operator.eq,
    "ne": operator.ne,
}
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>'(?:[^']|'')*')
  | (?P<guid>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})
  | (?P<moment>\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))
  | (?P<date>\d{4}-\d\d-\d\d)
  | (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
  | (?P<name>[A-Za-z_][\w]*(?:/[A-Za-z_]\w*)*)
  | (?P<mark>[(),=])
    )""",
    re.X | re.ASCII,
)
_FITS = {
    "text": ("Edm.String",),
    "guid": ("Edm.Guid",),
    "moment": ("Edm.DateTimeOffset",),
    "date": ("Edm.Date",),
    "number": ("Edm.Byte", "Edm.Int16", "Edm.Int32", "Edm.Int64", "Edm.Decimal", "Edm.Double"),
    "name": ("Edm.Boolean",),
}
MOST_NODES = 100
"""Of one filter, as Microsoft's library has it by default (`MaxNodeCount`)."""


class Token(NamedTuple):
    """A word of a filter and what kind of word it is."""

    kind: str
    text: str


def parse_filter(text: str, within: EntitySet) -> Test:
    """The test that a filter describes; raises ODataError 400 or 501."""
    words = _Words(_tokens(text), within)
    test = words.either()
    words.end()
    if words.nodes > MOST_NODES:
        raise bad_request(f"The node count limit of '{MOST_NODES}' has been exceeded")
    return test


def parse_key(text: str, within: EntitySet) -> tuple[Any, ...]:
    """The comparable key of a predicate without its parentheses; raises ODataError 400."""
    words = _Words(_tokens(text), within)
    found: dict[str, Any] = {}
    if len(within.keys) == 1 and "=" not in [token.text for token in words.tokens]:
        found[within.keys[0]] = words.literal(within.keys[0])
    else:
        while True:
            name = words.take("name")
            words.take("mark", "=")
            found[name] = words.literal(name)
            if not words.skip(","):
                break
    words.end()
    if set(found) != set(within.keys):
        raise bad_request(f"The key of {within.name} is {', '.join(within.keys)}")
    return tuple(found[name] for name in within.keys)


def _tokens(text: str) -> list[Token]:
    found, at, end = [], 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise bad_request(f"Syntax error at position {at} in '{text}'")
        found.append(Token(match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


class _Words:
    """The tokens that are left, read from the front."""

    def __init__(self, tokens: list[Token], within: EntitySet) -> None:
        self.tokens, self._within, self._at, self.nodes = tokens, within, 0, 0

    def either(self) -> Test:
        """Conditions joined by `or`."""
        tests = [self.both()]
        while self.skip("or"):
            self.nodes += 1
            tests.append(self.both())
        return tests[0] if len(tests) == 1 else lambda row: any(test(row) for test in tests)

    def both(self) -> Test:
        """Conditions joined by `and`, which binds tighter."""
        tests = [self.one()]
        while self.skip("and"):
            self.nodes += 1
            tests.append(self.one())
        return tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)

    def one(self) -> Test:
        """A condition, or several in parentheses, or its contrary."""
        if self.skip("not"):
            test = self.one()
            return lambda row: not test(row)
        if self.skip("("):
            inner = self.either()
            self.take("mark", ")")
            return inner
        return self._comparison()

    def _comparison(self) -> Test:
        name = self.take("name")
        if self.peek().text == "(":
            raise not_spoken(f"function {name}")
        kind, verb = self._kind(name), self.take("name")
        self.nodes += 3
        if verb == "in":
            options = self._list(name)
            return lambda row: comparable(row.get(name), kind) in options
        if verb not in _COMPARE:
            raise not_spoken(f"operator {verb}")
        compare, value = _COMPARE[verb], self.literal(name)
        if verb in ("eq", "ne"):
            return lambda row: compare(comparable(row.get(name), kind), value)
        return lambda row: (
            (held := comparable(row.get(name), kind)) is not None and value is not None and compare(held, value)
        )

    def _list(self, name: str) -> list[Any]:
        self.take("mark", "(")
        options = [self.literal(name)]
        while self.skip(","):
            options.append(self.literal(name))
        self.take("mark", ")")
        return options

    def literal(self, name: str) -> Any:
        """The comparable value of a literal that is held against a property."""
        token, kind = self.next(), self._kind(name)
        if token.text == "null":
            return None
        if kind not in _FITS.get(token.kind, ()):
            raise bad_request(f"'{token.text}' is no {kind}, which '{name}' is")
        text = token.text[1:-1].replace("''", "'") if token.kind == "text" else token.text
        value = comparable(text, kind)
        if value is None:
            raise bad_request(f"'{token.text}' is no {kind}, which '{name}' is")
        return value

    def _kind(self, name: str) -> str:
        if name not in self._within.props:
            raise bad_request(f"Could not find a property named '{name}' on type '{self._within.type}'")
        return self._within.props[name].type

    def peek(self) -> Token:
        """The next token, left where it is."""
        return self.tokens[self._at] if self._at < len(self.tokens) else Token("end", "")

    def next(self) -> Token:
        """The next token; raises ODataError 400 at the end."""
        token = self.peek()
        if token.kind == "end":
            raise bad_request("The expression ends too early")
        self._at += 1
        return token

    def skip(self, text: str) -> bool:
        """Whether the next token was this word, which is then taken."""
        found = self.peek().kind in ("name", "mark") and self.peek().text == text
        self._at += found
        return found

    def take(self, kind: str, text: str = "") -> str:
        """The next token's text; raises ODataError 400 unless it is of that kind, and this word."""
        token = self.next()
        if token.kind != kind or (text and token.text != text):
            raise bad_request(f"Expected {text or kind}, found '{token.text}'")
        return token.text

    def end(self) -> None:
        """Raise ODataError 400 unless everything was read."""
        if self.peek().kind != "end":
            raise bad_request(f"Unexpected '{self.peek().text}'")
