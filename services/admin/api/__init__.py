"""The JSON API under /admin: one module for each group of routes. Every route requires a token."""

from fastapi import APIRouter, Depends

from services.admin.api import (
    audit,
    bulk_changes,
    destinations,
    failed_deliveries,
    held_leads,
    incidents,
    lead_exports,
    leads,
    notes,
    operations,
    personal_data,
    queue,
    replays,
    suppressions,
    views,
)
from services.admin.api.dependencies import authenticate
from services.admin.api.problems import documented


def routes() -> APIRouter:
    """Return the API's router, with all routes. The router checks the token of each request."""
    router = APIRouter(
        prefix="/admin",
        dependencies=[Depends(authenticate)],
        responses=documented(400, 401, 413, 422, 429, 503),
    )
    # `lead_exports` is before `leads`, whose paths `/leads/{lead_id}` match its paths too.
    for module in (
        lead_exports,
        personal_data,
        leads,
        notes,
        views,
        held_leads,
        bulk_changes,
        queue,
        replays,
        audit,
        operations,
        incidents,
        suppressions,
        destinations,
        failed_deliveries,
    ):
        router.include_router(module.router)
    return router
