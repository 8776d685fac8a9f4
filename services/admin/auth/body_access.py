"""Lets the app read a request's body only after a check of the token or the session.

FastAPI by itself parses the body before it checks the token.
"""

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Scope

from services.admin.auth.session import COOKIE, Sessions
from services.admin.auth.token_auth import TokenAuth


def body_access(
    token_auth: TokenAuth, sessions: Sessions, login: str, now: Callable[[], float]
) -> Callable[[Scope], bool]:
    """Return a function that decides whether the body of a request is read.

    The body is read if the request has a valid token or session, or if its path is `login`. Otherwise
    `RequestLimits` gives the app an empty body, and the route then rejects the request. `now` returns the
    time in seconds since 1970.
    """

    def authenticated(scope: Scope) -> bool:
        if scope["path"] == login:
            return True
        headers = Headers(scope=scope)
        if token_auth.tokens.find_by_header(headers.get("authorization")) is not None:
            return True
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        return sessions.read(cookie, now()) is not None

    return authenticated
