"""FastAPI dependencies of the dashboard's pages: session lookup and CSRF protection. Renders nothing."""

import time
from typing import Annotated

from fastapi import Depends, Request

from runtime.failures import DependencyUnavailable
from services.admin.adapters import CurrentAdapters
from services.admin.auth.session import COOKIE, Session, Sessions


class LoginRequired(Exception):
    """The request has no valid session. The response redirects to the login page."""


class CsrfError(Exception):
    """The form was not sent from a page of the dashboard. The response is 403."""


async def load_session(
    request: Request, adapters: CurrentAdapters
) -> tuple[Session, DependencyUnavailable | None]:
    """Return the session in the request's cookie, and the database's error or None.

    If there is an error, the session may have been revoked. Raises `LoginRequired` if the session is missing,
    invalid or revoked. FastAPI caches the result, so that the dependencies of a request share one lookup.
    Error pages read the session from `request.state.session`.
    """
    sessions: Sessions = request.app.state.sessions
    session = sessions.read(request.cookies.get(COOKIE, ""), time.time())
    if session is None:
        raise LoginRequired
    database_error = None
    try:
        if await adapters.revocations.include(session):
            raise LoginRequired
    except DependencyUnavailable as error:
        database_error = error
    request.state.session = session
    return session, database_error


SessionLookup = Annotated[tuple[Session, DependencyUnavailable | None], Depends(load_session)]


async def current_session(lookup: SessionLookup) -> Session:
    """Return the session of the request.

    Raises `DependencyUnavailable` if it is unknown whether the session is revoked.
    """
    session, error = lookup
    if error:
        raise error
    return session


async def unverified_session(lookup: SessionLookup) -> Session:
    """Return the session of the request, even if it is unknown whether the session is revoked.

    Use it only for pages that show no lead and change nothing. The system status needs it, because it must
    report that the database is unavailable.
    """
    return lookup[0]


CurrentSession = Annotated[Session, Depends(current_session)]
UnverifiedSession = Annotated[Session, Depends(unverified_session)]


async def verify_csrf(request: Request, lookup: SessionLookup) -> None:
    """Raise `CsrfError` if a request lacks the CSRF token or comes from another site. Skips GET and HEAD."""
    if request.method in ("GET", "HEAD"):
        return
    session = await current_session(lookup)
    require_same_origin(request)
    token = request.headers.get("x-csrf-token") or (await request.form()).get("csrf")
    if not isinstance(token, str) or not session.csrf_matches(token):
        raise CsrfError


def require_same_origin(request: Request) -> None:
    """Raise `CsrfError` if the browser reports that another site sent this request.

    Browsers send Origin everywhere. They send Sec-Fetch-Site only over TLS and on localhost. A request with
    neither header is allowed: it does not come from a browser, so no other site can have triggered it.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site not in ("same-origin", "none"):
            raise CsrfError
        return
    origin = request.headers.get("origin")
    # Compare text instead of parsing: a parser raises on a malformed origin.
    if origin is not None and origin.partition("//")[2] != request.headers.get("host"):
        raise CsrfError
