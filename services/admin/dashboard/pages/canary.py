"""The canary: for each site, which hop works, when it last worked and how long it took."""

from fastapi import APIRouter, Request, Response

from services.admin.adapters import CurrentAdapters
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.rendering import PageRoute, render

router = APIRouter(prefix="/admin/canary", route_class=PageRoute)


@router.get("")
async def show_canary(request: Request, session: CurrentSession, adapters: CurrentAdapters) -> Response:
    """Show the hops of each site's routes."""
    return render(request, session, "canary.html", canary=await adapters.canaries())
