"""What a route is given: the admin's name, and the adapters, so that a test can give others."""

from typing import Annotated

from fastapi import Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from services.admin.access import Access
from services.admin.adapters import Adapters

_bearer = HTTPBearer(auto_error=False, description="One of the tokens in FASTCORE_ADMIN_TOKEN.")


def actor(
    request: Request,
    response: Response,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> str:
    """Return the name of the admin whose token came with the request."""
    access: Access = request.app.state.access
    # Personal data: no browser and no proxy keeps it.
    response.headers["Cache-Control"] = "no-store"
    # Starlette decodes headers as Latin-1; back to the bytes that were sent.
    token = credentials.credentials.encode("latin-1") if credentials else None
    return access.actor(token, request.client.host if request.client else "")


def adapters(request: Request) -> Adapters:
    """Return the adapters of this app."""
    found: Adapters = request.app.state.adapters
    return found


Actor = Annotated[str, Depends(actor)]
Given = Annotated[Adapters, Depends(adapters)]
