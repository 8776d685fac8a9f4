"""Held leads: list them by site, and release all leads of a site or mark them as spam."""

from fastapi import APIRouter

from services.admin.adapters import CurrentAdapters
from services.admin.api.dependencies import Actor
from services.admin.schemas.held_leads import HeldDecision, HeldLeadsDecided, HeldSite

router = APIRouter(tags=["leads"])


@router.get("/held", summary="Sites with held leads")
async def list_held_leads(adapters: CurrentAdapters) -> list[HeldSite]:
    """Return the number of held leads of each site. At most 10,000 leads of a site are counted.

    A lead is held if it exceeded a rate limit and nothing else makes it look like spam.
    """
    return await adapters.held_leads.list_sites()


@router.post("/held/decide", summary="Release a site's held leads, or mark them as spam")
async def decide_held_leads(
    decision: HeldDecision, adapters: CurrentAdapters, actor: Actor
) -> HeldLeadsDecided:
    """Change the status of at most 10,000 held leads of a site. Each change is audited.

    A change to `received` sends each visitor the confirmation. If `left` is not 0, send the request again.
    """
    return await adapters.held_leads.decide(decision, actor)
