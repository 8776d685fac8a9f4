"""A FastAPI dependency that checks a request's token and returns the name of the admin.

The dependency is a coroutine. FastAPI would run a plain function in a thread, and add 0.1 ms to each request.
"""

from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, HTTPException, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from services.admin.auth.token_auth import TokenAuth

_bearer = HTTPBearer(auto_error=False, description="One of the tokens in FASTCORE_ADMIN_TOKEN.")


async def authenticate(
    request: Request,
    response: Response,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> str:
    """Return the name of the admin whose token the request contains.

    Raises `HTTPException` with the status 401 (no valid token) or 429 (too many wrong tokens).
    """
    token_auth: TokenAuth = request.app.state.token_auth
    # Responses contain personal data, so no browser and no proxy may store them.
    response.headers["Cache-Control"] = "no-store"
    if credentials is None:
        _redirect_browser_to_page(request)
    # Starlette decodes headers as Latin-1: restore the bytes that were sent.
    token = credentials.credentials.encode("latin-1") if credentials else None
    return token_auth.authenticate(token, request.client.host if request.client else "")


def _redirect_browser_to_page(request: Request) -> None:
    """Raise a redirect to the dashboard if a browser opens `/admin/leads` or `/admin/audit`.

    These are routes of the JSON API, but people open them too.
    """
    path = request.url.path
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        for route, page in (("/admin/leads", "/admin/ui/leads"), ("/admin/audit", "/admin/ui/audit")):
            if path == route or (path.startswith(f"{route}/") and path.count("/") == 3):
                # The path is decoded, so it may contain characters that a header must not have.
                location = page + quote(path[len(route) :])
                raise HTTPException(303, "A browser is redirected to the dashboard.", {"Location": location})


Actor = Annotated[str, Depends(authenticate)]
