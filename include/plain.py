"""Text from outside as it may leave for another system: nothing that is not seen, no formula where one would run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_BREAK = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
# https://www.unicode.org/reports/tr9/ (Bidi_Control), characters without width but the joiners that scripts need, and
# the tags in which text can be hidden from people and not from machines.
_UNSEEN = re.compile("[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")
_FORMULA = re.compile("\\s*(?:[=\uff1d]|[-+@\uff0b\uff0d\uff20].*[(|!\uff08\uff5c\uff01])", re.DOTALL)


def visible(text: str) -> str:
    r"""The text with line breaks as `\n`, control characters as U+FFFD, and without bidi and invisible ones."""
    return _UNSEEN.sub("", _CONTROL.sub("\ufffd", _BREAK.sub("\n", text)))


def visible_all(value: Any) -> Any:
    """`visible` for every text in a JSON-like value."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {visible(str(key)): visible_all(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [visible_all(item) for item in value]
    return value


def defused(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula with an apostrophe before it; prose and lists stay as they are.

    After https://owasp.org/www-community/attacks/CSV_Injection; a leading `+`, `-` or `@` alone runs nothing.
    """
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value
