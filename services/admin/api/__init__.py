"""Every route under /admin, a file for each thing that admins handle. All of it asks for a token."""

from fastapi import APIRouter, Depends

from services.admin.api import audit, leads, operations, personal_data, queue, replays
from services.admin.api.dependencies import actor
from services.admin.api.problems import documented


def routes() -> APIRouter:
    """Return all of them. The token is asked for here, so that no route can forget it."""
    router = APIRouter(
        prefix="/admin", dependencies=[Depends(actor)], responses=documented(401, 422, 429, 503)
    )
    for part in (personal_data, leads, queue, replays, audit, operations):
        router.include_router(part.router)
    return router
