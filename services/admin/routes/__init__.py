"""Every route under /admin, a file for each thing that admins handle. All of it asks for a token."""

from fastapi import APIRouter, Depends

from services.admin.problems import documented
from services.admin.routes import audit, leads, operations, people, queue, replays
from services.admin.routes.given import actor


def routes() -> APIRouter:
    """Return all of them. The token is asked for here, so that no route can forget it."""
    router = APIRouter(
        prefix="/admin", dependencies=[Depends(actor)], responses=documented(401, 422, 429, 503)
    )
    for part in (people, leads, queue, replays, audit, operations):
        router.include_router(part.router)
    return router
