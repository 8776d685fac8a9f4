"""The pages under /admin, one module for each group of pages.

Every page except the login and the runbooks requires a session.
"""

from fastapi import APIRouter, Depends

from services.admin.dashboard.auth import current_session, unverified_session, verify_csrf
from services.admin.dashboard.pages import (
    audit,
    bulk_changes,
    canary,
    destinations,
    emails,
    failed_deliveries,
    held_leads,
    incidents,
    jobs,
    lead,
    lead_deliveries,
    lead_edit,
    lead_exports,
    lead_notes,
    leads,
    login,
    not_found,
    overview,
    palette,
    personal_data,
    public_status,
    replays,
    runbooks,
    status,
    suppressions,
    views,
)


def pages() -> APIRouter:
    """Return the router of all pages.

    The router checks session and CSRF token, so no page can omit the check.
    """
    router = APIRouter(include_in_schema=False)
    router.include_router(login.router)
    router.include_router(runbooks.router)
    # These also open while the database is unavailable. Their routes that show leads or change something
    # depend on `CurrentSession` themselves.
    unverified_checks = [Depends(unverified_session), Depends(verify_csrf)]
    for page in (overview, status, incidents):
        router.include_router(page.router, dependencies=unverified_checks)
    # The order matters: a request without a session is redirected to the login before its form is checked.
    checks = [Depends(current_session), Depends(verify_csrf)]
    for page in (
        leads,
        views,
        held_leads,
        bulk_changes,
        lead_exports,
        lead_edit,
        lead_notes,
        personal_data,
        lead_deliveries,
        lead,
        destinations,
        emails,
        suppressions,
        failed_deliveries,
        replays,
        jobs,
        canary,
        audit,
        palette,
        not_found,  # last: it matches every path
    ):
        router.include_router(page.router, dependencies=checks)
    return router


__all__ = ["pages", "public_status"]
