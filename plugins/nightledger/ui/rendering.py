"""Pages out of templates: escaped, with the forms' token, and with numbers as people read them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from include.models import OUTCOMES
from include.report import wording
from nightledger.ui.access import Viewer
from nightledger.ui.csrf import keep_nonce, nonce_of, token_for

HERE = Path(__file__).parent
STATIC = HERE / "static"
PAGES = (
    ("nights", "Nights"),
    ("review", "Review"),
    ("quality", "Data quality"),
    ("quarantine", "Quarantine"),
    ("dead-letters", "Dead letters"),
    ("explain", "Explain"),
    ("backfill", "Backfill"),
    ("control", "Control"),
    ("evaluations", "Evaluations"),
    ("systems", "Systems"),
    ("alerts", "Alerts"),
    ("verify", "Ledger"),
)
_WORDS = ("number", "money", "percent", "duration", "plural", "milliseconds", "figure", "compact")

Point = tuple[float, float]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({name: getattr(wording, name) for name in _WORDS})
    environment.filters.update(bar=bar, counted=counted, spark=spark, moment=moment, dollars=dollars, segment=segment)
    environment.filters.update(whole_percent=whole_percent, reason_words=reason_words, brief=brief)
    environment.globals.update(pages=PAGES, outcomes={str(key): name for key, name in OUTCOMES.items()})
    return environment


def render(request: Request, template: str, viewer: Viewer | None, *, http: int = 200, **values: Any) -> HTMLResponse:
    """A page; forms in it carry the viewer's token."""
    base = request.scope.get("root_path", "")
    page = _environment().get_template(template)
    content = page.render(
        base=base,
        airflow=base.removesuffix("/nightledger"),
        root=base.removesuffix("/nightledger"),
        style=f"{base}/static/{asset('style.css')}",
        script=f"{base}/static/{asset('frame.js')}",
        review_script=f"{base}/static/{asset('review.js')}",
        viewer=viewer,
        token=token_for(viewer.user_id, nonce_of(request)) if viewer else "",
        **values,
    )
    answer = HTMLResponse(content, http)
    if viewer:
        keep_nonce(request, answer)
    return answer


@cache
def asset(name: str) -> str:
    """A file's name with what it holds, so that browsers may keep it: `style.css?v=1a2b3c4d`."""
    return f"{name}?v={hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


def bar(counts: Mapping[str, int], rows_in: int | None = None) -> Markup:
    """Outcomes as pieces of one bar, in the order in which they are shown everywhere; keys are those of the code.

    The whole bar is the rows that came in, so that what has no outcome yet stays empty.
    """
    total, x, pieces = max(sum(counts.values()), rows_in or 0), 0.0, list[str]()
    for key in OUTCOMES:
        count = counts.get(key, 0)
        if count:
            width = count * 100 / total
            pieces.append(f'<rect class="o-{key}" x="{x:.2f}" y="0" width="{width:.2f}" height="8"/>')
            x += width
    attributes = 'class="meter" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"'
    return Markup(f"<svg {attributes}>{''.join(pieces)}</svg>")  # noqa: S704 - numbers and our own names only


def counted(counts: Mapping[str, int]) -> str:
    """Outcomes in words: `1,500 written, 20 quarantined`."""
    named = (f"{counts[key]:,} {name}" for key, name in OUTCOMES.items() if counts.get(key))
    return ", ".join(named) or "no outcomes"


def spark(
    shares: Sequence[float | None], width: float = 120.0, height: float = 24.0
) -> list[list[tuple[float, float]]]:
    """Lines of a small chart, from 0 at the bottom to the largest share at the top; a gap where nothing is known."""
    most = max((share for share in shares if share), default=0.0) or 1.0
    step = width / max(len(shares) - 1, 1)
    lines: list[list[Point]] = [[]]
    for at, share in enumerate(shares):
        if share is None:
            lines.append([])
        else:
            lines[-1].append((round(at * step, 1), round(height - 1 - share / most * (height - 2), 1)))
    return [line for line in lines if line]


def moment(value: datetime | str | None) -> str:
    """A time in UTC to the minute, a dash for none; the browser adds the zone that is chosen in Airflow.

    Where words like "UTC" or a second moment belong to it, an element of class `utc` around them gets it once.
    """
    if value is None:
        return "-"
    time = (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(UTC)
    words = f'<time datetime="{time:%Y-%m-%dT%H:%M}Z">{time:%Y-%m-%d %H:%M}</time>'
    return Markup(words)  # noqa: S704 - digits only


def whole_percent(share: float) -> str:
    """A share of 0 to 1 in whole percent, never rounded to nothing or to all."""
    return f"{min(max(round(share * 100), 1), 99 if share < 1 else 100)} %"


def reason_words(reason: str) -> str:
    """A reason without what marks it for machines: `not met: ... (email_format)`."""
    found = re.fullmatch(r"not met: (.*) \([\w.-]+\)", reason, re.DOTALL)
    return found[1] if found else reason


def brief(value: Any, most: int = 160) -> str:
    """A value of an answer or a row in few words; lists of texts with commas, other lists and objects as JSON."""
    texts = isinstance(value, list) and all(isinstance(one, str) for one in value)
    words = value if isinstance(value, str) else ", ".join(value) if texts else _json(value)
    return words if len(words) <= most else f"{words[: most - 3]}..."


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def dollars(value: Any) -> str:
    """US dollars out of JSON; a dash for what is no amount."""
    try:
        amount = Decimal(str(value))
    except ArithmeticError:
        return "-"
    return wording.money(amount) if amount.is_finite() else "-"


def segment(value: str) -> str:
    """A value as one part of a path."""
    return quote(value, safe="")


def address(path: str, **query: Any) -> str:
    """A path with those query values that are given."""
    given = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path
