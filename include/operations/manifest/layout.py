"""How a manifest looks: Markdown tables and lists, the same text for the same declarations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Lines of a Markdown table, or the word `None.` where it would have no rows."""
    lines = [_line(row) for row in rows]
    return [_line(heads), "|" + "---|" * len(heads), *lines] if lines else ["None."]


def section(title: str, *blocks: Iterable[str]) -> list[str]:
    """A heading of the second level and its blocks, a blank line before each; empty blocks are left out."""
    lines = ["", f"## {title}"]
    for block in blocks:
        if found := list(block):
            lines += ["", *found]
    return lines


def code(names: Iterable[str], none: str = "none") -> str:
    """Names as code, in one line."""
    return ", ".join(f"`{name}`" for name in names) or none


def money(amount: Any, none: str = "none") -> str:
    """US dollars."""
    return none if amount is None else f"{amount:,.2f} USD"


def first_line(function: Any) -> str:
    """A function in words: the first line of its docstring, else its name."""
    said = (function.__doc__ or "").strip().splitlines()
    return said[0].rstrip(".") if said else f"`{getattr(function, '__name__', 'function')}`"


def _line(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
