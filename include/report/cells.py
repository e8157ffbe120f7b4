"""Cells of a CSV that no spreadsheet takes for a formula."""

from __future__ import annotations

_ACTIVE = ("=", "+", "-", "@", "\t", "\r", "\n")


def harmless(cell: str) -> str:
    """The cell, with an apostrophe before it where a spreadsheet would otherwise run it.

    After https://owasp.org/www-community/attacks/CSV_Injection; quotes are the csv module's part.
    """
    return f"'{cell}" if cell.startswith(_ACTIVE) else cell
