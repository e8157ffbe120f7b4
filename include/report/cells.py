"""Cells of a CSV that no spreadsheet takes for a formula."""

from __future__ import annotations

from include.plain import visible

_MEANS_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def harmless(cell: str) -> str:
    """The cell as no spreadsheet takes it for a formula, and without control, bidi and invisible characters.

    After https://owasp.org/www-community/attacks/CSV_Injection; quotes are the csv module's part.
    """
    text = visible(cell)
    return f"'{text}" if text.startswith(_MEANS_FORMULA) or text.lstrip().startswith(_MEANS_FORMULA) else text
