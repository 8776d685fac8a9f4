"""What a route is given: the admin's name, and the adapters, so that a test can give others.

All are coroutines: what is not would go to a thread and back for each request, 0.1 ms apiece.
"""

from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, HTTPException, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from services.admin.adapters import Adapters
from services.admin.auth.token_auth import TokenAuth

_bearer = HTTPBearer(auto_error=False, description="One of the tokens in FASTCORE_ADMIN_TOKEN.")


async def actor(
    request: Request,
    response: Response,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> str:
    """Return the name of the admin whose token came with the request."""
    token_auth: TokenAuth = request.app.state.token_auth
    # Personal data: no browser and no proxy keeps it.
    response.headers["Cache-Control"] = "no-store"
    if credentials is None:
        _show_page_instead(request)
    # Starlette decodes headers as Latin-1; back to the bytes that were sent.
    token = credentials.credentials.encode("latin-1") if credentials else None
    return token_auth.authenticate(token, request.client.host if request.client else "")


def _show_page_instead(request: Request) -> None:
    """Send a browser to the page of what it asked for: people follow the link in an alert, or type it."""
    path = request.url.path
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        for data, page in (("/admin/leads", "/admin/ui/leads"), ("/admin/audit", "/admin/ui/audit")):
            if path == data or (path.startswith(f"{data}/") and path.count("/") == 3):
                # The path is decoded: it may hold what no header may.
                where = page + quote(path[len(data) :])
                raise HTTPException(303, "This is for people.", {"Location": where})


async def adapters(request: Request) -> Adapters:
    """Return the adapters of this app."""
    found: Adapters = request.app.state.adapters
    return found


Actor = Annotated[str, Depends(actor)]
Given = Annotated[Adapters, Depends(adapters)]
