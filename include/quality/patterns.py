r"""Regular expressions that mean the same, written so that pandas can leave the looking to Arrow.

pandas asks Python for every value of a column once a pattern has `\s`, since Arrow's means fewer characters. Written
out as the characters that Python means, both mean the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

BLANKS = "".join(
    ["\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680", *map(chr, range(0x2000, 0x200B)), "\u2028\u2029\u202f\u205f\u3000"]
)
r"""What `\s` is to Python."""
_OTHER_RULES = re.compile(r"\(\?[^:=!<P]|\(\?P>")
r"""Flags change what a blank or `\s` is, and a comment may hold anything."""


def spell_out(pattern: str) -> str:
    r"""The pattern with `\s`, and `\S` outside of brackets, as characters.

    One that has flags or comments, or is no pattern, is returned as it is.
    """
    if _OTHER_RULES.search(pattern) or not re.search(r"\\[sS]", pattern) or not _compiles(pattern):
        return pattern
    parts, at, opened = list[str](), 0, -1
    while at < len(pattern):
        one = pattern[at : at + 2] if pattern[at] == "\\" else pattern[at]
        if one == "\\s":
            parts.append(BLANKS if opened >= 0 else f"[{BLANKS}]")
        elif one == "\\S" and opened < 0:
            parts.append(f"[^{BLANKS}]")
        else:
            parts.append(one)
        if one == "[" and opened < 0:
            opened = at + 1 + (pattern[at + 1 : at + 2] == "^")
        elif one == "]" and opened >= 0 and at > opened:  # the first one in brackets is a bracket
            opened = -1
        at += len(one)
    return "".join(parts)


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except (re.error, OverflowError):
        return False
    return True


OF_LIKE = {
    "ExpectColumnValuesToMatchLikePattern": "ExpectColumnValuesToMatchRegex",
    "ExpectColumnValuesToMatchLikePatternList": "ExpectColumnValuesToMatchRegexList",
    "ExpectColumnValuesToNotMatchLikePattern": "ExpectColumnValuesToNotMatchRegex",
    "ExpectColumnValuesToNotMatchLikePatternList": "ExpectColumnValuesToNotMatchRegexList",
}
"""Types that the library has for databases only, and those that mean the same of a frame."""


def regex_of_like(pattern: str, escape: str = "") -> str:
    """A pattern of SQL's LIKE as a regular expression: `%` any text, `_` one character, as the whole value, case kept.

    What follows `escape` stands for itself. Raises ValueError where nothing follows it, or it is not one character.
    """
    if len(escape) > 1:
        raise ValueError(f"`escape` is one character, not {escape!r}")
    parts, rest = list[str](), iter(pattern)
    for one in rest:
        if one == escape:
            following = next(rest, None)
            if following is None:
                raise ValueError(f"{pattern!r} ends with its escape character")
            parts.append(re.escape(following))
        else:
            parts.append({"%": "(?s:.*)", "_": "(?s:.)"}.get(one, re.escape(one)))
    return rf"\A{''.join(parts)}\Z"


def without_like(kind: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A type and its arguments, as ones about regular expressions where they are about LIKE.

    Raises ValueError where the pattern is missing, or is none.
    """
    given = dict(arguments)
    if kind not in OF_LIKE:
        return kind, given
    name = "like_pattern_list" if kind.endswith("List") else "like_pattern"
    asked = given.pop(name, None)
    listed = [asked] if isinstance(asked, str) else asked
    known = isinstance(listed, list) and listed and all(isinstance(one, str) for one in listed)
    if not known or given.keys() & {"regex", "regex_list"}:
        raise ValueError(f"needs `{name}`; the rule `like` says the same of one pattern")
    regexes = [regex_of_like(one) for one in listed]
    return OF_LIKE[kind], {**given, **({"regex_list": regexes} if kind.endswith("List") else {"regex": regexes[0]})}
