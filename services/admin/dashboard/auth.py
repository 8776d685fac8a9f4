"""Who visits a page, and whether a form comes from one of our own pages. No markup."""

import time
from typing import Annotated

from fastapi import Depends, Request

from runtime.failures import DependencyUnavailable
from services.admin.adapters import Adapters
from services.admin.auth.session import COOKIE, Session, Sessions


class SignInFirst(Exception):
    """There is no session: send the visitor to the door."""


class Forged(Exception):
    """No page of ours sent it: refuse it (403)."""


async def adapters(request: Request) -> Adapters:
    """Return the adapters of this app."""
    found: Adapters = request.app.state.adapters
    return found


Given = Annotated[Adapters, Depends(adapters)]


async def look_up(request: Request, given: Given) -> tuple[Session, DependencyUnavailable | None]:
    """Return the cookie's session, and what keeps us from knowing whether it was signed out.

    Raises `SignInFirst`. FastAPI asks once a request, whoever depends on it.
    """
    sessions: Sessions = request.app.state.sessions
    found = sessions.read(request.cookies.get(COOKIE, ""), time.time())
    if found is None:
        raise SignInFirst
    try:
        is_over = await given.revocations.include(found)
    except DependencyUnavailable as away:
        return found, away
    if is_over:
        raise SignInFirst
    return found, None


LookUp = Annotated[tuple[Session, DependencyUnavailable | None], Depends(look_up)]


async def visit(found: LookUp) -> Session:
    """Return the visitor's session. Raises `DependencyUnavailable` if the database cannot confirm it."""
    session, away = found
    if away:
        raise away
    return session


async def visit_overview(found: LookUp) -> Session:
    """Return the visitor's session, also where nobody can tell whether it was signed out.

    Only for what shows no lead and changes nothing: the overview says that the database is away.
    """
    return found[0]


Visit = Annotated[Session, Depends(visit)]
VisitOverview = Annotated[Session, Depends(visit_overview)]


async def own_form(request: Request, found: LookUp) -> None:
    """Raise `Forged` where a changing request lacks this session's word, or comes from elsewhere."""
    if request.method in ("GET", "HEAD"):
        return
    visitor = await visit(found)
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
