"""Words of a text in any script, by rules that need no dictionary and no model."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

PAGE_BREAK = "\f"
"""Stands between the pages of a text."""

_MARKS = "".join(re.escape(chr(code)) for code in range(0x300, 0x1DC0) if unicodedata.category(chr(code))[0] == "M")
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Thai, Lao, Burmese, Khmer, kana and Han: scripts that put no space between words."""
_TOKEN = re.compile(f"[{_UNSPACED}][{_MARKS}]*|(?:[^\\W_{_UNSPACED}][{_MARKS}]*)+")
_RUN = re.compile(f"[{_UNSPACED}{_MARKS}]+|(?:[^\\W_{_UNSPACED}][{_MARKS}]*)+")
_ACCENT = re.compile("[\u0300-\u036f]")


def token_spans(text: str) -> list[tuple[int, int]]:
    """Where each token begins and ends: a run of letters and digits, or one sign of a script without spaces."""
    return [found.span() for found in _TOKEN.finditer(text)]


def terms(text: str) -> list[str]:
    """What is looked for: words in lower case without accents, for scripts without spaces each pair of signs.

    There is no stemming and no list of stop words, so that every language is treated alike: a word counts by how rare
    it is among the texts.
    """
    folded = _ACCENT.sub("", unicodedata.normalize("NFKD", text.casefold()))
    found = list[str]()
    for run in _RUN.findall(unicodedata.normalize("NFC", folded)):
        signs = _TOKEN.findall(run)
        found += ["".join(pair) for pair in pairwise(signs)] if len(signs) > 1 else signs
    return found
