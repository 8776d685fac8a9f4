"""The web side of the mailbox: pages and JSON. Mails are hostile: all is escaped, and HTML sandboxed."""

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

from deploy.embedded.mailbox.mails import Mails
from deploy.embedded.mailbox.sink import protocol

_PAGES = Path(__file__).with_name("pages")
_PAGE_SIZE = 100

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
# A mail's own HTML: sandboxed also when it is opened outside the frame, and it loads nothing.
_MAIL_HEADERS = _HEADERS | {
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data:; frame-ancestors 'self'",
}


class Web:
    """One method per route. Plain functions, which Starlette runs in threads: they read files."""

    def __init__(self, mails: Mails) -> None:
        self._mails = mails
        self._templates = Environment(loader=FileSystemLoader(_PAGES), autoescape=True)

    def routes(self) -> list[Route]:
        """Answer what is served where."""
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
        """Show a page of mails, newest first."""
        ids, offset = self._mails.ids(), _offset(request)
        return self._page(
            "list.html",
            mails=self._mails.summaries(ids[offset : offset + _PAGE_SIZE]),
            total=len(ids),
            folder=self._mails.folder,
            offset=offset,
            page=_PAGE_SIZE,
        )

    def show_mail(self, request: Request) -> Response:
        """Show one mail, its HTML in a sandbox."""
        mail = self._mails.read(request.path_params["id"])
        return self._page("mail.html", mail=mail) if mail else _not_found()

    def show_html(self, request: Request) -> Response:
        """Serve a mail's HTML part for the sandbox."""
        mail = self._mails.read(request.path_params["id"])
        return HTMLResponse(mail["html"], headers=_MAIL_HEADERS) if mail else _not_found()

    def show_source(self, request: Request) -> Response:
        """Serve the file as it is."""
        source = self._mails.source(request.path_params["id"])
        return _not_found() if source is None else PlainTextResponse(source, headers=_HEADERS)

    def show_style(self, _: Request) -> Response:
        """Serve the one style sheet."""
        return Response((_PAGES / "style.css").read_text(), media_type="text/css", headers=_HEADERS)

    def list_messages(self, request: Request) -> Response:
        """List every mail, newest first; `?to=` narrows to one recipient."""
        wanted = request.query_params.get("to")
        found = self._mails.summaries(self._mails.ids())
        return JSONResponse([one for one in found if not wanted or wanted in one["to"]])

    def read_message(self, request: Request) -> Response:
        """Answer one mail with its parts and headers."""
        mail = self._mails.read(request.path_params["id"])
        return JSONResponse(mail) if mail else _not_found()

    def clear_messages(self, _: Request) -> Response:
        """Delete every mail."""
        return JSONResponse({"deleted": self._mails.clear()})

    def _page(self, name: str, **values: object) -> Response:
        return HTMLResponse(self._templates.get_template(name).render(values), headers=_HEADERS)


def application(mails: Mails, smtp_port: int | None = None, host: str = "127.0.0.1") -> Starlette:
    """Build the web mailbox; with a port, it takes mails in the same loop while it runs."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        if smtp_port is None:
            yield
            return
        loop = asyncio.get_running_loop()
        async with await loop.create_server(lambda: protocol(mails), host, smtp_port):
            yield

    return Starlette(
        lifespan=lifespan,
        # A page on the internet whose name resolves to this machine is not this machine.
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["localhost", "127.0.0.1"])],
        routes=Web(mails).routes(),
    )


def _offset(request: Request) -> int:
    text = request.query_params.get("offset", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _not_found() -> Response:
    return PlainTextResponse("There is no such mail.", status_code=404, headers=_HEADERS)
