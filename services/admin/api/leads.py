"""Leads: look them up, change their status, send a mail again."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query

from services.admin.api.dependencies import Actor, Given
from services.admin.api.problems import documented
from services.admin.schemas.filters import LeadFilter, StatusChangeQuery
from services.admin.schemas.leads import LeadDetail, LeadPage, Resent, StatusChanged

router = APIRouter(tags=["leads"])


@router.get("/leads", summary="A page of leads, newest first")
async def list_leads(asked: Annotated[LeadFilter, Query()], given: Given) -> LeadPage:
    """Search and filter. `next_cursor` leads to the next page at any depth."""
    return await given.store.list_leads(asked)


@router.get("/leads/{lead_id}", summary="One lead's whole way", responses=documented(404))
async def get_lead(lead_id: UUID, given: Given) -> LeadDetail:
    """Return the lead, its mails, its queue rows and its timeline, as of one moment."""
    return await given.store.get_lead(lead_id)


@router.patch("/leads/{lead_id}/status", summary="Change a lead's status", responses=documented(404, 409))
async def change_status(
    lead_id: UUID, asked: Annotated[StatusChangeQuery, Query()], given: Given, actor: Actor
) -> StatusChanged:
    """Set the status, audited. From `spam` to `received` sends the mails that were held back."""
    return await given.store.change_status(lead_id, asked.new_status, asked.expected, actor)


@router.post(
    "/leads/{lead_id}/emails/{kind}/resend",
    status_code=202,
    summary="Send a mail again",
    responses=documented(404, 409),
)
async def resend(
    lead_id: UUID, kind: Literal["welcome", "admin_alert"], given: Given, actor: Actor
) -> Resent:
    """Have the notifier try a mail again that failed, is unknown or was suppressed."""
    return await given.store.resend(lead_id, kind, actor)
