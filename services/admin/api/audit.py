"""The audit log: read only, for everyone."""

from typing import Annotated

from fastapi import APIRouter, Query

from services.admin.api.dependencies import Given
from services.admin.schemas.filters import AuditFilter
from services.admin.schemas.leads import AuditPage

router = APIRouter(tags=["audit"])


@router.get("/audit", summary="Search the audit log, newest first")
async def list_audit(asked: Annotated[AuditFilter, Query()], given: Given) -> AuditPage:
    """Filter by event, lead, request, actor and time. `next_cursor` leads on at any depth."""
    return await given.store.list_audit(asked)
