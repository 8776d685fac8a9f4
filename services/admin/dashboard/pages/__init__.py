"""The dashboard: server-rendered pages under /admin, a file for each. All but the door ask for a session."""

from fastapi import APIRouter, Depends

from services.admin.dashboard.auth import own_form, visit, visit_overview
from services.admin.dashboard.pages import (
    audit,
    failed_deliveries,
    jobs,
    lead,
    lead_edit,
    leads,
    login,
    not_found,
    overview,
    personal_data,
    replays,
)


def pages() -> APIRouter:
    """Return all of them. Session and forgery are looked at here, so that no page can forget it."""
    router = APIRouter(include_in_schema=False)
    router.include_router(login.router)
    # The overview opens while the database is away; a `Visit` of its own guards what shows leads or changes.
    router.include_router(overview.router, dependencies=[Depends(visit_overview), Depends(own_form)])
    for part in (leads, lead_edit, personal_data, lead, failed_deliveries, replays, jobs, audit, not_found):
        # own_form takes the visit: who has no session is sent to the door before a form is judged.
        router.include_router(part.router, dependencies=[Depends(visit), Depends(own_form)])
    return router


__all__ = ["pages"]
