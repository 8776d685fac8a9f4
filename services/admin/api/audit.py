"""The route that lists the entries of the audit log."""

from typing import Annotated

from fastapi import APIRouter, Query

from services.admin.adapters import CurrentAdapters
from services.admin.schemas.filters import AuditFilter
from services.admin.schemas.leads import AuditPage

router = APIRouter(tags=["audit"])


@router.get("/audit", summary="Search the audit log, newest first")
async def list_audit(filters: Annotated[AuditFilter, Query()], adapters: CurrentAdapters) -> AuditPage:
    """Return the audit entries that match all parameters.

    Send the response's `next_cursor` as `cursor` to get the next page.
    """
    return await adapters.audit.list_entries(filters)
