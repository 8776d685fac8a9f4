"""The dashboard: server-rendered pages under /admin, a file for each. All but the door ask for a session."""

from fastapi import APIRouter, Depends

from services.admin.pages import (
    audit,
    door,
    jobs,
    lead,
    leads,
    nowhere,
    overview,
    people,
    personal_data,
    replays,
    workbench,
)
from services.admin.pages.visit import own_form, visit, visit_overview


def pages() -> APIRouter:
    """Return all of them. Session and forgery are looked at here, so that no page can forget it."""
    router = APIRouter(include_in_schema=False)
    router.include_router(door.router)
    # The overview opens while the database is away; a `Visit` of its own guards what shows leads or changes.
    router.include_router(overview.router, dependencies=[Depends(visit_overview), Depends(own_form)])
    for part in (leads, people, personal_data, lead, workbench, replays, jobs, audit, nowhere):
        # own_form takes the visit: who has no session is sent to the door before a form is judged.
        router.include_router(part.router, dependencies=[Depends(visit), Depends(own_form)])
    return router


__all__ = ["pages"]
