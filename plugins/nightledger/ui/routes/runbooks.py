"""The runbooks, as pages: what to do when something is wrong."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import HTMLResponse
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from include.links import anchor
from include.settings import ROOT
from nightledger.ui.access import Reader
from nightledger.ui.rendering import render

router = APIRouter()
_WIDE = {
    "<pre>": '<pre tabindex="0">',
    "<table>": '<div class="scroll" tabindex="0" role="group" aria-label="Table"><table>',
    "</table>": "</table></div>",
}
"""What may be wider than the window can be scrolled with the keyboard; in a text such markup is escaped."""
FOLDER = ROOT / "docs" / "runbooks"


@router.get("/runbooks/{name}")
def runbook(
    request: Request, viewer: Reader, name: Annotated[str, Path(max_length=60, pattern="^[a-z_]+$")]
) -> HTMLResponse:
    """A runbook of this deployment; its headings can be linked to."""
    try:
        content = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise HTTPException(404, f"There is no runbook {name} in this deployment: docs/runbooks is missing.") from error
    title, html = as_html(content)
    return render(request, "runbook.html.j2", viewer, title=title, content=Markup(html))  # noqa: S704 - ours, escaped


def as_html(markdown: str) -> tuple[str, str]:
    """The first heading, and the rest as HTML: markup in it is shown and not obeyed, links stay within the pages."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(markdown)
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", anchor(tokens[at + 1].content))
        for child in token.children or ():
            _keep_inside(child)
    title = next((tokens[at + 1].content for at, one in enumerate(tokens) if one.tag == "h1"), "Runbook")
    html = reader.renderer.render(tokens, reader.options, {})
    for plain, reachable in _WIDE.items():
        html = html.replace(plain, reachable)
    return title, html


def _keep_inside(token: Token) -> None:
    """A link to another runbook's file leads to its page."""
    target, _, section = str(token.attrGet("href") or "").partition("#")
    if token.type == "link_open" and target.endswith(".md"):
        token.attrSet("href", PurePosixPath(target).stem + (f"#{section}" if section else ""))
