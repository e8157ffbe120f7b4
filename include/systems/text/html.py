"""The words of an HTML page as a person would read them, line by line.

The standard library's parser needs time that grows with the square of some broken pages (CVE-2025-6069), which anybody
may send. This one looks at each character a bounded number of times.
"""

from __future__ import annotations

import re
from html import unescape

_BLOCKS = frozenset(("address", "article", "aside", "blockquote", "body", "br", "caption", "center", "dd", "div", "dl"))
_BLOCKS |= {"dt", "fieldset", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "html", "li"}
_BLOCKS |= {"main", "nav", "ol", "p", "pre", "section", "table", "tbody", "tfoot", "thead", "tr", "ul"}
_CELLS = frozenset(("td", "th"))
_HIDDEN = {name: re.compile(f"</{name}", re.IGNORECASE | re.ASCII) for name in ("script", "style", "title", "template")}
# No part crosses a `<`, so that an attempt never goes beyond the next one.
_TAG = re.compile(r"""<(/?)([a-zA-Z][a-zA-Z0-9]*)(?:(?:[^<>"']|"[^"<]*"|'[^'<]*')*+>|[^<>]*>)""")
_BLANKS = re.compile(r"[ \t\r\n]+")
_EMPTY_LINES = re.compile(r"\n{3,}")


def html_text(html: str, mark_quotes: bool = False) -> str:
    """The text, a line for each block and an empty one after a paragraph; scripts, styles and comments are no text.

    With `mark_quotes` the lines of a `blockquote` begin with `> `, as in a plain message.
    """
    page = _Page(mark_quotes)
    done = 0
    while done < len(html) and (at := html.find("<", done)) >= 0:
        page.add(html[done:at])
        if html.startswith(("<!", "<?"), at):
            end = html.find("-->" if html.startswith("<!--", at) else ">", at + 2)
            done = len(html) if end < 0 else html.index(">", end) + 1
            continue
        tag = _TAG.match(html, at)
        if tag is None:
            page.add("<")
            done = at + 1
            continue
        name, done = tag[2].lower(), tag.end()
        if name in _HIDDEN and not tag[1]:
            closed = _HIDDEN[name].search(html, done)
            done = closed.start() if closed else len(html)
        page.tag(name, closing=bool(tag[1]))
    page.add(html[done:])
    return page.text()


class _Page:
    def __init__(self, mark_quotes: bool) -> None:
        self._mark_quotes = mark_quotes
        self._lines = list[str]()
        self._line = list[str]()
        self._quoted = 0

    def add(self, words: str) -> None:
        self._line.append(words)

    def tag(self, name: str, closing: bool) -> None:
        if name in _BLOCKS:
            self._break()
        elif name in _CELLS:
            self._line.append(" ")
        if name == "blockquote":
            self._quoted = max(self._quoted + (-1 if closing else 1), 0)
        elif name == "p" and closing:
            self._lines.append("")

    def _break(self) -> None:
        line = _BLANKS.sub(" ", unescape("".join(self._line))).strip(" ")
        self._line.clear()
        if line:
            self._lines.append(f"> {line}" if self._mark_quotes and self._quoted else line)

    def text(self) -> str:
        self._break()
        return _EMPTY_LINES.sub("\n\n", "\n".join(self._lines)).strip("\n")
