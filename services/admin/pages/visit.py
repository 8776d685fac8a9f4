"""Who visits a page, and whether a form comes from one of our own pages. No markup."""

import time
from typing import Annotated

from fastapi import Depends, Request

from services.admin.adapters import Adapters
from services.admin.session import COOKIE, Session, Sessions


class SignInFirst(Exception):
    """There is no session: send the visitor to the door."""


class Forged(Exception):
    """No page of ours sent it: refuse it (403)."""


async def adapters(request: Request) -> Adapters:
    """Return the adapters of this app."""
    found: Adapters = request.app.state.adapters
    return found


Given = Annotated[Adapters, Depends(adapters)]


async def visit(request: Request, given: Given) -> Session:
    """Return the visitor's session, or raise `SignInFirst`."""
    sessions: Sessions = request.app.state.sessions
    found = sessions.read(request.cookies.get(COOKIE, ""), time.time())
    if found is None or await given.revocations.include(found):
        raise SignInFirst
    return found


Visit = Annotated[Session, Depends(visit)]


async def own_form(request: Request, visitor: Visit) -> None:
    """Raise `Forged` where a changing request lacks this session's word, or comes from elsewhere."""
    if request.method in ("GET", "HEAD"):
        return
    refuse_elsewhere(request)
    word = request.headers.get("x-csrf-token") or (await request.form()).get("csrf")
    if not isinstance(word, str) or not visitor.wrote(word):
        raise Forged


def refuse_elsewhere(request: Request) -> None:
    """Raise `Forged` where the browser says that another site sent this.

    Browsers tell Sec-Fetch-Site over TLS and on localhost, and Origin everywhere. A client that tells
    neither is no browser, and has no cookie that somebody could ride on.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site not in ("same-origin", "none"):
            raise Forged
        return
    origin = request.headers.get("origin")
    # Not parsed: it may be nonsense.
    if origin is not None and origin.partition("//")[2] != request.headers.get("host"):
        raise Forged
