"""The door: a token for a session, and out again. The token goes into no URL, page or log."""

import time
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from services.admin.auth.session import COOKIE, SESSION_SECONDS, Sessions
from services.admin.auth.token_auth import TokenAuth
from services.admin.dashboard.auth import Given, SignInFirst, Visit, look_up, own_form, refuse_elsewhere
from services.admin.dashboard.rendering import LOGIN, PageRoute, go_to, render

router = APIRouter(prefix="/admin", route_class=PageRoute)
HOME = "/admin"


@router.get("/login")
async def show_door(request: Request, given: Given) -> Response:
    """Show the form; who is signed in goes on."""
    onward = _own_page(request.query_params.get("next", ""))
    try:
        await look_up(request, given)
    except SignInFirst:
        return render(request, None, "login.html", onward=onward, wrong=None)
    return RedirectResponse(onward, 303)


@router.post("/login")
async def sign_in(
    request: Request,
    token: Annotated[str, Form(max_length=500)] = "",
    onward: Annotated[str, Form(alias="next", max_length=500)] = "",
) -> Response:
    """Open a session. Wrong tokens count like the API's: who guesses is blocked for both."""
    refuse_elsewhere(request)
    onward, token = _own_page(onward), token.strip()
    token_auth: TokenAuth = request.app.state.token_auth
    sessions: Sessions = request.app.state.sessions
    try:
        token_auth.authenticate(token.encode() or None, request.client.host if request.client else "")
    except HTTPException as refused:
        wrong = (
            str(refused.detail) if refused.status_code == 429 else "This is not a token of this installation."
        )
        answer: Response = render(
            request, None, "login.html", refused.status_code, onward=onward, wrong=wrong
        )
        if refused.status_code == 429:
            answer.headers.update(refused.headers or {})
        return answer
    answer = RedirectResponse(onward, 303)
    answer.set_cookie(
        COOKIE,
        sessions.open(token, time.time()),
        max_age=SESSION_SECONDS,
        path=HOME,
        secure=sessions.secure,
        httponly=True,
        samesite="strict",
    )
    return answer


@router.post("/logout", dependencies=[Depends(own_form)])
async def sign_out(request: Request, visitor: Visit, given: Given) -> Response:
    """End the session, in this browser and for whoever has its cookie."""
    await given.revocations.revoke(visitor)
    sessions: Sessions = request.app.state.sessions
    answer = go_to(request, LOGIN)
    answer.delete_cookie(COOKIE, path=HOME, secure=sessions.secure, httponly=True, samesite="strict")
    answer.headers["Clear-Site-Data"] = '"storage"'
    return answer


def _own_page(url: str) -> str:
    """Return a page of ours to go to; anything else is home, so that nobody is sent elsewhere."""
    if not (url.isascii() and url.isprintable()) or any(odd in url for odd in ("\\", "//", "..")):
        return HOME
    told = urlsplit(url)
    ours = told.path == HOME or told.path.startswith(f"{HOME}/")
    return told.path if ours and not told.scheme and not told.netloc and told.path != LOGIN else HOME
