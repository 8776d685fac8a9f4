"""The command palette's search for leads. The palette's script finds pages and actions itself."""

from typing import Annotated, Final

from fastapi import APIRouter, Form, Request, Response

from services.admin.adapters import CurrentAdapters
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.fields import BlankAsNone
from services.admin.dashboard.rendering import PageRoute, render
from services.admin.schemas.filters import LeadFilter, Text

router = APIRouter(prefix="/admin/ui/palette", route_class=PageRoute)
FOUND_LEADS: Final = 7
# One letter is in almost every lead.
MIN_LENGTH: Final = 2


@router.post("")
async def find_leads(
    request: Request,
    session: CurrentSession,
    adapters: CurrentAdapters,
    q: Annotated[BlankAsNone[Text], Form()] = None,
) -> Response:
    """Render the newest leads that match the search words `q`.

    The request is a POST, because the words are often personal data.
    """
    leads = []
    if q and len(q) >= MIN_LENGTH:
        leads = (await adapters.leads.list_leads(LeadFilter(q=q, limit=FOUND_LEADS))).leads
    return render(request, session, "palette_leads.html", leads=leads)
