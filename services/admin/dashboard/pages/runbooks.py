"""The runbooks of docs/runbooks as pages: what the URL of an alert opens. They need no token.

They say what the documentation of this version says, and nothing about this installation.
"""

from functools import cache
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response
from markdown_it import MarkdownIt
from markupsafe import Markup

from services.admin.dashboard.rendering import PageRoute, render
from services.admin.rules.errors import NotFoundError
from services.admin.texts import gettext

router = APIRouter(prefix="/admin", route_class=PageRoute)
_FOLDER: Final = Path(__file__).parents[4] / "docs" / "runbooks"
_FILES: Final = {path.stem: path for path in _FOLDER.glob("*.md")}
_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False})


@router.get("/runbooks/{alert}")
async def show_runbook(alert: str, request: Request) -> Response:
    """Show the runbook of an alert."""
    if alert not in _FILES:
        raise NotFoundError(gettext("This page does not exist."))
    return render(request, None, "runbook.html", alert=alert, runbook=_render_runbook(alert))


@cache
def _render_runbook(alert: str) -> Markup:
    """Return the runbook as HTML. Links to other runbooks work. Other links become text."""
    tokens = _MARKDOWN.parse(_FILES[alert].read_text(encoding="utf-8"))
    for token in tokens:
        for link in token.children or ():
            if link.type == "link_open":
                page = str(link.attrs.pop("href")).removesuffix(".md")
                if page in _FILES:
                    link.attrs["href"] = page
    html: str = _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})
    return Markup(html)  # noqa: S704 - our own file, rendered without its raw HTML
