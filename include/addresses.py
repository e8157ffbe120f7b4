"""Everything in a text that leads somewhere: URLs, e-mail addresses, hosts without a scheme, addresses in a network."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

_SCHEME = r"(?:[a-z][a-z0-9+.-]{1,12}://|(?:javascript|data|mailto|tel|sms|callto|vbscript):)[^\s<>\"'`|\\^{}]+"
_E_MAIL = r"[\w.!#$%&*+/=?^~-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"
_LABELS = r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+"
_COMMON = (
    "com|net|org|info|biz|io|app|dev|co|me|ai|de|at|ch|fr|es|it|nl|eu|uk|us|ru|cn|xyz|top|site|online|shop|link|example"
)
_PATH = r"(?:[/:?#][^\s<>\"'`|\\^{}]*)?"
_HOST = rf"(?<![\w@.-]){_LABELS}(?:[a-z]{{2,24}}|[A-Z]{{2,24}}|(?i:{_COMMON}))(?![\w.-]*\w){_PATH}"
_NUMBERS = r"(?<![\d.\w-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)"
_LINK = re.compile(rf"(?i:{_SCHEME})|{_E_MAIL}|{_HOST}|{_NUMBERS}")
_DOT = re.compile(r"\s?[\[({]\s?(?:\.|dot|punkt|point|punto)\s?[\])}]\s?", re.IGNORECASE)
_CLOSING = ".,;:!?)]}>*_\u2026\u201d\u2019"


def links_in(text: str) -> list[str]:
    """What leads somewhere, in order, without the marks around it; disguises by look-alike signs are taken off first.

    Words with a dot between them that could be a host count as one ("see evil.example"): rather one too many.
    """
    plain = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
    return [hit[0].rstrip(_CLOSING) for hit in _LINK.finditer(_DOT.sub(".", plain))]


def strange_links(text: str, known: Collection[str]) -> list[str]:
    """The links of a text that are not, word for word, among those that are known; capitals and a last `/` aside."""
    good = {_bare(one) for one in known}
    return [one for one in links_in(text) if _bare(one) not in good]


def _bare(link: str) -> str:
    return link.rstrip("/").casefold()
