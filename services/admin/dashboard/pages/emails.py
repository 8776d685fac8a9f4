"""The page that previews the emails of a site. The notifier composes them, about an invented lead."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from contracts.mail_previews import MailPreview, PreviewKind, UndeliverableMail
from services.admin.adapters import Adapters, CurrentAdapters
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.rendering import HEADERS, PageRoute, render
from services.admin.rules.errors import NotFoundError
from services.admin.texts import gettext

router = APIRouter(prefix="/admin/ui/emails", route_class=PageRoute)
LOCALES: Final = ("en", "de", "fr", "es", "it", "nl", "pl", "pt")
_POLICY: Final = "Content-Security-Policy"
_WITH_FRAME: Final = {_POLICY: f"{HEADERS[_POLICY]}; frame-src 'self'"}
# The HTML of an email has its styles inside. It runs no script, loads nothing but images, and has no origin.
_FRAMED: Final = {
    _POLICY: (
        "default-src 'none'; style-src 'unsafe-inline'; img-src https: data:; form-action 'none'; "
        "base-uri 'none'; frame-ancestors 'self'; sandbox"
    ),
    "X-Frame-Options": "SAMEORIGIN",
}


class PreviewQuery(BaseModel):
    """Which email to show. Without a locale, the lead has none. An unknown locale counts as none."""

    model_config = ConfigDict(extra="ignore")

    site: str = Field(default="", max_length=100)
    kind: PreviewKind = "welcome"
    locale: str = Field(default="", max_length=35)


Wanted = Annotated[PreviewQuery, Query()]


@router.get("")
async def show_email(
    request: Request, session: CurrentSession, adapters: CurrentAdapters, wanted: Wanted
) -> Response:
    """Show the headers, the HTML and the text of an email."""
    sites = tuple(request.app.state.sites.by_name) or ("default",)
    site = wanted.site if wanted.site in sites else sites[0]
    wanted = wanted.model_copy(update={"site": site})
    request.state.page_headers = _WITH_FRAME
    found = await _read(adapters, wanted)
    preview = found if isinstance(found, MailPreview) else None
    undeliverable = found if isinstance(found, UndeliverableMail) else None
    return render(
        request,
        session,
        "emails.html",
        wanted=wanted,
        sites=sites,
        locales=LOCALES,
        preview=preview,
        undeliverable=undeliverable,
    )


@router.get("/html")
async def show_html(request: Request, adapters: CurrentAdapters, wanted: Wanted) -> Response:
    """Return the HTML part of an email, for the frame of the page."""
    preview = await _read(adapters, wanted)
    if preview is None:
        raise NotFoundError(gettext("The email service does not answer."))
    if isinstance(preview, UndeliverableMail):
        raise NotFoundError(gettext("This email cannot be sent."))
    request.state.page_headers = _FRAMED
    return HTMLResponse(preview.html)


async def _read(adapters: Adapters, wanted: PreviewQuery) -> MailPreview | UndeliverableMail | None:
    locale = wanted.locale if wanted.locale in LOCALES else ""
    return await adapters.system.read_mail_preview(wanted.kind, wanted.site, locale)
