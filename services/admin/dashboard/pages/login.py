"""Login and logout: an admin token opens a session. No URL, page or log contains the token."""

import time
from typing import Annotated
from urllib.parse import parse_qsl, urlencode, urlsplit

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from services.admin.adapters import CurrentAdapters
from services.admin.auth.session import COOKIE, SESSION_SECONDS, Sessions
from services.admin.auth.token_auth import TokenAuth
from services.admin.dashboard.auth import (
    CurrentSession,
    LoginRequired,
    load_session,
    require_same_origin,
    verify_csrf,
)
from services.admin.dashboard.rendering import LOGIN, PageRoute, redirect, render
from services.admin.texts import gettext

router = APIRouter(prefix="/admin", route_class=PageRoute)
HOME = "/admin"


@router.get("/login")
async def show_login(request: Request, adapters: CurrentAdapters) -> Response:
    """Show the login form, or redirect if the session is valid."""
    next_path = own_url(request.query_params.get("next", ""))
    try:
        await load_session(request, adapters)
    except LoginRequired:
        return render(request, None, "login.html", next_path=next_path, error=None)
    return RedirectResponse(next_path, 303)


@router.post("/login")
async def log_in(
    request: Request,
    token: Annotated[str, Form(max_length=500)] = "",
    next_path: Annotated[str, Form(alias="next", max_length=8000)] = "",
) -> Response:
    """Open a session if the token is valid. Wrong tokens here and in the API share one rate limit."""
    require_same_origin(request)
    next_path, token = own_url(next_path), token.strip()
    token_auth: TokenAuth = request.app.state.token_auth
    sessions: Sessions = request.app.state.sessions
    try:
        token_auth.authenticate(token.encode() or None, request.client.host if request.client else "")
    except HTTPException as refused:
        error = gettext("Too many failed attempts. Wait a minute, then try again.")
        if refused.status_code != 429:
            error = gettext("Invalid token. Check it for typing errors, or ask whoever operates FASTCore.")
        response: Response = render(
            request, None, "login.html", refused.status_code, next_path=next_path, error=error
        )
        if refused.status_code == 429:
            response.headers.update(refused.headers or {})
        return response
    response = RedirectResponse(next_path, 303)
    response.set_cookie(
        COOKIE,
        sessions.create(token, time.time()),
        max_age=SESSION_SECONDS,
        path=HOME,
        secure=sessions.secure,
        httponly=True,
        samesite="strict",
    )
    return response


@router.post("/logout", dependencies=[Depends(verify_csrf)])
async def log_out(request: Request, session: CurrentSession, adapters: CurrentAdapters) -> Response:
    """Revoke the session, so that copies of its cookie become invalid too."""
    await adapters.revocations.revoke(session)
    sessions: Sessions = request.app.state.sessions
    response = redirect(request, LOGIN)
    response.delete_cookie(COOKIE, path=HOME, secure=sessions.secure, httponly=True, samesite="strict")
    response.headers["Clear-Site-Data"] = '"storage"'
    return response


def own_url(url: str) -> str:
    """Return the path and query of a URL of the dashboard. For any other URL, return the home page's path.

    The result always begins with the home page's path, which prevents open redirects.
    """
    path, mark, query = url.partition("?")
    if not (url.isascii() and url.isprintable()) or any(part in path for part in ("\\", "//", "..")):
        return HOME
    parts = urlsplit(path)
    is_own = parts.path == HOME or parts.path.startswith(f"{HOME}/")
    if not is_own or parts.scheme or parts.netloc or parts.path == LOGIN:
        return HOME
    return parts.path + (f"?{urlencode(parse_qsl(query))}" if mark else "")
