"""The audit log, read only."""

from typing import Annotated

from fastapi import APIRouter, Query

from services.admin.adapters import CurrentAdapters
from services.admin.schemas.filters import AuditFilter
from services.admin.schemas.leads import AuditPage

router = APIRouter(tags=["audit"])


@router.get("/audit", summary="Search the audit log, newest first")
async def list_audit(filters: Annotated[AuditFilter, Query()], adapters: CurrentAdapters) -> AuditPage:
    """Filter by event, lead, request, actor and time. `next_cursor` selects the next page at any depth."""
    return await adapters.audit.list_entries(filters)
