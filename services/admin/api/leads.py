"""Leads: find them, change their status, resend an email."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query

from services.admin.adapters import CurrentAdapters
from services.admin.api.dependencies import Actor
from services.admin.api.problems import documented
from services.admin.schemas.filters import LeadFilter, StatusChangeQuery
from services.admin.schemas.leads import LeadDetail, LeadPage, Resent, StatusChanged

router = APIRouter(tags=["leads"])


@router.get("/leads", summary="A page of leads, by default newest first")
async def list_leads(filters: Annotated[LeadFilter, Query()], adapters: CurrentAdapters) -> LeadPage:
    """Return the leads that match all parameters.

    Send the response's `next_cursor` as `cursor` to get the next page.
    """
    return await adapters.leads.list_leads(filters)


@router.get("/leads/{lead_id}", summary="One lead with its history", responses=documented(404))
async def get_lead(lead_id: UUID, adapters: CurrentAdapters) -> LeadDetail:
    """Return the lead, its emails, its rows in the replay queue and its timeline, all as of one moment."""
    return await adapters.leads.get_lead(lead_id)


@router.patch("/leads/{lead_id}/status", summary="Change a lead's status", responses=documented(404, 409))
async def change_status(
    lead_id: UUID, change: Annotated[StatusChangeQuery, Query()], adapters: CurrentAdapters, actor: Actor
) -> StatusChanged:
    """Set the status of a lead. The change is audited.

    A change from `spam` to `received` sends the confirmation and the team notification. A change from `held`
    to `received` sends only the confirmation. An email that was sent before is not sent again.
    """
    return await adapters.leads.change_status(lead_id, change.new_status, change.expected, actor)


@router.post(
    "/leads/{lead_id}/emails/{kind}/resend",
    status_code=202,
    summary="Send an email again",
    responses=documented(404, 409),
)
async def resend(
    lead_id: UUID, kind: Literal["welcome", "admin_alert"], adapters: CurrentAdapters, actor: Actor
) -> Resent:
    """Resend an email that failed, was suppressed or has an unknown outcome. The notifier sends it."""
    return await adapters.leads.resend_email(lead_id, kind, actor)
