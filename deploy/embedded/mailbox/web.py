"""The mailbox's web server: pages and JSON. It escapes the text of emails, and sandboxes their HTML."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from deploy.embedded.mailbox.smtp import create_protocol
from deploy.embedded.mailbox.store import MailStore

_PAGES = Path(__file__).with_name("pages")
_PAGE_SIZE = 100

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
# An email's HTML is sandboxed, also if it is opened outside the frame, and loads nothing.
_MAIL_HEADERS = _HEADERS | {
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data:; frame-ancestors 'self'",
}


class MailPages:
    """The pages and the JSON, with one method for each route.

    The methods are synchronous, because they read files: Starlette runs them in threads.
    """

    def __init__(self, mails: MailStore) -> None:
        self._mails = mails
        self._templates = Environment(loader=FileSystemLoader(_PAGES), autoescape=True)

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/", self.show_list),
            Route("/style.css", self.show_style),
            Route("/mails/{id}", self.show_mail),
            Route("/mails/{id}/html", self.show_html),
            Route("/mails/{id}/source", self.show_source),
            Route("/api/messages", self.list_messages, methods=["GET"]),
            Route("/api/messages", self.clear_messages, methods=["DELETE"]),
            Route("/api/messages/{id}", self.read_message),
        ]

    def show_list(self, request: Request) -> Response:
        """Show a page of emails, newest first."""
        ids, offset = self._mails.ids(), _offset(request)
        return self._render(
            "list.html",
            mails=self._mails.summaries(ids[offset : offset + _PAGE_SIZE]),
            total=len(ids),
            folder=self._mails.folder,
            offset=offset,
            page=_PAGE_SIZE,
        )

    def show_mail(self, request: Request) -> Response:
        """Show one email, with its HTML in a sandboxed frame."""
        mail = self._mails.read(request.path_params["id"])
        return self._render("mail.html", mail=mail) if mail else _not_found()

    def show_html(self, request: Request) -> Response:
        """Serve an email's HTML part for the sandboxed frame."""
        mail = self._mails.read(request.path_params["id"])
        return HTMLResponse(mail["html"], headers=_MAIL_HEADERS) if mail else _not_found()

    def show_source(self, request: Request) -> Response:
        """Serve the email's file unchanged, as plain text."""
        source = self._mails.source(request.path_params["id"])
        return _not_found() if source is None else PlainTextResponse(source, headers=_HEADERS)

    def show_style(self, _: Request) -> Response:
        """Serve the style sheet."""
        return Response((_PAGES / "style.css").read_text(), media_type="text/css", headers=_HEADERS)

    def list_messages(self, request: Request) -> Response:
        """List every email, newest first. With `?to=ADDRESS`, only those to this recipient."""
        recipient = request.query_params.get("to")
        mails = self._mails.summaries(self._mails.ids())
        return JSONResponse([mail for mail in mails if not recipient or recipient in mail["to"]])

    def read_message(self, request: Request) -> Response:
        """Return one email with its text, HTML and headers."""
        mail = self._mails.read(request.path_params["id"])
        return JSONResponse(mail) if mail else _not_found()

    def clear_messages(self, _: Request) -> Response:
        """Delete every email."""
        return JSONResponse({"deleted": self._mails.clear()})

    def _render(self, name: str, **values: object) -> Response:
        return HTMLResponse(self._templates.get_template(name).render(values), headers=_HEADERS)


def create_app(mails: MailStore, smtp_port: int | None = None, host: str = "127.0.0.1") -> Starlette:
    """Return the web application. With `smtp_port`, it also runs the SMTP server, in the same event loop."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        if smtp_port is None:
            yield
            return
        loop = asyncio.get_running_loop()
        async with await loop.create_server(lambda: create_protocol(mails), host, smtp_port):
            yield

    return Starlette(
        lifespan=lifespan,
        # Against DNS rebinding: a website whose name resolves to this machine must not read emails.
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["localhost", "127.0.0.1"])],
        routes=MailPages(mails).routes(),
    )


def _offset(request: Request) -> int:
    text = request.query_params.get("offset", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _not_found() -> Response:
    return PlainTextResponse("There is no such email.", status_code=404, headers=_HEADERS)
